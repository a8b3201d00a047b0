"""The child process that parses: ``python -m rag.loaders.worker``. Started by ``loader.py``, never by hand.

Protocol on the two pipes: the line ``ready`` out, then one exchange a file. In: one JSON line ``{"suffix", "size",
"max_characters", "max_pages", "max_cells", "max_ocr_pages", "ocr_page_timeout_s", "timeout_s"}``, then ``size`` raw
bytes. Out: before pages are read by OCR, their number (``{"ocr_pages": 3}``), then one JSON line, ``{"ok": true,
...Parsed}`` or ``{"ok": false, "reason", "is_fatal"}``. ``"metadata"`` is an object of strings, as
`rag.loaders.blocks.bounded` leaves it. A request that names a ``"page"`` and a ``"width"`` wants a picture of that page
of a PDF in place of the text: ``{"ok": true, "png"}``, in base64. Of a zip archive, a request with ``"first"``,
``"max_members"``, ``"max_bytes"`` and ``"max_total"`` wants a batch of its members, as `rag.loaders.archive.unpack`
gives it. End of input ends the process. Nothing is pickled, and the process opens no document itself.

A parser library is imported when the first file of its format comes, so that the start takes milliseconds.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO, cast

from rag.loaders.blocks import Limits, Parsed, UnreadableError, bounded, check_length, one_line
from rag.loaders.sniff import PICTURE_SUFFIXES, check_content

if TYPE_CHECKING:
    from rag.loaders.ocr import Recogniser

_READY = b"ready\n"
_OPEN_FILES = 64


_PARSERS = {
    **{".txt": "text", ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html", ".pdf": "pdf"},
    **{".docx": "docx", ".pptx": "pptx", ".xlsx": "xlsx", ".odt": "odf", ".ods": "odf", ".odp": "odf", ".rtf": "rtf"},
    **{".csv": "separated", ".tsv": "separated", ".json": "structured", ".jsonl": "structured"},
    **{".epub": "epub", ".eml": "eml"},
}


def parse(suffix: str, data: bytes, limits: Limits) -> Parsed:
    """Parse the bytes of one file by its format.

    Raises:
        UnreadableError: The file cannot be read as what its name says.
    """
    check_content(suffix, data)
    if suffix in PICTURE_SUFFIXES:
        from rag.loaders import picture

        return picture.parse(data, max_pages=limits.max_pages, recogniser=limits.recogniser)
    parser = importlib.import_module(f"rag.loaders.{_PARSERS[suffix]}")
    if suffix in (".txt", ".md", ".markdown"):
        return cast(Parsed, parser.parse(data, max_characters=limits.max_characters))
    if suffix in (".html", ".htm", ".docx", ".rtf"):
        return cast(Parsed, parser.parse(data))
    if suffix == ".pdf":
        return cast(Parsed, parser.parse(data, max_pages=limits.max_pages, recogniser=limits.recogniser))
    if suffix == ".eml":
        return cast(Parsed, parser.parse(data, limits, [own for own in _PARSERS if own != suffix], _part(limits)))
    return cast(Parsed, parser.parse(data, limits))


def _part(limits: Limits) -> Callable[[str, bytes], Parsed]:
    """Return what parses a part of a file; a parser that breaks down on it refuses only the part."""

    def parse_part(suffix: str, data: bytes) -> Parsed:
        try:
            return parse(suffix, data, limits)
        except (UnreadableError, MemoryError):
            raise
        except Exception as error:
            raise UnreadableError(_damage(suffix, error)) from error

    return parse_part


def limit_process(*, memory_bytes: int) -> None:
    """Bound this process for good: memory, open files; no file can be written, no core is dumped."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def limit_cpu(seconds: float) -> None:
    """Let the next ``seconds`` of processor time pass, then end the process (SIGXCPU)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def answer(request: Mapping[str, object], data: bytes, announce: Callable[[int], None]) -> dict[str, object]:
    """Return the reply to one request; a failure is a reply too. ``announce`` tells of pages to be read by OCR."""
    suffix = cast(str, request["suffix"])
    try:
        if "page" in request:
            return {"ok": True, **_picture(request, data)}
        return {"ok": True, **(_archive(request, data) if suffix == ".zip" else _text(request, data, announce))}
    except UnreadableError as error:
        return {"ok": False, "reason": str(error), "is_fatal": False}
    except MemoryError:
        return {"ok": False, "reason": "", "is_fatal": True}
    except RecursionError:
        return {"ok": False, "reason": "what it holds is nested too deeply; save it anew", "is_fatal": False}
    except Exception as error:  # a parser library may raise anything on a hostile file; the parent must hear of it
        return {"ok": False, "reason": _damage(suffix, error), "is_fatal": False}


def _damage(suffix: str, error: Exception) -> str:
    detail = one_line(f"{type(error).__name__}: {error}")[:200]
    return f"damaged, or not a {suffix} file ({detail})"


def _text(request: Mapping[str, object], data: bytes, announce: Callable[[int], None]) -> dict[str, object]:
    suffix = cast(str, request["suffix"])
    limits = Limits(
        max_characters=cast(int, request["max_characters"]),
        max_pages=cast(int, request["max_pages"]),
        max_cells=cast(int, request["max_cells"]),
        recogniser=_recogniser(request, announce) if suffix in (".pdf", ".eml", *PICTURE_SUFFIXES) else None,
    )
    parsed = parse(suffix, data, limits)
    check_length(parsed.text, limits.max_characters)
    return {**asdict(parsed), "metadata": bounded(parsed.metadata)}


def _recogniser(request: Mapping[str, object], announce: Callable[[int], None]) -> Recogniser | None:
    """Return what reads scans, None where OCR is not installed."""
    from rag.loaders import ocr, tesseract

    if not tesseract.languages():
        return None
    page_timeout_s = cast(float, request["ocr_page_timeout_s"])

    def start(pages: int) -> None:
        limit_cpu(pages * page_timeout_s)  # for each page of its own; tesseract inherits it
        announce(pages)

    return ocr.Recogniser(max_pages=cast(int, request["max_ocr_pages"]), page_timeout_s=page_timeout_s, announce=start)


def _archive(request: Mapping[str, object], data: bytes) -> dict[str, object]:
    from rag.loaders import archive

    check_content(".zip", data)
    limits = archive.ArchiveLimits(
        **{name: cast(int, request[name]) for name in ("max_members", "max_bytes", "max_total")}
    )
    return archive.unpack(data, limits, first=cast(int, request["first"]), is_digest=bool(request.get("is_digest")))


def _picture(request: Mapping[str, object], data: bytes) -> dict[str, object]:
    from rag.loaders import pdf_picture

    png = pdf_picture.draw_page(data, cast(int, request["page"]), width=cast(int, request["width"]))
    return {"png": base64.b64encode(png).decode("ascii")}


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Say that the process is ready, then answer requests until the input ends."""

    def announce(pages: int) -> None:
        replies.write(json.dumps({"ocr_pages": pages}).encode("ascii") + b"\n")
        replies.flush()

    replies.write(_READY)
    replies.flush()
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["size"])
        if len(data) < request["size"]:
            return
        limit_cpu(request["timeout_s"])
        reply = answer(request, data, announce)
        del data
        # Arabic takes six bytes a letter as escapes, two as UTF-8: that is what the parent has to hold.
        replies.write(json.dumps(reply, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        replies.flush()


def main() -> int:
    """Run the worker; the one argument is the memory limit in bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process itself
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into the replies
    limit_process(memory_bytes=int(sys.argv[1]))
    try:
        serve(sys.stdin.buffer, replies)
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
