"""Bounded work: each limit holds at one below, at, and one above it; folding and chunking are linear."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import time
import zipfile
from collections.abc import Callable, Iterator

import papers
import pytest
from conftest import HashEmbedder

from rag.chunking import split_document
from rag.config import ChunkingConfig, LoadConfig
from rag.datatypes import Document
from rag.errors import CorpusError
from rag.loaders import DocumentLoader
from rag.loaders.blocks import UnreadableError
from rag.loaders.package import MAX_ENTRIES, MAX_EXPANSION, SMALL_BYTES, check_directory
from rag.server.uploads import UploadError, save_upload
from rag.text.analyzers import terms
from rag.text.fold import fold
from rag.text.sentences import split_sentences
from reliability import hostile

PROMISE = "P16 bounded work"
pytestmark = pytest.mark.timeout(4 * 3600 if os.environ.get("SANAD_RELIABILITY") == "full" else 600)


@pytest.fixture
def read(tmp_path):
    loaders: dict[str, DocumentLoader] = {}

    def outcome(name: str, content: bytes, **limits: int) -> str:
        """Return why a file is refused under limits; empty if it is read."""
        path = tmp_path / name
        path.write_bytes(content)
        config = LoadConfig(timeout_s=900, **limits)  # sizes are tried here; 30 s are few on a machine with other work
        loader = loaders.setdefault(str(limits), DocumentLoader(config))
        try:
            if name.endswith(".zip"):
                return "; ".join(
                    each.reason for each in loader.load_archive(path, name) if isinstance(each, CorpusError)
                )
            loader.load(path, name)
        except CorpusError as error:
            return error.reason
        return ""

    yield outcome
    for loader in loaders.values():
        loader.close()


def at_the_limit(tally, what: str, outcome: Callable[[int], str], limit: int, *, says: str) -> None:
    """Count the three cases: one below and the limit itself are read, one above is refused with what and remedy."""
    for size in (limit - 1, limit, limit + 1):
        reason = outcome(size)
        held = not reason if size <= limit else says in reason
        tally.case(held, f"{what} at {size:,} of {limit:,}: {reason or 'read'}")
        assert held, (what, size, limit, reason)


def pages(count: int) -> bytes:
    """Return a PDF of pages with a line each."""
    kids = b" ".join(b"%d 0 R" % (number + 5) for number in range(count))
    own = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 99] /Contents 3 0 R /Resources << /Font << /F 4 0 R >> >> >>"
    )
    line = hostile.stream(b"BT /F 12 Tf 9 50 Td (A line of text on this page) Tj ET")
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    tree = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, kids)
    return hostile.pdf(b"<< /Type /Catalog /Pages 2 0 R >>", tree, line, font, *[own] * count)


def nested_json(depth: int) -> bytes:
    return b'{"a":' * depth + b'"x"' + b"}" * depth


def rows(count: int) -> bytes:
    return b"name,place\n" + b"".join(b"row %d,here\n" % number for number in range(count))


def exactly(size: int) -> bytes:
    """Return a docx of so many bytes: what it holds beside its text cannot be packed."""
    noise = random.Random(1)
    bare = len(hostile.word("<w:p><w:r><w:t>text</w:t></w:r></w:p>", a__bin=b""))
    buffer = io.BytesIO(hostile.word("<w:p><w:r><w:t>text</w:t></w:r></w:p>"))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.bin", noise.randbytes(max(1, size - bare - 10)))
    grown = len(buffer.getvalue())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"c" * (size - grown)
    return buffer.getvalue()


def test_limits_of_one_file(read, tally, is_full):
    size = LoadConfig().max_bytes if is_full else 10_000
    at_the_limit(tally, "bytes", lambda n: read("a.docx", exactly(n), max_bytes=size), size, says="larger than")
    count = LoadConfig().max_pages if is_full else 5
    at_the_limit(tally, "pages", lambda n: read("a.pdf", pages(n), max_pages=count), count, says="split it")
    count = LoadConfig().max_characters if is_full else 5_000
    for suffix in (".txt", ".md", ".html", ".docx", ".rtf"):
        text = {
            ".html": lambda n: b"<html><body><p>" + b"a" * n,
            ".docx": lambda n: hostile.word(
                f"<w:p><w:r><w:t>{'a' * (n // 2)}</w:t><w:t>{'a' * (n - n // 2)}</w:t></w:r></w:p>"
            ),
            ".rtf": lambda n: rb"{\rtf1 " + b"a" * n + b"}",
        }.get(suffix, lambda n: b"a" * n)
        at_the_limit(
            tally,
            f"characters of {suffix}",
            lambda n, suffix=suffix, text=text: read(f"a{suffix}", text(n), max_characters=count),
            count,
            says=f"more than {count:,}; split it",
        )
    count = LoadConfig().max_cells if is_full else 50
    cells = 2 * (count // 2)
    for below, wanted in ((cells // 2 - 2, ""), (cells // 2 - 1, ""), (cells // 2, "more than")):
        reason = read("a.csv", rows(below), max_cells=cells, max_characters=20 * count)
        tally.case((wanted in reason) == bool(reason) or not wanted, f"cells: {reason}")
        assert wanted in reason and bool(wanted) == bool(reason)


def test_limits_of_depth(read, tally):
    at_the_limit(tally, "levels of JSON", lambda n: read("a.json", nested_json(n)), 101, says="nested deeper than 100")
    for name, content in (
        ("deep.json", b"[" * 200_000),
        ("hundred-thousand-deep.html", hostile.build("hundred-thousand-deep.html")),
        ("deep-xml.docx", hostile.build("deep-xml.docx")),
        ("deep.pptx", hostile.build("deep.pptx")),
    ):
        reason = read(name, content)
        tally.case(bool(reason), f"{name} was read")
        assert reason and len(reason) < 300


def test_limits_of_an_archive(read, tally, is_full):
    count = LoadConfig().max_members if is_full else 12

    def members(number: int) -> str:
        return read("a.zip", papers.packed({f"{n}.txt": f"text {n}" for n in range(number)}), max_members=count)

    at_the_limit(tally, "files in an archive", members, count, says="split it")
    total = 4_000

    def unpacked(size: int) -> str:
        return read(
            "a.zip", papers.packed({"a.txt": "a" * 2_000, "b.txt": "b" * (size - 2_000)}), max_unpacked_bytes=total
        )

    at_the_limit(tally, "unpacked bytes", unpacked, total, says="split it")


def test_limits_of_a_package(tally):
    """The directory of a zip package, where its numbers are stated: parts, and how far it grows."""

    def entries(sizes: list[int]) -> list[zipfile.ZipInfo]:
        found = [zipfile.ZipInfo(f"p{number}") for number in range(len(sizes))]
        for entry, size in zip(found, sizes, strict=True):
            entry.file_size = size
        return found

    def outcome(sizes: list[int], size: int) -> str:
        try:
            check_directory(entries(sizes), size, "the pptx")
        except UnreadableError as error:
            return str(error)
        return ""

    at_the_limit(tally, "parts", lambda n: outcome([1] * n, 10_000), MAX_ENTRIES, says="more than")
    size = 1 + SMALL_BYTES // MAX_EXPANSION
    at_the_limit(tally, "expansion", lambda n: outcome([n], size), MAX_EXPANSION * size, says="zip bomb")


def test_limits_of_an_upload(tmp_path, tally, is_full):
    size = 25 * 1024 * 1024 if is_full else 4_096

    def sent(count: int) -> str:
        try:
            save_upload(tmp_path, f"{count}.txt", b"a" * count, suffixes=frozenset({".txt"}), max_bytes=size)
        except UploadError as error:
            return str(error)
        return ""

    at_the_limit(tally, "bytes of an upload", sent, size, says="larger than")
    assert not list(tmp_path.glob(".upload-*"))


# Linear time: twice the text takes about twice the time.

ADVERSARIAL: dict[str, Callable[[int], str]] = {
    "one letter": lambda n: "a" * n,
    "spaces": lambda n: " " * (n - 1) + "x",
    "newlines": lambda n: "\n" * (n - 1) + "x",
    "words of one letter": lambda n: "a " * (n // 2),
    "full stops": lambda n: "." * n,
    "abbreviations": lambda n: "e.g. " * (n // 5),
    "marks on one letter": lambda n: "ا" + "\u064e" * (n - 1),
    "ligatures that grow": lambda n: "\ufdfa" * n,
    "bullets": lambda n: "- x\n" * (n // 4),
    "table rows": lambda n: "a | b\n" * (n // 6),
    "open brackets": lambda n: "([{« " * (n // 5),
    "joiners and directions": lambda n: "\u200d\u200f👩" * (n // 3),
    "headings": lambda n: "T\n\nx\n\n" * (n // 6),
    "arabic sentences": lambda n: "قال د. أحمد إن السعر 3.5 د.أ. ثم مضى، " * (n // 38),
}
_EMBEDDER = HashEmbedder()


def chunk(text: str) -> None:
    document = Document("a.txt", "A title", text, "ar", "")
    split_document(document, count_tokens=_EMBEDDER.count_tokens, config=ChunkingConfig())


STEPS: dict[str, Callable[[str], object]] = {
    "folding": fold,
    "sentences": split_sentences,
    "chunking": chunk,
    "analysis": lambda text: terms(text, "ar"),
}


def seconds(step: Callable[[str], object], text: str, *, times: int) -> float:
    """Return the processor time of a step, the least of several."""
    best = float("inf")
    gc.disable()  # what is alive elsewhere is none of the step's work
    try:
        for _ in range(times):
            began = time.process_time()
            step(text)
            best = min(best, time.process_time() - began)
    finally:
        gc.enable()
    return best


def ratios(step: Callable[[str], object], make: Callable[[int], str], size: int) -> Iterator[float]:
    """Yield how the time grows with twice the text, up to three times measured: a busy machine may disturb one."""
    for _ in range(3):
        yield seconds(step, make(2 * size), times=2) / max(seconds(step, make(size), times=2), 1e-3)


@pytest.mark.parametrize("name", STEPS)
def test_time_grows_with_the_length(name, tally, is_full):
    size = 5_000_000 if is_full else 30_000
    if is_full and name in ("chunking", "analysis", "sentences"):
        size = 1_250_000  # 2.5 MB of letters, twice that in bytes: as much as four documents may hold
    wrong = []
    worst = 0.0
    for label, make in ADVERSARIAL.items():
        growth = next((each for each in ratios(STEPS[name], make, size) if each < 2.5), None)
        tally.case(growth is not None, f"{name} of {label} takes more than 2.5 times as long for twice the text")
        worst = max(worst, growth or 99.0)
        wrong += [] if growth is not None else [label]
    tally.figures[f"{name}, time for twice the text"] = round(worst, 2)
    assert not wrong


def test_a_quadratic_step_goes_red():
    def quadratic(text: str) -> int:
        return sum(text[:end].count(" ") for end in range(0, len(text), 8))

    assert not any(growth < 2.5 for growth in ratios(quadratic, ADVERSARIAL["spaces"], 60_000))


def test_a_limit_that_is_not_kept_goes_red(read, tally):
    class Uncounted:
        def case(self, held: bool, what: str) -> None:
            pass

    with pytest.raises(AssertionError):
        at_the_limit(Uncounted(), "pages", lambda n: read("a.pdf", pages(n), max_pages=99), 4, says="split it")


def test_the_stated_limits_are_the_ones_in_force():
    config = LoadConfig()
    assert (config.max_bytes, config.max_pages, config.max_characters) == (25 * 2**20, 2_000, 5_000_000)
    assert MAX_EXPANSION == 100 and json.loads(nested_json(3))
