"""An answer as HTML: its statements and citations, how sure it is, and why it quotes what it quotes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain, groupby

from rag.datatypes import Answer, Citation, Hit, Statement
from rag.text import direction
from rag.ui.content import language_of, searched_for, table_of, without_bullet
from rag.ui.conversation import NEAREST, Turn
from rag.ui.markup import block, icon_button, isolated, origin, place, sanitize, text_direction
from rag.ui.words import WORDS, words

_SNIPPET = 220  # code points of each


def _chip(citation: Citation) -> str:
    return (
        f'<button type="button" class="chip" title="{escape(citation.title)}" data-n="{citation.n}"'
        f" {place(citation.doc_id, citation.start, citation.end, citation.quote)}>"
        f'<span class="unseen">{words("source")} </span>{citation.n}</button>'
    )


def _chips(statement: Statement, citations: dict[int, Citation]) -> str:
    chips = "".join(_chip(citations[n]) for n in statement.citations if n in citations)
    return f' <bdi class="chips">{chips}</bdi>' if chips else ""


def render_turns(turns: Sequence[Turn], first: int = 0) -> str:
    """Return turns of a conversation, the first of them at place ``first``."""
    return sanitize("".join(_turn(turn, number) for number, turn in enumerate(turns, first)))


def render_welcome(suggestions: Sequence[tuple[str, str]]) -> str:
    """Return what an empty conversation shows: example questions, as ``(language, question)``."""
    examples = "".join(
        f'<button type="button" class="example" data-action="ask" dir="{direction(language)}" lang="{language}">'
        f"{escape(question)}</button>"
        for language, question in suggestions
    )
    return sanitize(
        f'<section class="welcome"><h2>{words("welcome")}</h2><p>{words("welcome_text")}</p>'
        f'<div class="examples">{examples}</div></section>'
    )


def _turn(turn: Turn, number: int) -> str:
    question = block("p", "question", turn.question, turn.language)
    edit = icon_button("edit", "edit", "edit")
    return (
        f'<article class="turn" data-turn="{number}"><div class="asked">'
        f'<span class="unseen">{words("you_asked")}</span>'
        f"{edit}{question}</div>{_reply(turn)}</article>"
    )


def _reply(turn: Turn) -> str:
    answer = turn.answer
    if turn.error == "stopped":
        return f'<div class="reply stopped"><p class="looking">{words("stopped")}</p>{_acts()}</div>'
    if turn.error:
        detail = f'<small dir="auto">{escape(turn.detail)}</small>' if turn.detail else ""
        return f'<div class="reply trouble" role="alert"><p>{words(turn.error)}</p>{detail}{_acts()}</div>'
    if answer is None or not (answer.statements or turn.is_done):
        return f'<div class="reply writing"><p class="looking">{words("looking")}</p></div>'
    state = "done" if turn.is_done else "writing"
    way = direction(answer.language) if answer.language != "und" else text_direction(answer.text, "und")
    foot = _foot(turn, answer) if turn.is_done else ""
    if answer.abstained:
        return (
            f'<div class="reply abstained {state}" dir="{way}">{_searched(answer)}'
            f'<p class="verdict">{words("abstained")}</p>'
            f"{_statements(answer) or block('p', 'frame', answer.text, answer.language)}"
            f"{_nearest(answer.hits) if turn.is_done else ''}{foot}</div>"
        )
    sources = _sources(answer.citations) if turn.is_done else ""
    return (
        f'<div class="reply {state}" dir="{way}"><span class="unseen">{words("answer")}</span>'
        f"{_searched(answer)}{_notice(answer)}{_statements(answer)}{sources}{foot}</div>"
    )


def _acts(*, is_judged: bool = False) -> str:
    """Return the buttons under an answer: copy, try again, take back, and what the reader thinks of it."""
    row = [icon_button(name, name, name) for name in ("copy", "retry", "undo")]
    if is_judged:
        row += [icon_button("feedback", f"thumb_{name}", name, value=name) for name in ("up", "down")]
    return f'<div class="acts">{"".join(row)}</div>'


_SURE, _FAIRLY_SURE = 0.8, 0.55  # confidence from which an answer is called sure, fairly sure


def _foot(turn: Turn, answer: Answer) -> str:
    level = "sure" if answer.confidence >= _SURE else "fair" if answer.confidence >= _FAIRLY_SURE else "unsure"
    sure = "" if answer.abstained else f'<p class="confidence {level}">{words(f"confidence_{level}")}</p>'
    further = "".join(f"<li>{_question(follow_up, answer.language)}</li>" for follow_up in turn.follow_ups)
    asks = f'<div class="further"><h3>{words("further")}</h3><ul>{further}</ul></div>' if further else ""
    return f'<div class="foot">{sure}{_acts(is_judged=True)}</div>{_why(answer)}{asks}'


def _question(text: str, language: str) -> str:
    way = text_direction(text, language)
    return (
        f'<button type="button" class="follow-up" data-action="ask" dir="{way}" lang="{escape(language)}">'
        f"{isolated(text, way)}</button>"
    )


def _why(answer: Answer) -> str:
    """Return why these passages: what was searched for, each passage's ranks and scores, and where the time went."""
    if not answer.hits:
        return ""
    cited = {(c.doc_id, c.passage_start): c.n for c in reversed(answer.citations)}
    best_words = max(hit.bm25_score for hit in answer.hits) or 1.0
    fused = [hit.score for hit in answer.hits]
    low, high = min(fused), max(fused)

    def cell(share: float, rank: int | None, score: float) -> str:
        label = f"{rank}" if rank else "–"
        return (
            f'<td><progress max="1" value="{min(1.0, max(0.0, share)):.3f}" title="{score:.3f}"></progress>'
            f"<bdi>{label}</bdi></td>"
        )

    rows = ""
    for hit in answer.hits:
        passage = hit.passage
        number = cited.get((passage.doc_id, passage.start))
        mark = f'<span class="number">{number}</span>' if number else ""
        span = (high - low) or 1.0
        rows += (
            f'<tr{" class=quoted-one" if number else ""}><th scope="row">{mark}'
            f"{origin(passage.title, passage.heading, passage.page)}</th>"
            f"{cell(hit.dense_score, hit.dense_rank, hit.dense_score)}"
            f"{cell(hit.bm25_score / best_words, hit.bm25_rank, hit.bm25_score)}"
            f"{cell(0.04 + 0.96 * (hit.score - low) / span, hit.rank, hit.score)}</tr>"
        )
    head = "".join(f'<th scope="col">{words(f"why_{key}")}</th>' for key in ("passage", "dense", "bm25", "fused"))
    total = sum(seconds for _, seconds in answer.timings) or 1.0
    times = "".join(
        f'<li>{words(f"stage_{stage}")} <progress max="1" value="{seconds / total:.3f}"></progress>'
        f"<bdi>{1000 * seconds:.0f} ms</bdi></li>"
        for stage, seconds in answer.timings
        if f"stage_{stage}" in WORDS
    )
    query = f"<p>{words('searched_for', query=answer.query)}</p>" if answer.query else ""
    return (
        f'<details class="why"><summary>{words("why")}</summary>{query}'
        f'<p class="hint">{words("why_hint")}</p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f'<ul class="times">{times}</ul></details>'
    )


