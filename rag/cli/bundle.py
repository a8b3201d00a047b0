"""``rag bundle``: index, program, models and all it needs in one archive, for a machine without network.

The archive holds one folder, ``sanad-bundle/``: ``install.sh``, ``SHA256SUMS``, ``bundle.json`` (what is in it),
``index/``, ``wheels/`` and, if asked for, ``corpus/``. The built-in models are in the wheel of the package.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

from rag.cli.install_script import INSTALL_SCRIPT
from rag.cli.terminal import print_json, print_note
from rag.cli.wheels import BundleError, fetch_wheels

ROOT_NAME = "sanad-bundle"
SUFFIXES = (".tar.gz", ".tar.zst")


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag bundle`` takes beside the index."""
    parser.add_argument(
        "output", type=_archive, metavar="OUT_FILE", help=f"the archive to write: {' or '.join(SUFFIXES)}"
    )
    parser.add_argument(
        "--corpus-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="put this folder of documents in too, to build from; may be given several times (default: none)",
    )
    wheels = parser.add_mutually_exclusive_group()
    wheels.add_argument("--no-wheels", action="store_true", help="for a machine where Sanad is installed already")
    wheels.add_argument("--wheels", metavar="DIR", help="take the wheels of this folder; nothing is fetched")


def _archive(text: str) -> Path:
    path = Path(text)
    if not text.endswith(SUFFIXES):
        raise argparse.ArgumentTypeError(f"{text!r} ends in none of {', '.join(SUFFIXES)}")
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written; name a file in a folder that exists")
    return path


def run_bundle(args: argparse.Namespace) -> int:
    """Write the archive, whole or not at all; return the exit status."""
    from rag.store import IndexStore, open_store

    store = open_store(args.index_dir)
    if not isinstance(store, IndexStore):
        raise BundleError(
            f"{args.index_dir}: a bundle holds no index that is in Milvus. Build one in a folder and bundle that: "
            "rag build --index-dir index"
        )
    generation = store.open_current(fallback=False)  # damaged bytes are not handed on
    _check_compressor(args.output)
    # Hidden: where the archive goes into the corpus folder, its own parts are no documents.
    with _reasoned(), tempfile.TemporaryDirectory(prefix=".sanad-bundle-", dir=args.output.parent) as folder:
        root = Path(folder, ROOT_NAME)
        _copy_index(Path(args.index_dir), generation.name, root / "index")
        _copy_corpus(args.corpus_dir, Path(args.index_dir), root / "corpus")
        wheels = root / "wheels"
        wheels.mkdir()
        if args.wheels:
            _copy_wheels(Path(args.wheels), wheels)
        elif not args.no_wheels:
            print_note("gathering the wheels; about half a gigabyte is fetched")
            fetch_wheels(wheels)
        embedder = str(generation.manifest.embedder.get("name", ""))
        about = {
            "sanad": _version(),
            "python": ".".join(platform.python_version_tuple()[:2]),
            "system": platform.system(),
            "machine": platform.machine(),
            "generation": generation.name,
            "embedder": embedder,
            "corpus": bool(args.corpus_dir),
            "wheels": len(list(wheels.iterdir())),
        }
        _write_scripts(root, about)
        files = _write_sums(root)
        print_note(f"packing {files} files into {args.output}")
        _pack(root, args.output)
    if embedder != "built-in":
        print_note(f"note: the index wants the embedder {embedder}, which is not in the bundle; copy its folder too")
    report = {"path": str(args.output), "bytes": args.output.stat().st_size, "files": files, **about}
    if args.json:
        print_json(report)
    else:
        print(
            f"{args.output}: {report['bytes'] / 1e6:.1f} MB, {about['generation']}, {about['wheels']} wheels. "
            f"There: tar -xf {args.output.name} && {ROOT_NAME}/install.sh"
        )
    return 0


def _version() -> str:
    try:
        return version("sanad")
    except PackageNotFoundError:
        return "unknown"


def _copy_index(index_dir: Path, name: str, target: Path) -> None:
    from rag.store.index_store import CURRENT_FILE

    try:
        shutil.copytree(index_dir / name, target / name)
    except (OSError, shutil.Error) as error:
        raise BundleError(f"{index_dir / name} changed or cannot be read meanwhile ({error}); bundle again") from error
    (target / CURRENT_FILE).write_text(f"{name}\n", encoding="ascii")


def _copy_corpus(names: list[str], index_dir: Path, target: Path) -> None:
    """Copy the documents that a build reads, and what is known of their origin."""
    from rag.loaders import scan_folders, with_prefixes

    folders = with_prefixes([Path(name) for name in names])
    for path, doc_id in [*scan_folders(folders, without=index_dir).files, *_origins(folders)]:
        copy = target / doc_id
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _origins(folders: Sequence[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """Yield each file that names the origin of documents, and where it belongs; a link out of its folder is none."""
    from rag.loaders import SOURCES_NAME
    from rag.web.shelf import FOLDER, PAGES

    for folder, prefix in folders:
        for path in [folder / FOLDER / PAGES, *folder.rglob(SOURCES_NAME)]:
            inside = path.relative_to(folder)
            is_hidden = any(part.startswith(".") for part in inside.parent.parts)
            if path.is_file() and not is_hidden and path.resolve().is_relative_to(folder.resolve()):
                yield path, f"{prefix}{inside.as_posix()}"


def _copy_wheels(source: Path, target: Path) -> None:
    found = sorted(source.glob("*.whl"))
    if not any(path.name.startswith("sanad-") for path in found):
        raise BundleError(
            f"{source} holds no wheel of sanad; make one there with: pip wheel --no-deps -w {source} sanad"
        )
    for path in found:
        shutil.copyfile(path, target / path.name)


def _write_scripts(root: Path, about: dict[str, Any]) -> None:
    (root / "bundle.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    script = root / "install.sh"
    script.write_text(INSTALL_SCRIPT.replace("@PYTHON@", about["python"]), encoding="utf-8")
    script.chmod(0o755)


def _write_sums(root: Path) -> int:
    """Write ``SHA256SUMS`` over all other files; return how many they are."""
    lines = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(root).as_posix()}\n")
    (root / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return len(lines)


def _pack(root: Path, output: Path) -> None:
    """Write the archive beside its place, then move it there."""
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("wb") as file, _compressed(file, output) as stream:
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                archive.add(root, arcname=ROOT_NAME, filter=_without_owner)
        os.replace(partial, output)
    except OSError as error:
        raise BundleError(f"{output} cannot be written: {error.strerror or error}. Free some space") from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def _reasoned() -> Iterator[None]:
    """Turn what the file system refuses into an error with the file and the reason."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise BundleError(
            f"the bundle cannot be made: {place}{error.strerror or error}. Mend that, or write it to another folder"
        ) from error


def _check_compressor(output: Path) -> None:
    """Refuse at once what cannot be packed in the end."""
    if output.name.endswith(".zst") and find_spec("zstandard") is None:
        raise BundleError(f"{output} wants zstandard: pip install zstandard, or name a .tar.gz")


@contextmanager
def _compressed(file: IO[bytes], output: Path) -> Iterator[IO[bytes]]:
    if output.name.endswith(".gz"):
        # Fast: wheels are compressed already, and vectors hardly can be.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=3, mtime=0) as stream:
            yield cast(IO[bytes], stream)
    else:
        import zstandard

        with zstandard.ZstdCompressor(level=6).stream_writer(file, closefd=False) as stream:
            yield cast(IO[bytes], stream)


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    is_program = member.isdir() or member.mode & stat.S_IXUSR
    member.mode = 0o755 if is_program else 0o644
    return member
