"""Files of many lines or numbers that stay where they are: what is asked for is read, the rest is not held."""

from __future__ import annotations

import json
import mmap
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")

_DTYPES = {"U8": np.uint8, "I32": np.int32, "I64": np.int64, "F32": np.float32, "F64": np.float64}


def map_file(path: Path) -> mmap.mmap:
    """Map a file, which may be unlinked afterwards and must not change.

    Raises:
        OSError: It is gone.
    """
    with path.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


class Rows(Sequence[Item]):
    """A sequence of which each item is looked up when it is asked for; `row` and ``__len__`` are all it needs."""

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return self.rows(range(*index.indices(len(self))))
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(index)
        return self.row(row)

    @abstractmethod
    def row(self, row: int) -> Item:
        """Return the item of a row in [0, len)."""

    def rows(self, rows: range) -> list[Item]:
        """Return the items of several rows in [0, len)."""
        return [self.row(row) for row in rows]


class Lines(Rows[Item]):
    """What the lines of a file say, each worked out when it is asked for, and every time anew. Safe to share.

    Args:
        data: The file, mapped or in memory; each line ends with a line feed.
        read: Makes of a line what it says.
    """

    def __init__(self, data: bytes | mmap.mmap, read: Callable[[bytes], Item]) -> None:
        self._data, self._read = data, read
        octets = np.frombuffer(data, dtype=np.uint8) if len(data) else np.zeros(0, np.uint8)
        self._ends = np.flatnonzero(octets == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends)

    def row(self, row: int) -> Item:
        """Return what a line says."""
        start = int(self._ends[row - 1]) + 1 if row else 0
        return self._read(self._data[start : int(self._ends[row])])

    def __iter__(self) -> Iterator[Item]:
        return (self.row(row) for row in range(len(self)))


def arrays_in(data: mmap.mmap) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a mapped file of safetensors without a copy, read-only.

    The format: 8 bytes, little-endian, length of a JSON object of ``{name: {dtype, shape, data_offsets}}``, which
    follows; then the data (https://github.com/huggingface/safetensors#format).

    Raises:
        ValueError: The file is not like that.
        KeyError: Likewise.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        count = (end - begin) // dtype.itemsize
        arrays[name] = np.frombuffer(data, dtype, count=count, offset=start + begin).reshape(entry["shape"])
    return arrays
