"""A service that reads one batch of files, in a process of its own whose memory can be watched.

Run as a script: ``batch_reader.py FOLDER CONFIG_JSON``. It reads the files of the folder by name and says on stdout one
JSON line a file, ``{"name", "seconds", "ocr_seconds", "child_bytes", "parent_bytes", "descriptors", "reason",
"texts"}``: ``texts`` has the sha256 of each document's text by its name, ``child_bytes`` and ``parent_bytes`` are the
largest resident sizes so far of the process that read it and of this one, ``descriptors`` is what this one has open,
``ocr_seconds`` the time that was added for pages that are scans.
``CONFIG_JSON`` is the members of `LoadConfig`; ``{"is_naive": true}`` parses in this process, with no limit at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rag.config import LoadConfig
from rag.datatypes import Document
from rag.errors import CorpusError
from rag.loaders import DocumentLoader, is_archive, loader, worker


def status_kib(pid: int | str, field: str) -> int:
    """Return a field of ``/proc/PID/status`` in KiB; 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


class WatchedLoader(DocumentLoader):
    """Notes how much memory its child came to, the one that was killed too."""

    peak_kib = 0

    def _exchange(self, *request):
        reply = super()._exchange(*request)
        self._look()
        return reply

    def _stop(self):
        self._look()
        return super()._stop()

    def _look(self) -> None:
        if self._child is not None:
            self.peak_kib = max(self.peak_kib, status_kib(self._child.pid, "VmHWM"))


class WatchedDeadline(loader._Deadline):
    """Notes how many seconds files were given for OCR."""

    extra_s = 0.0

    def extend(self, seconds: float) -> None:
        WatchedDeadline.extra_s += seconds
        super().extend(seconds)


class NaiveLoader(WatchedLoader):
    """The known bad one: the parser runs in the process that serves."""

    def _exchange(self, suffix, data, wish, timeout_s):
        config = self.config
        limits = {name: getattr(config, name) for name in ("max_characters", "max_pages", "max_cells", "max_ocr_pages")}
        request = {"suffix": suffix, **limits, "ocr_page_timeout_s": 1.0, **wish}
        return worker.answer(request, data, lambda pages: None)


def documents(reader: DocumentLoader, path: Path) -> Iterator[Document | CorpusError]:
    """Yield what a build makes of a file."""
    try:
        if is_archive(path):
            for found in reader.load_archive(path, path.name):
                yield found if isinstance(found, CorpusError) else found[0]
        else:
            yield reader.load(path, path.name)
    except CorpusError as error:
        yield error


def read(reader: WatchedLoader, path: Path) -> dict[str, object]:
    if type(reader) is WatchedLoader:
        reader._start()  # after a child was killed: its limit begins when it is ready, and so does this clock
    began, extra_s = time.monotonic(), WatchedDeadline.extra_s
    texts: dict[str, str] = {}
    reasons: list[str] = []
    for found in documents(reader, path):
        if isinstance(found, CorpusError):
            reasons.append(found.reason)
        else:
            texts[found.doc_id.partition("-")[2]] = hashlib.sha256(found.text.encode()).hexdigest()
    return {
        "name": path.name,
        "seconds": round(time.monotonic() - began, 2),
        "ocr_seconds": WatchedDeadline.extra_s - extra_s,
        "child_bytes": 1024 * reader.peak_kib,
        "parent_bytes": 1024 * status_kib(os.getpid(), "VmHWM"),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "reason": "; ".join(dict.fromkeys(reasons))[:2_000],
        "texts": texts,
    }


def main(folder: Path, config: dict[str, object]) -> None:
    is_naive = bool(config.pop("is_naive", False))
    loader._Deadline = WatchedDeadline
    with (NaiveLoader if is_naive else WatchedLoader)(LoadConfig(**config)) as reader:
        for path in sorted(folder.iterdir()):
            sys.stdout.write(json.dumps(read(reader, path)) + "\n")
            sys.stdout.flush()  # before the next file ends the process


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
