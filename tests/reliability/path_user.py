"""Everything that takes a name or a path from outside, each given many hostile ones: run under strace by test_p10.

``python -m reliability.path_user WORLD``: ``WORLD/data`` is where it may read and write, ``WORLD/outside`` is not. On
stdout a JSON line a case, ``{"where", "name", "problem"}``; the problem is empty where the name did no harm.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from conftest import HashEmbedder

from rag import build_index
from rag.errors import CorpusError
from rag.loaders import DocumentLoader, scan
from rag.server.uploads import UploadError, save_upload
from rag.web.names import file_name
from rag.web.shelf import Shelf

_UP = (
    "../",
    "..\\",
    "./../",
    "....//",
    "..;/",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%2f",
    "..%252f",
    "..%c0%af",
    "\u2025/",
    "．．/",
)
_ROOTS = (
    "/",
    "//",
    "\\",
    "C:\\",
    "C:/",
    "\\\\server\\share\\",
    "file:///",
    "~/",
    "~root/",
    "/proc/self/root/",
    "/dev/",
)
_PLAIN = (
    *("con.txt", "NUL.txt", "aux.md", "COM1.txt", "lpt9.csv", "con", "PRN"),
    *(
        ".htaccess",
        ".env.txt",
        "..txt",
        "...",
        ".",
        "..",
        " ",
        "a.txt.",
        "a.txt ",
        " a.txt",
        ".upload-x.txt",
        ".trash/a.txt",
    ),
    *("a\0.txt", "a.txt\0.exe", "a\n.txt", "a\r\n.txt", "a\t.txt", "a\x1b[2Jb.txt", "a\x7f.txt", "a\x85b.txt"),
    *(
        "gpj\u202etxt.md",
        "a\u2066b.txt",
        "a\u200bb.txt",
        "\ufeffa.txt",
        "a\u2028b.txt",
        "a\U000e0041.txt",
        "a\ud800.txt",
    ),
    *(
        "caf\u00e9.txt",
        "cafe\u0301.txt",
        "CAFÉ.txt",
        "تقرير.txt",
        "تقـــرير.txt",
        "ﺗﻘﺮﻳﺮ.txt",
        "א.txt",
        "👩\u200d💻.txt",
    ),
    *("-rf.txt", "--help.txt", "$(id).txt", "`id`.txt", "|id.txt", "a;id.txt", "*.txt", "?.txt", "a'b.txt", 'a"b.txt'),
    *("<script>.txt", "a&b.txt", "SOURCES.md", "a#b.txt", "a%00.txt", "a%2f..%2fb.txt", "x" * 300 + ".txt"),
    *("ط" * 200 + ".txt", "a/" * 60 + "b.txt", "a" * 5_000, "a.txt/../../b.txt", "a.txt/", "a//b.txt", "./a.txt"),
)


def names() -> list[str]:
    """Return hostile names of text files."""
    led = [f"{up * count}{end}" for up in _UP for count in (1, 6) for end in ("outside/canary.txt", "etc/passwd")]
    rooted = [f"{root}{end}" for root in _ROOTS for end in ("outside/canary.txt", "etc/passwd.txt")]
    return [*led, *rooted, *_PLAIN]


def uploads(data: Path) -> Iterator[tuple[str, str, str]]:
    folder = data / "uploads"
    kept: dict[Path, bytes] = {}
    for at, (name, where) in enumerate(itertools.product(names(), ("name", "folder"))):
        content = f"upload {at}".encode()
        try:
            saved = save_upload(
                folder,
                name if where == "name" else "a.txt",
                content,
                suffixes=frozenset({".txt", ".md", ".csv"}),
                max_bytes=1_000,
                subfolder="" if where == "name" else name,
            )
        except UploadError as error:
            yield f"upload {where}", name, "" if str(error) else "refused without a reason"
            continue
        is_inside = saved.path.resolve().is_relative_to(folder.resolve())
        overwritten = [path for path, own in kept.items() if path.read_bytes() != own]
        kept[saved.path] = content
        problem = "" if is_inside else f"written to {saved.path}"
        problem = problem or (f"{overwritten[0]} was overwritten" if overwritten else "")
        yield f"upload {where}", name, problem or ("" if saved.path.read_bytes() == content else "written wrongly")


def archives(data: Path) -> Iterator[tuple[str, str, str]]:
    data.mkdir(exist_ok=True)
    with DocumentLoader() as loader:
        for name in names():
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                entry = zipfile.ZipInfo("x")
                entry.filename = name.encode("utf-8", "replace").decode()
                archive.writestr(entry, "text of a member")
                link = zipfile.ZipInfo("link.txt")
                link.external_attr = 0o120777 << 16
                archive.writestr(link, "../../outside/canary.txt")
            path = data / "a.zip"
            path.write_bytes(buffer.getvalue())
            problem = ""
            try:
                for found in loader.load_archive(path, "a.zip"):
                    if not isinstance(found, CorpusError):
                        parts = PurePosixPath(found[0].doc_id).parts
                        is_bad = ".." in parts or parts[0] != "a.zip" or "CANARY" in found[0].text
                        problem = problem or (f"became {found[0].doc_id!r}" if is_bad else "")
            except CorpusError:
                problem = ""
            yield "zip member", name, problem
        path.unlink()


def web_pages(data: Path) -> Iterator[tuple[str, str, str]]:
    with Shelf(data / "pages") as shelf:
        for at, name in enumerate(names()):
            url = f"https://example.org/{name}".replace("\ud800", "%ed%a0%80")
            try:
                path = shelf.folder / file_name(url, ".html")
                shelf.keep(url, f"page {at}".encode(), ".html", etag="", last_modified="")
            except (CorpusError, ValueError):
                yield "web page", name, ""
                continue
            page = shelf.folder / shelf.pages[url].file
            is_inside = all(each.resolve().is_relative_to(shelf.folder.resolve()) for each in (path, page))
            own = page.is_file() and page.read_bytes() == f"page {at}".encode()
            yield "web page", name, "" if is_inside and own else f"written to {page}"


def files(world: Path) -> Iterator[tuple[str, str, str]]:
    """A folder of files whose names are legal on disk, with links, pipes and circles among them; then a build."""
    corpus = world / "data" / "corpus"
    corpus.mkdir()
    made = 0
    for name in names():
        try:
            path = (
                corpus
                / f"{made}"
                / name.replace("/", "_").encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
            )
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"file {made}")
        except (OSError, ValueError):
            continue
        made += 1
    (corpus / "circle").symlink_to(corpus)
    (corpus / "0" / "up").symlink_to("..")
    (corpus / "itself").symlink_to("itself")
    (corpus / "one").symlink_to("two")
    (corpus / "two").symlink_to("one")
    (corpus / "out").symlink_to(world / "outside")
    (corpus / "out.txt").symlink_to(world / "outside" / "canary.txt")
    (corpus / "passwd.txt").symlink_to("/etc/passwd")
    (corpus / "zero.txt").symlink_to("/dev/zero")
    os.mkfifo(corpus / "pipe.txt")
    found = scan(corpus)
    homes = {path.parent.resolve() for path, _ in found.files}
    ids = [doc_id for _, doc_id in found.files]
    is_once = len(ids) == len({(path.resolve()) for path, _ in found.files}) == len(set(ids))
    yield "folder", "circles of links", "" if is_once and homes else "a folder was visited twice"
    report = build_index(corpus, world / "data" / "index", embedder=HashEmbedder(dim=8))
    failed = {Path(item.path).name for item in report.failed}
    for name in ("out", "out.txt", "passwd.txt", "zero.txt", "pipe.txt", "itself", "one", "two"):
        yield "folder", name, "" if name in failed else "was not refused"
    for path, doc_id in found.files:
        parts = PurePosixPath(doc_id).parts
        is_bad = ".." in parts or doc_id.startswith("/") or not path.resolve().is_relative_to(corpus.resolve())
        yield "folder", doc_id, f"became {doc_id!r}" if is_bad else ""
    for path, reason in found.refused:
        yield "folder", path.name, "" if reason else "refused without a reason"


def main(world: Path) -> None:
    data = world / "data"
    data.mkdir()
    for where, name, problem in itertools.chain(uploads(data), archives(data), web_pages(data), files(world)):
        sys.stdout.write(json.dumps({"where": where, "name": name[:80], "problem": problem}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
