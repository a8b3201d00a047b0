"""HTML: the article with its headings, lists and tables; the furniture of the page left out.

trafilatura is the judge of what is the article and lxml the reader. trafilatura's own text cannot be used as it
stands: on a plain page without an ``<article>`` it keeps the paragraphs and loses every heading (seen with 2.3.1).
So its text only tells which blocks of the page belong to the article; the blocks themselves are read from the
page. A block that trafilatura dropped is kept all the same unless a second sign says furniture: it stands in
a ``nav``, ``aside``, ``footer`` or ``form``, in an element whose class says share, related, comments and the like,
or consists of links. Where trafilatura keeps too little, every block that shows no such sign is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import lxml.html  # type: ignore[import-untyped]
import trafilatura

from rag.loaders.blocks import (
    Block,
    Parsed,
    UnreadableError,
    clean,
    compose,
    is_plausible_title,
    one_line,
    row,
    without_hidden,
)
from rag.loaders.encoding import decode
from rag.loaders.metadata import joined, split_front_matter
from rag.loaders.tables import page_table

_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{1,40})", re.IGNORECASE)
_XML_DECLARED = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.\-]{1,40})[\"']")
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_HEAD_BYTES = 4096
_UNPARSEABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_UNSHOWN = frozenset(
    (
        "script style noscript template head title svg math canvas iframe object embed audio video map select datalist"
        " button input textarea progress meter dialog rt rp"
    ).split()
)
_INLINE = frozenset(
    (
        "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark nobr picture q ruby rb s"
        " samp small source span strike strong sub sup time tt u var wbr br"
    ).split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_FURNITURE_TAGS = frozenset(("nav", "aside", "footer", "form", "menu"))
_FURNITURE_ROLES = frozenset(("navigation", "complementary", "contentinfo", "search", "banner", "dialog", "menu"))
_FURNITURE_NAMES = re.compile(
    r"(?:^|[\s_-])(?:share|sharing|social|related|recommend\w*|comments?|respond|cookie\w*|consent|breadcrumbs?|crumbs|"
    r"newsletter|subscribe|subscription|advert\w*|ads?|promo|sidebar|menu|nav|navbar|navigation|widget|tags?|pagination|"
    r"pager|toolbar|byline|footer|login|signup|popup|modal|banner)(?:$|[\s_-])",
    re.IGNORECASE,
)
_LINKED_SHARE = 0.6
_MIN_KEPT_CHARACTERS = 200
_MIN_KEPT_SHARE = 0.25
_REGION_SHARE = 0.95
_MAX_JUDGED_BLOCKS = 20_000
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_METADATA = {
    "author": "author",
    "dc.creator": "author",
    "article:author": "author",
    "date": "date",
    "dc.date": "date",
    "dcterms.created": "date",
    "dcterms.date": "date",
    "datepublished": "date",
    "article:published_time": "date",
    "keywords": "keywords",
    "news_keywords": "keywords",
    "article:tag": "tags",
}
_SITE_SEPARATOR = re.compile(r"\s+[|–—»·-]\s+")


@dataclass(slots=True)
class _Seen:
    """A block of the page with what is needed to judge it. ``is_article`` is trafilatura's verdict.

    ``shown`` is its text in the document where that is another one than on the page: a row with its columns' names.
    """

    block: Block
    element: Any
    linked: int
    is_article: bool = False
    shown: str | None = None

    def final(self) -> Block:
        """Return the block as the document has it."""
        return self.block if self.shown is None else replace(self.block, text=self.shown)


def parse(data: bytes) -> Parsed:
    """Parse an HTML file.

    Raises:
        UnreadableError: The bytes are not text, or hold no element.
    """
    root, text, warnings, front_title, front_matter = _read(data)
    body = root.find("body")
    seen = list(_walk(body, []))
    # trafilatura needs seconds for a page as long as a book, and such a page is no web article.
    article, title = _article(text) if len(seen) <= _MAX_JUDGED_BLOCKS else (None, "")
    blocks = _choose(seen, body, article)
    return compose(
        blocks,
        title=front_title or title or _page_title(root, blocks),
        warnings=warnings,
        metadata={**_meta_tags(root), **front_matter},
    )


def read_whole(data: bytes) -> tuple[list[Block], tuple[str, ...]]:
    """Return every block of an HTML file that is no web page, such as a chapter or a letter, and the warnings.

    Raises:
        UnreadableError: The bytes are not text, or hold no element.
    """
    root, _, warnings, _, _ = _read(data)
    return [seen.final() for seen in _walk(root.find("body"), [])], warnings


def _read(data: bytes) -> tuple[Any, str, tuple[str, ...], str, dict[str, str]]:
    """Return the root of a page that has a body, its text, the warnings, and title and members of a front matter."""
    found = _DECLARED.search(data[:_HEAD_BYTES]) or _XML_DECLARED.search(data[:_HEAD_BYTES])
    text, warnings = decode(data, declared=found.group(1).decode("ascii") if found else "")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    front_title, front_matter, text = split_front_matter(text)
    text = _UNPARSEABLE.sub("", _XML_DECLARATION.sub("", text))
    parser = lxml.html.HTMLParser(remove_comments=True, remove_pis=True)
    try:
        root = lxml.html.document_fromstring(text, parser=parser) if text.strip() else None
    except (lxml.etree.ParserError, ValueError) as error:
        raise UnreadableError(f"cannot be read as HTML ({one_line(str(error))[:120]})") from error
    limits = [entry.message for entry in parser.error_log if entry.type_name == "ERR_RESOURCE_LIMIT"]
    if limits:  # the parser stopped there: the rest of the page would be missing
        raise UnreadableError(f"too deeply nested, or too long without a tag ({one_line(limits[0])[:80]})")
    body = root.find("body") if root is not None else None
    if body is None:
        raise UnreadableError("it holds no text")
    warnings += without_hidden("".join(body.itertext()))[1]  # written as references such as &#x202e;
    return root, text, warnings, front_title, front_matter


def _article(text: str) -> tuple[Any, str]:
    """Return trafilatura's body element (None if it finds no article) and the title it finds."""
    try:
        found = trafilatura.bare_extraction(
            text, include_comments=False, include_tables=True, favor_recall=True, with_metadata=True
        )
    except (ValueError, TypeError, AttributeError, lxml.etree.LxmlError):
        # Rare pages break it; the page is then read whole, which loses nothing.
        return None, ""
    if found is None or isinstance(found, dict):
        return None, ""
    title = found.title or ""
    return found.body, title if is_plausible_title(title) else ""


