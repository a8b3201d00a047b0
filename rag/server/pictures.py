"""Pages of PDFs as pictures, each drawn in a child process of its own and kept while it may be asked for again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from rag.config import LoadConfig
from rag.errors import CorpusError
from rag.loaders import DocumentLoader

_KEPT_BYTES = 32 * 1024 * 1024
AT_ONCE = 2


class PagePictures:
    """Draws pages. May be used from several threads; a few pages are drawn at once, the others wait.

    Args:
        config: Limits for each file.
    """

    def __init__(self, config: LoadConfig | None = None) -> None:
        self._config = config or LoadConfig()
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def draw(self, path: Path, number: int, *, doc_id: str, sha256: str) -> tuple[bytes, str]:
        """Return a page as PNG, and a tag that is another one for every other picture.

        Args:
            path: The file.
            number: 1-based.
            doc_id: Names the document in an error, where its path on this machine does not belong.
            sha256: Of the file as it was indexed.

        Raises:
            CorpusError: The file is no PDF, cannot be read, has changed, or has no such page.
        """
        key, tag = (sha256, number), f"{sha256[:32]}-{number}"
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key], tag
        try:
            with self._turns, DocumentLoader(self._config) as loader:
                picture = loader.draw_page(path, number, sha256=sha256)
        except CorpusError as error:
            raise CorpusError(doc_id, error.reason) from error
        with self._lock:
            self._kept[key] = picture
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return picture, tag
