"""The child process that parses: ``python -m rag.loaders.worker``. Started by ``loader.py``, never by hand.

Protocol on the two pipes: the line ``ready`` out, then one exchange a file. In: one JSON line ``{"suffix", "size",
"max_characters", "max_pages", "timeout_s"}``, then ``size`` raw bytes. Out: one JSON line, ``{"ok": true, ...Parsed}``
or ``{"ok": false, "reason", "is_fatal"}``. A request that names a ``"page"`` and a ``"width"`` wants a picture of that
page of a PDF in place of the text: ``{"ok": true, "png"}``, in base64. End of input ends the process. Nothing is
pickled, and the process opens no document itself.

A parser library is imported when the first file of its format comes, so that the start takes milliseconds.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import BinaryIO, cast

from rag.loaders.blocks import Parsed, UnreadableError, check_length, one_line
from rag.loaders.sniff import check_content

_READY = b"ready\n"
_OPEN_FILES = 64


def parse(suffix: str, data: bytes, *, max_characters: int, max_pages: int) -> Parsed:
    """Parse the bytes of one file by its format.

    Raises:
        UnreadableError: The file cannot be read as what its name says.
    """
    check_content(suffix, data)
    if suffix == ".txt":
        from rag.loaders import text

        return text.parse(data, max_characters=max_characters)
    if suffix in (".md", ".markdown"):
        from rag.loaders import markdown

        return markdown.parse(data, max_characters=max_characters)
    if suffix in (".html", ".htm"):
        from rag.loaders import html

        return html.parse(data)
    if suffix == ".docx":
        from rag.loaders import docx

        return docx.parse(data)
    from rag.loaders import pdf

    return pdf.parse(data, max_pages=max_pages)


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


def answer(request: Mapping[str, object], data: bytes) -> dict[str, object]:
    """Return the reply to one request; a failure is a reply too."""
    suffix = cast(str, request["suffix"])
    try:
        return {"ok": True, **(_picture(request, data) if "page" in request else _text(suffix, request, data))}
    except UnreadableError as error:
        return {"ok": False, "reason": str(error), "is_fatal": False}
    except MemoryError:
        return {"ok": False, "reason": "", "is_fatal": True}
    except Exception as error:  # a parser library may raise anything on a hostile file; the parent must hear of it
        detail = one_line(f"{type(error).__name__}: {error}")[:200]
        return {"ok": False, "reason": f"damaged, or not a {suffix} file ({detail})", "is_fatal": False}


def _text(suffix: str, request: Mapping[str, object], data: bytes) -> dict[str, object]:
    max_characters, max_pages = cast(int, request["max_characters"]), cast(int, request["max_pages"])
    parsed = parse(suffix, data, max_characters=max_characters, max_pages=max_pages)
    check_length(parsed.text, max_characters)
    return asdict(parsed)


def _picture(request: Mapping[str, object], data: bytes) -> dict[str, object]:
    from rag.loaders import pdf_picture

    png = pdf_picture.draw_page(data, cast(int, request["page"]), width=cast(int, request["width"]))
    return {"png": base64.b64encode(png).decode("ascii")}


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Say that the process is ready, then answer requests until the input ends."""
    replies.write(_READY)
    replies.flush()
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["size"])
        if len(data) < request["size"]:
            return
        limit_cpu(request["timeout_s"])
        reply = answer(request, data)
        del data
        replies.write(json.dumps(reply).encode("ascii") + b"\n")
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
