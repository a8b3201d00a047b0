"""The pages that were fetched: files under ``CORPUS/web/``, and ``.pages.json`` there, which says where each is from.

The name begins with a dot, so that no build takes it for a document. It is written anew, whole, after every page.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rag.errors import CorpusError
from rag.web.names import file_name, mark_of

FOLDER = "web"
PAGES = ".pages.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched page.

    ``file`` is its path under the folder ``web``, ``fetched`` the time in UTC (ISO 8601), ``sha256`` that of the file.
    """

    file: str
    fetched: str
    sha256: str
    etag: str = ""
    last_modified: str = ""


class Shelf:
    """The fetched pages of one corpus. A context manager; one process at a time holds it.

    Args:
        corpus_dir: The corpus folder; made if it is not there.

    Raises:
        CorpusError: The folder cannot be written, another ``rag add`` is at work, or the list of pages is damaged.
    """

    def __init__(self, corpus_dir: Path) -> None:
        self.folder = corpus_dir / FOLDER
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / ".lock", timeout=0)
            self._lock.acquire()
        except Timeout as error:
            raise CorpusError(self.folder, "another rag add is at work there; wait for it to end") from error
        except OSError as error:
            raise CorpusError(self.folder, f"cannot be written ({error.strerror or error})") from error
        try:
            self.pages = read_pages(self.folder)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def validators(self, url: str) -> dict[str, str]:
        """Return the headers that ask for a page only if it has changed; empty where its file is not as it was."""
        page = self.pages.get(url)
        if page is None or self._sha256(page.file) != page.sha256:
            return {}
        headers = {"If-None-Match": page.etag, "If-Modified-Since": page.last_modified}
        return {name: value for name, value in headers.items() if value and is_sendable(value)}

    def keep(self, url: str, content: bytes, suffix: str, *, etag: str, last_modified: str) -> tuple[str, str]:
        """Write a page to its file.

        Returns:
            ``"added"``, ``"updated"`` or ``"unchanged"``, and the path of the file under the corpus, with ``/``.

        Raises:
            CorpusError: It cannot be written.
        """
        known = self.pages.get(url)
        sha256 = hashlib.sha256(content).hexdigest()
        if known is not None and known.file.endswith(suffix):
            name, status = known.file, "updated"
        else:
            name, status = self._free_name(url, suffix), "added" if known is None else "updated"
        if known is not None and self._sha256(name) == sha256:
            status = "unchanged"
        else:
            self._write(name, content)
        if known is not None and known.file != name:
            (self.folder / known.file).unlink(missing_ok=True)  # the page is of another kind now
        self._note(url, Page(name, _now(), sha256, etag, last_modified))
        return status, f"{FOLDER}/{name}"

    def confirm(self, url: str) -> str:
        """Note that a page is as it was; return the path of its file under the corpus."""
        page = self.pages[url]
        self._note(url, Page(page.file, _now(), page.sha256, page.etag, page.last_modified))
        return f"{FOLDER}/{page.file}"

    def _free_name(self, url: str, suffix: str) -> str:
        name = file_name(url, suffix)
        path = self.folder / name
        is_taken = path.exists() or any(parent.is_file() for parent in path.parents if parent != self.folder)
        if not is_taken:
            return name
        host, _, rest = name.partition("/")
        return f"{host}/{rest.rpartition('/')[2].removesuffix(suffix).partition('~')[0]}~{mark_of(url)}{suffix}"

    def _sha256(self, name: str) -> str:
        try:
            return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        except OSError:
            return ""

    def _note(self, url: str, page: Page) -> None:
        self.pages[url] = page
        pages = {url: asdict(page) for url, page in sorted(self.pages.items())}
        text = json.dumps({"format": _FORMAT, "pages": pages}, ensure_ascii=False, indent=1)
        self._write(PAGES, text.encode("utf-8"))

    def _write(self, name: str, content: bytes) -> None:
        """Write a file in one step.

        Raises:
            CorpusError: It cannot be written, or a link leads its folder out of ours.
        """
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.parent.resolve().is_relative_to(self.folder.resolve()):
                raise CorpusError(path, "a link leads out of the corpus there; remove it")
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                temporary = Path(file.name)
                try:
                    file.write(content)
                    file.flush()
                    temporary.chmod(0o644)
                    os.replace(temporary, path)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise CorpusError(path, f"cannot be written ({error.strerror or error})") from error


def is_sendable(value: str) -> bool:
    """Return whether a header's value can be sent back to the server that it came from."""
    return value.isascii() and value.isprintable()


def read_pages(folder: Path) -> dict[str, Page]:
    """Return the pages of a folder ``web`` by URL; empty if none was ever fetched.

    Raises:
        CorpusError: The list of pages is damaged.
    """
    path = folder / PAGES
    try:
        value = json.loads(path.read_text("utf-8"))
        if value["format"] != _FORMAT:
            raise CorpusError(path, f"of format {value['format']}, not {_FORMAT}; use the version that wrote it")
        pages = {url: Page(**page) for url, page in value["pages"].items()}
        if any(part in ("", ".", "..") for page in pages.values() for part in page.file.split("/")):
            raise ValueError("a path leads out of the folder")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorpusError(path, f"damaged ({error}); remove it and add the pages again") from error
    return pages


def source_urls(corpus_dir: Path) -> Mapping[str, str]:
    """Return the URL of each fetched document of a corpus, by its path under the corpus.

    Raises:
        CorpusError: The list of pages is damaged.
    """
    return {f"{FOLDER}/{page.file}": url for url, page in read_pages(corpus_dir / FOLDER).items()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
