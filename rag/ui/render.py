"""What the page shows, as HTML: answers, sources, documents, progress.

Whatever comes from a document or a person is escaped here and then sanitized with a list of our own tags, so that it
can neither act nor fetch. Direction is set block by block, by the text itself; terms of the other direction are
isolated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain, groupby
from unicodedata import bidirectional

import nh3

from rag.builder import BuildProgress, BuildReport
from rag.datatypes import Answer, Citation, Hit, Statement
from rag.text import direction
from rag.ui.words import EXAMPLES, language_words, words
from rag.views import DocumentRow, DocumentView, text_digest

_TAGS = set(
    "article aside bdi button details div h2 h3 header li mark ol p progress section small span strong summary table"
    " tbody td th thead tr ul".split()
)
_ATTRIBUTES = {
    "*": {"class", "dir", "id", "lang", "role", "tabindex", "title"},
    "button": {"type"},
    "progress": {"max", "value"},
    "th": {"scope"},
}
_NEAREST = 3  # passages shown when nothing answers
_SNIPPET = 220  # code points of each
# A run of words of one script, with the marks that belong to it: "C++", "Google Ads", "A/B", "44.7%" stays outside.
_LATIN_WORD = r"[A-Za-z\u00c0-\u024f](?:[A-Za-z0-9\u00c0-\u024f.'’+#&/@_-]*[A-Za-z0-9\u00c0-\u024f+#])?"
_LATIN_RUN = re.compile(f"{_LATIN_WORD}(?: {_LATIN_WORD})*")
_ARABIC_RUN = re.compile(
    r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+(?:[ ،][\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+)*"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with what came of it so far. ``error`` is a key of ``WORDS``, empty where all went well."""

    question: str
    language: str
    answer: Answer | None = None
    is_done: bool = False
    error: str = ""
    detail: str = ""


def sanitize(html: str) -> str:
    """Return ``html`` with our own tags and attributes only: no link, image, style, form or script survives."""
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        generic_attribute_prefixes={"data-", "aria-"},
        clean_content_tags={"script", "style"},
        link_rel=None,
    )


def text_direction(text: str, language: str) -> str:
    """Return ``"rtl"`` or ``"ltr"`` for a block of ``text`` out of a document in ``language``.

    The document's own direction, unless seven letters in ten go the other way: a line of an Arabic document that
    opens with a Latin term is still Arabic, which the first letter alone (``dir="auto"``) gets wrong.
    """
    kinds = [bidirectional(char) for char in text]
    rtl, ltr = sum(kind in {"R", "AL"} for kind in kinds), kinds.count("L")
    if language == "und":
        return "rtl" if rtl > ltr else "ltr"
    own = direction(language)
    other_letters = ltr if own == "rtl" else rtl
    if other_letters > 0.7 * (rtl + ltr):
        return "ltr" if own == "rtl" else "rtl"
    return own


def isolated(text: str, text_dir: str) -> str:
    """Return ``text`` escaped, with the runs that go against ``text_dir`` in ``<bdi>``; its letters stay the same."""
    runs = _LATIN_RUN if text_dir == "rtl" else _ARABIC_RUN
    parts, position = [], 0
    for run in runs.finditer(text):
        parts += [escape(text[position : run.start()]), f"<bdi>{escape(run.group())}</bdi>"]
        position = run.end()
    return "".join([*parts, escape(text[position:])])


def _block(tag: str, name: str, text: str, language: str, tail: str = "") -> str:
    way = text_direction(text, language)
    lang = "" if language == "und" else f' lang="{escape(language)}"'
    return f'<{tag} class="{name}" dir="{way}"{lang}>{isolated(text, way)}{tail}</{tag}>'


def _file(path: str) -> str:
    """Return a file's path in its own direction, each part isolated, so that its suffix stays at its end."""
    parts = re.split(r"(/|\.(?=[^./]*$))", path)
    way = text_direction("".join(parts[:-2]) or path, "und")
    body = "".join(part if part in "/." else f"<bdi>{escape(part)}</bdi>" for part in parts)
    return f'<span class="file" dir="{way}">{body}</span>'


