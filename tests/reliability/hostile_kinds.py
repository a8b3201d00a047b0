"""The registry of hostile files: each kind is a name and what builds the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parents[2] / "corpus"
KINDS: dict[str, Callable[[], bytes]] = {}
SLOW: set[str] = set()  # takes seconds to read or to build: left to the full run


def kind(name: str, *, is_slow: bool = False):
    """Register a builder under the name of the file that it makes."""

    def keep(build: Callable[[], bytes]) -> Callable[[], bytes]:
        KINDS[name] = build
        if is_slow:
            SLOW.add(name)
        return build

    return keep
