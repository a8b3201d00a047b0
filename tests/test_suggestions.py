"""Questions made of headings: their wording, which are offered first, and what comes next after an answer."""

import hashlib
import re
import time
from pathlib import Path

import pytest

from rag.answering import follow_up_questions, opening_questions
from rag.answering.headings import Casing, about_heading, question_of_heading
from rag.answering.headings.arabic import with_ba, with_li
from rag.answering.headings.cleaning import clean
from rag.datatypes import Answer, Citation, Document, Heading, Hit, Passage
from rag.loaders import DocumentLoader

BODY = {
    "en": "Here the section says at some length what its heading promises, in several plain words.",
    "ar": "هنا يقول القسم بشيء من التفصيل ما يعد به عنوانه، بكلمات واضحة يفهمها كل قارئ من غير عناء.",
}


def document(doc_id, language, title, *headings, body=None):
    """Build a document; a heading written ``"## Text"`` is of level 2."""
    text, found = f"{title}\n", [Heading(title, 1, 0, len(title))]
    for line in headings:
        marks, _, heading = line.partition(" ")
        start = len(text) + 1
        found.append(Heading(heading, len(marks), start, start + len(heading)))
        text += f"\n{heading}\n{BODY[language] if body is None else body}\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Document(doc_id, title, text, language, digest, headings=tuple(found))


def corpus(*documents):
    return {found.doc_id: found for found in documents}


def asked(heading, title, language="ar"):
    found = question_of_heading(heading, title, language)
    return found.text if found else None


EMAIL = "التسويق عبر البريد الإلكتروني: دليل عملي"
INFLUENCERS = "تسويق المؤثرين: كيف يعمل، وماذا تقول الأرقام"


@pytest.mark.parametrize(
    ("heading", "title", "question"),
    [
        ("كيف يعمل محرك البحث؟", "تهيئة المواقع لمحركات البحث", "كيف يعمل محرك البحث؟"),
        ("1. كيف يعمل محرك البحث ؟؟", "تهيئة المواقع لمحركات البحث", "كيف يعمل محرك البحث؟"),
        ("أولًا: أنواع المؤثرين:", INFLUENCERS, "ما أنواع المؤثرين؟"),
        ("الفصل الثاني: مراحل دورة حياة العميل", "إشراك العملاء", "ما مراحل دورة حياة العميل؟"),
        ("المخاطر", INFLUENCERS, "ما مخاطر تسويق المؤثرين؟"),
        ("المهارات الأساسية", "من هو المسوّق الرقمي؟", "ما المهارات الأساسية للمسوّق الرقمي؟"),
        ("الاشتراك المزدوج", EMAIL, "ما الذي ينبغي معرفته عن الاشتراك المزدوج في التسويق عبر البريد الإلكتروني؟"),
        (EMAIL, EMAIL, "ما الذي ينبغي معرفته عن التسويق عبر البريد الإلكتروني؟"),
        ("تعريف التسويق الرقمي", "التسويق الرقمي", "ما المقصود بالتسويق الرقمي؟"),
        ("تقسيم القائمة", EMAIL, "كيف يمكن تقسيم القائمة في التسويق عبر البريد الإلكتروني؟"),
        ("كيفية إعداد الميزانية", "ميزانية التسويق", "كيف يمكن إعداد الميزانية؟"),
        ("أربع طرق لتحديد المبلغ", "ميزانية التسويق", "ما الطرق الأربع لتحديد المبلغ في ميزانية التسويق؟"),
        ("ثلاثة مستويات من العمل", "التسويق التقليدي والرقمي", "ما مستويات العمل الثلاثة؟"),
        ("أخطاء في إدارة الميزانية", "ميزانية التسويق", "ما الأخطاء في إدارة الميزانية؟"),
        ("الفرق بين الإعلان والدعاية", "الإعلان", "ما الفرق بين الإعلان والدعاية؟"),
        ("التسويق الرقمي مقابل التسويق التقليدي", "التسويق", "ما الفرق بين التسويق الرقمي والتسويق التقليدي؟"),
        ("التجارة الاجتماعية والتسويق الاجتماعي", "الشبكات", "ما الفرق بين التجارة الاجتماعية والتسويق الاجتماعي؟"),
        ("أسباب ارتفاع الأسعار", "الاقتصاد", "ما أسباب ارتفاع الأسعار؟"),
        ("ما يجب أن يتضمنه الاتفاق", INFLUENCERS, "ما الذي يجب أن يتضمنه الاتفاق؟"),
        ("لماذا ينجح؟", INFLUENCERS, "تسويق المؤثرين: لماذا ينجح؟"),
        ("سؤال يتكرر: هل العلامة الزرقاء تكفي؟", "الحسابات الوهمية", "هل العلامة الزرقاء تكفي؟"),
        (
            "فكيف نفرّق بين المسوق الرقمي و المسوق الإلكتروني ؟",
            "التسويق",
            "كيف نفرّق بين المسوق الرقمي والمسوق الإلكتروني؟",
        ),
        ("من هو المسوق ؟ ومن هو البائع ؟", "المسوق والبائع", "من هو المسوق؟"),
        ("SEO", "محركات البحث", "ما الذي ينبغي معرفته عن SEO في محركات البحث؟"),
        ("طرق الوقاية", "مرض السكري", "ما طرق الوقاية من مرض السكري؟"),
        ("أنواع الإجازات", "لائحة الموارد البشرية", "ما أنواع الإجازات بحسب لائحة الموارد البشرية؟"),
        ("الثقافة والفنون", "الدولة العثمانية", "ما الذي ينبغي معرفته عن الثقافة والفنون في الدولة العثمانية؟"),
    ],
)
def test_an_arabic_heading_becomes_a_question(heading, title, question):
    assert asked(heading, title) == question


