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
    "busy": (
        "الخادم مشغول الآن، وسؤالك في مكانه. أعد إرساله بعد قليل.",
        "The server is busy. Your question is back in its box: send it again in a moment.",
    ),
    "in_line": ("سؤالك في الانتظار، وسيأتي دوره.", "Your question is in line; others are being answered first."),
    "index_fallback": (
        "أحدث فهرس تالف، والأجوبة من فهرس أقدم. حدّث الفهرس.",
        "The newest index is damaged, and answers come from an older one. Update the index.",
    ),
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
    "stage_understand": ("فهم السؤال", "Reading the question"),
    "stage_retrieve": ("البحث", "Searching"),
    "stage_read": ("القراءة", "Reading the passages"),
    "stage_verify": ("التحقق", "Checking"),
    "confidence_sure": ("أنا مطمئن إلى هذا الجواب", "I am confident of this answer"),
    "confidence_fair": ("هذا هو الجواب على الأرجح", "This is probably the answer"),
    "confidence_unsure": ("لست مطمئنًا إلى هذا الجواب؛ تحقّق من مصدره", "I am not sure of this; please check the source"),
    "copy": ("انسخ الجواب مع مصادره", "Copy the answer with its sources"),
    "copied": ("نُسخ", "Copied"),
    "retry": ("أجب من جديد", "Answer again"),
    "edit": ("عدّل السؤال", "Edit the question"),
    "undo": ("احذف هذا السؤال وجوابه", "Take this question back"),
    "thumb_up": ("جواب جيد", "Good answer"),
    "thumb_down": ("جواب غير جيد", "Not a good answer"),
    "further": ("أسئلة تالية", "You could ask next"),
    "why": ("لماذا هذه المقاطع؟", "Why these passages?"),
    "why_hint": (
        "موضع كل مقطع في البحث بالمعنى، وفي البحث بالكلمات، وفيهما معًا. الأطول أقرب إلى السؤال.",
        "Where each passage stands by meaning, by its words, and by both. A longer bar is nearer to the question.",
    ),
    "why_passage": ("المقطع", "Passage"),
    "why_dense": ("بالمعنى", "Meaning"),
    "why_bm25": ("بالكلمات", "Words"),
    "why_fused": ("معًا", "Both"),
    "stopped": ("توقفت عن الكتابة.", "Stopped here."),
    "close": ("إغلاق المصدر", "Close the source"),
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
    # what the browser's own program says, and the views around the chat
    "ask": ("اسأل", "Ask"),
    "stop": ("توقّف", "Stop"),
    "quality": ("الجودة", "Quality"),
    "settings": ("الإعدادات", "Settings"),
    "conversations": ("المحادثات", "Conversations"),
    "new_conversation": ("محادثة جديدة", "New conversation"),
    "search_conversations": ("ابحث في المحادثات", "Search the conversations"),
    "no_conversations": ("لا محادثات بعد", "No conversations yet"),
    "untitled": ("محادثة", "Conversation"),
    "rename": ("غيّر الاسم", "Rename"),
    "delete": ("احذف", "Delete"),
    "export": ("صدّر هذه المحادثة:", "Export this conversation:"),
    "export_markdown": ("Markdown", "Markdown"),
    "export_html": ("صفحة HTML", "HTML page"),
    "kept_full": (
        "امتلأت ذاكرة المتصفح؛ صدّر محادثات قديمة ثم احذفها لتُحفظ الجديدة.",
        "The browser's storage is full: export old conversations and delete them, so that new ones are kept.",
    ),
    "turns_full": ("بلغت المحادثة حدّها؛ ابدأ محادثة جديدة.", "This conversation is full. Start a new one."),
    "all_documents": ("كل المستندات", "All documents"),
    "any_language": ("أي لغة", "Any language"),
    "only_this": ("في هذا المستند فقط", "Only in this document"),
    "stop_only": ("اسأل كل المستندات", "Ask all documents"),
    "feedback_thanks": ("حُفظ رأيك على هذا الخادم وحده.", "Your opinion is saved on this server only."),
    "feedback_reason": ("ما الذي ينقصه؟ (اختياري)", "What is wrong with it? (optional)"),
    "feedback_failed": ("تعذّر حفظ رأيك.", "Your opinion could not be saved."),
    "send": ("أرسل", "Send"),
    "uploading": ("أرفع {name}…", "Uploading {name}…"),
    "drop_here": ("اسحب الملفات أو المجلدات إلى هنا", "Drop files or folders here"),
    "pick_files": ("اختر ملفات", "Choose files"),
    "pick_folder": ("اختر مجلدًا", "Choose a folder"),
    "picture": ("صورة الصفحة", "Picture of the page"),
    "interface_language": ("لغة الواجهة", "Language of the page"),
    "language_name_ar": ("العربية", "العربية (Arabic)"),
    "language_name_en": ("English (الإنجليزية)", "English"),
    "theme": ("المظهر", "Theme"),
    "theme_light": ("فاتح", "Light"),
    "theme_dark": ("داكن", "Dark"),
    "theme_system": ("كالجهاز", "As the system"),
    "answer_length": ("طول الجواب", "Length of the answer"),
    "length_short": ("اقتباس واحد", "One quote"),
    "length_normal": ("معتدل", "Normal"),
    "length_long": ("مفصّل", "Detailed"),
    "passages_read": ("عدد المقاطع المقروءة", "Passages read"),
    "passages_read_hint": (
        "كلما زاد العدد طال الوقت وقلّ ما يفوت.",
        "More passages take longer, and less is missed.",
    ),
    "answer_model": ("كاتب الجواب", "What writes the answer"),
    "answer_model_hint": (
        "اتركه فارغًا لأجوبة مقتبسة كما هي. أو اكتب مجلد نموذج، أو اسمه في Hugging Face فيُنزَّل، أو عنوان خادم مثل"
        " openai:http://127.0.0.1:11434/v1#qwen3.",
        "Empty for answers made of quotes. Or a model's folder, a Hugging Face name, which is then downloaded, or a"
        " server such as openai:http://127.0.0.1:11434/v1#qwen3.",
    ),
    "use_model": ("استعمله", "Use it"),
    "model_builtin": ("الاقتباس المدمج", "Built-in quotes"),
    "model_opening": ("أفتح النموذج…", "Opening the model…"),
    "model_ready": ("يكتب الأجوبة الآن: {name}", "Answers are now written by {name}"),
    "error_delete": ("تعذّر حذف المستند.", "The document could not be deleted."),
    # the file that a conversation is exported to
    "exported_about": (
        "محادثة مع سند. كل اقتباس منقول بحروفه من مستنده، ورقمه في الجواب يدلّ عليه.",
        "A conversation with Sanad. Every quote is word for word from its document; its number in the answer points"
        " to it.",
    ),
    "exported_on": ("صُدّرت في {date}", "Exported on {date}"),
    "exported_file": ("الملف: {name}", "File: {name}"),
    "exported_hash": ("بصمة الملف (SHA-256): {digest}", "SHA-256 of the file: {digest}"),
    "exported_model": ("كتبه النموذج {model}", "Written by {model}"),
    # the login
    "login": ("تسجيل الدخول", "Log in"),
    "login_name": ("اسم المستخدم", "User name"),
    "login_password": ("كلمة المرور", "Password"),
    "login_enter": ("دخول", "Log in"),
    "login_wrong": (
        "اسم المستخدم أو كلمة المرور غير صحيحة.",
        "The user name or the password is wrong.",
    ),
    "login_wait_s": (
        "محاولات كثيرة لم تنجح. أعد المحاولة بعد {number} ث.",
        "Too many attempts have failed. Try again in {number} s.",
    ),
    "login_wait_min": (
        "محاولات كثيرة لم تنجح. أعد المحاولة بعد {number} د.",
        "Too many attempts have failed. Try again in {number} min.",
    ),
    "login_busy": (
        "يسجّل الدخول عدد كبير من الناس الآن. أعد المحاولة بعد لحظات.",
        "Many people are logging in right now. Try again in a moment.",
    ),
    "logged_out": ("سُجِّل خروجك.", "You are logged out."),
    "logged_in_as": ("أنت داخل باسم {name}", "You are logged in as {name}"),
    "logout": ("تسجيل الخروج", "Log out"),
    "back_to_chat": ("العودة إلى المحادثة", "Back to the chat"),
    # the documents: what they are, and how far a rebuild is
    "size": ("الحجم", "Size"),
    "added": ("التاريخ", "Date"),
    "state": ("الحالة", "State"),
    "actions": ("إجراءات", "Actions"),
    "size_bytes": ("{number} بايت", "{number} bytes"),
    "size_kb": ("{number} كيلوبايت", "{number} KB"),
    "size_mb": ("{number} ميغابايت", "{number} MB"),
    "state_indexed": ("في الفهرس", "In the index"),
    "state_waiting": ("ينتظر التحديث", "Waiting for an update"),
    "state_changed": ("تغيّر بعد الفهرسة", "Changed since it was indexed"),
    "state_gone": ("حُذف ملفه", "Its file is gone"),
    "state_failed": ("تعذّرت قراءته", "Could not be read"),
    "documents_pending": (
        "تغييرات لم تدخل الفهرس بعد: {number}. حدّث الفهرس لتدخل في الأجوبة.",
        "Changes not in the index yet: {number}. Update the index to have them answer.",
    ),
    "cancel_rebuild": ("ألغِ التحديث", "Cancel the update"),
    "error_BuildCancelledError": (
        "أُلغي التحديث، وبقي الفهرس كما كان.",
        "The update was cancelled. The index is as it was before.",
    ),
    "rate_load": ("{rate} ملف/ث", "{rate} files/s"),
    "rate_load_min": ("{rate} ملف/د", "{rate} files/min"),
    "rate_embed": ("{rate} مقطع/ث", "{rate} passages/s"),
    "rate_embed_min": ("{rate} مقطع/د", "{rate} passages/min"),
    "left_moments": ("بقيت لحظات", "a few seconds left"),
    "left_under_minute": ("بقي أقل من دقيقة", "less than a minute left"),
    "left_minutes_one": ("بقيت نحو دقيقة", "about a minute left"),
    "left_minutes_two": ("بقيت نحو دقيقتين", "about 2 minutes left"),
    "left_minutes_few": ("بقيت نحو {number} دقائق", "about {number} minutes left"),
    "left_minutes_many": ("بقيت نحو {number} دقيقة", "about {number} minutes left"),
    "left_hours_one": ("بقيت نحو ساعة", "about an hour left"),
    "left_hours_two": ("بقيت نحو ساعتين", "about 2 hours left"),
    "left_hours_few": ("بقيت نحو {number} ساعات", "about {number} hours left"),
    "left_hours_many": ("بقيت نحو {number} ساعة", "about {number} hours left"),
    "upload_folder": (
        "لا يمكن استعمال اسم المجلد؛ غيّره أو قصّره وأعد الإرسال.",
        "The folder cannot be used; rename or shorten it and try again.",
    ),
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
