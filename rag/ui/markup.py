"""How the page writes text as HTML: escaped, sanitized, each block in its own direction.

Whatever comes from a document or a person is escaped here and then sanitized with a list of our own tags, so that it
can neither act nor fetch. Direction is set block by block, by the text itself; terms of the other direction are
isolated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from unicodedata import bidirectional

import nh3

from rag.text import direction
from rag.ui.words import words
from rag.views import text_digest

_TAGS = set(
    "article aside bdi button details div h2 h3 header i li mark ol p progress section small span strong summary table"
    " tbody td th thead tr ul".split()
)
_ATTRIBUTES = {
    "*": {"class", "dir", "id", "lang", "role", "tabindex", "title"},
    "button": {"type"},
    "progress": {"max", "value"},
    "th": {"scope"},
}
# A run of words of one script, with the marks that belong to it: "C++", "Google Ads", "A/B", "44.7%" stays outside.
_LATIN_WORD = r"[A-Za-z\u00c0-\u024f](?:[A-Za-z0-9\u00c0-\u024f.'’+#&/@_-]*[A-Za-z0-9\u00c0-\u024f+#])?"
_LATIN_RUN = re.compile(f"{_LATIN_WORD}(?: {_LATIN_WORD})*")
_ARABIC_RUN = re.compile(
    r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+(?:[ ،][\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+)*"
)


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


def block(tag: str, name: str, text: str, language: str, tail: str = "") -> str:
    """Return a ``tag`` of class ``name`` with ``text`` in its own direction; ``tail`` is HTML after it."""
    way = text_direction(text, language)
    lang = "" if language == "und" else f' lang="{escape(language)}"'
    return f'<{tag} class="{name}" dir="{way}"{lang}>{isolated(text, way)}{tail}</{tag}>'


def file_name(path: str) -> str:
    """Return a file's path in its own direction, each part isolated, so that its suffix stays at its end."""
    parts = re.split(r"(/|\.(?=[^./]*$))", path)
    way = text_direction("".join(parts[:-2]) or path, "und")
    body = "".join(part if part in "/." else f"<bdi>{escape(part)}</bdi>" for part in parts)
    return f'<span class="file" dir="{way}">{body}</span>'


def place(doc_id: str, start: int, end: int, quote: str) -> str:
    """Return the attributes of a button that opens a document at a quote."""
    return (
        f'data-action="source" data-doc="{escape(doc_id)}" data-start="{start}" data-end="{end}"'
        f' data-digest="{text_digest(quote)}"'
    )


def button(action: str, key: str, *, name: str = "", text: str = "", value: str = "") -> str:
    """Return a button that does ``action``: it says the words ``key``, or shows ``text`` and says them unseen."""
    said = f'{text}<span class="unseen">{words(key)}</span>' if text else words(key)
    kind = f' class="{name}"' if name else ""
    carried = f' data-value="{escape(value)}"' if value else ""
    return f'<button type="button"{kind} data-action="{action}"{carried}>{said}</button>'


def icon_button(action: str, key: str, shape: str, *, value: str = "") -> str:
    """Return a button that does ``action``, shows the icon ``shape`` and says the words ``key`` unseen."""
    return button(action, key, name=shape, text=f'<i class="icon {shape}-icon"></i>', value=value)


def origin(title: str, heading: Sequence[str], page: int | None) -> str:
    """Return where a passage comes from: title, innermost heading, page."""
    trail = [part for part in heading if part != title][-1:]
    under = "".join(f' <span class="trail"><bdi dir="auto">{escape(part)}</bdi></span>' for part in trail)
    number = f' <span class="trail">{words("page", number=page)}</span>' if page else ""
    way = text_direction(title, "und")
    return f'<span class="origin" dir="{way}"><bdi class="name">{escape(title)}</bdi>{under}{number}</span>'


def render_error(key: str, detail: str = "") -> str:
    """Return a plain sentence about what went wrong; ``detail`` is the error's own message."""
    small = f'<small dir="auto">{escape(detail)}</small>' if detail else ""
    return sanitize(f'<div class="trouble" role="alert"><p>{words(key)}</p>{small}</div>')
