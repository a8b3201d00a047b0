"""The source panel as HTML: a document opened at a quote."""

from __future__ import annotations

import re
from html import escape

from rag.ui.markup import file_name, isolated, sanitize, text_direction
from rag.ui.words import words
from rag.views import DocumentView


def render_source(view: DocumentView | None) -> str:
    """Return the source panel's content: whose text it is, then the text with its quote in ``<mark>``.

    A quote over several lines is one ``<mark>`` a line; their texts joined are the quote, letter by letter.
    """
    if view is None:
        return sanitize(f'<p class="notice">{words("source_gone")}</p>')
    heading = [part for part in view.heading if part != view.title]
    trail = "".join(f'<span class="trail"><bdi dir="auto">{escape(part)}</bdi></span>' for part in heading)
    page = f'<span class="trail">{words("page", number=view.page)}</span>' if view.page else ""
    picture = ""
    if view.page and view.doc_id.lower().endswith(".pdf"):
        carried = f'data-doc="{escape(view.doc_id)}" data-page="{view.page}" aria-pressed="false"'
        picture = f'<button type="button" data-action="picture" {carried}>{words("picture")}</button>'
    notice = f'<p class="notice">{words("source_changed")}</p>' if view.is_changed else ""
    cut = f'<p class="cut">{words("cut")}</p>'
    return sanitize(
        f'<header class="about"><h2 tabindex="-1" dir="{text_direction(view.title, view.language)}">'
        f'{escape(view.title)}</h2><p class="path">{trail}{page}<span class="trail">'
        f"{file_name(view.doc_id)}</span></p>{picture}</header>{notice}"
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
