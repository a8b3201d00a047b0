"""Every word the page says, in Arabic and in English.

Both languages are in the page at once and a style rule shows one of them, so that switching needs no round trip and
what is already on the page switches too.
"""

from __future__ import annotations

from html import escape

WORDS: dict[str, tuple[str, str]] = {
    # key: (Arabic, English); {name} is filled in
    "promise": ("اسأل مستنداتك، ولكل جوابٍ سند", "Ask your documents. Every answer shows its source."),
    "chat": ("المحادثة", "Chat"),
    "documents": ("المستندات", "Documents"),
    "switch_language": ("English", "العربية"),
    "switch_theme": ("تبديل المظهر بين الفاتح والداكن", "Switch between light and dark"),
    "ask_placeholder": ("اكتب سؤالك هنا…", "Ask a question…"),
    "welcome": ("ماذا تريد أن تعرف؟", "What would you like to know?"),
    "welcome_text": (
        "اسأل بالعربية أو بالإنجليزية. الأجوبة مقتبسة من مستنداتك كما هي، وكل رقم يفتح موضعه في المصدر.",
        "Ask in Arabic or English. Answers are quoted from your documents word for word, and every number opens its"
        " place in the source.",
    ),
    "you_asked": ("سؤالك", "You asked"),
    "answer": ("الجواب", "Answer"),
    "unsupported": ("لم أجد لهذا سندًا في المستندات", "I found no source for this in the documents"),
    "looking": ("أبحث في المستندات…", "Looking through the documents…"),
    "searched_for": ("بحثت عن: {query}", "Searched for: {query}"),
    "sources": ("المصادر", "Sources"),
    "source": ("المصدر", "Source"),
    "page": ("صفحة {number}", "page {number}"),
    "abstained": ("ليس في المستندات", "Not in the documents"),
    "nearest": ("أقرب ما وجدته", "The nearest passages"),
    "stopped": ("توقفت عن الكتابة.", "Stopped here."),
    "close": ("إغلاق المصدر", "Close the source"),
    "source_empty": ("اختر رقمًا من الجواب لترى موضعه في المستند.", "Choose a number in an answer to see its place."),
    "source_loading": ("أفتح المستند…", "Opening the document…"),
    "source_changed": (
        "تغيّر هذا المستند بعد كتابة الجواب، ولم يعد الاقتباس في موضعه. هذا نصه الحالي.",
        "This document has changed since the answer was written, and the quote is no longer in its place. This is"
        " its text now.",
    ),
    "source_gone": ("لم يعد هذا المستند في الفهرس.", "This document is no longer in the index."),
    "cut": ("… للنص بقية في المستند", "… the document goes on"),
    "title": ("العنوان", "Title"),
    "language": ("اللغة", "Language"),
    "type": ("النوع", "Type"),
    "passages": ("المقاطع", "Passages"),
    "documents_count": ("المستندات: {documents}، المقاطع: {passages}", "Documents: {documents}, passages: {passages}"),
    "documents_none": (
        "لا مستندات في الفهرس بعد. أضف ملفاتك ثم حدّث الفهرس.",
        "No documents in the index yet. Add your files, then update the index.",
    ),
    "upload_title": ("أضف مستندات", "Add documents"),
    "upload_hint": (
        "الأنواع: {suffixes}. حتى {size} ميغابايت للملف.",
        "Types: {suffixes}. Up to {size} MB each.",
    ),
    "rebuild": ("حدّث الفهرس", "Update the index"),
    "rebuild_hint": (
        "التحديث يقرأ الجديد والمتغيّر فقط، والمحادثة تبقى تعمل أثناءه.",
        "Only what is new or changed is read, and the chat goes on meanwhile.",
    ),
    "stage_start": ("أبدأ…", "Starting…"),
    "stage_load": ("أقرأ الملفات", "Reading the files"),
    "stage_embed": ("أفهرس المقاطع", "Indexing the passages"),
    "stage_write": ("أحفظ الفهرس", "Saving the index"),
    "done_of": ("{done} من {total}", "{done} of {total}"),
    "report": (
        "اكتمل التحديث ({seconds} ث). الجديد: {added}، المتغيّر: {updated}، المحذوف: {removed}، بلا تغيير: {unchanged}.",
        "Updated in {seconds} s. New: {added}, changed: {updated}, removed: {removed}, as before: {unchanged}.",
    ),
    "failed": ("ملفات لم تُقرأ", "Files that could not be read"),
    "upload_added": ("حُفظ. حدّث الفهرس ليدخل في الأجوبة.", "Saved. Update the index to have it answer."),
    "upload_renamed": (
        "حُفظ باسم جديد لأن مستندًا آخر يحمل اسمه. حدّث الفهرس.",
        "Saved under a new name, as another document has this one. Update the index.",
    ),
    "upload_unchanged": ("موجود من قبل بالمحتوى نفسه.", "Already there with the same content."),
    "upload_name": ("اسم الملف غير صالح؛ غيّره وأعد إرساله.", "The file name cannot be used; rename it and try again."),
    "upload_type": ("هذا النوع من الملفات لا يُقرأ.", "Files of this type cannot be read."),
    "upload_empty": ("الملف فارغ.", "The file is empty."),
    "upload_large": ("الملف أكبر من الحد المسموح.", "The file is larger than the limit."),
    "upload_disk": ("تعذّر حفظ الملف على القرص.", "The file could not be saved to disk."),
    "error_IndexNotFoundError": (
        "لا فهرس بعد. افتح «المستندات» وحدّث الفهرس، ثم اسأل.",
        "There is no index yet. Open Documents, update the index, then ask.",
    ),
    "error_IndexFormatError": (
        "الفهرس تالف أو من إصدار آخر. حدّثه من «المستندات».",
        "The index is damaged or of another version. Update it under Documents.",
    ),
    "error_IndexMismatchError": (
        "بُني الفهرس بنموذج آخر. حدّثه من «المستندات».",
        "The index was built with another model. Update it under Documents.",
    ),
    "error_IndexLockedError": (
        "يجري تحديث الفهرس الآن؛ انتظر حتى ينتهي.",
        "The index is being updated already; wait until that has finished.",
    ),
    "error_CorpusError": ("تعذّرت قراءة المستندات.", "The documents could not be read."),
    "error_question": ("السؤال فارغ أو أطول من اللازم.", "The question is empty or too long."),
    "error": ("حدث خطأ غير متوقع. التفاصيل في سجل الخادم.", "Something went wrong. The server's log has the details."),
    "language_ar": ("العربية", "Arabic"),
    "language_en": ("الإنجليزية", "English"),
    "language_fr": ("الفرنسية", "French"),
    "language_und": ("غير معروفة", "unknown"),
}

