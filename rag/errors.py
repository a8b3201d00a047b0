"""The errors a caller may meet.

RagError                    the state of the world is wrong; ``str(error)`` says what, where and the remedy
├── CorpusError             a document (or the whole corpus) cannot be read; carries ``path`` and ``reason``
├── IndexNotFoundError      there is no index at that place
├── IndexFormatError        the index is damaged, or of another format version
│   └── IndexCorruptError   a file of it is missing or damaged; carries ``path`` and ``reason``
├── IndexMismatchError      the index was built with another embedder than the one loaded
├── IndexLockedError        another process is building this index
├── BuildCancelledError     a build was ended on request; the index is as it was before
├── ModelNotFoundError      an embedder, reader or language model cannot be opened
├── GeneratorError          a language model, or its server, failed while it wrote
├── FetchError              a page of the web cannot be fetched; carries ``url`` and ``reason``
└── ServerError             the server cannot start (for instance its port is taken)

A caller's own mistake (``top_k=0``) is a ``ValueError`` or ``TypeError``, never a ``RagError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path


class RagError(Exception):
    """Something outside the program's control is wrong; the message ends with the remedy."""


class CorpusError(RagError):
    """A document, or the corpus as a whole, cannot be read.

    Args:
        path: The file or folder at fault.
        reason: What is wrong with it, one sentence, without the path.
        failed: Where a whole corpus is at fault, the path of each file in it that cannot be read, and the reason.
    """

    def __init__(self, path: Path | str, reason: str, *, failed: Sequence[tuple[str, str]] = ()) -> None:
        self.path = Path(path)
        self.reason = reason
        self.failed = tuple(failed)
        super().__init__(f"{path}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:  # an exception is otherwise rebuilt of its message alone
        return partial(type(self), failed=self.failed), (self.path, self.reason)


class IndexNotFoundError(RagError):
    """There is no index at that place."""


class IndexFormatError(RagError):
    """The index is damaged, or was written in another format version."""


class IndexCorruptError(IndexFormatError):
    """A file of the index is missing, damaged, or not its own.

    Args:
        path: The file or folder at fault.
        reason: What is wrong with it, without the path: ``"is missing"``.
    """

    remedy = "Restore the previous index: rag rollback, or rebuild it: rag build"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} {reason}. {self.remedy}")


class IndexMismatchError(RagError):
    """The index was built with another embedder than the one loaded."""


class IndexLockedError(RagError):
    """Another process is building this index right now."""


class BuildCancelledError(RagError):
    """A build was ended on request; the index is as it was before."""


class ModelNotFoundError(RagError):
    """An embedder, reader or language model cannot be opened."""


class GeneratorError(RagError):
    """A language model, or its server, failed while it wrote."""


class FetchError(RagError):
    """A page of the web cannot be fetched.

    Args:
        url: Its address.
        reason: What is wrong with it, one sentence, without the address.
    """

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"{url}: {reason}")


class ServerError(RagError):
    """The server cannot start."""