def _place(doc_id: str, start: int, end: int, quote: str) -> str:
    return (
        f'data-action="source" data-doc="{escape(doc_id)}" data-start="{start}" data-end="{end}"'
        f' data-digest="{text_digest(quote)}"'
    )


def _chip(citation: Citation) -> str:
    return (
        f'<button type="button" class="chip" title="{escape(citation.title)}" data-n="{citation.n}"'
        f" {_place(citation.doc_id, citation.start, citation.end, citation.quote)}>"
        f'<span class="unseen">{words("source")} </span>{citation.n}</button>'
    )


def _chips(statement: Statement, citations: dict[int, Citation]) -> str:
    chips = "".join(_chip(citations[n]) for n in statement.citations if n in citations)
    return f' <bdi class="chips">{chips}</bdi>' if chips else ""


def render_turns(turns: Sequence[Turn]) -> str:
    """Return the conversation; the welcome with its example questions while there is none."""
    if not turns:
        return _welcome()
    return sanitize('<div class="turns">' + "".join(_turn(turn) for turn in turns) + "</div>")


def _welcome() -> str:
    examples = "".join(
        f'<button type="button" class="example" data-action="ask" dir="{direction(language)}" lang="{language}">'
        f"{escape(question)}</button>"
        for language, question in EXAMPLES
    )
    return sanitize(
        f'<section class="welcome"><h2>{words("welcome")}</h2><p>{words("welcome_text")}</p>'
        f'<div class="examples">{examples}</div></section>'
    )


def _turn(turn: Turn) -> str:
    question = _block("p", "question", turn.question, turn.language)
    return (
        f'<article class="turn"><div class="asked"><span class="unseen">{words("you_asked")}</span>{question}</div>'
        f"{_reply(turn)}</article>"
    )


def _reply(turn: Turn) -> str:
    answer = turn.answer
    if turn.error == "stopped":
        return f'<div class="reply stopped"><p class="looking">{words("stopped")}</p></div>'
    if turn.error:
        detail = f'<small dir="auto">{escape(turn.detail)}</small>' if turn.detail else ""
        return f'<div class="reply trouble" role="alert"><p>{words(turn.error)}</p>{detail}</div>'
    if answer is None:
        return f'<div class="reply writing"><p class="looking">{words("looking")}</p></div>'
    state = "done" if turn.is_done else "writing"
    way = direction(answer.language) if answer.language != "und" else text_direction(answer.text, "und")
    if answer.abstained:
        return (
            f'<div class="reply abstained {state}" dir="{way}">{_searched(answer)}'
            f'<p class="verdict">{words("abstained")}</p>'
            f"{_statements(answer) or _block('p', 'frame', answer.text, answer.language)}"
            f"{_nearest(answer.hits) if turn.is_done else ''}</div>"
        )
    sources = _sources(answer.citations) if turn.is_done else ""
    return (
        f'<div class="reply {state}" dir="{way}"><span class="unseen">{words("answer")}</span>'
        f"{_searched(answer)}{_notice(answer)}{_statements(answer)}{sources}</div>"
    )


def _searched(answer: Answer) -> str:
    """Say what was searched for where that is not what was asked."""
    if answer.query in ("", answer.question):
        return ""
    return f'<p class="searched">{words("searched_for", query=answer.query)}</p>'


def _notice(answer: Answer) -> str:
    return _block("p", "notice", answer.notice, answer.language) if answer.notice else ""


def _statements(answer: Answer) -> str:
    citations = {citation.n: citation for citation in answer.citations}

    def language(statement: Statement) -> str:
        cited = [citations[n].language for n in statement.citations if n in citations]
        return cited[0] if cited else answer.language

    parts = []
    for (kind, _), run in groupby(
        answer.statements, key=lambda item: (item.kind, item.kind == "item" and item.citations)
    ):
        statements = list(run)
        if kind == "item":
            parts.append(_items(statements, language(statements[0]), _chips(statements[-1], citations)))
        else:
            parts += [_paragraph(item, language(item), _chips(item, citations)) for item in statements]
    return "".join(parts)