def _walk(element: Any, prefix: list[str]) -> Iterator[_Seen]:
    """Yield the blocks under ``element`` in page order; text between blocks becomes paragraphs of its own.

    ``prefix`` holds the marker of the list item that is open and has no text yet.
    """
    run = _Run()
    yield from _inside(element, element, run, prefix)
    yield from run.flush(element, prefix)


class _Run:
    """Inline text that is being gathered, and how much of it is link text."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.linked = 0

    def add(self, text: str | None, *, is_linked: bool, keep_lines: bool) -> None:
        if text:
            self.parts.append(text if keep_lines else re.sub(r"\s+", " ", text))
            if is_linked:
                self.linked += len("".join(text.split()))

    def flush(self, element: Any, prefix: list[str]) -> Iterator[_Seen]:
        text, linked = clean("".join(self.parts)), self.linked
        self.parts, self.linked = [], 0
        if not text:
            return
        if prefix:
            yield _Seen(Block("item", text, marker=prefix.pop()), element, linked)
        else:
            yield _Seen(Block("paragraph", text), element, linked)


def _inside(
    owner: Any, element: Any, run: _Run, prefix: list[str], *, is_linked: bool = False, keep_lines: bool = False
) -> Iterator[_Seen]:
    """Walk the children of ``element``; inline text goes to ``run``, which belongs to the block ``owner``."""
    run.add(element.text, is_linked=is_linked, keep_lines=keep_lines)
    for child in element.iterchildren():
        tag = child.tag
        if isinstance(tag, str) and not _is_hidden(child):
            if tag == "br":
                run.parts.append("\n")
            elif tag in _INLINE:
                yield from _inside(owner, child, run, prefix, is_linked=is_linked or tag == "a", keep_lines=keep_lines)
            else:
                yield from run.flush(owner, prefix)
                yield from _block(child, prefix)
        run.add(child.tail, is_linked=is_linked, keep_lines=keep_lines)


def _block(element: Any, prefix: list[str]) -> Iterator[_Seen]:
    tag = element.tag
    if tag in _HEADINGS:
        run = _Run()
        inner = list(_inside(element, element, run, []))
        text = one_line(" ".join([*(seen.block.text for seen in inner), *run.parts]))
        if text:
            yield _Seen(Block("heading", text, level=_HEADINGS[tag]), element, run.linked)
    elif tag in ("ul", "ol", "menu"):
        yield from _list(element)
    elif tag == "table" and not _is_layout(element):
        yield from _table(element)
    elif tag == "pre":
        run = _Run()
        yield from _inside(element, element, run, prefix, keep_lines=True)
        yield from run.flush(element, prefix)
    else:
        yield from _walk(element, prefix)


def _list(element: Any) -> Iterator[_Seen]:
    number = _integer(element.get("start"), 1)
    for child in element.iterchildren():
        if child.tag == "li" and not _is_hidden(child):
            number = _integer(child.get("value"), number)
            yield from _item(child, f"{number}." if element.tag == "ol" else "-")
            number += 1
        elif isinstance(child.tag, str) and not _is_hidden(child):
            yield from _block(child, [])


def _item(element: Any, marker: str) -> Iterator[_Seen]:
    """Yield a list item: its paragraphs on one line, lists within it as items of their own after it."""
    first: _Seen | None = None
    for seen in _walk(element, [marker]):
        if first is None and seen.block.kind in ("item", "paragraph"):
            first = seen
        elif first is not None and seen.block.kind == "paragraph":
            first.block = Block("item", f"{first.block.text}\n{seen.block.text}", marker=first.block.marker)
            first.linked += seen.linked
        else:
            if first is not None:
                yield first
                first = None
            yield seen
    if first is not None:
        yield first


def _table(element: Any) -> Iterator[_Seen]:
    for caption in element.iterchildren("caption"):
        yield from _walk(caption, [])
    lines = list(element.iter("tr"))
    rows: list[list[str]] = []
    links: list[int] = []
    for line in lines:
        inner = [list(_walk(cell, [])) for cell in line.iterchildren("th", "td")]
        rows.append([one_line(" ".join(seen.block.text for seen in cell)) for cell in inner])
        links.append(sum(seen.linked for cell in inner for seen in cell))
    is_headed = bool(lines) and all(cell.tag == "th" for cell in lines[0].iterchildren("th", "td"))
    for line, cells, linked, shown in zip(
        lines, rows, links, page_table(rows, is_headed=is_headed or None), strict=True
    ):
        text = row(cells)
        if text:
            yield _Seen(Block("row", text), line, linked, shown=shown)


def _is_layout(table: Any) -> bool:
    """Return whether a table places parts of a page instead of holding data."""
    if (
        table.get("role") in ("presentation", "none")
        or next(table.iterdescendants("table", "h1", "h2"), None) is not None
    ):
        return True
    return max((len(list(line.iterchildren("th", "td"))) for line in table.iter("tr")), default=0) < 2


def _is_hidden(element: Any) -> bool:
    return (
        element.tag in _UNSHOWN
        or element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or _HIDDEN_STYLE.search(element.get("style") or "") is not None
    )


def _choose(seen: list[_Seen], body: Any, article: Any) -> list[Block]:
    """Return the blocks of the article, in page order."""
    region = body
    kept_text = _squeezed("".join(article.itertext())) if article is not None else ""
    kept_parts = (
        {_squeezed("".join(element.itertext())) for element in article.iter()} if article is not None else set()
    )
    total = sum(len(_squeezed(entry.block.text)) for entry in seen)
    is_judged = len(kept_text) >= _MIN_KEPT_SHARE * total and (len(kept_text) >= min(_MIN_KEPT_CHARACTERS, total))
    if is_judged:
        for entry in seen:
            parts = [_squeezed(part) for part in re.split(r" \| |\n", entry.block.text)]
            entry.is_article = all(part in kept_parts or part in kept_text for part in parts)
        region = _region(seen, body)
    inside = [entry for entry in seen if region is body or _is_under(entry.element, region)]
    marks: dict[Any, bool] = {}
    chosen = [entry for entry in inside if (is_judged and entry.is_article) or not _is_furniture(entry, region, marks)]
    next_of = {id(entry): following for entry, following in zip(inside, inside[1:], strict=False)}
    chosen = [
        entry
        for entry, following in zip_longest(chosen, chosen[1:])
        if not _is_bare_heading(entry, following, next_of.get(id(entry)))
    ]
    blocks = [entry.final() for entry in chosen]
    if not any(block.kind == "heading" and block.level == 1 for block in blocks):
        first = next((entry for entry in seen if entry.block.kind == "heading" and entry.block.level == 1), None)
        if first is not None:
            blocks.insert(0, first.block)
    return blocks


def _region(seen: list[_Seen], body: Any) -> Any:
    """Return the smallest element that holds nearly all the article."""
    weights: dict[Any, int] = {}
    total = 0
    for entry in seen:
        if entry.is_article:
            size = len(entry.block.text)
            total += size
            for ancestor in [entry.element, *entry.element.iterancestors()]:
                weights[ancestor] = weights.get(ancestor, 0) + size
    region = body
    while True:
        inner = next((child for child in region.iterchildren() if weights.get(child, 0) >= _REGION_SHARE * total), None)
        if (
            inner is None
            or total == 0
            or inner.tag not in ("div", "main", "article", "section", "table", "tbody", "tr", "td")
        ):
            return region
        region = inner


def _is_under(element: Any, region: Any) -> bool:
    return element is region or any(ancestor is region for ancestor in element.iterancestors())


def _is_furniture(entry: _Seen, region: Any, marks: dict[Any, bool]) -> bool:
    """Return whether the page itself says that a block is no part of an article."""
    if entry.block.kind != "heading" and entry.linked > _LINKED_SHARE * len("".join(entry.block.text.split())):
        return True
    path: list[Any] = []
    verdict = False
    for element in [entry.element, *entry.element.iterancestors()]:
        if element is region or element.tag in ("body", "main", "article"):
            break
        if element in marks:
            verdict = marks[element]
            break
        path.append(element)
    for element in reversed(path):
        names = f"{element.get('class') or ''} {element.get('id') or ''}"
        verdict = (
            verdict
            or element.tag in _FURNITURE_TAGS
            or (element.get("role") or "").lower() in _FURNITURE_ROLES
            or _FURNITURE_NAMES.search(names) is not None
        )
        marks[element] = verdict
    return verdict


def _is_bare_heading(entry: _Seen, following: _Seen | None, original: _Seen | None) -> bool:
    """Return whether a heading that trafilatura dropped has lost everything it headed.

    Args:
        entry: The block in question.
        following: The block after it among those that are kept, None at the end.
        original: The block after it on the page, None at the end.
    """
    if entry.block.kind != "heading" or entry.block.level == 1 or entry.is_article:
        return False
    if following is not None and (following.block.kind != "heading" or following.block.level > entry.block.level):
        return following is not original and following.block.kind != "heading" and not following.is_article
    return original is not None and original.block.kind != "heading"


def _page_title(root: Any, blocks: list[Block]) -> str:
    """Return the first heading of level 1, else the page's ``title`` without the site's name."""
    heading = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), "")
    if heading:
        return heading
    title = one_line(root.findtext("head/title") or "")
    parts = _SITE_SEPARATOR.split(title)
    return parts[0] if len(parts) > 1 and len(parts[0]) >= 10 else title


def _meta_tags(root: Any) -> dict[str, str]:
    """Return author, date, keywords and tags as the page's ``meta`` elements give them."""
    found: dict[str, list[str]] = {}
    for element in root.iter("meta"):
        name = element.get("name") or element.get("property") or element.get("itemprop") or ""
        key, content = _METADATA.get(name.strip().lower()), one_line(element.get("content") or "")
        if key and content and not content.startswith(("http://", "https://")):  # the page of an author is no name
            found.setdefault(key, []).append(content)
    return {key: joined(values) if key in ("author", "tags") else values[0] for key, values in found.items()}


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _integer(text: str | None, default: int) -> int:
    try:
        return int(text) if text is not None else default
    except ValueError:
        return default