EXAMPLES = (
    ("ar", "ما الفرق بين التسويق الرقمي والتسويق الإلكتروني؟"),
    ("ar", "كيف أخطط لحملة تسويقية خطوة بخطوة؟"),
    ("en", "What is social commerce?"),
    ("en", "How can a brand tell that an influencer's followers are fake?"),
)


def word(key: str, language: str, **values: str | int) -> str:
    """Return one text in one language, plain. Any language but Arabic reads English."""
    arabic, english = WORDS[key]
    return (arabic if language == "ar" else english).format(**values)


def words(key: str, **values: str | int) -> str:
    """Return HTML that reads in the language of the page. Values are escaped and isolated from the text's direction."""
    isolated = {name: f"<bdi>{escape(str(value))}</bdi>" for name, value in values.items()}
    arabic, english = (escape(text).format(**isolated) for text in WORDS[key])
    return (
        f'<span class="in-ar" lang="ar" dir="rtl">{arabic}</span>'
        f'<span class="in-en" lang="en" dir="ltr">{english}</span>'
    )


def language_words(language: str) -> str:
    """Return HTML with the name of a language in the language of the page; its code where we have no name for it."""
    return words(f"language_{language}") if f"language_{language}" in WORDS else f"<bdi>{escape(language)}</bdi>"
