"""An index in Milvus: its generations, the alias of the live one, and the lock of its one builder.

A generation is two collections of its own (see `rag.store.milvus_segment`), written beside those that answer. Its
collection of blobs gets its name when all is written, and one call moves the alias to it: a reader that follows the
alias has the old generation or the new one, whole.

Milvus has no transactions. The lock is an alias too, which Milvus gives to one builder alone: whoever creates it first
has it, and shows that it lives by moving it to and fro between two empty collections. A builder that finds it watches
it: where it moves the builder is refused, where it stands still for ``LEASE_S`` its holder is dead and it is taken
away. A builder looks that it still has it just before it moves the alias of the live generation. Of two builders, one
cut off from Milvus for longer than the lease and back in the very moment between that look and the move, both could
write; either generation would be whole, and the later one would answer.
"""

from __future__ import annotations

import json
import logging
import platform
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import numpy as np

from rag.errors import IndexCorruptError, IndexFormatError, IndexLockedError, IndexNotFoundError, RagError
from rag.store.generation import Draft, Generation
from rag.store.index_store import corpus_fingerprint, number_of, version_of
from rag.store.manifest import Manifest
from rag.store.milvus_client import Milvus, MissingError, blob_rows
from rag.store.milvus_segment import PASSAGES, MilvusSegment
from rag.store.milvus_writer import Writer

BEAT_S = 5.0
LEASE_S = 30.0

_BUILDING = "_building"
_UNIT_TOLERANCE = 1e-3

logger = logging.getLogger(__name__)


