"""`RayEngine`: a build reads files, cuts documents and embeds texts on the machines of a Ray cluster.

The only home of ray. The work is plain Ray tasks of one processor each, so that Ray places them, and runs those of a
dead worker or machine again elsewhere. A worker is sent the bytes of a file, never a path to open, and opens the model
once. Everything else of a build (what is taken over, the lock, the one writer) stays with `rag.builder`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rag.builder import pipeline
from rag.chunking import split_document
from rag.config import ChunkingConfig, LoadConfig
from rag.datatypes import Document, Passage
from rag.embedder import Embedder, fingerprint_hash
from rag.engine import Encoder, Known, Loaded, Lost
from rag.errors import CorpusError, RagError
from rag.loaders import DocumentLoader, is_archive

logger = logging.getLogger(__name__)

RETRIES: Final = 2  # by Ray, of a task whose worker or machine died
_TASKS_A_PROCESSOR: Final = 2  # in flight, one running and one waiting: this bounds what is in memory
_BATCHES_A_PROCESSOR: Final = 4  # at least so many where there is enough, so that all are busy to the end
_FILES, _DOCUMENTS, _TEXTS = 32, 32, 256  # of one task, at most
_BYTES: Final = 4 * 1024 * 1024  # of the files of one task, unless one alone is larger
_PATIENCE_S: Final = 0.5  # between two looks at whether the build was cancelled
_LOST: Final = f"each worker process that took it died, {RETRIES + 1} times over; look into it with --engine local"


class RayEngine:
    """Does the work of a build on a Ray cluster. A context manager; may serve many builds, one at a time.

    Every machine of the cluster needs the same version of Sanad and of its libraries, which each worker checks, and
    finds a model by the name or path that it has here. Whoever reaches a Ray cluster can run programs on it: keep it
    in a network of its own, with Ray's tokens on.

    Args:
        address: ``"HOST:PORT"`` of a cluster that this machine is part of, ``"auto"`` for the one that runs on this
            machine; None for the one that ``RAY_ADDRESS`` names, else workers are started on this machine alone
            and end with the engine. Where the program is connected to Ray already, that connection is used.

    Raises:
        RagError: ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, address: str | None = None) -> None:
        # Read when ray is imported. Nothing is reported to anybody; what needs too much memory is not tried for ever.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
        try:
            import ray
        except ImportError as error:
            raise RagError(f"ray cannot be imported ({error}). Install it: pip install 'sanad[ray]'") from error
        self._ray: Any = ray
        self._models: dict[str, _Model] = {}
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(ray, address or os.environ.get("RAY_ADDRESS") or "local")
        if not self._processors():
            self.close()
            raise RagError("no machine of the Ray cluster offers a processor. Start one: ray start --address=HOST:PORT")

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if self._is_ours:
            self._ray.shutdown()

    def load(
        self,
        files: Sequence[tuple[Path, str]],
        config: LoadConfig,
        *,
        known: Known,
        progress: Callable[[int, str], None],
    ) -> Generator[Loaded, None, None]:
        """See `rag.engine.Engine.load`. Files are opened here; only those that are not known are sent out."""
        n_here = n_there = 0
        here: deque[Loaded] = deque()
        sent: list[Path] = []

        def alive(done: int) -> None:
            nonlocal n_there
            n_there = done
            progress(n_here + n_there, "")

        def wanted(loader: DocumentLoader) -> Iterator[_File]:
            """Yield what must be read; put what is known, or cannot be opened, ``here``."""
            nonlocal n_here
            for path, doc_id in files:
                progress(n_here + n_there, doc_id)
                try:
                    data = loader.read(path)
                    same = {one: known(*one) for one in _digests(loader, path, doc_id, data)}
                except CorpusError as error:
                    here.append(error)
                    n_here += 1
                    continue
                if same and all(same.values()):
                    here.extend((replace(each, doc_id=name), each.doc_id) for (name, _), each in same.items() if each)
                    n_here += 1
                    continue
                sent.append(path)
                yield _File(path, doc_id, data, frozenset(one for one, document in same.items() if document))

        with DocumentLoader(config) as loader:
            batches = _batches(wanted(loader), self._size(len(files), _FILES), weigh=lambda file: len(file.data))
            for number, outcomes in self._map(_Load(config), batches, alive):
                while here:
                    yield here.popleft()
                for outcome in [CorpusError(sent[number], _LOST)] if outcomes is None else outcomes:
                    if isinstance(outcome, _KnownMember):
                        document = known(outcome.doc_id, outcome.sha256)
                        assert document is not None  # asked before the archive was sent
                        yield replace(document, doc_id=outcome.doc_id), document.doc_id
                    else:
                        yield outcome
        yield from here

    def cut(
        self,
        documents: Sequence[Document],
        encoder: Encoder,
        config: ChunkingConfig,
        *,
        progress: Callable[[int], None],
    ) -> tuple[list[list[Passage]], Lost]:
        """See `rag.engine.Engine.cut`."""
        cut: list[list[Passage]] = [[] for _ in documents]
        lost: dict[int, str] = {}
        if documents:
            batches = _batches(documents, self._size(len(documents), _DOCUMENTS), weigh=lambda one: len(one.text))
            step = _Cut(self._model(encoder), config)
            for number, passages in self._map(step, batches, progress):
                if passages is None:
                    lost[number] = _LOST
                else:
                    cut[number] = passages
        return cut, lost

    def encode(
        self, texts: Sequence[str], encoder: Encoder, *, progress: Callable[[int], None]
    ) -> tuple[npt.NDArray[np.float32], Lost]:
        """See `rag.engine.Engine.encode`."""
        matrix = np.zeros((len(texts), encoder.dim), dtype=np.float32)
        lost: dict[int, str] = {}
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))  # like lengths together: little padding
        batches = _batches((texts[row] for row in order), self._size(len(texts), _TEXTS))
        for number, vector in self._map(_Encode(self._model(encoder)), batches, progress):
            if vector is None:
                lost[order[number]] = _LOST
            else:
                matrix[order[number]] = vector
        progress(len(texts))
        return matrix, lost

    def _map(
        self, step: _Step, batches: Iterator[list[Any]], progress: Callable[[int], None]
    ) -> Generator[tuple[int, Any], None, None]:
        """Have workers do a step for each item of the batches; ``progress`` gets the number of items done.

        Yields:
            The position of an item among all, in any order, and its result; None where its workers died. A batch that
            does not come back is sent again item by item, so that it costs only the one that is at fault.
        """
        errors = self._ray.exceptions
        died = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError)
        task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(_work)
        sent: dict[Any, list[tuple[int, Any]]] = {}
        alone: deque[list[tuple[int, Any]]] = deque()
        numbered = _numbered(batches)
        done = 0
        try:
            while True:
                room = _TASKS_A_PROCESSOR * max(1, self._processors()) - len(sent)
                for _ in range(room):
                    batch = alone.popleft() if alone else next(numbered, None)
                    if batch is None:
                        break
                    sent[task.remote(pipeline(), step, [item for _, item in batch])] = batch
                if not sent:
                    return
                ready, _ = self._ray.wait(list(sent), timeout=_PATIENCE_S)
                progress(done)
                for reference in ready:
                    batch = sent.pop(reference)
                    try:
                        results = self._ray.get(reference)
                    except errors.RayTaskError as error:
                        raise _failure(error) from error
                    except died as error:
                        logger.info("a batch of %d did not come back: %s", len(batch), error)
                        if len(batch) > 1:
                            alone += [[one] for one in batch]
                            continue
                        results = [None]
                    except errors.RayError as error:
                        raise RagError(
                            f"the Ray cluster failed: {_first_line(error)}. The index is as it was before; build again"
                        ) from error
                    done += len(batch)
                    yield from ((number, result) for (number, _), result in zip(batch, results, strict=True))
        finally:
            for reference in sent:
                self._ray.cancel(reference)

    def _processors(self) -> int:
        """Return the processors that the cluster has now; machines come and go."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _size(self, count: int, most: int) -> int:
        """Return how many of ``count`` items a task gets."""
        return min(most, max(1, count // (_BATCHES_A_PROCESSOR * max(1, self._processors()))))

    def _model(self, encoder: Encoder) -> _Model:
        key = fingerprint_hash(encoder.fingerprint)
        if key not in self._models:
            opening = self._ray.cloudpickle.dumps(_opening(encoder))
            self._models = {key: _Model(key, encoder.name, (self._ray.put(opening),))}
        return self._models[key]


# ---- what is sent to a worker, and what it does there


@dataclass(frozen=True, slots=True)
class _File:
    """A file with its bytes; ``known`` are the doc_id and sha256 of what need not be read again of an archive."""

    path: Path
    doc_id: str
    data: bytes
    known: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class _KnownMember:
    """What a worker says of a file in an archive that it was told not to read."""

    doc_id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Model:
    """How a worker opens the embedder: what is in ``reference`` opens it, ``key`` is the hash of its fingerprint."""

    key: str
    name: str
    reference: tuple[Any]  # in a tuple, so that Ray does not fetch it for each task

    def open(self) -> Encoder:
        """Return the embedder, opened when it is first wanted in this process."""
        if self.key not in _encoders:
            import ray

            encoder: Encoder = ray.cloudpickle.loads(ray.get(self.reference[0]))()
            if fingerprint_hash(encoder.fingerprint) != self.key:
                raise RagError(
                    f"the embedder {self.name} is another one on a machine of the cluster ({_machine()}). "
                    "Put the same model on every machine"
                )
            _encoders.clear()
            _encoders[self.key] = encoder
        return _encoders[self.key]


@dataclass(frozen=True, slots=True)
class _Load:
    config: LoadConfig

    def __call__(self, files: list[_File]) -> list[list[Loaded | _KnownMember]]:
        return [list(_load(_loader(self.config), file)) for file in files]


@dataclass(frozen=True, slots=True)
class _Cut:
    model: _Model
    config: ChunkingConfig

    def __call__(self, documents: list[Document]) -> list[list[Passage]]:
        count_tokens = self.model.open().count_tokens
        return [split_document(document, count_tokens=count_tokens, config=self.config) for document in documents]


@dataclass(frozen=True, slots=True)
class _Encode:
    model: _Model

    def __call__(self, texts: list[str]) -> npt.NDArray[np.float32]:
        return self.model.open().encode_passages(texts)


_Step = _Load | _Cut | _Encode
_encoders: dict[str, Encoder] = {}  # of a worker process: at most one


def _work(expected: Mapping[str, str], step: _Step, items: list[Any]) -> Any:
    """Do a step, in a worker; return a result an item."""
    own = pipeline()
    differing = [name for name, value in expected.items() if own.get(name) != value]
    if differing:
        raise RagError(
            f"a machine of the cluster ({_machine()}) has another version of Sanad, of a library or of the OCR for "
            f"{', '.join(differing)}, and would give other results. Install the same on every machine"
        )
    return step(items)


@cache
def _loader(config: LoadConfig) -> DocumentLoader:
    return DocumentLoader(config)  # its child ends with this process


def _load(loader: DocumentLoader, file: _File) -> Iterator[Loaded | _KnownMember]:
    def known(doc_id: str, sha256: str) -> Document | None:
        return Document(doc_id, "", "", "", sha256) if (doc_id, sha256) in file.known else None

    try:
        if not is_archive(file.path):
            yield loader.load(file.path, file.doc_id, data=file.data), ""
            return
        for member in loader.load_archive(file.path, file.doc_id, known=known, data=file.data):
            if isinstance(member, CorpusError) or not member[1]:
                yield member
            else:
                yield _KnownMember(member[0].doc_id, member[0].sha256)
    except CorpusError as error:
        yield error


def _machine() -> str:
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


# ---- what is done here


def _connect(ray: Any, address: str) -> None:
    is_local = address == "local"
    options = {"_node_ip_address": "127.0.0.1", "include_dashboard": False} if is_local else {}
    logging.getLogger("ray").setLevel(logging.ERROR)  # it comments on its own defaults
    try:
        ray.init(address=address, configure_logging=False, log_to_driver=False, **options)
    except Exception as error:  # it raises plain exceptions of many kinds
        remedy = (
            "Look at the space and the permissions of the temporary folder"
            if is_local
            else "Make this machine part of the cluster: ray start --address=HOST:PORT, then give that address"
        )
        raise RagError(f"no Ray cluster at {address} ({_first_line(error)}). {remedy}") from error


def _opening(encoder: Encoder) -> Callable[[], Encoder]:
    """Return what opens an embedder on another machine: by its name or path, or for one of a caller's own, a copy."""
    if not isinstance(encoder, Embedder):
        return partial(_itself, encoder)
    path = Path(encoder.name).expanduser()
    name = None if encoder.name == "built-in" else str(path.resolve()) if path.is_dir() else encoder.name
    return partial(Embedder.open, name)


