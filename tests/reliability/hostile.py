"""Files made to harm who reads them, generated and never downloaded: small bombs, cycles, lies and damage.

`kinds` has one file of each idea, `wrong_names` good files under the suffix of another format, `damaged` any number of
broken copies of good files; `batch` is a run of all three.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

import papers

from reliability import hostile_office, hostile_pdf, hostile_text  # noqa: F401  (they register their kinds)
from reliability.hostile_kinds import CORPUS, KINDS, SLOW
from reliability.hostile_office import word
from reliability.hostile_pdf import pdf, stream

__all__ = ["CORPUS", "KINDS", "SLOW", "batch", "build", "damaged", "good_formats", "papers", "pdf", "stream", "word"]


@functools.cache
def good_formats() -> dict[str, bytes]:
    """Return one good file of every format, by its suffix."""
    found = {f".{name.rpartition('.')[2]}": content for name, (content, _, _) in papers.every_format().items()}
    found[".pdf"] = (CORPUS / "ar" / "seo.pdf").read_bytes()
    found[".zip"] = papers.packed({"a.md": "# One\n\nThe first document.", "b/c.txt": "The second document."})
    return found


def build(name: str) -> bytes:
    """Return the file of one kind."""
    return KINDS[name]()


def kinds(limit: int, *, is_full: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of files of as many kinds, spread over all; slow ones only where all are wanted."""
    names = [name for name in KINDS if is_full or name not in SLOW]
    for at in range(min(limit, len(names))):
        name = names[at * len(names) // min(limit, len(names))]
        yield name, KINDS[name]()


def wrong_names(limit: int) -> Iterator[tuple[str, bytes]]:
    """Yield good files under the suffix of another format."""
    formats = good_formats()
    pairs = [(own, other) for own in formats for other in formats if own != other]
    random.Random(5).shuffle(pairs)
    for own, other in pairs[:limit]:
        yield f"really{own.replace('.', '-')}{other}", formats[own]


def damaged(limit: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield good files with bytes flipped, cut off, cut out, repeated or zeroed."""
    noise = random.Random(seed)
    formats = list(good_formats().items())
    for number in range(limit):
        suffix, content = formats[number % len(formats)]
        data = bytearray(content)
        way = ("flipped", "cut", "without", "repeated", "zeroed")[number // len(formats) % 5]
        first, last = sorted(noise.randrange(len(data)) for _ in range(2))
        if way == "flipped":
            for _ in range(noise.randrange(1, 60)):
                data[noise.randrange(len(data))] ^= 1 << noise.randrange(8)
        elif way == "cut":
            del data[max(1, first) :]
        elif way == "without":
            del data[first:last]
        elif way == "repeated":
            data[first:first] = data[first:last] * 2
        else:
            data[first:last] = bytes(last - first)
        yield f"{way}-{number}{suffix}", bytes(data) or b"x"


def batch(count: int, *, is_full: bool) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` hostile files: of all kinds, then good files under wrong names, then damaged ones."""
    wrong = count // 10
    made = 0
    for source in (kinds(count * 7 // 10, is_full=is_full), wrong_names(wrong), damaged(count)):
        for name, content in source:
            if made == count:
                return
            made += 1
            yield name, content
