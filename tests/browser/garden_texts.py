"""The two documents that the browser tests ask about."""

from __future__ import annotations

PAYLOAD = '<img src="http://127.0.0.1:9/x.png" onerror="window.hacked=1"><script>window.hacked=1</script>'
ARABIC = """# دليل الغلاية الزرقاء

## مدة الضمان

مدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء، ويشمل الضمان عطل السخّان ولا يشمل الكسر.

## طريقة التنظيف

SEO ليست من شأن الغلاية؛ تُنظَّف الغلاية الزرقاء بالخلّ الأبيض مرة كل شهر، ثم تُشطف بالماء مرتين.
"""
ENGLISH = f"""# Growing tomatoes

## Light

Tomatoes want at least six hours of direct sunlight a day, and more in spring.

## Water

Water tomatoes every second morning, at the root, and never on the leaves. {PAYLOAD}
"""
