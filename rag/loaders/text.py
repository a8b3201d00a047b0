"""Plain text: paragraphs, lists and headings told from how the lines lie; a little web furniture left out.

Plain files are mostly copies of web pages. What is done here is careful on purpose: a line becomes a heading only
if it is short, carries no final stop and stands before text; a line is left out only if it is a known label of
web pages (font size buttons, "read also", the comment form), and the number of lines left out is reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.loaders.blocks import Block, Parsed, check_length, compose, one_line
from rag.loaders.encoding import decode

_BULLET = re.compile(r"[•●▪■◦‣∙·○►▶✓✔❖*\-–—][ \t]+(?=\S)")
_NUMBER = re.compile(r"([0-9]{1,3}|[٠-٩]{1,3}|[۰-۹]{1,3})[.)\-](?:[ \t]+|(?=[^\W\d]))(?=\S)")
_STOPS = (".", "!", "،", "؛", ";", ",", ":", "…", "。", "۔", "*")
_CLOSERS = "\"'”’»)]"
_HEADING_CHARACTERS = 90
_HEADING_WORDS = 12
_LONG_LINE = 120  # a line this long is a paragraph of its own
_WRAP_MIN, _WRAP_MAX = 45, 110  # widths at which programs and people wrap lines

# Whole lines that web pages carry around an article, matched after folding away diacritics and outer punctuation.
_LABELS = frozenset(
    (
        "a+ | a | a- | a a | حجم الخط | شارك | شارك المقال | شارك هذا الموضوع | مشاركة | طباعة | الرابط المختصر"
        " | share | share this | share this article | tweet | print | copy link"
    ).split(" | ")
)
_CROSS_LINK = re.compile(
    r"(?:اقر[أا]\s+(?:أ|ا)يض(?:ا|ًا|اً)|إقر[أا]\s+(?:أ|ا)يض(?:ا|ًا|اً)|read also|also read|read more|related)\s*:",
    re.IGNORECASE,
)
_COMMENT_FORM = re.compile(
    r"(?:[اأ]ترك\s+(?:تعليق|رد)(?:ا|ًا|اً)?|leave a (?:reply|comment)|post a comment)(?:\s+إلغاء الرد)?", re.IGNORECASE
)
_VIEW_COUNT = re.compile(r"[0-9]+(?:\.[0-9]+)?[kKmM]")
_CROSS_LINK_CHARACTERS = 160
_COMMENT_FORM_CHARACTERS = 1_500
_COMMENT_FORM_SHARE = 0.2
_HARAKAT = re.compile("[\u064b-\u0652\u0640]")


def parse(data: bytes, *, max_characters: int) -> Parsed:
    """Parse a plain text file.

    Raises:
        UnreadableError: The bytes are not text, or more than ``max_characters``.
    """
    text, warnings = decode(data)
    check_length(text, max_characters)
    lines = [one_line(line) for line in re.split("\r\n?|[\n\x0b\x0c\x85\u2028\u2029]", text)]
    kept = without_furniture(lines)
    dropped = sum(map(bool, lines)) - sum(map(bool, kept))
    if dropped:
        warnings += (f"{dropped} lines of web page furniture (links to other pages, buttons, forms) were left out",)
    return compose(structure(kept), warnings=warnings)


def without_furniture(lines: Sequence[str]) -> list[str]:
    """Return ``lines`` without the labels of web pages; a line left out becomes an empty one."""
    kept = [("" if _is_furniture(line) else line) for line in lines]
    total = sum(map(len, kept))
    for index, line in enumerate(kept):
        if _COMMENT_FORM.fullmatch(line.strip(" :*")):
            rest = sum(map(len, kept[index:]))
            if rest <= min(_COMMENT_FORM_CHARACTERS, _COMMENT_FORM_SHARE * total):
                return kept[:index]
    return kept


def _is_furniture(line: str) -> bool:
    bare = _BULLET.sub("", line, count=1)
    label = _HARAKAT.sub("", bare).strip(" |:*-").lower()
    if label in _LABELS and len(bare) <= len(label) + 4:
        return True
    if len(line) <= _CROSS_LINK_CHARACTERS and _CROSS_LINK.match(bare):
        return True
    return _VIEW_COUNT.fullmatch(line) is not None


def structure(lines: Sequence[str]) -> list[Block]:
    """Return the blocks that ``lines`` (each trimmed, empty ones included) stand for."""
    blocks: list[Block] = []
    groups = _groups(lines)
    for index, group in enumerate(groups):
        following = groups[index + 1] if index + 1 < len(groups) else []
        if len(group) == 1 and _is_lone_heading(group[0], following, is_first=index == 0):
            is_item = _BULLET.match(group[0]) is not None
            level = 1 if index == 0 else 3 if is_item else 2
            blocks.append(Block("heading", _BULLET.sub("", group[0], count=1), level=level))
        else:
            blocks.extend(_group_blocks(group, is_first=index == 0))
    return blocks


def _groups(lines: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for line in lines:
        if line:
            groups[-1].append(line)
        elif groups[-1]:
            groups.append([])
    return [group for group in groups if group]


def _is_lone_heading(line: str, following: Sequence[str], *, is_first: bool) -> bool:
    """Return whether a line alone between blank lines heads what follows.

    What follows must be text: a paragraph or a list, not another such line. The first line of a file may be followed
    by one, as a title is by the first heading.
    """
    if not following:
        return False
    bare = _BULLET.sub("", line, count=1)
    if _NUMBER.match(line) or not _is_heading_like(bare):
        return False
    first = following[0]
    if bare is not line and _BULLET.match(first):
        return False  # the first of a list with blank lines between its items
    return is_first or len(following) > 1 or split_marker(first)[0] != "" or not _is_heading_like(first)


def _is_heading_like(line: str) -> bool:
    return (
        len(line) <= _HEADING_CHARACTERS
        and len(line.split()) <= _HEADING_WORDS
        and sum(map(str.isalpha, line)) >= max(2, len(line) // 2)
        and "=" not in line
        and "@" not in line
        and "://" not in line
        and not line.rstrip(_CLOSERS + " ").endswith(_STOPS)
    )


def _group_blocks(lines: Sequence[str], *, is_first: bool) -> list[Block]:
    """Return the blocks of lines that stand together, without a blank line between them."""
    if _is_wrapped(lines):
        return [Block("paragraph", " ".join(lines))]
    blocks: list[Block] = []
    short: list[str] = []

    def flush() -> None:
        if short:
            blocks.append(Block("paragraph", "\n".join(short)))
            short.clear()

    for index, line in enumerate(lines):
        marker, rest = split_marker(line)
        following = lines[index + 1] if index + 1 < len(lines) else ""
        previous = lines[index - 1] if index else ""
        if marker:
            flush()
            blocks.append(Block("item", rest, marker=marker))
        elif len(line) >= _LONG_LINE:
            flush()
            blocks.append(Block("paragraph", line))
        elif (
            _is_heading_like(line)
            and len(following) >= _LONG_LINE
            and (len(previous) >= _LONG_LINE or (index == 0 and is_first) or split_marker(previous)[0])
        ):
            flush()
            blocks.append(Block("heading", line, level=1 if index == 0 and is_first else 2))
        else:
            short.append(line)
    flush()
    return blocks


def split_marker(line: str) -> tuple[str, str]:
    """Return the list marker of a line as it is written in a document's text, and the rest; ``""`` if it has none."""
    match = _BULLET.match(line)
    if match:
        return "-", line[match.end() :]
    match = _NUMBER.match(line)
    if match:
        return f"{match.group(1)}.", line[match.end() :]
    return "", line


def _is_wrapped(lines: Sequence[str]) -> bool:
    """Return whether the lines are one paragraph that a program broke at a fixed width."""
    if len(lines) < 3 or any(split_marker(line)[0] for line in lines):
        return False
    full = [len(line) for line in lines[:-1]]
    if max(full) > _WRAP_MAX or max(full) < _WRAP_MIN or len(lines[-1]) > max(full) + 2:
        return False
    stopped = sum(1 for line in lines[:-1] if line.endswith(_STOPS[:2]))
    # The next line's first word did not fit: that is what makes a break a wrap.
    fits = sum(
        1
        for line, following in zip(lines, lines[1:], strict=False)
        if len(line) + 1 + len(following.split()[0]) <= max(full) - 8
    )
    return stopped <= len(full) / 2 and fits <= len(full) / 5
