"""What a conversation is about: the phrases of a turn that the next question may leave unsaid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.answering.phrases import Phrase, phrases, stem
from rag.answering.question import QuestionKind, understand
from rag.datatypes import Answer
from rag.text import detect_language, fold_text

MAX_TURNS = 3  # turns looked back at
MAX_CHARACTERS = 400  # of a query looked at
_MAX_WORDS = 10  # words carried over
_YEAR = re.compile(r"(?:19|20)\d\d")
_BETWEEN = re.compile(r"\s(?:in|on|for|with|at|by|about|to|from|في|علي|عن|من|مع|عبر)\s(?:(?:the|an?)\s)?")
_ITEM_WORDS = 10  # words of a list item that are carried over


@dataclass(frozen=True, slots=True)
class Topic:
    """What one turn was about: its phrases in text order, the one that its sources speak of most, all as one text."""

    phrases: tuple[str, ...]
    main: str
    text: str

    @property
    def head(self) -> str:
        """Return the word of the main phrase that the others describe: the first in Arabic, else the last."""
        words = self.main.split()
        return words[0 if detect_language(self.main) == "ar" else -1]


def query_of(answer: Answer) -> str:
    """Return what a turn searched for, bounded."""
    return (answer.query or answer.question).strip()[:MAX_CHARACTERS]


def topic_of(answer: Answer) -> Topic | None:
    """Return what a turn was about: phrases of its query, else the heading or title of what it cited.

    Years are left out where there is something else; so are phrases that no heading of a source shares a word with,
    where another phrase does and all would be long. None where nothing is named at all.
    """
    found = [phrase for phrase in phrases(query_of(answer)) if phrase.terms]
    found = [phrase for phrase in found if not _YEAR.fullmatch(phrase.surface)] or found
    if not found:
        places = [*answer.citations[:1]]
        heading = next((c.heading[-1] if c.heading else c.title for c in places if c.heading or c.title), "")
        return Topic((heading,), heading, heading) if heading else None
    headed = _headed(answer)
    main = max(found, key=lambda phrase: (len(phrase.terms & headed), -phrase.start))
    kept, words = [main], len(main.surface.split())
    for phrase in found:
        words += len(phrase.surface.split())
        if phrase is not main and words <= _MAX_WORDS:
            kept.append(phrase)
    kept.sort(key=lambda phrase: phrase.start)
    article = re.search(r"\b(?:an?|the)\s+$", query_of(answer)[: kept[0].start], re.IGNORECASE)
    text = f"{article[0].lower() if article else ''}{kept[0].surface}"
    for phrase, following in pairwise(kept):
        between = query_of(answer)[phrase.end : following.start]
        text += f"{between if _BETWEEN.fullmatch(fold_text(between)) else ' '}{following.surface}"
    return Topic(tuple(phrase.surface for phrase in kept), main.surface, text)


def _headed(answer: Answer) -> set[str]:
    """Return the terms of the titles and headings of what an answer cites."""
    text = " ".join(f"{c.title} {' '.join(c.heading)}" for c in answer.citations[:2])
    return {stem(word) for word in re.findall(r"[^\W\d_]+", fold_text(text))}


def parallel_of(fragment: Sequence[Phrase], within: Sequence[Phrase]) -> list[Phrase]:
    """Return the phrases that a fragment may stand in the place of, the likeliest alone where one is.

    One that shares a word with it is its parallel ("micro influencers", "nano influencers"); else one that is written
    alike, as names in Latin letters are.
    """
    own = {term for phrase in fragment for term in phrase.terms}
    sharing = [phrase for phrase in within if phrase.terms & own]
    alike = [phrase for phrase in within if _look(phrase.surface) == _look(fragment[0].surface)]
    return next((found for found in (sharing, alike) if len(found) == 1), list(within))


def owner_at(surface: str, fragment: Phrase) -> int:
    """Return where in "warranty of the kettle", or in ضمان الغلاية, that begins which a fragment takes the place of.

    That is whose it is; 0, all of it, where there is no owner or where the fragment names the thing itself again.
    """
    head = re.match(
        r"(?P<head>.+?\sof\s)(?:(?:the|an?)\s)?|(?P<first>(?!ال)[\u0621-\u064a\u064b-\u0652]+\s)+(?=ال)", surface
    )
    if head is None or {stem(word) for word in re.findall(r"\w+", fold_text(head[0]))} & fragment.terms:
        return 0
    return head.end()


def _look(text: str) -> tuple[bool, bool]:
    return text.isascii(), text[:1].isupper()


def sides_of(history: Sequence[Answer]) -> tuple[str, str] | None:
    """Return the two things that the last turns were about, the earlier first; None where there are not two."""
    last = understand(query_of(history[-1]))
    if last.kind is QuestionKind.COMPARISON and len(last.sides) == 2:
        return last.sides[0], last.sides[1]
    found: list[str] = []
    for answer in reversed(history[-MAX_TURNS:]):
        topic = topic_of(answer)
        if topic is not None and not any(fold_text(topic.main) == fold_text(other) for other in found):
            found.append(topic.main)
    if len(found) == 1:
        names = topic_of(history[-1])
        found += [phrase for phrase in names.phrases if names and phrase != found[0]] if names else []
        return (found[0], found[1]) if len(found) == 2 else None
    return (found[1], found[0]) if len(found) >= 2 else None


def item_of(answer: Answer, n: int) -> str | None:
    """Return the opening words of the n-th item (-1: the last) of the list in an answer; None where there is none."""
    items = [statement.text for statement in answer.statements if statement.kind == "item"]
    if not answer.statements:
        items = re.findall(r"^\s*(?:[-*•]|\d+[.)])\s+(.+)$", answer.text, re.MULTILINE)
    if items and " | " in items[0]:
        items = items[1:]  # the head of a table
    if not items or n > len(items):
        return None
    text = re.sub(r"\[\d+\]|[*_`]+", "", items[-1 if n < 0 else n - 1]).strip()
    text = re.split(r" \| |[.!?؟؛;](?:\s|$)|:\s|\s[-–—]\s", text)[0]
    return " ".join(text.split()[:_ITEM_WORDS]) or None
