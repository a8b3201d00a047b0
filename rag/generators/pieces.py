"""What is left out of a model's answer while it comes in pieces; a mark may be cut anywhere between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_OPEN, _CLOSE = "<think>", "</think>"


def without_thinking(pieces: Iterable[str]) -> Iterator[str]:
    """Leave out what stands between ``<think>`` and ``</think>``, and the white space before the answer.

    What is thought and never closed is left out to the end.
    """
    pending, is_thinking, has_begun = "", False, False
    for piece in pieces:
        pending += piece
        shown = ""
        while True:
            mark = _CLOSE if is_thinking else _OPEN
            before, found, after = pending.partition(mark)
            if not found:
                break
            shown += "" if is_thinking else before
            pending, is_thinking = after, not is_thinking
        free, pending = _split_free(pending, mark)
        shown += "" if is_thinking else free
        if not has_begun:
            shown = shown.lstrip()
        if shown:
            has_begun = True
            yield shown
    if pending and not is_thinking:
        yield pending


def until(pieces: Iterable[str], mark: str) -> Iterator[str]:
    """Pass on what comes before ``mark``."""
    pending = ""
    for piece in pieces:
        before, found, _ = (pending + piece).partition(mark)
        if found:
            yield before
            return
        free, pending = _split_free(before, mark)
        yield free
    yield pending


def _split_free(text: str, mark: str) -> tuple[str, str]:
    """Split off the end of ``text`` that may be the beginning of ``mark``."""
    held = next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:n])), 0)
    return text[: len(text) - held], text[len(text) - held :]