class MilvusStore:
    """The index at an address of Milvus; has the methods of `IndexStore`, which mean the same.

    Args:
        address: See `Milvus`.

    Raises:
        RagError: It is no such address, or pymilvus is not installed.
    """

    def __init__(self, address: str | Path) -> None:
        self._milvus = Milvus(address)
        self.index_dir = Path(self._milvus.address)  # for messages
        name = self._milvus.name
        self._live, self._lock, self._builder = f"{name}_live", f"{name}_lock", f"{name}_builder_"
        self._collections = re.compile(rf"{name}_(gen_\d{{6,12}})({PASSAGES}|{_BUILDING})?")
        self._tokens: tuple[str, ...] = ()

    def generations(self) -> list[str]:
        """Return the names of the complete generations, oldest first; see `IndexStore.generations`."""
        return sorted((name for name, suffix in self._own() if not suffix), key=number_of)

    def current_name(self) -> str:
        """Return the name of the live generation; one call. See `IndexStore.current_name`.

        Raises:
            IndexNotFoundError: There is no index.
            IndexCorruptError: The alias is missing beside generations, or names none.
            RagError: Milvus does not answer.
        """
        if self._milvus.file is not None and not self._milvus.file.exists():
            raise self._no_index()
        target = self._target(self._live)
        if target is None:
            if self.generations():
                raise IndexCorruptError(self.index_dir, f"lacks the alias {self._live}")
            raise self._no_index()
        found = self._collections.fullmatch(target)
        if found is None or found[2]:
            raise IndexCorruptError(self.index_dir, f"is damaged: its alias names {target}, no generation")
        return found[1].replace("_", "-")

    def open(self, name: str, *, known: Generation | None = None, parse: bool = True) -> Generation:
        """Open one generation, whether it is the live one or not.

        Args:
            name: Such as ``gen-000007``.
            known: Another one; nothing is taken over from it.
            parse: Read documents and passages when they are asked for, and hold but a few. Without, as a build wants
                them: all at once when they are first asked for.

        Raises:
            IndexFormatError: It is missing, lacks passages, or is of another format version.
            RagError: Milvus does not answer.
        """
        collection, folder = self._collection(name), self.index_dir / name
        try:
            for each in (collection, collection + PASSAGES):
                self._milvus("load_collection", each)  # nothing to do, most times
            data = self._milvus.blobs(collection, "manifest", [""])
            n_passages = self._milvus.count(collection + PASSAGES)
        except MissingError as error:
            raise IndexCorruptError(folder, "is missing") from error
        if "" not in data:
            raise IndexCorruptError(folder, "lacks its manifest")
        manifest = Manifest.from_bytes(data[""], path=folder)
        if n_passages != manifest.counts["passages"]:
            raise IndexCorruptError(folder, f"holds {n_passages} of {manifest.counts['passages']} passages")
        segment = MilvusSegment(self._milvus, collection, manifest, in_memory=not parse)
        if not segment.statistics.keys() == manifest.languages.keys():
            raise IndexCorruptError(folder, "lacks statistics")
        calibration = self._milvus.blobs(collection, "calibration", [""])
        return Generation(manifest, (segment,), json.loads(calibration[""]) if calibration else None)

    def open_current(self, *, fallback: bool = True, known: Generation | None = None, parse: bool = True) -> Generation:
        """Open the live generation; see `IndexStore.open_current`, and `open` for ``parse``."""
        generation, failure = self._find(fallback=fallback, parse=parse)
        if failure is None:
            return generation
        warning = f"{failure}. Answers come from {generation.name} meanwhile"
        logger.warning("%s", warning)
        return generation.warned(warning)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the builder's lock, and remove what interrupted builds left behind.

        Raises:
            IndexLockedError: Another builder holds it.
            RagError: Milvus does not answer.
        """
        own = f"{self._builder}{secrets.token_hex(4)}"
        tokens = (f"{own}_a", f"{own}_b")
        has_ended = threading.Event()
        try:
            for token in tokens:
                self._milvus.create_blobs(token)
            if not self._take(tokens[0]):
                self._wait_for_the_dead()
                if not self._take(tokens[0]):
                    raise self._is_locked()
            beating = threading.Thread(target=self._beat, args=(tokens, has_ended), daemon=True)
            beating.start()
            self._tokens = tokens
            try:
                self._remove_leftovers()
                yield
            finally:
                self._tokens = ()
                has_ended.set()
                beating.join()
                with suppress(RagError):
                    if self._target(self._lock) in tokens:
                        self._milvus("drop_alias", self._lock)
        finally:
            with suppress(RagError):
                self._drop(*tokens)

    def check_space(self, estimate: int) -> None:
        """Do nothing: Milvus does not say how much it has left. What it refuses is an error of `write_generation`."""

    def write_generation(self, draft: Draft, *, progress: Callable[[int, int, str], None] | None = None) -> str:
        """Write a new generation, make it the live one, and remove all but it and the one before it.

        See `IndexStore.write_generation`. ``progress`` is called with (rows written, rows in all, the generation).

        Raises:
            RagError: Milvus refuses or does not answer; the live generation is the old one or the new one.
            IndexLockedError: The lock was lost meanwhile.
            RuntimeError: The lock is not held.
        """
        if not self._tokens:
            raise RuntimeError("write_generation needs the builder's lock")
        former = ""
        with suppress(IndexFormatError, IndexNotFoundError):
            former = self.current_name()
        name = f"gen-{max(map(number_of, [*self.generations(), former or 'gen-000000'])) + 1:06d}"
        collection = self._collection(name)
        try:
            writer = Writer(self._milvus, draft)
            manifest = self._manifest(name, draft, writer)
            total = writer.n_passages
            for done in writer.write_passages(collection + PASSAGES):
                if progress is not None:
                    progress(done, total, name)
            writer.write_blobs(collection + _BUILDING)
            for _ in self._milvus.insert(collection + _BUILDING, blob_rows("manifest", "", manifest.to_bytes())):
                pass
            self._milvus.finish_blobs(collection + _BUILDING)
            if self._milvus.count(collection + PASSAGES) != total:
                raise RagError(f"{self.index_dir}: Milvus lost passages of {name}. Build again: rag build")
            self._milvus("rename_collection", collection + _BUILDING, collection)
            self._milvus("load_collection", collection)  # milvus-lite forgets it with the name
            if self._target(self._lock) not in self._tokens:
                raise self._is_locked()
            self._point(name)
        except BaseException:
            with suppress(RagError):
                if self._target(self._live) != collection:
                    self._drop(collection, collection + _BUILDING, collection + PASSAGES)
            raise
        if progress is not None:
            progress(total, total, name)
        others = [other for other in self.generations() if other != name]
        previous = former if former in others else max(others, key=number_of, default="")
        self._forget([other for other in others if other != previous])
        return name

    def rollback(self) -> str:
        """Make the newest intact generation before the live one the live one; see `IndexStore.rollback`."""
        if not self._is_there() or not self.generations():
            raise self._no_index()
        with self.lock():
            names = self.generations()
            with suppress(IndexFormatError, IndexNotFoundError):
                current = self.current_name()
                names = [name for name in names if number_of(name) < number_of(current)]
            for name in reversed(names):
                with suppress(IndexFormatError):
                    self.open(name)
                    self._point(name)
                    return name
        raise IndexFormatError(f"{self.index_dir} holds no earlier intact generation. Rebuild the index: rag build")

    def verify(self) -> list[str]:
        """Read every generation in full; return what is wrong, one sentence each, empty if nothing is.

        Each passage must be a slice of its document, each vector of length 1, and the documents those of the manifest.

        Raises:
            IndexNotFoundError: There is no index.
        """
        problems: list[str] = []
        try:
            self.current_name()
        except IndexNotFoundError:
            raise
        except RagError as error:
            problems.append(str(error))
        for name in self.generations():
            try:
                self._check(self.open(name, parse=False))
            except RagError as error:
                problems.append(str(error))
        return problems

    def standing(self) -> str:
        """Return in one sentence what a reader gets that opens the index now; see `IndexStore.standing`."""
        try:
            generation, failure = self._find(fallback=True, parse=True)
        except IndexFormatError:
            return f"no generation in {self.index_dir} is intact. Rebuild the index: rag build"
        if failure is None:
            return f"{self.index_dir / generation.name} answers"
        return (
            f"{self.index_dir / generation.name} answers meanwhile. Make it the live one: rag rollback, "
            "or build what is missing: rag build"
        )

    # ---- generations

    def _is_there(self) -> bool:
        return self._milvus.file is None or self._milvus.file.exists()

    def _own(self) -> list[tuple[str, str]]:
        """Return the generation and the suffix of each collection of this index."""
        if not self._is_there():
            return []
        found = map(self._collections.fullmatch, self._milvus("list_collections"))
        return [(match[1].replace("_", "-"), match[2] or "") for match in found if match]

    def _collection(self, name: str) -> str:
        return f"{self._milvus.name}_{name.replace('-', '_')}"

    def _find(self, *, fallback: bool, parse: bool) -> tuple[Generation, IndexFormatError | None]:
        name = ""
        try:
            while True:
                name = self.current_name()
                try:
                    return self.open(name, parse=parse), None
                except IndexFormatError:
                    if self.current_name() == name:
                        raise
        except IndexFormatError as error:
            failure = error
        if fallback:
            others = [other for other in reversed(self.generations()) if other != name]
            for other in sorted(others, key=lambda other: bool(name) and number_of(other) > number_of(name)):
                with suppress(IndexFormatError):
                    return self.open(other, parse=parse), failure
        raise failure

    def _manifest(self, name: str, draft: Draft, writer: Writer) -> Manifest:
        languages = Counter({language: len(own) for language, own in writer.rows_of.items()})
        return Manifest(
            generation=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            embedder=draft.embedder,
            chunking=draft.chunking,
            loading=draft.loading,
            pipeline=draft.pipeline,
            corpus=corpus_fingerprint((document.doc_id, document.sha256) for document in writer.documents),
            counts={"documents": len(writer.documents), "passages": writer.n_passages, "dim": writer.vectors.dim},
            languages=dict(sorted(languages.items())),
            versions={"python": platform.python_version()}
            | {library: version_of(library) for library in ("sanad", "numpy", "pymilvus")},
        )

    def _check(self, generation: Generation) -> None:
        folder = self.index_dir / generation.name
        manifest, documents = generation.manifest, generation.documents
        corpus = corpus_fingerprint((document.doc_id, document.sha256) for document in documents.values())
        if corpus != manifest.corpus:
            raise IndexCorruptError(folder, "is damaged: its documents are not those of its manifest")
        (segment,) = generation.segments
        assert isinstance(segment, MilvusSegment)
        for record in segment.records(0, manifest.counts["passages"]):
            if documents[record["doc_id"]].text[record["start"] : record["end"]] != record["text"]:
                raise IndexCorruptError(folder, f"is damaged: a passage of {record['doc_id']} is no slice of it")
        norms = np.linalg.norm(generation.vectors.reconstruct(), axis=1)
        if not (np.abs(norms - 1) <= _UNIT_TOLERANCE).all():
            raise IndexCorruptError(folder, "is damaged: a vector is not of length 1")
        if {language: index.n_rows for language, (index, _) in generation.bm25.items()} != dict(manifest.languages):
            raise IndexCorruptError(folder, "is damaged: its terms are not those of its passages")

    def _point(self, name: str) -> None:
        is_new = self._target(self._live) is None
        self._milvus("create_alias" if is_new else "alter_alias", self._collection(name), self._live)

    def _target(self, alias: str) -> str | None:
        """Return the collection that an alias names; None where there is no such alias."""
        try:
            return str(self._milvus("describe_alias", alias)["collection_name"])
        except MissingError:
            return None

    def _forget(self, names: list[str]) -> None:
        for name in names:
            try:
                self._drop(self._collection(name), self._collection(name) + PASSAGES)
            except RagError as error:
                logger.warning("%s cannot be removed: %s", name, error)

    def _drop(self, *collections: str) -> None:
        there = set(self._milvus("list_collections"))
        for collection in collections:
            if collection in there:
                self._milvus("drop_collection", collection)

    def _remove_leftovers(self) -> None:
        whole = set(self.generations())
        left = [self._collection(name) + suffix for name, suffix in self._own() if suffix == _BUILDING]
        left += [self._collection(name) + suffix for name, suffix in self._own() if suffix and name not in whole]
        left += [
            each
            for each in self._milvus("list_collections")
            if each.startswith(self._builder) and each not in self._tokens
        ]
        for collection in dict.fromkeys(left):
            with suppress(RagError):  # another builder that is being refused removes its own
                self._milvus("drop_collection", collection)

    def _no_index(self) -> IndexNotFoundError:
        return IndexNotFoundError(
            f"{self.index_dir} holds no index. Build it: rag build --index-dir {self._milvus.address}"
        )

    # ---- the lock

    def _take(self, token: str) -> bool:
        """Create the alias of the lock; return False where another builder has it."""
        if self._target(self._lock) is not None:
            return False
        try:
            self._milvus("create_alias", token, self._lock)
        except RagError:
            if self._target(self._lock) is None:
                raise
        return self._target(self._lock) == token

    def _wait_for_the_dead(self) -> None:
        """Take the lock away from a holder that shows no life.

        Raises:
            IndexLockedError: It lives.
        """
        first = self._target(self._lock)
        until = time.monotonic() + LEASE_S
        while time.monotonic() < until:
            now = self._target(self._lock)
            if now is None:
                return
            if now != first:
                raise self._is_locked()
            time.sleep(BEAT_S / 4)
        logger.warning("%s: a builder that died left its lock; it is taken away", self.index_dir)
        self._milvus("drop_alias", self._lock)

    def _beat(self, tokens: tuple[str, str], has_ended: threading.Event) -> None:
        for token in cycle(reversed(tokens)):
            if has_ended.wait(BEAT_S):
                return
            try:
                if self._target(self._lock) in tokens:
                    self._milvus("alter_alias", token, self._lock)
            except RagError as error:
                logger.warning("%s", error)

    def _is_locked(self) -> IndexLockedError:
        return IndexLockedError(
            f"{self.index_dir} is being built by another process. Wait until it has ended, then try again"
        )