def _paragraph(statement: Statement, language: str, chips: str) -> str:
    if statement.is_supported:
        return _block("p", statement.kind, statement.text, language, chips)
    doubt = f' <small class="doubt">{words("unsupported")}</small>'
    return _block("p", f"{statement.kind} unsupported", statement.text, language, doubt)


_CELL_END = re.compile(r"(?:^|\s)\|(?:\s|$)")  # also of an empty first or last cell


def _items(statements: Sequence[Statement], language: str, chips: str) -> str:
    """Return a quoted list, or a quoted table where every line has the same cells; its citation stands at its end."""
    rows = [_CELL_END.split(statement.text) for statement in statements]
    if len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
        way = text_direction(" ".join(chain.from_iterable(rows)), language)
        head = "".join(f'<th scope="col">{isolated(cell, way)}</th>' for cell in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{isolated(cell, way)}</td>" for cell in row) + "</tr>" for row in rows[1:]
        )
        return (
            f'<div class="quoted" dir="{way}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            f'<p class="cited" dir="{way}">{chips}</p>'
        )
    texts = [re.sub(r"^(?:[-•*]|\d+[.)])\s+", "", statement.text) for statement in statements]
    items = [_block("li", "item", text, language) for text in texts[:-1]]
    items.append(_block("li", "item", texts[-1], language, chips))
    way = text_direction(" ".join(texts), language)
    return f'<ul dir="{way}">{"".join(items)}</ul>'


def _sources(citations: Iterable[Citation]) -> str:
    rows = "".join(
        f'<li><button type="button" class="source" {_place(cited.doc_id, cited.start, cited.end, cited.quote)}>'
        f'<span class="number">{cited.n}</span>{_origin(cited.title, cited.heading, cited.page)}</button></li>'
        for cited in citations
    )
    return f'<div class="sources"><h3>{words("sources")}</h3><ol>{rows}</ol></div>' if rows else ""


def _origin(title: str, heading: Sequence[str], page: int | None) -> str:
    trail = [part for part in heading if part != title][-1:]
    place = "".join(f' <span class="trail"><bdi dir="auto">{escape(part)}</bdi></span>' for part in trail)
    number = f' <span class="trail">{words("page", number=page)}</span>' if page else ""
    way = text_direction(title, "und")
    return f'<span class="origin" dir="{way}"><bdi class="name">{escape(title)}</bdi>{place}{number}</span>'


def _nearest(hits: Sequence[Hit]) -> str:
    rows = ""
    for hit in hits[:_NEAREST]:
        passage = hit.passage
        place = _place(passage.doc_id, passage.start, passage.end, passage.text)
        text = passage.text
        for heading in passage.heading:  # the line above says it already
            text = text.removeprefix(heading).lstrip()
        text = text or passage.text
        text = text if len(text) <= _SNIPPET else text[:_SNIPPET].rsplit(None, 1)[0] + "…"
        rows += (
            f'<li><button type="button" class="near" {place}>'
            f"{_origin(passage.title, passage.heading, passage.page)}"
            f"{_block('span', 'snippet', text, passage.language)}</button></li>"
        )
    return f'<div class="nearest"><h3>{words("nearest")}</h3><ul>{rows}</ul></div>' if rows else ""


def render_source(view: DocumentView | None) -> str:
    """Return the source panel's content: whose text it is, then the text with its quote in ``<mark>``.

    A quote over several lines is one ``<mark>`` a line; their texts joined are the quote, letter by letter.
    """
    if view is None:
        return sanitize(f'<p class="notice">{words("source_gone")}</p>')
    heading = [part for part in view.heading if part != view.title]
    trail = "".join(f'<span class="trail"><bdi dir="auto">{escape(part)}</bdi></span>' for part in heading)
    page = f'<span class="trail">{words("page", number=view.page)}</span>' if view.page else ""
    notice = f'<p class="notice">{words("source_changed")}</p>' if view.is_changed else ""
    cut = f'<p class="cut">{words("cut")}</p>'
    return sanitize(
        f'<header class="about"><h2 tabindex="-1" dir="{text_direction(view.title, view.language)}">'
        f'{escape(view.title)}</h2><p class="path">{trail}{page}<span class="trail">'
        f"{_file(view.doc_id)}</span></p></header>{notice}"
        f'<div class="text">{cut if view.is_cut_before else ""}{_lines(view)}{cut if view.is_cut_after else ""}</div>'
    )


