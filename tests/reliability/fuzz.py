"""What takes bytes or text from outside, as fuzz targets: each takes any bytes and breaks on none.

``python -m reliability.fuzz TARGET SECONDS CORPUS`` fuzzes one with atheris, guided by coverage. An input that breaks
it is written to the working directory; kept in ``fuzz_corpus/TARGET/`` it is run with every test from then on.
"""

from __future__ import annotations

import importlib
import io
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

KEPT = Path(__file__).with_name("fuzz_corpus")
_SUFFIXES = (".txt", ".md", ".html", ".csv", ".json", ".jsonl", ".eml", ".rtf")
_PACKED = (".docx", ".xlsx", ".pptx", ".odt", ".epub", ".zip")


def _limits():
    from rag.loaders.blocks import Limits

    return Limits(max_characters=200_000, max_pages=50, max_cells=10_000)


def _parsed(suffix: str, data: bytes) -> None:
    from rag.loaders.blocks import UnreadableError, bounded
    from rag.loaders.worker import parse

    try:
        parsed = parse(suffix, data, _limits())
    except UnreadableError as error:
        assert str(error) and "\n" not in str(error), "a refusal is one line"
        return
    text = parsed.text
    assert text == text.strip()
    assert not any(ord(each) < 32 and each != "\n" for each in text)
    assert not any("\u202a" <= each <= "\u202e" or "\u2066" <= each <= "\u2069" for each in text)
    assert all(0 <= start < end <= len(text) for _, start, end in parsed.headings)
    bounded(parsed.metadata)


def loaders(data: bytes) -> None:
    """Parse as one of the text formats; the first byte says which."""
    if len(data) > 1:
        _parsed(_SUFFIXES[data[0] % len(_SUFFIXES)], data[1:])


def packages(data: bytes) -> None:
    """Parse as one of the zip formats. A library may raise anything here, as the worker catches it; it may not hang."""
    from rag.loaders.archive import ArchiveLimits, unpack
    from rag.loaders.blocks import UnreadableError
    from rag.loaders.worker import answer

    if len(data) < 2:
        return
    suffix = _PACKED[data[0] % len(_PACKED)]
    if suffix == ".zip":
        try:
            found = unpack(data[1:], ArchiveLimits(max_members=50, max_bytes=100_000, max_total=1_000_000))
        except UnreadableError:
            return
        assert all(".." not in str(each["name"]).split("/") or "reason" in each for each in found["members"])
        return
    request = {"suffix": suffix, "max_characters": 200_000, "max_pages": 50, "max_cells": 10_000}
    reply = answer(request, data[1:], lambda pages: None)
    assert reply["ok"] or (reply["is_fatal"] or reply["reason"])


def encodings(data: bytes) -> None:
    """Decode bytes, with a declared encoding that the first bytes name."""
    from rag.loaders.blocks import UnreadableError
    from rag.loaders.encoding import decode

    names = (
        "",
        "windows-1252",
        "utf-7",
        "utf-16",
        "punycode",
        "iso-8859-1",
        "windows-1256",
        data[1:9].decode("latin-1"),
    )
    try:
        text, _ = decode(data[1:], declared=names[data[0] % len(names)] if data else "")
    except UnreadableError:
        return
    assert not any(0xE0000 <= ord(each) <= 0xE007F for each in text)


def manifest(data: bytes) -> None:
    """Read a manifest: damaged or right, never anything else."""
    from rag.errors import IndexFormatError
    from rag.store.manifest import Manifest

    try:
        Manifest.from_bytes(data, path=Path("manifest.json"))
    except IndexFormatError as error:
        assert "manifest.json" in str(error)


def folding(data: bytes) -> None:
    """Fold text: the same again, with a map that leads back in order."""
    from rag.text.analyzers import analyze
    from rag.text.fold import fold, fold_text

    text = data.decode("utf-8", "surrogatepass" if _is_passable(data) else "replace")
    folded = fold(text)
    assert folded.text == fold_text(text) == fold_text(folded.text)
    offsets = list(folded.offsets)
    assert offsets == sorted(offsets) and len(offsets) == len(folded.text) + 1 and offsets[-1] == len(text)
    for token in analyze(text, "ar"):
        assert 0 <= token.start < token.end <= len(text) and token.term