@pytest.mark.parametrize(
    ("heading", "title", "question"),
    [
        ("What is social commerce?", "Social commerce", "What is social commerce?"),
        (
            "How to run a collaboration",
            "Influencer marketing",
            "How do you run a collaboration in influencer marketing?",
        ),
        ("2.1 How often to post, and how often to review", "Posting", "How often should you post?"),
        ("Why trust is worth money", "Trust on social networks", "Why is trust worth money?"),
        ("Why it works", "Influencer marketing explained", "Can you explain why influencer marketing works?"),
        ("When visits stagnate", "Search engines", "What should you do when visits stagnate?"),
        ("Email vs. Social Media", "Marketing", "What is the difference between email and Social Media?"),
        (
            "Digital or electronic marketing",
            "Jobs",
            "What is the difference between digital marketing and electronic marketing?",
        ),
        ("Common kinds of fraud", "Fraud", "What are the common kinds of fraud?"),
        ("The seven steps", "Setting a budget", "What are the seven steps when setting a budget?"),
        ("Seven checks before you pay", "Fraud, trust and you", "What are the seven checks before you pay?"),
        (
            "Choosing keywords",
            "Search engine optimisation",
            "How do you choose keywords in search engine optimisation?",
        ),
        ("Setting up measurement in six steps", "Web analytics", "How do you set up measurement in six steps?"),
        ("Step 3: Install the package", "Installation guide", "How do you install the package?"),
        ("Segmentation: not everyone", "Email marketing", "What should I know about segmentation in email marketing?"),
        ("Vanity metrics", "Measuring, counting, weighing", "What should I know about vanity metrics?"),
        (
            "Introduction to machine learning",
            "Introduction to machine learning",
            "What should I know about machine learning?",
        ),
        ("FAQ: is email marketing expensive?", "Email marketing", "Is email marketing expensive?"),
        ("Symptoms", "Type 2 diabetes", "What are the symptoms of type 2 diabetes?"),
        (
            "How to file a complaint",
            "Employee handbook",
            "How do you file a complaint according to the employee handbook?",
        ),
        ("Code of conduct", "Our company", "What should I know about the code of conduct?"),
        ("The importance of sleep", "Sleep and health", "What is the importance of sleep?"),
    ],
)
def test_an_english_heading_becomes_a_question(heading, title, question):
    assert asked(heading, title, "en") == question


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "مقدمة",
            "المقدمة",
            "الخاتمة",
            "المراجع",
            "خلاصة",
            "١٢٣",
            "2024",
            "أ",
            "مثال محلول",
            "جدول المقارنة",
            "هل تجمع بينهما؟",
        ),
        *(
            "ثانيًا: ما يُحسب عليها",
            "تسويق المؤثرين أسهل",
            "التسويق الإلكتروني أعم",
            "الحوار لا الخطابة",
            "أخطاء تلتهم الميزانية",
            "اضبط الإعدادات",
        ),
        *("★ عرض خاص ★", "تواصل: info@example.com", "https://example.com", "بالفصحى أم بالعامية؟", "{{ عنوان القسم }}"),
        "أنواع الإعلانات المدفوعة في محركات البحث وفي الشبكات الاجتماعية وفي الصحف",
        "خمس طرق للمزج بينهما",
    ],
)
def test_an_arabic_heading_that_says_too_little_or_too_much_is_skipped(heading):
    assert asked(heading, "شؤون عامة وأخرى") is None


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "Introduction",
            "Summary",
            "The conclusion",
            "References",
            "FAQ",
            "42",
            "A worked example",
            "Technical checklist",
        ),
        *(
            "Permission comes first",
            "Words that help, words that hurt",
            "Which one should come first?",
            "Is it the page?",
        ),
        *("<b>Bold</b>", "Price | Terms", "Cutting without bleeding", "The formulas", "Load paper"),
        "Types of paid advertising on search engines, on social networks and in print",
    ],
)
def test_an_english_heading_that_says_too_little_or_too_much_is_skipped(heading):
    assert asked(heading, "Odds, ends and others", "en") is None


