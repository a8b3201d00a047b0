"""Say when the documents of a corpus change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rag.errors import CorpusError, RagError

_QUIET_MS = 400  # without a further change: what is being copied is not read half-way
_LONGEST_MS = 5_000  # changes that never pause are reported so often
_LOOK_MS = 1_000


def changes_in(folders: Sequence[str], *, without: str) -> Iterator[bool]:
    """Yield True after changes have settled, and False every second in which nothing changed; never ends by itself.

    Args:
        folders: What to watch, with all below.
        without: The index; what happens in it is no change, nor what happens to hidden files.

    Raises:
        CorpusError: A folder is not there.
        RagError: The operating system watches no more folders.
        KeyboardInterrupt: Ctrl-C.
    """
    from watchfiles import Change, watch

    roots = [Path(folder).resolve() for folder in folders]
    for folder, root in zip(folders, roots, strict=True):
        if not root.is_dir():
            raise CorpusError(folder, "no such folder. Name the folder that holds the documents")
    index = Path(without).resolve()

    def counts(_: Change, name: str) -> bool:
        path = Path(name)
        root = next((root for root in roots if path.is_relative_to(root)), None)
        is_hidden = root is not None and any(part.startswith(".") for part in path.relative_to(root).parts)
        return not is_hidden and not path.is_relative_to(index)

    try:
        for changes in watch(
            *roots,
            watch_filter=counts,
            debounce=_LONGEST_MS,
            step=_QUIET_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
            debug=False,
        ):
            yield bool(changes)
    except OSError as error:
        raise RagError(
            f"{', '.join(folders)} cannot be watched: {error.strerror or error}. Raise fs.inotify.max_user_watches, or "
            "look without the operating system's help: WATCHFILES_FORCE_POLLING=true rag build --watch"
        ) from error
