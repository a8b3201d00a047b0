"""Follow-up questions made to stand alone by a language model, within what the rules would let pass.

The model sees the last turns and writes one question. What it writes is taken only where it is a question of that
size, keeps the numbers and names of what was asked and brings none that nobody said; else the rules decide.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from rag.answering.follow_up import Score, StandAlone, stand_alone
from rag.answering.phrases import Role, split_words, stem
from rag.answering.topic import MAX_CHARACTERS, MAX_TURNS, query_of
from rag.datatypes import Answer
from rag.errors import GeneratorError
from rag.generators import Generator, Message
from rag.text import detect_language, fold_text

logger = logging.getLogger(__name__)

_MAX_NEW_TOKENS = 96
_MOST_NAMES = 2  # words of its own with which a question may still be unfinished
_LONGEST = 3  # times the question and what it may carry over
_PROMPTS = {
    "ar": (
        "أعد كتابة سؤال المستخدم الأخير سؤالًا واحدًا كاملًا يُفهم وحده، بلغة السؤال نفسها. ضع مكان الضمائر والمحذوف ما"
        " تعنيه من المحادثة. إن كان السؤال مستقلًا فأعده كما هو. لا تجب عنه، ولا تضف معلومة. اكتب السؤال"
        " فقط في سطر واحد.",
        "المحادثة:\n{turns}\n\nالسؤال الأخير: {question}\n\nالسؤال المستقل:",
        "سؤال: {query}\nجواب: {answer}",
    ),
    "en": (
        "Rewrite the user's last question as one complete question that can be understood on its own, in the language"
        " of that question. Put what pronouns and omissions mean in the conversation in their place. If the question"
        " stands alone, repeat it as it is. Do not answer it and add nothing. Write only the question, on one line.",
        "Conversation:\n{turns}\n\nLast question: {question}\n\nStandalone question:",
        "Question: {query}\nAnswer: {answer}",
    ),
}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<![.?!]\s)(?<!^)\b[A-Z][\w&+.-]*\b|\b\w*[A-Z]{2,}\w*\b")  # capitals within a sentence
_LABEL = re.compile(r"\s*(?:standalone question|question|السؤال المستقل|السؤال)\s*:\s*", re.IGNORECASE)


def stand_alone_with(
    generator: Generator, question: str, history: Sequence[Answer], *, score: Score | None = None
) -> StandAlone:
    """Make a question stand alone with a language model, or by the rules where the model fails.

    A question that the rules find complete and that names more than a little is not given to the model.

    Args:
        generator: Writes the question; its prompt keeps to ``generator.context_tokens``.
        question: As typed, not empty.
        history: The turns before, oldest first.
        score: See `stand_alone`.

    Returns:
        What `stand_alone` returns, with the model's question as ``query`` where that passes the checks.
    """
    ruled = stand_alone(question, history, score=score)
    text = question.strip()
    turns = history[-MAX_TURNS:]
    names = sum(word.role is Role.NAME for word in split_words(text))
    if not turns or (names > _MOST_NAMES and not ruled.is_follow_up):
        return ruled
    messages = _prompt(generator, text, turns)
    if messages is None:
        return ruled
    try:
        written = "".join(generator.stream(messages, max_new_tokens=_MAX_NEW_TOKENS))
    except GeneratorError as error:
        logger.warning("%s. The follow-up is read by rules.", error)
        return ruled
    query = _LABEL.sub("", written.strip(), count=1).strip("\"'«»“”` ")
    if not _is_sound(query, text, turns):
        return ruled
    if fold_text(query).rstrip("?؟. ") == fold_text(text).rstrip("?؟. "):
        return StandAlone(text, False)
    own = {word.folded for word in split_words(text)}
    carried = tuple(word.surface for word in split_words(query) if word.folded not in own)
    return StandAlone(query, bool(carried), carried)


def _prompt(generator: Generator, question: str, turns: Sequence[Answer]) -> list[Message] | None:
    """Return the longest prompt that fits, of the last turns; None where not even one turn does."""
    system, frame, turn = _PROMPTS["ar" if detect_language(question) == "ar" else "en"]
    said = [turn.format(query=query_of(t), answer=" ".join(t.text.split())[:MAX_CHARACTERS]) for t in turns]
    for first in range(len(said)):
        content = frame.format(turns="\n".join(said[first:]), question=question)
        messages = [Message("system", system), Message("user", content)]
        if generator.count_tokens(messages) + _MAX_NEW_TOKENS <= generator.context_tokens:
            return messages
    return None


def _is_sound(query: str, question: str, turns: Sequence[Answer]) -> bool:
    """Tell whether what a model wrote is the question asked and nothing more."""
    said = " ".join([question, *(f"{query_of(turn)} {turn.question} {turn.text}" for turn in turns)])
    longest = _LONGEST * max(len(question), *(len(query_of(turn)) for turn in turns))
    if not query or "\n" in query or len(query) > longest or not split_words(query):
        return False
    is_asking = query.endswith(("?", "؟")) or any(word.role is Role.ASKING for word in split_words(query))
    if not is_asking or re.search(r"[.!]\s+\S", query):
        return False  # an answer
    if detect_language(query) != detect_language(question) and detect_language(query) not in detect_language(said):
        return False
    numbers, names = _marks(query), _marks(question)
    return names <= numbers and numbers <= _marks(said) | _words(said)


def _marks(text: str) -> set[str]:
    """Return the numbers and names of a text, folded."""
    return {fold_text(mark) for mark in (*_NUMBER.findall(fold_text(text)), *_NAME.findall(text))}


def _words(text: str) -> set[str]:
    return {form for word in split_words(text) for form in (word.folded, stem(word.folded))}