@pytest.mark.parametrize(
    ("heading", "body", "language", "question"),
    [
        (
            "الكلمات السلبية",
            "الكلمة السلبية عبارة تطلب من المنصة ألا تعرض إعلانك.",
            "ar",
            "ما المقصود بالكلمات السلبية؟",
        ),
        ("إشراك العملاء", "قبل ذلك كلام. إشراك العملاء (CRM) هو أن ترافق الزبون.", "ar", "ما المقصود بإشراك العملاء؟"),
        ("تهيئة المواقع", "يُقصد بتهيئة المواقع هو أن تُفهم صفحاتك.", "ar", "كيف يمكن تهيئة المواقع؟"),
        ("SEO", "SEO هي أعمال تجعل صفحات موقعك مفهومة.", "ar", "ما المقصود بمصطلح «SEO»؟"),
        ("ساعات العمل", "ساعات العمل ثماني ساعات في اليوم.", "ar", "ما الذي ينبغي معرفته عن ساعات العمل؟"),
        ("ساعات العمل", "ساعات العمل الرسمية تبدأ في الثامنة.", "ar", "ما الذي ينبغي معرفته عن ساعات العمل؟"),
        ("Vanity metrics", "First a word. Vanity metrics are figures that flatter.", "en", "What are vanity metrics?"),
        ("Search intent", "A search intent (or aim) is what a person wants.", "en", "What is search intent?"),
        ("Dress code", "The dress code means dark suits.", "en", "What is meant by “dress code”?"),
        ("Working hours", "Working hours start at nine.", "en", "What should I know about working hours?"),
    ],
)
def test_what_a_name_means_is_asked_where_the_text_says_it(heading, body, language, question):
    title = {"ar": "شؤون عامة وأخرى", "en": "Odds, ends and others"}[language]
    found = question_of_heading(heading, title, language, body=body)
    assert found is not None
    assert found.text == question


def test_only_questions_are_taken_in_other_languages():
    assert asked("Qu'est-ce que le commerce social ?", "Le commerce", "fr") == "Qu'est-ce que le commerce social?"
    assert asked("Les étapes du projet", "Le commerce", "fr") is None


def test_prepositions_are_written_onto_the_word():
    assert with_ba("التسويق الرقمي") == "بالتسويق الرقمي"
    assert with_ba("SEO") == "بمصطلح «SEO»"
    assert [with_li(name) for name in ("المسوّق", "اللغة", "تسويق المؤثرين", "SEO")] == [
        "للمسوّق",
        "للغة",
        "لتسويق المؤثرين",
        "لـ SEO",
    ]