def _lines(view: DocumentView) -> str:
    text = view.before + view.quote + view.after
    start, end = len(view.before), len(view.before) + len(view.quote)
    parts, position = [], 0
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        way = text_direction(line, view.language)
        first, last = max(start, position) - position, min(end, position + len(line)) - position
        name = "blank" if not line.strip() else "heading" if position in view.heading_starts else "line"
        if start < end and first < last:
            body = (
                isolated(line[:first], way)
                + f"<mark>{isolated(line[first:last], way)}</mark>"
                + isolated(line[last:], way)
            )
        else:
            body = isolated(line, way)
        parts.append(f'<p class="{name}" dir="{way}">{body}</p>')
        position += len(line)
    return "".join(parts)


def render_documents(rows: Sequence[DocumentRow]) -> str:
    """Return the list of documents; each opens in the source panel."""
    if not rows:
        return sanitize(f'<p class="empty">{words("documents_none")}</p>')
    body = "".join(
        f'<tr><td><button type="button" class="open" {_place(row.doc_id, 0, 0, "")}>'
        f'<bdi class="name" dir="auto">{escape(row.title)}</bdi>{_file(row.doc_id)}</button></td>'
        f"<td>{language_words(row.language)}</td>"
        f'<td><bdi class="kind">{escape(row.kind)}</bdi></td><td><bdi>{row.passages}</bdi></td></tr>'
        for row in rows
    )
    head = "".join(f'<th scope="col">{words(key)}</th>' for key in ("title", "language", "type", "passages"))
    count = words("documents_count", documents=len(rows), passages=sum(row.passages for row in rows))
    return sanitize(
        f'<p class="count">{count}</p><table class="documents"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def render_progress(event: BuildProgress | None) -> str:
    """Return how far a rebuild is; None where it has only just been asked for."""
    if event is None:
        return sanitize(f'<div class="progress"><p>{words("stage_start")}</p><progress></progress></div>')
    item = _file(event.item) if event.item else ""
    count = f'<span class="trail">{words("done_of", done=event.done, total=event.total)}</span>' if event.total else ""
    bar = f'<progress value="{event.done}" max="{event.total}"></progress>' if event.total else "<progress></progress>"
    return sanitize(f'<div class="progress"><p>{words(f"stage_{event.stage}")}{count}</p>{bar}{item}</div>')


def render_report(report: BuildReport) -> str:
    """Return what a rebuild did, and each file it could not read with the reason."""
    done = words(
        "report",
        seconds=f"{report.seconds:.1f}",
        added=report.added,
        updated=report.updated,
        removed=report.removed,
        unchanged=report.unchanged,
    )
    failed = "".join(
        f'<li>{_file(file.path)} <span dir="auto">{escape(file.reason)}</span></li>' for file in report.failed
    )
    trouble = f'<div class="trouble"><p>{words("failed")}</p><ul>{failed}</ul></div>' if failed else ""
    return sanitize(f'<div class="report"><p>{done}</p>{trouble}</div>')


def render_uploads(results: Sequence[tuple[str, str]]) -> str:
    """Return what became of each uploaded file, from ``(name, key of WORDS)``."""
    rows = "".join(f'<li class="{escape(key)}">{_file(name)} {words(key)}</li>' for name, key in results)
    return sanitize(f'<ul class="uploads">{rows}</ul>')


def render_error(key: str, detail: str = "") -> str:
    """Return a plain sentence about what went wrong; ``detail`` is the error's own message."""
    small = f'<small dir="auto">{escape(detail)}</small>' if detail else ""
    return sanitize(f'<div class="trouble" role="alert"><p>{words(key)}</p>{small}</div>')
