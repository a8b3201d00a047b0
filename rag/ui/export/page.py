"""A conversation as one HTML page that loads nothing and runs nothing, to read, print and pass on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

import nh3

from rag.datatypes import Answer, Citation, Statement
from rag.text import direction
from rag.ui.content import (
    blocks_of,
    language_of,
    numbers_of,
    one_line,
    origin_of,
    printable,
    searched_for,
    table_of,
    time_of,
    trouble_of,
    without_bullet,
)
from rag.ui.conversation import Turn
from rag.ui.markup import block, file_name, isolated, text_direction
from rag.ui.words import WORDS, word

_TAGS = set(
    "a bdi blockquote code div h1 h2 h3 header li main ol p section small span table tbody td th thead tr ul".split()
)
_ATTRIBUTES = {"*": {"class", "dir", "id", "lang"}, "a": {"aria-label", "href"}, "th": {"scope"}}
_OWN_PLACE = re.compile(r"#c\d+-\d+")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f6f4ee; --ink: #1c2421; --muted: #5f6b66; --line: #d8d3c4; --accent: #0b6755; --soft: #e4efeb;
  --warn: #7a5200; --bad: #9a2d25;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #111614; --ink: #e6ebe8; --muted: #9aa8a2; --line: #2b3531; --accent: #74cdb7; --soft: #1d302a;
    --warn: #e8c77c; --bad: #f0a199;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); line-height: 1.8; overflow-wrap: anywhere;
  font-family: "Segoe UI", "SF Pro Text", "SF Arabic", "Noto Sans", "Noto Sans Arabic", "Geeza Pro", Tahoma,
    system-ui, sans-serif;
}
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
p { margin: 0 0 .5em; text-align: start; }
h1, h2, h3 { line-height: 1.5; text-align: start; }
h1 { margin: 0 0 .4em; font-size: 1.6rem; }
header { padding-block-end: .6rem; border-block-end: 2px solid var(--accent); }
header p, .frame, .searched, .model, .origin, .file, .hash, .detail { color: var(--muted); }
.searched, .model, .origin, .file, .hash, .detail { font-size: .88rem; }
section { margin-block-start: 2.2rem; }
h2 { margin: 0 0 .8em; padding: .55em .9em; border-radius: .6em; background: var(--soft); font-size: 1.12rem; }
h2 { white-space: pre-wrap; }
h3 { margin: 1.4em 0 .4em; font-size: .9rem; color: var(--muted); }
.reply ul { margin: 0 0 .5em; padding: 0; padding-inline-start: 1.35em; }
.reply li { text-align: start; }
.short { font-size: 1.12rem; font-weight: 700; }
p.quote { padding-inline-start: .9em; border-inline-start: 3px solid var(--line); }
.verdict, .doubt, .notice { color: var(--warn); }
.verdict { font-weight: 700; }
.trouble { color: var(--bad); }
.marks { white-space: nowrap; }
a { color: var(--accent); text-decoration: none; font-weight: 700; }
a:hover, a:focus-visible { text-decoration: underline; }
table { width: 100%; margin-block-end: .3em; border-collapse: collapse; font-size: .92rem; }
th, td { padding: .4em .7em; border: 1px solid var(--line); text-align: start; vertical-align: top; }
.sources { margin: 0; padding: 0; list-style: none; }
.sources > li { margin-block-end: 1.1em; padding: .7em .9em; border: 1px solid var(--line); border-radius: .6em; }
.sources > li:target { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.sources p { margin: 0; }
.number { color: var(--accent); font-weight: 700; }
.origin .title { color: var(--ink); font-weight: 600; }
code { font-size: .8rem; }
blockquote { margin: .6em 0 0; padding-inline-start: .9em; border-inline-start: 3px solid var(--accent); }
blockquote p { min-height: 1.8em; white-space: pre-wrap; }
@media print {
  @page { margin: 18mm; }
  :root { --paper: #fff; }
  main { max-width: none; padding: 0; }
  h1, h2, h3, .origin { break-after: avoid; }
  tr { break-inside: avoid; }
  p { orphans: 3; widows: 3; }
}
"""


