"""Whether a text says what a name stands for, so that "what is it" has an answer there."""

from __future__ import annotations

import re
from typing import Final

from rag.answering.headings.cleaning import without_frame
from rag.text import analyze, fold_text, terms

_SENTENCE_SAMPLE: Final = 200  # characters of a sentence
_OPENING: Final = 30  # characters in which the name must begin
_ARTICLES: Final = frozenset({"a", "an", "the"})
# What may stand between the name and what is said of it: an abbreviation, a remark between commas.
_ASIDE: Final = r"\s*(?:\([^()]*\)\s*)?(?:[,،][^,،]{1,60}[,،]\s*)?"
_ENGLISH: Final = re.compile(rf"{_ASIDE}(?:is|are|means|mean|refers to|describes|stands for)\b(?! (?:not|also)\b)")
# An Arabic sentence needs no "is": a noun without the article says it, where it is no number, particle or verb.
_ARABIC: Final = re.compile(
    rf"{_ASIDE}(?:هو|هي|هم|يعني|تعني|عباره|مصطلح|وسيله|برنامج|"
    r"(?!(?:ال|[يتوفبل])|(?:في|من|الي|علي|عن|مع|عند|قبل|حتي|منذ|خلال|ان|لا|قد|كل|غير|ليس|ليست|كان|كانت|حين|كما|اذا|هل)\b)"
    r"(?!(?:واحد|اثن|ثلاث|اربع|خمس|ست|سبع|ثمان|تسع|عشر|مئ|مائ|نصف)\w*)[\u0621-\u064a]{3,})"
)
_MEANT: Final = re.compile(r"(?:يقصد|المقصود|نقصد|يعرف|تعرف) (?:ب|بمصطلح )?")


def says_what(name: str, body: str, language: str) -> bool:
    """Tell whether one of the sentences of a text opens with the name and goes on to say what it is.

    Args:
        name: A heading without its number.
        body: The text below it.
        language: ``"ar"`` or ``"en"``.
    """
    wanted = terms(without_frame(name), language)
    if wanted and language == "en" and wanted[0] in _ARTICLES:
        wanted = wanted[1:]
    if not wanted:
        return False
    predicate = _ARABIC if language == "ar" else _ENGLISH
    for sentence in re.split(r"[.!?؟؛\n]+", body):
        said = _MEANT.sub("", fold_text(sentence[:_SENTENCE_SAMPLE]).strip(), count=1)
        if (
            wanted[0][:3] not in said[:_OPENING]
        ):  # a stem keeps its first letters: spares the analysis of most sentences
            continue
        tokens = analyze(said, language)
        if tokens and language == "en" and tokens[0].term in _ARTICLES:
            tokens = tokens[1:]
        count = len(wanted)
        if [token.term for token in tokens[:count]] == wanted and predicate.match(said[tokens[count - 1].end :]):
            return True
    return False
