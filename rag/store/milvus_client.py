"""One Milvus server, or a file of milvus-lite: what is asked of it, and what is wrong with it in a sentence.

The one home of pymilvus. Milvus knows rows with vectors and scalars; `Milvus.blobs` keeps whatever else there is as
texts in such rows, cut into pieces, since a text of Milvus ends at 65,535 bytes.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rag.errors import RagError

SCHEME = "milvus:"
TOKEN = "SANAD_MILVUS_TOKEN"  # the variable of the environment, user:password or a key

_ADDRESS = re.compile(r"milvus:(?P<uri>[^#]+)(?:#(?P<name>[A-Za-z]\w{0,63}))?")
_READ_S = 10.0
_NOT_FOUND = (4, 100, 1600)  # codes of Milvus: no such collection (4 before 2.3), no such alias
_PIECE = 60_000
_BATCH_ROWS, _BATCH_BYTES = 1_000, 4 << 20
_WRITING = frozenset({"create_index", "flush", "load_collection", "insert"})  # as long as it takes


class MissingError(RagError):
    """A collection or an alias is not there."""


class Milvus:
    """Calls of one Milvus, over one connection, made at the first of them. Safe to share between threads.

    Args:
        address: ``milvus:http://host:19530`` or ``milvus:file.db``; ``#name`` after it is the name of the index, one of
            several in the same Milvus. A ``Path`` of it, which keeps but one slash, means the same.

    Raises:
        RagError: It is no such address, or pymilvus is not installed.
    """

    def __init__(self, address: str | Path) -> None:
        found = _ADDRESS.fullmatch(str(address))
        if found is None:
            raise RagError(
                f"{address} is no address of an index in Milvus. Write milvus:http://HOST:19530 or milvus:FILE.db, "
                "with #NAME after it where one Milvus has several indexes"
            )
        self.uri = re.sub(r"^(https?|tcp):/+", r"\1://", found["uri"])
        self.name = found["name"] or "sanad"
        self.file = Path(self.uri) if "://" not in self.uri else None
        if self.file is not None and self.file.suffix != ".db":
            raise RagError(f"{address}: the file of milvus-lite must end in .db. Write milvus:{self.file}.db")
        parts = urlsplit(self.uri)
        shown = self.uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]) if parts.netloc else self.uri
        self.address = f"{SCHEME}{shown}" + (f"#{found['name']}" if found["name"] else "")  # without a password
        if find_spec("pymilvus") is None or (self.file is not None and find_spec("milvus_lite") is None):
            raise RagError(f"{self.address} wants Milvus's library. Install it: pip install 'sanad[milvus]'")
        self._lock = threading.Lock()
        self._client: Any = None

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of ``pymilvus.MilvusClient``.

        Raises:
            MissingError: A collection or alias is not there.
            RagError: Milvus does not answer, or refuses.
        """
        from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]

        try:
            client = self._connected()
            return getattr(client, method)(*args, timeout=None if method in _WRITING else _READ_S, **options)
        except MilvusException as error:
            if error.code in _NOT_FOUND and "partition" not in error.message:
                raise MissingError(
                    f"{self.address}: {error.message}. A newer index may have taken its place: try again"
                ) from error
            raise self._error(method, error.message) from error
        except OSError as error:
            raise self._error(method, str(error)) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                from pymilvus import MilvusClient  # type: ignore[import-untyped]

                for library in ("pymilvus", "milvus_lite", "grpc"):  # they log each error with its traceback
                    logging.getLogger(library).setLevel(logging.CRITICAL)
                if self.file is not None:
                    self.file.parent.mkdir(parents=True, exist_ok=True)
                self._client = MilvusClient(self.uri, token=os.environ.get(TOKEN, ""), timeout=_READ_S)
            return self._client

    def _error(self, method: str, reason: str) -> RagError:
        reason = reason.strip().splitlines()[0][:300] if reason.strip() else "no reason given"
        if self.file is not None:
            return RagError(
                f"{self.address}: {method} failed: {reason}. milvus-lite serves one process at a time: end the other "
                "one, or run a Milvus server for several"
            )
        return RagError(
            f"{self.address} does not do its work: {method}: {reason}. See that Milvus runs there and that {TOKEN} "
            "is right, then try again"
        )

    # ---- rows

    def insert(self, collection: str, rows: Iterable[dict[str, Any]]) -> Iterator[int]:
        """Insert rows in batches that Milvus takes; yield the number of rows of each."""
        batch: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            batch.append(row)
            size += sum(len(value) * (1 if isinstance(value, str) else 8) for value in row.values() if _has_len(value))
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                self("insert", collection, batch)
                yield len(batch)
                batch, size = [], 0
        if batch:
            self("insert", collection, batch)
            yield len(batch)

    def finish(self, collection: str, indexes: Mapping[str, str]) -> None:
        """Write a collection down, index its vector fields (name to type; inner products), and load it."""
        self("flush", collection)
        params = self._connected().prepare_index_params()
        for field, kind in indexes.items():
            params.add_index(field, index_type=kind, metric_type="IP")
        self("create_index", collection, params)
        self("load_collection", collection)

    def count(self, collection: str) -> int:
        """Return how many rows a collection has, the newest included."""
        found = self("query", collection, filter="", output_fields=["count(*)"], consistency_level="Strong")
        return int(found[0]["count(*)"])

    def create(self, collection: str, fields: Mapping[str, Mapping[str, Any]]) -> None:
        """Create a collection; the first field is the primary key. Types are names of ``pymilvus.DataType``."""
        from pymilvus import DataType  # type: ignore[import-untyped]

        schema = self._connected().create_schema(enable_dynamic_field=False, auto_id=False)
        for number, (name, options) in enumerate(fields.items()):
            kinds = {key: DataType[value] for key, value in options.items() if key in ("datatype", "element_type")}
            schema.add_field(name, **{**options, **kinds}, is_primary=number == 0)
        self("create_collection", collection, schema=schema, consistency_level="Bounded")

    # ---- texts of any length

    def create_blobs(self, collection: str) -> None:
        """Create a collection of blobs."""
        self.create(
            collection,
            {
                "key": {"datatype": "VARCHAR", "max_length": 64},
                "data": {"datatype": "VARCHAR", "max_length": 65_535},
                "nothing": {"datatype": "FLOAT_VECTOR", "dim": 2},  # Milvus wants a vector in every collection
            },
        )

    def finish_blobs(self, collection: str) -> None:
        """Make a collection of blobs readable; see `finish`."""
        self.finish(collection, {"nothing": "FLAT"})

    def blobs(self, collection: str, kind: str, names: Sequence[str]) -> dict[str, bytes]:
        """Return blobs by name, without those that are not there.

        Raises:
            MissingError: The collection is not there.
            RagError: See `__call__`. A piece is missing or damaged.
        """
        found: dict[str, bytes] = {}
        for start in range(0, len(names), _BATCH_ROWS // 10):
            own = names[start : start + _BATCH_ROWS // 10]
            heads = self._texts(collection, [_key(kind, name, 0) for name in own])
            counts = {name: int(heads[key].partition(" ")[0]) for name in own if (key := _key(kind, name, 0)) in heads}
            rest = [_key(kind, name, number) for name, n in counts.items() for number in range(1, n)]
            for part in range(0, len(rest), _BATCH_ROWS // 10):
                heads |= self._texts(collection, rest[part : part + _BATCH_ROWS // 10])
            for name, n in counts.items():
                try:
                    pieces = [heads[_key(kind, name, number)] for number in range(n)]
                    pieces[0] = pieces[0].partition(" ")[2]
                    found[name] = zlib.decompress(base64.b64decode("".join(pieces), validate=True))
                except (KeyError, ValueError, zlib.error) as error:
                    raise RagError(
                        f"{self.address}: {kind} {name} of {collection} is damaged ({error!r}). "
                        "Restore the previous index: rag rollback, or rebuild it: rag build"
                    ) from error
        return found

    def _texts(self, collection: str, keys: list[str]) -> dict[str, str]:
        rows = self("get", collection, ids=keys, output_fields=["key", "data"]) if keys else []
        return {row["key"]: row["data"] for row in rows}


def blob_rows(kind: str, name: str, data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the rows of one blob, to be inserted."""
    text = base64.b64encode(zlib.compress(data)).decode("ascii")
    n_pieces = max(-(-len(text) // _PIECE), 1)
    for number in range(n_pieces):
        piece = text[number * _PIECE : (number + 1) * _PIECE]
        data_field = piece if number else f"{n_pieces} {piece}"
        yield {"key": _key(kind, name, number), "data": data_field, "nothing": [0.0, 1.0]}


def stable_hash(*parts: str) -> int:
    """Return a number of 64 bits, signed, that is the same on every machine."""
    digest = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _key(kind: str, name: str, number: int) -> str:
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{kind}-{digest}-{number}"


def _has_len(value: object) -> bool:
    return hasattr(value, "__len__")
