"""The last ``rag eval`` of an index, as a page of its own."""

from __future__ import annotations

import logging
from html import escape
from pathlib import Path

import fastapi
from fastapi.responses import HTMLResponse

from rag.errors import RagError
from rag.evaluation import QUALITY_FILE, load_report, render_page

logger = logging.getLogger(__name__)

# Shown within the chat, and as quiet as it: no figures, and how to get some.
_EMPTY = """<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Quality · الجودة</title>
<style>body{{font:1rem/1.8 system-ui,sans-serif;max-width:40rem;margin:12vh auto;padding:0 1.5rem}}
code{{direction:ltr;unicode-bidi:isolate}}</style></head><body>
<p lang="ar" dir="rtl">{arabic}<br><code>rag eval QUESTIONS.jsonl --index-dir {index}</code></p>
<p lang="en" dir="ltr">{english}<br><code>rag eval QUESTIONS.jsonl --index-dir {index}</code></p></body></html>"""


def add_quality_route(app: fastapi.FastAPI, index_dir: Path) -> None:
    """Add ``GET /quality``: the report that ``rag eval`` left beside the index, with its plots."""
    made: dict[tuple[int, int], str] = {}

    @app.get("/quality", include_in_schema=False)
    def quality() -> HTMLResponse:
        path = index_dir / QUALITY_FILE
        try:
            stat = path.stat()
        except OSError:
            return _empty(index_dir, "لم يُقَس هذا الفهرس بعد. قِسه هكذا:", "This index is not measured yet. Measure it:")
        key = (stat.st_mtime_ns, stat.st_size)
        try:
            if key not in made:
                made.clear()
                made[key] = render_page(load_report(path))
        except RagError as error:
            logger.warning("%s", error)
            said = f"The last report cannot be shown: {error}. Measure again:"
            return _empty(index_dir, "تعذّر عرض آخر قياس. أعده:", said)
        return HTMLResponse(made[key])


def _empty(index_dir: Path, arabic: str, english: str) -> HTMLResponse:
    page = _EMPTY.format(arabic=escape(arabic), english=escape(english), index=escape(str(index_dir)))
    return HTMLResponse(page)