@pytest.mark.parametrize(
    ("heading", "kept"),
    [
        *(("  ٣) الميزانية  :", "الميزانية"), ("ثالثاً - المخاطر", "المخاطر"), ("المبحث الأول: النشأة", "النشأة")),
        *(("أ. الأسعار", "الأسعار"), ("المـقـدمـة", "المقدمة"), ("قاعدة 70-20-10", "قاعدة 70-20-10")),
        *(
            ("Chapter IV: Prices", "Prices"),
            ("1.2.3 Setup", "Setup"),
            ("(b) Setup…", "Setup"),
            ("5 ways to pay", "5 ways to pay"),
        ),
    ],
)
def test_numbering_and_punctuation_at_the_end_are_dropped(heading, kept):
    assert clean(heading) == kept


def test_capitals_that_only_mark_a_heading_become_small():
    casing = Casing.of("We buy ads on Google, and types of digital marketing matter.")
    assert casing.running("Types of Digital Marketing on Google") == "types of digital marketing on Google"
    assert casing.running("Google Ads") == "Google ads"
    assert casing.running("TYPES OF MARKETING") == "types of marketing"
    assert casing.running("SEO") == "SEO"


def test_what_documents_say_about_a_heading():
    assert about_heading("المخاطر", INFLUENCERS, "ar") == "ماذا تقول المستندات عن مخاطر تسويق المؤثرين؟"
    assert about_heading("Reaching the inbox", "Email marketing", "en") == (
        "What do the documents say about reaching the inbox in email marketing?"
    )
    assert about_heading("كيف تختار المؤثر المناسب؟", INFLUENCERS, "ar") == "كيف تختار المؤثر المناسب؟"
    assert about_heading("Conclusion", "Email marketing", "en") is None


BUDGET = document(
    "ar/budget.md", "ar", "ميزانية التسويق", "## بنود الميزانية", "## أربع طرق لتحديد المبلغ", "## الخلاصة"
)
SEARCH = document("ar/seo.md", "ar", "محركات البحث", "## كيف يعمل محرك البحث؟", "## اختيار الكلمات المفتاحية")
FRAUD = document(
    "ar/fraud.md",
    "ar",
    "الاحتيال الإلكتروني",
    "## علامات الحساب الوهمي",
    "## كيف تحمي الشركة حسابها من الاحتيال؟",
    "### لماذا يصعب كشف الحساب المزيّف؟",
    "## أضرار الاحتيال",
)
TRUST = document("en/trust.md", "en", "Trust online", "## Why trust is worth money", "## Common kinds of fraud")
DOCUMENTS = corpus(BUDGET, SEARCH, FRAUD, TRUST)


def test_opening_questions_come_from_many_documents_in_the_language_of_the_interface():
    questions = opening_questions(DOCUMENTS, "ar", count=3)
    sources = [
        {found.doc_id for found in DOCUMENTS.values() for h in found.headings if asked(h.text, found.title) == question}
        for question in questions
    ]
    assert len(questions) == 3
    assert len(set.union(*sources)) == 3
    assert all(re.search("[ء-ي]", question) for question in questions)


def test_opening_questions_are_the_same_for_the_same_documents_in_any_order():
    backwards = dict(reversed(DOCUMENTS.items()))
    assert opening_questions(backwards, "ar") == opening_questions(DOCUMENTS, "ar")


def test_documents_in_another_language_fill_up_and_keep_theirs():
    questions = opening_questions(DOCUMENTS, "en", count=4)
    english = [question for question in questions if question.isascii()]
    assert english == questions[: len(english)]
    assert 2 <= len(english) < len(questions) == 4


def test_no_question_of_a_section_without_text():
    bare = document("bare.md", "ar", "محركات البحث", "## كيف يعمل محرك البحث؟", body="")
    assert opening_questions(corpus(bare), "ar") == []


def test_a_section_may_keep_its_text_in_its_subsections():
    nested = document("n.md", "en", "Trust online", "## Common kinds of fraud", "### Detail", body="")
    text = f"{nested.text}{BODY['en']}"
    whole = Document("n.md", nested.title, text, "en", "", headings=nested.headings)
    assert "What are the common kinds of fraud?" in opening_questions(corpus(whole), "en")


def test_nothing_to_ask_of_nothing():
    assert opening_questions({}, "ar") == []
    assert opening_questions(DOCUMENTS, "ar", count=0) == []
    with pytest.raises(ValueError, match="count is -1"):
        opening_questions(DOCUMENTS, "ar", count=-1)


