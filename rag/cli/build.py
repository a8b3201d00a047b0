"""``rag build``: bring the index up to date, once or whenever the documents change."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from rag.cli.terminal import DEFAULT_CORPUS_DIR, Progress, print_json, print_note
from rag.cli.watch import changes_in
from rag.errors import CorpusError, IndexLockedError, RagError

if TYPE_CHECKING:
    from rag.builder import BuildReport, FailedFile
    from rag.embedder import Embedder
    from rag.engine import Engine


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag build`` takes beside the index."""
    parser.add_argument(
        "corpus_dirs", nargs="*", metavar="CORPUS_DIR", help=f"folders of documents (default: {DEFAULT_CORPUS_DIR})"
    )
    parser.add_argument("--embedder", metavar="NAME_OR_PATH", help="a sentence-transformer (default: the built-in one)")
    parser.add_argument(
        "--watch", action="store_true", help="build again whenever the documents change, until Ctrl-C; a line a build"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="write what became of each file, with remarks and reasons: .csv or .json"
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where files are read, cut and embedded: in this program, or on a Ray cluster (pip install 'sanad[ray]')",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDR",
        help="HOST:PORT of the cluster, or auto (default: that of RAY_ADDRESS, else workers on this machine alone)",
    )


def run_build(args: argparse.Namespace) -> int:
    """Run ``rag build`` and return the exit status."""
    args.corpus_dirs = args.corpus_dirs or [DEFAULT_CORPUS_DIR]
    if args.report and Path(args.report).suffix.lower() not in (".csv", ".json"):
        raise ValueError(f"--report {args.report}: the report is written as .csv or .json; end its name so")
    if args.ray_address and args.engine != "ray":
        raise ValueError("--ray-address names a Ray cluster; add --engine ray")
    if not args.watch:
        return _build(args)
    with _engine(args) as engine:
        return _watch(args, engine)


def _engine(args: argparse.Namespace) -> AbstractContextManager[Engine | None]:
    if args.engine == "local":
        return nullcontext()
    from rag.ray_engine import RayEngine

    return RayEngine(args.ray_address)


def _build(args: argparse.Namespace) -> int:
    from rag.builder import build_index

    try:
        # Ray says on stdout what befell its machines; there only the report belongs.
        with redirect_stdout(sys.stderr), _engine(args) as engine, Progress() as progress:
            report = build_index(
                args.corpus_dirs, args.index_dir, embedder=args.embedder, engine=engine, progress=progress
            )
    except CorpusError as error:
        if args.report and error.failed:
            rows = [{"path": str(path), "state": "failed", "reason": reason} for path, reason in error.failed]
            _write_report(Path(args.report), rows)
        raise
    _print_failed(report.failed)
    _print_report(args, report)
    return 0


def _watch(args: argparse.Namespace, engine: Engine | None) -> int:
    """Build now and after every change, until interrupted. What fails is said, and tried again at the next change."""
    from rag.embedder import Embedder

    builds = _Builds(args, Embedder.open(args.embedder), engine)
    try:
        is_due = True
        for has_changed in changes_in(args.corpus_dirs, without=args.index_dir):
            if has_changed or is_due:
                is_due = not builds.run()
    except KeyboardInterrupt:
        print_note("stopped watching; the index is whole")
    return 0


class _Builds:
    """One build after another of the same index, with the models kept open; says what is new."""

    def __init__(self, args: argparse.Namespace, embedder: Embedder, engine: Engine | None) -> None:
        self._args, self._embedder, self._engine = args, embedder, engine
        self._said: object = None
        self._failed: frozenset[FailedFile] = frozenset()

    def run(self) -> bool:
        """Build; return whether that is done, False where another build has to end first."""
        from rag.builder import build_index

        try:
            with Progress() as progress:
                report = build_index(
                    self._args.corpus_dirs,
                    self._args.index_dir,
                    embedder=self._embedder,
                    engine=self._engine,
                    progress=progress,
                )
        except (RagError, ValueError) as error:
            self._say_error(error)
            return not isinstance(error, IndexLockedError)
        _print_failed(failed for failed in report.failed if failed not in self._failed)
        self._failed = frozenset(report.failed)
        said = (report.generation, self._failed)
        if said != self._said:  # a temporary file that came and went is no news
            _print_report(self._args, report)
        self._said = said
        return True

    def _say_error(self, error: Exception) -> None:
        if self._said == str(error):
            return
        self._said = str(error)
        print_note(f"error: {error}")
        if self._args.json:
            print_json({"error": str(error)})


def _print_failed(failed: Iterable[FailedFile]) -> None:
    for file in failed:
        print_note(f"skipped {file.path}: {file.reason}")


def _print_report(args: argparse.Namespace, report: BuildReport) -> None:
    from rag.wire import build_json

    for file in report.files:
        if file.state in ("added", "updated"):
            for warning in file.warnings:
                print_note(f"note: {file.doc_id}: {warning}")
    if args.report:
        _write_report(Path(args.report), build_json(report)["files"])
    if args.json:
        print_json(build_json(report))
        return
    print(
        f"{args.index_dir}/{report.generation}: {report.documents} documents, {report.passages} passages "
        f"({report.added} added, {report.updated} updated, {report.removed} removed, {report.unchanged} unchanged, "
        f"{len(report.failed)} failed) in {report.seconds:.1f} s",
        flush=True,
    )


def _write_report(path: Path, files: Sequence[Mapping[str, object]]) -> None:
    """Write one row a file: JSON, or CSV with remarks joined by semicolons and a mark that Excel knows UTF-8 by."""
    try:
        if path.suffix.lower() == ".json":
            path.write_text(json.dumps(files, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            return
        with path.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(files[0] if files else ())
            for file in files:
                writer.writerow(_cell(value) for value in file.values())
    except OSError as error:
        raise RagError(
            f"the report cannot be written to {path}: {error.strerror}; the index is as it would be without one"
        ) from error


def _cell(value: object) -> object:
    """Return what a cell holds; a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    text = "; ".join(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(("=", "+", "-", "@")) else text
