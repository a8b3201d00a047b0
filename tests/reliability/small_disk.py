"""A real disk that is too small: builds on a tmpfs of its own, in a mount namespace.

``unshare -rm python small_disk.py FOLDER MIB FREE`` mounts MIB mebibytes on FOLDER, writes a small index there, and
then a larger one, before (``FREE`` < 0) or while (as soon as the first file is written) all but FREE bytes are taken
by another program. It prints one JSON object: what was said, what the index holds, what lies about, and whether the
next build succeeds once there is space.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from conftest import HashEmbedder
from drafts import TEXTS, make_draft

from rag.errors import RagError
from rag.store import IndexStore


def fill(folder: Path, left: int) -> Path:
    """Leave ``left`` bytes free."""
    path = folder / "taken by another program"
    found = os.statvfs(folder)
    with path.open("wb") as stream:
        for _ in range(max(0, found.f_bavail * found.f_frsize - left) // 4096):
            stream.write(bytes(4096))
    return path


def main(folder: Path, mebibytes: int, left: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    embedder = HashEmbedder()
    store = IndexStore(folder / "index")
    with store.lock():
        store.write_generation(make_draft(embedder, stamp=" old"))
    filler = "words of another text " * 20_000 * mebibytes  # about half of the disk
    large = make_draft(embedder, texts={**TEXTS, "large.txt": filler}, stamp=" new")
    taken = fill(folder, -left) if left < 0 else None
    said = ""

    def progress(done: int, total: int, item: str) -> None:
        nonlocal taken
        if taken is None and done == 1:
            taken = fill(folder, left)

    try:
        with store.lock():
            store.write_generation(large, progress=progress)
    except RagError as error:
        said = str(error)
    generation = store.open_current(fallback=False)
    stamps = {document.text.rsplit(" ", 1)[1] for document in generation.documents.values()}
    leftovers = sorted(path.name for path in store.index_dir.glob("*.tmp"))
    if taken is not None:
        taken.unlink()
    with store.lock():
        store.write_generation(make_draft(embedder, stamp=" next"))
    found = {"said": said, "stamps": sorted(stamps), "leftovers": leftovers, "problems": store.verify()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
