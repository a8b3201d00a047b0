"""PowerPoint files (pptx): each slide a page, its title a heading, its shapes in the order in which they are read.

A slide keeps its shapes in the order in which they were made. What is read first stands higher, and beside each other
the left one comes first, or the right one where the slide is Arabic.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pptx
from lxml import etree  # type: ignore[import-untyped]
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER
from pptx.exc import PackageNotFoundError

from rag.loaders import package
from rag.loaders.blocks import Block, Limits, Parsed, UnreadableError, clean, compose, is_plausible_title, one_line
from rag.loaders.tables import labels, table

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_FURNITURE = (PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.HEADER)
_BODIES = (PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT, PP_PLACEHOLDER.VERTICAL_BODY, PP_PLACEHOLDER.VERTICAL_OBJECT)
_ARABIC = re.compile("[\u0620-\u06ff\ufb50-\ufdff\ufe70-\ufefc]")
_MAX_DEPTH = 20  # of groups within groups
_SAME_LINE = 0.5  # shapes that share this part of the lower one's height stand beside each other


def parse(data: bytes, limits: Limits) -> Parsed:
    """Parse a pptx file.

    Raises:
        UnreadableError: Not a pptx, damaged, encrypted, of too many slides, or far larger inside than outside.
    """
    with package.opened(data, "the pptx") as archive:
        package.search_parts(archive, "the pptx")
        try:
            deck = pptx.Presentation(io.BytesIO(data))
        except (PackageNotFoundError, ValueError, AttributeError) as error:
            raise UnreadableError(f"the pptx is damaged ({one_line(str(error))[:120]}); save it again") from error
        count = len(deck.slides)
        if count > limits.max_pages:
            raise UnreadableError(f"the pptx has {count:,} slides, more than {limits.max_pages:,}; split it")
        blocks: list[Block] = []
        hidden: list[int] = []
        for number, slide in enumerate(deck.slides, 1):
            if slide._element.get("show") in ("0", "false"):
                hidden.append(number)
            else:
                blocks += _slide(slide, number)
        properties = deck.core_properties
        title = properties.title or ""
        metadata = {
            "author": properties.author or "",
            "date": properties.created.date().isoformat() if properties.created else "",
            "keywords": properties.keywords or "",
        }
    return compose(
        blocks,
        title=title if is_plausible_title(title) else "",
        warnings=[f"hidden slides were left out: {', '.join(map(str, hidden))}"] if hidden else (),
        page_numbers=range(1, count + 1),
        metadata=metadata,
    )


def _slide(slide: Any, number: int) -> Iterator[Block]:
    title = slide.shapes.title
    heading = one_line(title.text_frame.text) if title is not None else ""
    if heading:
        yield Block("heading", heading, level=1 if number == 1 else 2, page=number)
    is_rtl = _is_arabic("".join(slide._element.itertext(f"{_A}t")))
    others = [shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id]
    for shape in _reading_order(others, is_rtl=is_rtl):
        yield from _shape(shape, number, is_rtl=is_rtl, depth=0)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = clean(slide.notes_slide.notes_text_frame.text)
        if notes:
            label = "ملاحظات المتحدث" if _is_arabic(notes) else "Speaker notes"
            yield Block("heading", label, level=3, page=number)
            yield from (Block("paragraph", line, page=number) for line in notes.split("\n"))


def _is_arabic(text: str) -> bool:
    return 2 * len(_ARABIC.findall(text)) > sum(map(str.isalpha, text))


def _reading_order(shapes: Sequence[Any], *, is_rtl: bool) -> list[Any]:
    """Return shapes line by line: a line is shapes that stand beside each other."""
    lines: list[list[Any]] = []
    for shape in sorted(shapes, key=lambda shape: shape.top or 0):
        top, height = shape.top or 0, shape.height or 0
        line = lines[-1] if lines else []
        if line and min((line[0].top or 0) + (line[0].height or 0), top + height) - top > _SAME_LINE * max(1, height):
            line.append(shape)
        else:
            lines.append([shape])
    return [
        shape
        for line in lines
        for shape in sorted(
            line, key=lambda each: -((each.left or 0) + (each.width or 0)) if is_rtl else each.left or 0
        )
    ]


def _shape(shape: Any, page: int, *, is_rtl: bool, depth: int) -> Iterator[Block]:
    if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
        if depth >= _MAX_DEPTH:
            raise UnreadableError(f"slide {page} has groups nested deeper than {_MAX_DEPTH} levels; ungroup them")
        for inner in _reading_order(list(shape.shapes), is_rtl=is_rtl):
            yield from _shape(inner, page, is_rtl=is_rtl, depth=depth + 1)
    elif getattr(shape, "has_table", False):
        rows = [[one_line(cell.text_frame.text) for cell in row.cells] for row in shape.table.rows]
        yield from table(rows, page=page)
    elif getattr(shape, "has_chart", False):
        yield from _chart(shape.chart, page)
    elif shape.has_text_frame:
        kind = shape.placeholder_format.type if shape.is_placeholder else None
        if kind not in _FURNITURE:
            yield from _paragraphs(shape.text_frame._txBody.iterchildren(f"{_A}p"), page, is_list=kind in _BODIES)
    else:
        yield from _diagram(shape, page)


def _paragraphs(paragraphs: Iterable[Any], page: int, *, is_list: bool) -> Iterator[Block]:
    """Yield paragraphs; those with a bullet or a number, or of a body that holds several, are list items."""
    lines = [(paragraph, clean(paragraph.text)) for paragraph in paragraphs]
    lines = [(paragraph, text) for paragraph, text in lines if text]
    number = 0
    for paragraph, text in lines:
        properties = paragraph.find(f"{_A}pPr")
        marks = set() if properties is None else {child.tag for child in properties}
        number = number + 1 if f"{_A}buAutoNum" in marks else 0
        if number:
            yield Block("item", text, marker=f"{number}.", page=page)
        elif f"{_A}buChar" in marks or (is_list and len(lines) > 1 and f"{_A}buNone" not in marks):
            yield Block("item", text, page=page)
        else:
            yield Block("paragraph", text, page=page)


def _chart(chart: Any, page: int) -> Iterator[Block]:
    """Yield a chart's title and its values as a table: a row a category, a column a series."""
    if chart.has_title and chart.chart_title.has_text_frame:
        yield Block("paragraph", chart.chart_title.text_frame.text, page=page)
    for plot in chart.plots:
        series = [(one.name or "", list(one.values)) for one in plot.series]
        names = [one_line(str(category)) for category in plot.categories]
        rows = [
            [name, *(f"{values[at]:g}" if at < len(values) and values[at] is not None else "" for _, values in series)]
            for at, name in enumerate(names)
        ]
        yield from table(rows, header=labels(["", *(name for name, _ in series)]), page=page)


def _diagram(shape: Any, page: int) -> Iterator[Block]:
    """Yield the texts of SmartArt, which lie in a part of their own."""
    for relations in shape._element.iter(_DIAGRAM):
        try:
            part = shape.part.related_part(relations.get(f"{_RELATION}dm"))
        except KeyError:
            continue
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        for paragraph in etree.fromstring(part.blob, parser).iter(f"{_A}p"):
            text = "".join(piece.text or "" for piece in paragraph.iter(f"{_A}t"))
            if clean(text):
                yield Block("item", text, page=page)
