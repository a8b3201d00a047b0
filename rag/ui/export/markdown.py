"""A conversation as CommonMark, in which no text of a document or a person has a markup of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from rag.datatypes import Answer, Citation, Statement
from rag.ui.content import (
    blocks_of,
    numbers_of,
    one_line,
    origin_of,
    printable,
    searched_for,
    time_of,
    trouble_of,
    without_bullet,
)
from rag.ui.conversation import Turn
from rag.ui.words import word

# All punctuation that CommonMark lets one escape, but for what means nothing in any dialect: a mark that ends a word, a
# mark within a number, a hyphen, an apostrophe or a slash within a word, a percent sign after a number.
_HARMLESS = (
    r"[,;]|(?<=[^\W_])[:?!](?=\s|\Z)|(?<=[^\W\d_])\.(?=\s|\Z)|(?<=\d)[.:](?=\d)|(?<=[^\W_])['/-](?=[^\W_])|(?<=\d)%"
)
_MARKUP = re.compile(rf"(?!{_HARMLESS})[!-/:-@\[-`{{-~]")
_LETTERED = re.compile(r"\A(\s*\w+)\.(?=\s|\Z)")  # opens a list in some
_EDGES = re.compile(r"\A[\s\ufeff]+|[\s\ufeff]+\Z")


def escape_markdown(text: str, *, prefix: str = "") -> str:
    r"""Return CommonMark that reads as exactly ``text`` and holds no markup but the breaks between its lines.

    Args:
        text: Any text. A control character, which no file of text should hold, becomes U+FFFD.
        prefix: Goes before each line but the first, such as ``"> "`` within a quote.
    """
    text = printable(text)
    inner = text.strip("\n")
    before = len(text) - len(text.lstrip("\n"))
    after = len(text) - before - len(inner)
    lines = f"\\\n{prefix}".join(map(_escape_line, inner.split("\n")))
    return "&#10;" * before + lines + "&#10;" * after


def _escape_line(line: str) -> str:
    line = _LETTERED.sub(r"\1\.", _MARKUP.sub(r"\\\g<0>", line))
    return _EDGES.sub(lambda edge: "".join(f"&#{ord(char)};" for char in edge.group()), line)


def conversation_markdown(
    title: str, turns: Sequence[Turn], hashes: Mapping[str, str], language: str, exported: datetime
) -> str:
    """Return a conversation as CommonMark.

    Args:
        title: The conversation's name; empty for one that has none.
        turns: The conversation, oldest first.
        hashes: The sha256 of each file, by ``doc_id``; nothing is said of a file that is not among them.
        language: Of the frame's words: ``"ar"``, or English for any other.
        exported: When, as the reader should see it.

    Returns:
        The text, ending with a newline. Quotes read letter by letter as in their documents.
    """

    def said(key: str, **values: str | int) -> str:
        return escape_markdown(word(key, language, **values))

    parts = [
        f"# {escape_markdown(one_line(title) or word('untitled', language))}",
        said("exported_about"),
        said("exported_on", date=time_of(exported)),
    ]
    for turn in map(Turn.ended, turns):
        parts.append(f"## {escape_markdown(one_line(turn.question))}")
        answer = turn.answer
        if turn.error or answer is None:
            parts += [f"**{said(trouble_of(turn))}**", escape_markdown(turn.detail.strip())]
            continue
        if query := searched_for(answer):
            parts.append(said("searched_for", query=query))
        if answer.abstained:
            parts.append(f"**{said('abstained')}**")
        parts.append(escape_markdown(answer.notice.strip()))
        parts += [_block(statements, answer, language) for statements in blocks_of(answer)]
        if answer.model:
            parts.append(said("exported_model", model=answer.model))
        if answer.citations:
            parts.append(f"### {said('sources')}")
        for citation in answer.citations:
            parts += _source(citation, hashes.get(citation.doc_id, ""), language)
    return "\n\n".join(filter(None, parts)) + "\n"


def _block(statements: Sequence[Statement], answer: Answer, language: str) -> str:
    last = statements[-1]
    marks = "".join(f" \\[{n}\\]" for n in numbers_of(last, answer))
    if last.kind == "item":
        items = [f"- {escape_markdown(without_bullet(one_line(statement.text)))}" for statement in statements]
        return "\n".join(items) + marks
    text = escape_markdown(last.text.strip())
    if last.kind == "short":
        text = f"**{text}**"
    if not last.is_supported:
        marks = f" *({escape_markdown(word('unsupported', language))})*"
    return text + marks


def _source(citation: Citation, sha256: str, language: str) -> list[str]:
    """Return two blocks: where a quote stands, and the quote."""
    place = " › ".join(origin_of(citation))
    if citation.page:
        place += f" · {word('page', language, number=citation.page)}"
    lines = [f"**\\[{citation.n}\\]** {escape_markdown(place)}"]
    lines.append(escape_markdown(word("exported_file", language, name=citation.doc_id)))
    if sha256:
        lines.append(escape_markdown(word("exported_hash", language, digest=sha256)))
    return ["\\\n".join(lines), f"> {escape_markdown(citation.quote, prefix='> ')}"]