def chunker(data: bytes) -> None:
    """Cut text: passages in order, each a slice of the document, nothing visible between them."""
    from rag.chunking import split_document
    from rag.config import ChunkingConfig
    from rag.datatypes import Document
    from rag.text.sentences import split_sentences

    text = data.decode("utf-8", "replace")
    document = Document("a.txt", text[:20], text, "ar" if len(data) % 2 else "en", "")

    def count_tokens(texts):
        return [2 + len(each.split()) + len(each) // 7 for each in texts]

    config = ChunkingConfig(max_tokens=32, context_tokens=8, min_tokens=4)
    end = 0
    for passage in split_document(document, count_tokens=count_tokens, config=config):
        assert text[passage.start : passage.end] == passage.text
        assert not text[end : passage.start].strip() and passage.start >= end
        end = passage.end
    assert not text[end:].strip()
    spans = split_sentences(text)
    assert spans == sorted(spans) and all(text[first:last].strip() == text[first:last] != "" for first, last in spans)


def names(data: bytes) -> None:
    """Make file names of uploads and of pages of the web safe."""
    from rag.server.uploads import UploadError, safe_name, safe_parts
    from rag.web.names import file_name

    text = data.decode("utf-8", "surrogatepass" if _is_passable(data) else "replace")
    try:
        name = safe_name(text)
        assert "/" not in name and name not in (".", "..") and len(name.encode()) <= 255 and not name.startswith(".")
        assert all(part not in ("", ".", "..") for part in safe_parts(text))
    except UploadError:
        pass
    path = file_name("https://example.org/" + text.replace("#", "").replace("?", ""), ".html")
    assert not any(part in ("", ".", "..") or len(part.encode()) > 255 for part in path.split("/"))


def _is_passable(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (loaders, packages, encodings, manifest, folding, chunker, names)
}


def seeds(target: str) -> list[bytes]:
    """Return small inputs of the kind that a target takes."""
    from reliability import hostile

    formats = hostile.good_formats()
    if target == "loaders":
        return [bytes([at]) + formats.get(suffix, b"")[:4_000] for at, suffix in enumerate(_SUFFIXES)]
    if target == "packages":
        return [bytes([at]) + formats[suffix] for at, suffix in enumerate(_PACKED)]
    words = "قال د. أحمد: السعر 3.5 د.أ.\n\n- بند\n# T\n| a | b |\n\u202e\u200bcafé ﷺ".encode()
    return [words, b"\x01" + words.decode().encode("cp1256", "ignore"), b'{"format_version": 1, "files": {}}']


def repacked(data: bytes, change: Callable[[bytes], bytes], choice: int) -> bytes:
    """Return a zip archive with one of its files changed, and every checksum right; ``choice`` says which.

    Flipped in the archive itself, a byte is nearly always one that the checksum finds before any parser is asked.

    Raises:
        zipfile.BadZipFile and others: It cannot be read.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        chosen = choice % max(1, len(archive.infolist()))
        for number, entry in enumerate(archive.infolist()):
            content = archive.read(entry)
            target.writestr(entry.filename, change(content) if number == chosen else content, entry.compress_type)
    return packed.getvalue()


def mutated(data: bytes, max_bytes: int, seed: int) -> bytes:
    """Change a package inside, three times in four; the package itself else."""
    import atheris

    noise = random.Random(seed)
    if noise.randrange(4):
        try:
            changed = data[:1] + repacked(
                data[1:], lambda content: atheris.Mutate(content, 2 * len(content) + 64), noise.randrange(1 << 16)
            )
        except Exception:  # no archive any more; zipfile raises whatever a broken one leads to
            pass
        else:
            if len(changed) <= max_bytes:
                return changed
    return bytes(atheris.Mutate(data, max_bytes))


def main(target: str, seconds: int, corpus: Path) -> None:
    """Fuzz one target for so many seconds."""
    import atheris

    libraries = ["docx", "markdown_it", "openpyxl", "pptx", "striprtf"]
    with atheris.instrument_imports(include=["rag", *(libraries if target in ("loaders", "packages") else [])]):
        import rag.chunking
        import rag.loaders.archive
        import rag.server.uploads
        import rag.store.manifest
        import rag.web.names  # noqa: F401
        from rag.loaders import worker

        for parser in set(worker._PARSERS.values()) - {"pdf"}:  # else the first file would import them, unguided
            importlib.import_module(f"rag.loaders.{parser}")
        for library in libraries:
            importlib.import_module(library)
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    longest = max(20_000, *(2 * len(seed) for seed in seeds(target)))  # what is longer is cut off
    arguments = [sys.argv[0], f"-max_total_time={seconds}", f"-max_len={longest}", "-timeout=25", "-rss_limit_mb=2048"]
    kept = KEPT / target
    own = {"custom_mutator": mutated} if target == "packages" else {}
    atheris.Setup([*arguments, str(corpus), *([str(kept)] if kept.is_dir() else [])], TARGETS[target], **own)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
