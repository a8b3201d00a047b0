"""``DocumentLoader``: a file becomes a ``Document``, or a page of it a picture, in a child process that can be killed.

Why a child: 54 KB of docx can take 43 s and 700 MB in its parser, and a damaged PDF can abort the process it is
read in. The child has hard limits on memory, processor time and files, holds no secret of the parent's
environment, is reused from file to file, and is replaced after it was killed or ran out of memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rag.config import LoadConfig
from rag.datatypes import Document, Heading, Page
from rag.errors import CorpusError
from rag.loaders.blocks import TITLE_CHARACTERS
from rag.loaders.scan import SUPPORTED_SUFFIXES, is_archive, name_problem, unsupported_reason
from rag.text.language import detect_language

logger = logging.getLogger(__name__)

_WORKER = "rag.loaders.worker"  # its docstring has the protocol
_READY = b"ready\n"
_OCR = b'{"ocr_pages"'
# What a Python child needs to start; everything else of the environment (tokens, keys) stays behind.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "SYSTEMROOT",
    "TZ",
    "TESSDATA_PREFIX",
)
_LANGUAGE_SAMPLE = 20_000
PAGE_WIDTH = 1000  # pixels of a drawn page
Known = Callable[[str, str], Document | None]
_START_TIMEOUT_S = 60.0


class _ChildFailure(Exception):
    """The child gave no usable reply: it was killed, ran out of memory, or died. Worth one try in a fresh child."""

    def __init__(self, reason: str, *, is_retryable: bool) -> None:
        super().__init__(reason)
        self.is_retryable = is_retryable


class _Deadline:
    """Kills a child that is still at work after ``timeout_s``; ``is_over`` says that it did."""

    def __init__(self, child: subprocess.Popen[bytes], timeout_s: float) -> None:
        self.is_over = False
        self.timeout_s = timeout_s
        self._child = child
        self._started = time.monotonic()
        self._timer = self._timed(timeout_s)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def extend(self, seconds: float) -> None:
        """Give the child more time, unless its time is over."""
        self._timer.cancel()
        self._timer.join()
        if not self.is_over:
            self.timeout_s += seconds
            self._timer = self._timed(self.timeout_s - (time.monotonic() - self._started))
            self._timer.start()

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()
        self._timer.join()  # if it is killing just now, that is part of this file's turn

    def _timed(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        return timer

    def _end(self) -> None:
        self.is_over = True
        _kill(self._child)


class DocumentLoader:
    """Reads documents. A context manager; may be used from several threads, one file at a time.

    Args:
        config: Limits for each file.
    """

    def __init__(self, config: LoadConfig | None = None) -> None:
        self.config = config or LoadConfig()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DocumentLoader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child process. The loader may be used again; the next file starts a new one."""
        with self._lock:
            self._stop()

    def load(self, path: Path, doc_id: str, *, data: bytes | None = None) -> Document:
        """Read one file.

        Args:
            path: A regular file of one of ``SUPPORTED_SUFFIXES``, or one in an archive. Its content
                decides, not its name alone.
            doc_id: Identity of the document, kept as it is.
            data: The file's bytes, as `read` gives them; None reads them.

        Returns:
            The document; its text is never empty and holds no control character but the newline.

        Raises:
            CorpusError: The file cannot be read; ``reason`` is one sentence, with the remedy where there is one.
        """
        reason = name_problem(doc_id)
        if reason:
            raise CorpusError(path, reason)
        if path.suffix.lower() not in SUPPORTED_SUFFIXES:
            raise CorpusError(path, unsupported_reason(path.suffix))
        if is_archive(path):
            raise CorpusError(path, "an archive of documents: load_archive reads each of them")
        return self._document(path, doc_id, self.read(path) if data is None else data)

    def load_archive(
        self, path: Path, doc_id: str, *, known: Known | None = None, data: bytes | None = None
    ) -> Iterator[tuple[Document, str] | CorpusError]:
        """Read each file of an archive as a document of its own; one that cannot be read stops none of the others.

        Args:
            path: A file whose name `is_archive`.
            doc_id: Of the archive; the documents are ``doc_id/name in the archive``.
            known: Returns the document of a doc_id and a sha256 where it was read before, None where it was not.
            data: The archive's bytes, as `read` gives them; None reads them.

        Yields:
            By name, each document with the doc_id of the one that was ``known``, empty where it was read anew; of what
            was refused, the error, whose ``path`` goes on into the archive. What is refused may take the time of one
            file, all together; the files after that are refused unread.

        Raises:
            CorpusError: The archive itself cannot be read, or no document is in it.
        """
        is_empty = True
        left_s = self.config.timeout_s  # for all that is refused in it together: a thousand slow files are one upload
        for member in self._members(path, data=data):
            is_empty = False
            inner, inner_id = path / member["name"], f"{doc_id}/{member['name']}"
            if "reason" in member:
                yield CorpusError(inner, member["reason"])
                continue
            if left_s <= 0:
                yield CorpusError(inner, "not read, as the files before it took too long; take them out of the archive")
                continue
            data = base64.b64decode(member["data"])
            same = known(inner_id, hashlib.sha256(data).hexdigest()) if known is not None else None
            if same is not None:
                yield replace(same, doc_id=inner_id), same.doc_id
                continue
            began = time.monotonic()
            try:
                document = self._document(inner, inner_id, data, timeout_s=left_s)
            except CorpusError as error:
                left_s -= time.monotonic() - began
                yield error
            else:
                yield document, ""
        if is_empty:
            raise CorpusError(path, "the archive holds no document")

    def digests(self, path: Path, *, data: bytes | None = None) -> dict[str, str]:
        """Return the sha256 of each document in an archive, by its name in it; empty for one that is refused.

        ``data`` are the archive's bytes, as `read` gives them; None reads them.

        Raises:
            CorpusError: The archive cannot be read.
        """
        return {member["name"]: member.get("sha256", "") for member in self._members(path, is_digest=True, data=data)}

    def _members(self, path: Path, *, is_digest: bool = False, data: bytes | None = None) -> Iterator[dict[str, str]]:
        """Yield the members of an archive as `rag.loaders.archive.unpack` gives them."""
        data = self.read(path) if data is None else data
        config = self.config
        first: int | None = 0
        while first is not None:
            wish = {
                "first": first,
                "is_digest": int(is_digest),
                "max_members": config.max_members,
                "max_bytes": config.max_bytes,
                "max_total": config.max_unpacked_bytes,
            }
            with self._lock:
                reply = self._parse(path, path.suffix.lower(), data, wish)
            yield from reply["members"]
            first = reply["next"]

    def _member(self, archive: Path, name: str) -> bytes:
        for member in self._members(archive):
            if member["name"] == name:
                if "reason" in member:
                    raise CorpusError(archive / name, member["reason"])
                return base64.b64decode(member["data"])
        raise CorpusError(archive / name, "there is no such file in the archive")

    def _document(self, path: Path, doc_id: str, data: bytes, *, timeout_s: float | None = None) -> Document:
        """Return the document of a file's bytes; ``path`` names it in errors and gives format and title."""
        sha256 = hashlib.sha256(data).hexdigest()
        with self._lock:
            reply = self._parse(path, path.suffix.lower(), data, timeout_s=timeout_s)
        text: str = reply["text"]
        if not text:
            raise CorpusError(path, "it holds no text")
        return Document(
            doc_id=doc_id,
            title=reply["title"] or _title_from_name(path.stem, text),
            text=text,
            language=detect_language(text[:_LANGUAGE_SAMPLE]),
            sha256=sha256,
            headings=tuple(Heading(text[start:end], level, start, end) for level, start, end in reply["headings"]),
            pages=tuple(Page(number, start, end) for number, start, end in reply["pages"]),
            warnings=tuple(reply["warnings"]),
            metadata=tuple(sorted(reply["metadata"].items())),
        )

    def draw_page(self, path: Path, number: int, *, sha256: str, width: int = PAGE_WIDTH) -> bytes:
        """Return a page of a PDF as PNG.

        Args:
            path: The file.
            number: 1-based.
            sha256: Of the file's bytes as they are expected, 64 hexadecimal digits.
            width: Pixels across.

        Raises:
            CorpusError: The file is no PDF, cannot be read, has other bytes by now, or has no such page.
        """
        if path.suffix.lower() != ".pdf":
            raise CorpusError(path, "only the pages of a PDF can be drawn")
        data = self.read(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CorpusError(path, "the file has changed since it was indexed; update the index")
        with self._lock:
            reply = self._parse(path, ".pdf", data, {"page": number, "width": width})
        return base64.b64decode(reply["png"])

    def read(self, path: Path) -> bytes:
        """Return the bytes of a regular file, or of one in an archive. A pipe or device is never waited for.

        Raises:
            CorpusError: The file is empty, larger than a file may be, or cannot be opened.
        """
        archive = next((parent for parent in path.parents if is_archive(parent) and parent.is_file()), None)
        if archive is not None:
            return self._member(archive, path.relative_to(archive).as_posix())
        limit = self.config.max_bytes
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise CorpusError(path, "not a regular file")
                data = file.read(limit + 1) if status.st_size <= limit else b""
                size = max(status.st_size, len(data))
        except OSError as error:
            raise CorpusError(path, f"cannot be opened ({error.strerror or error})") from error
        if size > limit:
            raise CorpusError(path, f"larger than {_size(limit)} ({_size(size)}); split it or raise the limit")
        if not data:
            raise CorpusError(path, "the file is empty")
        return data

    def _parse(
        self,
        path: Path,
        suffix: str,
        data: bytes,
        wish: Mapping[str, int] = MappingProxyType({}),
        *,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Have the child parse ``data``; one more try in a fresh child if a used one broke down.

        ``wish`` is added to the request. ``timeout_s`` is for both tries together; None for that of the config.
        """
        timeout_s = self.config.timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + timeout_s
        was_fresh = self._child is None
        try:
            reply = self._exchange(suffix, data, wish, timeout_s)
        except _ChildFailure as failure:
            left_s = end - time.monotonic()
            if was_fresh or not failure.is_retryable or left_s <= 0:
                raise CorpusError(path, str(failure)) from failure
            try:
                reply = self._exchange(suffix, data, wish, left_s)
            except _ChildFailure as second:
                raise CorpusError(path, str(second if second.is_retryable else failure)) from second
        if not reply["ok"]:
            raise CorpusError(path, reply["reason"])
        return reply

    def _exchange(self, suffix: str, data: bytes, wish: Mapping[str, int], timeout_s: float) -> dict[str, Any]:
        child = self._start()
        assert child.stdin is not None and child.stdout is not None
        config = self.config
        header = {
            "suffix": suffix,
            "size": len(data),
            "max_characters": config.max_characters,
            "max_pages": config.max_pages,
            "max_cells": config.max_cells,
            "max_ocr_pages": config.max_ocr_pages,
            "ocr_page_timeout_s": config.ocr_page_timeout_s,
            "timeout_s": timeout_s,
            **wish,
        }
        with _Deadline(child, timeout_s) as deadline:
            try:
                child.stdin.write(json.dumps(header).encode("ascii") + b"\n")
                child.stdin.write(data)  # on its own: joined, a large file would be in memory twice
                child.stdin.flush()
                line = child.stdout.readline()
                left = config.max_ocr_pages
                while line.startswith(_OCR):
                    pages = min(int(json.loads(line)["ocr_pages"]), left)
                    left -= pages
                    deadline.extend(pages * config.ocr_page_timeout_s)
                    line = child.stdout.readline()
            except BrokenPipeError:
                line = b""
            except BaseException:
                self._stop()  # the exchange is half done: the next file must not read this one's reply
                raise
        if deadline.is_over:
            self._stop()
            raise _ChildFailure(
                f"took longer than {round(deadline.timeout_s, 1):g} s to read; split it or raise the limit",
                is_retryable=False,
            )
        if not line.endswith(b"\n"):
            code = self._stop()
            logger.debug("parser process ended with code %s", code)
            raise _ChildFailure(
                f"the parser broke down on it ({_ending(code)}); the file may be damaged", is_retryable=True
            )
        reply: dict[str, Any] = json.loads(line)
        if not reply["ok"] and reply["is_fatal"]:
            self._stop()
            raise _ChildFailure(
                f"needed more than {_size(config.max_memory_bytes)} of memory to read; split it or raise the limit",
                is_retryable=True,
            )
        return reply

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._stop()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        package_parent = str(Path(__file__).resolve().parents[2])
        inherited = os.environ.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([package_parent, inherited] if inherited else [package_parent])
        environment["OMP_NUM_THREADS"] = "1"
        self._child = subprocess.Popen(
            # -P: a docx.py in the folder where the program was started must not be imported in place of the library;
            # -B: it may write no file, so it need not try to keep its bytecode
            [sys.executable, "-P", "-B", "-m", _WORKER, str(self.config.max_memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        with _Deadline(self._child, _START_TIMEOUT_S):
            assert self._child.stdout is not None
            is_ready = self._child.stdout.readline() == _READY
        if not is_ready:
            code = self._stop()
            raise _ChildFailure(f"the process that reads documents did not start ({_ending(code)})", is_retryable=False)
        return self._child

    def _stop(self) -> int | None:
        """End the child if there is one; return its exit code."""
        child, self._child = self._child, None
        if child is None:
            return None
        assert child.stdin is not None and child.stdout is not None
        if child.returncode is None:  # else it is gone, with whatever it had started
            _kill(child)  # although it may be dead already: not so the OCR that it started
        try:
            child.stdin.close()
        except BrokenPipeError:
            logger.debug("the parser process was gone before its input was closed")
        child.stdout.close()
        return child.wait()


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the child with everything it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        logger.debug("the parser process had already ended")


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _size(count: int) -> str:
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"


def _title_from_name(stem: str, text: str) -> str:
    """Return the file's name as a title; the first words of the text where the name is a mere code."""
    words = re.sub(r"[\s_\-.]+", " ", stem).strip()
    if any(word.isalpha() and len(word) > 2 for word in words.split()):
        return words[:TITLE_CHARACTERS]
    first_line = text.partition("\n")[0]
    if len(first_line) <= 80:
        return first_line
    return first_line[:80].rpartition(" ")[0] + " …"