def test_another_document_comes_before_the_next_good_question_of_the_same():
    rich = document(
        "a.md", "en", "Email marketing", "## How to write a subject line", "## Why does email marketing work?"
    )
    poor = document("b.md", "en", "Odds, ends and others", "## Can you pay by card in the shop?")
    questions = opening_questions(corpus(rich, poor), "en", count=2)
    assert questions == ["Why does email marketing work?", "Can you pay by card in the shop?"]


def test_of_a_large_corpus_a_part_is_looked_at_and_soon():
    headings = [f"## Choosing tool number {n} for the workshops" for n in range(400)]
    documents = corpus(*(document(f"{n:04}.md", "en", f"Trust online {n}", *headings) for n in range(120)))
    start = time.process_time()
    assert len(opening_questions(documents, "en", count=2)) == 2
    assert time.process_time() - start < 10  # about a second; a minute and more if all headings were looked at


def citation(found, place, n=1):
    heading = found.headings[place]
    start = heading.end + 1
    quote = found.text[start : start + 20]
    path = found.heading_path(start)
    return Citation(
        n, found.doc_id, found.title, found.language, quote, start, start + 20, None, path, start, start + 20
    )


def hit(found, place, rank=1):
    start = found.headings[place].end + 1
    text = found.text[start : start + 20]
    return Hit(Passage(found.doc_id, start, start + 20, text, found.language, found.title), 1.0, rank)


def answer(question, language, citations=(), hits=()):
    return Answer(question, language, "…", not citations, 0.9, citations=tuple(citations), hits=tuple(hits))


def test_the_next_section_comes_first_then_its_siblings():
    questions = follow_up_questions(answer("كيف أعرف الحساب الوهمي؟", "ar", [citation(FRAUD, 1)]), corpus(FRAUD))
    assert questions == [
        "كيف تحمي الشركة حسابها من الاحتيال؟",
        "ما أضرار الاحتيال؟",
        "لماذا يصعب كشف الحساب المزيّف؟",
    ]


def test_a_name_is_not_asked_about_twice_in_other_words():
    twice = document(
        "d.md", "ar", "تسويق المؤثرين", "## تعريف تسويق المؤثرين", "## تسويق المؤثرين", "## مخاطر المؤثرين"
    )
    assert opening_questions(corpus(twice), "ar") == ["ما المقصود بتسويق المؤثرين؟", "ما مخاطر المؤثرين؟"]


def test_what_was_asked_or_is_cited_is_not_suggested():
    cites = [citation(FRAUD, 1), citation(FRAUD, 2, 2)]
    told = answer("ما هي علامات الحساب الوهمي؟", "ar", cites)
    questions = follow_up_questions(told, corpus(FRAUD), asked=["ما هي أضرار الاحتيال"])
    assert "لماذا يصعب كشف الحساب المزيّف؟" in questions
    assert not {"ما علامات الحساب الوهمي؟", "كيف تحمي الشركة حسابها من الاحتيال؟", "ما أضرار الاحتيال؟"} & set(
        questions
    )


def test_the_question_itself_is_not_suggested():
    told = answer("ما أضرار الاحتيال؟", "ar", [citation(FRAUD, 1)])
    assert "ما أضرار الاحتيال؟" not in follow_up_questions(told, corpus(FRAUD))


def test_the_section_after_the_cited_one_comes_before_the_one_before_it():
    seeds = document("s.md", "ar", "الزراعة", "## أنواع البذور", "## أنواع التربة", "## أنواع السماد")
    first, second = follow_up_questions(answer("ما التربة؟", "ar", [citation(seeds, 2)]), corpus(seeds), count=2)
    assert "السماد" in first
    assert "البذور" in second


def test_the_query_a_follow_up_was_read_as_counts_as_asked():
    told = Answer("وما أضراره؟", "ar", "…", False, 0.9, citations=(citation(FRAUD, 1),), query="ما أضرار الاحتيال؟")
    assert "ما أضرار الاحتيال؟" not in follow_up_questions(told, corpus(FRAUD))