def conversation_html(
    title: str, turns: Sequence[Turn], hashes: Mapping[str, str], language: str, exported: datetime
) -> str:
    """Return a conversation as one HTML page. It takes what `conversation_markdown` takes.

    Each block has its own direction, terms of the other one are isolated. A citation is a link within the page:
    ``#c2-1`` is source 1 of the second question. Each line of a quote is a paragraph; their texts are its letters.
    """
    language = "ar" if language == "ar" else "en"
    name = one_line(title) or word("untitled", language)
    parts = [
        f"<header>{block('h1', 'title', name, 'und')}<p>{_said('exported_about', language)}</p>"
        f"<p>{_said('exported_on', language, date=_apart(time_of(exported)))}</p></header>"
    ]
    for number, turn in enumerate(map(Turn.ended, turns), start=1):
        question = block("h2", "question", turn.question, turn.language)
        parts.append(f'<section id="t{number}">{question}{_reply(turn, number, hashes, language)}</section>')
    body = clean(f"<main>{''.join(parts)}</main>")
    return (
        f'<!doctype html>\n<html lang="{language}" dir="{direction(language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(printable(name))}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def clean(html: str) -> str:
    """Return ``html`` with the tags of this page only, and no link but to a source of its own."""

    def own(tag: str, attribute: str, value: str) -> str | None:
        return value if attribute != "href" or _OWN_PLACE.fullmatch(value) else None

    return nh3.clean(printable(html), tags=_TAGS, attributes=_ATTRIBUTES, attribute_filter=own, link_rel=None)


def _said(key: str, language: str, **html: str) -> str:
    """Return words of the frame as HTML; what fills them in is HTML already."""
    return escape(WORDS[key][0 if language == "ar" else 1]).format(**html)


def _apart(value: str | int) -> str:
    return f"<bdi>{escape(str(value))}</bdi>"


def _framed(name: str, html: str, language: str) -> str:
    return f'<p class="{name}" dir="{direction(language)}" lang="{language}">{html}</p>'


def _reply(turn: Turn, number: int, hashes: Mapping[str, str], language: str) -> str:
    answer = turn.answer
    if turn.error or answer is None:
        detail = block("p", "detail", turn.detail, "und") if turn.detail.strip() else ""
        return f'<div class="reply trouble"><p>{_said(trouble_of(turn), language)}</p>{detail}</div>'
    way = direction(answer.language) if answer.language != "und" else text_direction(answer.text, "und")
    parts = []
    if query := searched_for(answer):
        parts.append(_framed("searched", _said("searched_for", language, query=_apart(query)), language))
    if answer.abstained:
        parts.append(_framed("verdict", _said("abstained", language), language))
    if answer.notice.strip():
        parts.append(block("p", "notice", answer.notice, answer.language))
    parts += [_block(statements, answer, number, language) for statements in blocks_of(answer)]
    if answer.model:
        parts.append(_framed("model", _said("exported_model", language, model=_apart(answer.model)), language))
    sources = "".join(_source(cited, number, hashes.get(cited.doc_id, ""), language) for cited in answer.citations)
    if sources:
        sources = f'<h3>{_said("sources", language)}</h3><ol class="sources">{sources}</ol>'
    return f'<div class="reply" dir="{way}">{"".join(parts)}</div>{sources}'


def _block(statements: Sequence[Statement], answer: Answer, number: int, language: str) -> str:
    last = statements[-1]
    quoted_in = language_of(last, answer)
    links = " ".join(
        f'<a href="#c{number}-{n}" aria-label="{_said("source", language)} {n}">[{n}]</a>'
        for n in numbers_of(last, answer)
    )
    tail = f' <bdi class="marks">{links}</bdi>' if links else ""
    if last.kind != "item":
        if not last.is_supported:
            tail = f' <small class="doubt"><bdi>({_said("unsupported", language)})</bdi></small>'
        return block("p", last.kind, last.text, quoted_in, tail)
    if rows := table_of(statements):
        return _table(rows, quoted_in, tail)
    texts = [without_bullet(statement.text) for statement in statements]
    items = [block("li", "item", text, quoted_in) for text in texts[:-1]]
    items.append(block("li", "item", texts[-1], quoted_in, tail))
    return f'<ul dir="{text_direction(" ".join(texts), quoted_in)}">{"".join(items)}</ul>'


def _table(rows: Sequence[Sequence[str]], language: str, tail: str) -> str:
    way = text_direction(" ".join(cell for row in rows for cell in row), language)
    head = "".join(f'<th scope="col">{isolated(cell, way)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{isolated(cell, way)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    table = f'<table dir="{way}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'{table}<p dir="{way}">{tail}</p>'


def _source(citation: Citation, number: int, sha256: str, language: str) -> str:
    title, *headings = origin_of(citation)
    trail = "".join(f' › <bdi dir="auto">{escape(heading)}</bdi>' for heading in headings)
    if citation.page:
        trail += f" · <bdi>{_said('page', language, number=_apart(citation.page))}</bdi>"
    about = _framed("file", _said("exported_file", language, name=file_name(citation.doc_id)), language)
    if sha256:
        digest = f'<code dir="ltr">{escape(sha256)}</code>'
        about += _framed("hash", _said("exported_hash", language, digest=digest), language)
    lang = f'dir="{text_direction(citation.quote, citation.language)}"'
    if citation.language != "und":
        lang += f' lang="{escape(citation.language)}"'
    lines = ""
    for line in citation.quote.split("\n"):
        way = text_direction(line, citation.language)
        lines += f'<p dir="{way}">{isolated(line, way)}</p>'
    return (
        f'<li id="c{number}-{citation.n}"><p class="origin" dir="{text_direction(title, citation.language)}">'
        f'<span class="number">[{citation.n}]</span> <bdi class="title">{escape(title)}</bdi>{trail}</p>'
        f"{about}<blockquote {lang}>{lines}</blockquote></li>"
    )
