"""What a language model writes, made fit to be checked: whole sentences of plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rag.answering.prompts import without_hidden
from rag.text import detect_language, fold_text, split_sentences
from rag.text.language import script

_TELLING = 40  # letters from which the language of a sentence can be told within a script

_DOES_NOT_KNOW = re.compile(
    r"\bno answer\b"
    r"|\bi (?:do not|don't|cannot|can't) (?:know|answer|find)"
    r"|\bnot (?:mentioned|provided|specified|stated|found) in the (?:passages?|documents?|texts?|context)"
    r"|\b(?:passages?|documents?|text|context) (?:do(?:es)? not|don't|doesn't) "
    r"(?:answer|mention|say|provide|contain|specify)"
    r"|لا توجد اجابه|لا (?:اعرف|اعلم|ادري|استطيع|يمكنني)"
    r"|(?:لا|لم) (?:تذكر|يذكر|تجيب|يجيب|ترد|يرد)\b.{0,40}(?:مقاطع|مقطع|مستند|نص|وثائق)"
    r"|(?:مقاطع|مستندات|نصوص|وثائق) لا (?:تذكر|تجيب|تحتوي|تقدم)"
)
_REFERENCE_WORDS = (
    r"(?:source|sources|passage|passages|document|documents|doc|ref|refs|reference|citation|see|page|p|المصدر|مصدر|المقطع|مقطع|"
    r"المستند|مستند|المرجع|مرجع|انظر|راجع|صفحة|ص)"
)
_TAKEN_OUT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), by)
    for pattern, by in (
        (r"```\w*|`", ""),
        (r"!\[[^\]]*\]\([^)]*\)|!\[[^\]]*\]\[[^\]]*\]", ""),  # pictures
        (r"\[([^\]\d][^\]]*)\]\([^)]*\)", r"\1"),  # links keep their words
        (r"<(?:https?|ftp|mailto):[^>]*>", ""),
        (r"<!--.*?(?:-->|$)|</?[a-z][^<>]*>?", ""),
        (r"(?:(?:https?|ftp|javascript|data):|www\.)[^\s<>\[\]،؛]+", ""),
        (r"\[[^\]\[]*\d[^\]\[]*\](?:\([^)]*\)|:)?", ""),  # [7], [^1], [source 3], [1](link)
        (r"【[^】]*】|⟦[^⟧]*⟧", ""),
        (rf"[(（]\s*{_REFERENCE_WORDS}[\s.:#]*[\d٠-٩۰-۹]+(?:\s*[,،&و-]\s*[\d٠-٩۰-۹]+)*\s*[)）]", ""),
        (r"[(（]\s*[\d٠-٩۰-۹]{1,2}(?:\s*[,،]\s*[\d٠-٩۰-۹]{1,2})*\s*[)）]", ""),
        (r"[⁰¹²³⁴-⁹₀-₉①-⓿❶-➓]+", ""),
        (r"^\s*(?:#{1,6}\s+|>\s*|[-*•+]\s+|\d{1,2}[.)]\s+)", ""),
        (r"\*\*|__|~~|[\[\]<>]", ""),
        (r"\s+", " "),
        (r"\s+([.,;:!?،؛؟])", r"\1"),
    )
)


def says_no_answer(sentence: str) -> bool:
    """Tell whether a sentence says that there is no answer."""
    return bool(_DOES_NOT_KNOW.search(fold_text(sentence)))


def says_again(sentence: str, question: str) -> bool:
    """Tell whether a sentence is nothing but the greater part of the question, word for word."""
    said, asked = (re.findall(r"\w+", fold_text(text)) for text in (sentence, question))
    return 2 * len(said) > len(asked) and f" {' '.join(said)} " in f" {' '.join(asked)} "


def clean(sentence: str) -> str:
    """Return a sentence of a model as plain text, without citations, footnotes, links, pictures, HTML or Markdown."""
    for pattern, by in _TAKEN_OUT:
        sentence = pattern.sub(by, sentence)
    return without_hidden(sentence).strip()


def whole_sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Yield each sentence once the next one has begun, the last at the end, and an empty text after each piece.

    Whoever reads can turn away at an empty text, between two sentences.
    """
    pending = ""
    for piece in pieces:
        pending += piece
        spans = split_sentences(pending)
        # What follows a full stop decides whether it ends a sentence: two words of it must be there.
        while len(spans) > 1 and re.search(r"\S\s+\S", pending[spans[1][0] :]):
            yield pending[slice(*spans[0])]
            pending = pending[spans[1][0] :]
            spans = split_sentences(pending)
        yield ""
    for start, end in split_sentences(pending):
        yield pending[start:end]


def is_in(sentence: str, language: str) -> bool:
    """Tell whether a sentence is in a language, as far as so few words can tell."""
    found = detect_language(sentence)
    if found in (language, "und") or language == "und":
        return True
    is_telling = sum(map(str.isalpha, sentence)) >= _TELLING
    return script(found) == script(language) and not (is_telling and {found, language} <= {"en", "ar", "fa", "ur"})