def test_one_of_another_document_that_names_the_subject_is_among_them():
    tax = document("ar/tax.md", "ar", "عقوبات الاحتيال", "## أنواع عقوبات الاحتيال")
    documents = {**DOCUMENTS, tax.doc_id: tax}
    questions = follow_up_questions(answer("كيف أعرف الاحتيال؟", "ar", [citation(FRAUD, 1)]), documents)
    assert questions[:2] == ["كيف تحمي الشركة حسابها من الاحتيال؟", "ما أضرار الاحتيال؟"]
    assert asked(tax.title, tax.title) == questions[2] or "ما أنواع عقوبات الاحتيال؟" == questions[2]


def test_a_passage_found_in_another_document_is_followed_only_if_it_names_the_subject():
    told = answer("كيف أعرف الحساب الوهمي؟", "ar", [citation(FRAUD, 1)], [hit(FRAUD, 1), hit(BUDGET, 1, 2)])
    assert not [question for question in follow_up_questions(told, DOCUMENTS) if "الميزانية" in question]


def test_documents_in_the_language_are_found_though_others_are_cited():
    told = answer("ما المقصود بميزانية المتجر؟", "ar", [citation(TRUST, 1)], [hit(TRUST, 1), hit(BUDGET, 2, 2)])
    assert follow_up_questions(told, DOCUMENTS)[0] == "ما الطرق الأربع لتحديد المبلغ في ميزانية التسويق؟"


def test_follow_ups_stay_in_the_language_of_the_question():
    told = answer("What is fraud?", "en", [citation(FRAUD, 1)], [hit(TRUST, 2, 2)])
    questions = follow_up_questions(told, DOCUMENTS)
    assert questions == ["What are the common kinds of fraud?"]


def test_after_no_answer_the_nearest_headings_are_asked_about():
    hits = [hit(BUDGET, 1), hit(TRUST, 1, 2), hit(BUDGET, 3, 3)]  # the last is headed "summary", the second English
    told = answer("كم راتب المدير؟", "ar", hits=hits)
    assert follow_up_questions(told, DOCUMENTS) == ["ماذا تقول المستندات عن بنود الميزانية؟"]


def test_far_down_a_long_document_its_neighbours_are_found():
    long = document(
        "l.md", "ar", "أحكام الزراعة", *(f"## أنواع البذور {'ا' * (n + 3)}" for n in range(120)), "## أنواع التربة"
    )
    told = answer("ما البذور؟", "ar", [citation(long, 119)])
    assert follow_up_questions(told, corpus(long))[0] == "ما أنواع التربة في أحكام الزراعة؟"


def test_a_cited_document_that_is_gone_is_passed_over():
    told = answer("كيف أعرف الحساب الوهمي؟", "ar", [citation(FRAUD, 1)], [hit(FRAUD, 1)])
    assert follow_up_questions(told, {}) == []
    assert follow_up_questions(told, corpus(BUDGET)) == []


def test_as_many_follow_ups_as_are_wanted():
    told = answer("كيف أعرف الحساب الوهمي؟", "ar", [citation(FRAUD, 1)])
    assert [len(follow_up_questions(told, DOCUMENTS, count=count)) for count in (0, 1, 2, 3)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="count is -2"):
        follow_up_questions(told, DOCUMENTS, count=-2)


@pytest.fixture(scope="module")
def demo():
    root = Path(__file__).parent.parent / "corpus"
    with DocumentLoader() as loader:
        paths = [root / name for name in ("ar/influencers.md", "ar/digital-vs-electronic.md", "en/email-marketing.txt")]
        return corpus(*(loader.load(path, path.relative_to(root).as_posix()) for path in paths))


def test_the_demo_corpus_opens_with_good_questions(demo):
    questions = opening_questions(demo, "ar", count=2)
    assert questions == ["ما الفرق بين التسويق الرقمي والتسويق الإلكتروني؟", "ما المقصود بتسويق المؤثرين؟"]
    assert opening_questions(demo, "en", count=1) == ["What is email marketing?"]


def test_every_question_ends_with_one_mark_of_its_script(demo):
    for found in demo.values():
        for heading in found.headings:
            question = asked(heading.text, found.title, found.language) or ""
            assert re.fullmatch(r"|[^؟?]+؟" if found.language == "ar" else r"|[^؟?]+\?", question), question