def _searched(answer: Answer) -> str:
    """Say what was searched for where that is not what was asked."""
    query = searched_for(answer)
    return f'<p class="searched">{words("searched_for", query=query)}</p>' if query else ""


def _notice(answer: Answer) -> str:
    return block("p", "notice", answer.notice, answer.language) if answer.notice else ""


def _statements(answer: Answer) -> str:
    citations = {citation.n: citation for citation in answer.citations}
    parts = []
    for (kind, _), run in groupby(
        answer.statements, key=lambda item: (item.kind, item.kind == "item" and item.citations)
    ):
        statements = list(run)
        if kind == "item":
            parts.append(_items(statements, language_of(statements[0], answer), _chips(statements[-1], citations)))
        else:
            parts += [_paragraph(item, language_of(item, answer), _chips(item, citations)) for item in statements]
    return "".join(parts)


def _paragraph(statement: Statement, language: str, chips: str) -> str:
    if statement.is_supported:
        return block("p", statement.kind, statement.text, language, chips)
    doubt = f' <small class="doubt">{words("unsupported")}</small>'
    return block("p", f"{statement.kind} unsupported", statement.text, language, doubt)


def _items(statements: Sequence[Statement], language: str, chips: str) -> str:
    """Return a quoted list, or a quoted table where every line has the same cells; its citation stands at its end."""
    if rows := table_of(statements):
        way = text_direction(" ".join(chain.from_iterable(rows)), language)
        head = "".join(f'<th scope="col">{isolated(cell, way)}</th>' for cell in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{isolated(cell, way)}</td>" for cell in row) + "</tr>" for row in rows[1:]
        )
        return (
            f'<div class="quoted" dir="{way}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            f'<p class="cited" dir="{way}">{chips}</p>'
        )
    texts = [without_bullet(statement.text) for statement in statements]
    items = [block("li", "item", text, language) for text in texts[:-1]]
    items.append(block("li", "item", texts[-1], language, chips))
    way = text_direction(" ".join(texts), language)
    return f'<ul dir="{way}">{"".join(items)}</ul>'


def _sources(citations: Iterable[Citation]) -> str:
    rows = "".join(
        f'<li><button type="button" class="source" {place(cited.doc_id, cited.start, cited.end, cited.quote)}>'
        f'<span class="number">{cited.n}</span>{origin(cited.title, cited.heading, cited.page)}</button></li>'
        for cited in citations
    )
    return f'<div class="sources"><h3>{words("sources")}</h3><ol>{rows}</ol></div>' if rows else ""


def _nearest(hits: Sequence[Hit]) -> str:
    rows = ""
    for hit in hits[:NEAREST]:
        passage = hit.passage
        opens = place(passage.doc_id, passage.start, passage.end, passage.text)
        text = passage.text
        for heading in passage.heading:  # the line above says it already
            text = text.removeprefix(heading).lstrip()
        text = text or passage.text
        text = text if len(text) <= _SNIPPET else text[:_SNIPPET].rsplit(None, 1)[0] + "…"
        rows += (
            f'<li><button type="button" class="near" {opens}>'
            f"{origin(passage.title, passage.heading, passage.page)}"
            f"{block('span', 'snippet', text, passage.language)}</button></li>"
        )
    return f'<div class="nearest"><h3>{words("nearest")}</h3><ul>{rows}</ul></div>' if rows else ""