def _itself(encoder: Encoder) -> Encoder:
    return encoder


def _digests(loader: DocumentLoader, path: Path, doc_id: str, data: bytes) -> list[tuple[str, str]]:
    """Return the doc_id and sha256 of a file's bytes, or of each file in an archive."""
    if not is_archive(path):
        return [(doc_id, hashlib.sha256(data).hexdigest())]
    return [(f"{doc_id}/{name}", sha256) for name, sha256 in loader.digests(path, data=data).items()]


def _batches(items: Iterable[Any], size: int, *, weigh: Callable[[Any], int] = lambda item: 0) -> Iterator[list[Any]]:
    """Yield lists of at most ``size`` items and, unless an item alone is heavier, a weight of at most 4 MiB."""
    batch: list[Any] = []
    weight = 0
    for item in items:
        if batch and (len(batch) == size or weight + weigh(item) > _BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(item)
        weight += weigh(item)
    if batch:
        yield batch


def _numbered(batches: Iterable[list[Any]]) -> Iterator[list[tuple[int, Any]]]:
    first = 0
    for batch in batches:
        yield list(enumerate(batch, first))
        first += len(batch)


def _failure(error: Any) -> RagError:
    """Return what a step raised on a worker, where it is an error for users; else one that names it."""
    if isinstance(error.cause, RagError):
        return error.cause
    return RagError(
        f"a worker of the Ray cluster failed ({type(error.cause).__name__}: {_first_line(error.cause)}). "
        "See that the same version of Sanad is on every machine, or build with --engine local"
    )


def _first_line(error: BaseException) -> str:
    return next(chain(str(error).strip().splitlines(), [type(error).__name__])).rstrip(".")
