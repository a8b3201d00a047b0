"""``rag doctor``: what is installed, what is slow, what state the index is in, and what leaves the machine."""

from __future__ import annotations

import argparse
import platform
from typing import Any

from rag.cli.isolation import run_probe
from rag.cli.machine import machine, packages
from rag.cli.terminal import MODEL_HELP, print_json, print_note, waiting
from rag.errors import RagError

_GIB = 1 << 30
_LEAST_DISK = _GIB // 2
_LEAST_MEMORY = _GIB
_COLD = ("import", "open embedder", "open reader", "open index", "first question")
_REMEDIES = {
    "open index": "the index is large for this disk; put it on a local, faster one",
    "first question": "answering is the work itself; more cores help",
}
_KEEP_OPEN = "ask question after question in one process: rag chat or rag serve"


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag doctor`` takes beside the index."""
    parser.add_argument("--model", metavar="NAME", help=MODEL_HELP)


def run_doctor(args: argparse.Namespace) -> int:
    """Examine and report; return 1 if there is a problem, each of which names its remedy."""
    with waiting("building, searching and asking where nothing can leave the machine"):
        report = examine(args.index_dir, args.model)
    if args.json:
        print_json(report)
    else:
        for line in _lines(args.index_dir, report):
            print(line)
    for problem in report["problems"]:
        print_note(f"error: {problem}")
    return 1 if report["problems"] else 0


def examine(index_dir: str, model: str | None) -> dict[str, Any]:
    """Return the whole report.

    Returns:
        ``python``, ``packages``, ``machine``, ``embedder``, ``reader``, ``index``, ``generation``, ``model`` (where one
        is named), ``seconds`` by step, ``slowest`` (``step``, ``share`` of a cold ``rag ask``, ``remedy``),
        ``sample``, ``network`` (``isolation``, ``attempts``) and ``problems``, a sentence with its remedy each.
    """
    versions, missing = packages()
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": versions,
        "machine": machine(index_dir),
        **run_probe(index_dir),
    }
    problems: list[str] = report["problems"]
    problems += [f"the package {name} is not installed; install Sanad again: pip install sanad" for name in missing]
    if model:
        _examine_model(model, report)
    _examine_index(index_dir, report)
    _judge(report)
    report["problems"] = list(dict.fromkeys(problems))
    report["slowest"] = _slowest(report["seconds"])
    return report


def _examine_model(name: str, report: dict[str, Any]) -> None:
    from rag.generators import open_generator, remote_host

    try:
        generator = open_generator(name)
    except RagError as error:
        report["problems"].append(str(error))
        return
    report["model"] = {
        "name": generator.name,
        "context_tokens": generator.context_tokens,
        "sent_to": remote_host(name),
    }


def _examine_index(index_dir: str, report: dict[str, Any]) -> None:
    from rag.store import open_store

    try:
        store = open_store(index_dir)
        found = store.verify()
        if found:
            report["problems"] += [*found, store.standing()]
        report["generation"] = store.current_name()
        manifest = store.open(report["generation"]).manifest
    except RagError as error:
        report["problems"].append(str(error))
        return
    report["index"] = {
        "created": manifest.created,
        "documents": manifest.counts["documents"],
        "passages": manifest.counts["passages"],
        "languages": dict(manifest.languages),
        "embedder": manifest.embedder.get("name"),
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
    }


def _judge(report: dict[str, Any]) -> None:
    problems, here = report["problems"], report["machine"]
    for attempt in report["network"]["attempts"]:
        problems.append(
            f"a program tried to reach the network ({attempt['event']} {attempt['target']}) and was refused; "
            "it is not needed, and a plug-in of this Python may be behind it: try a new virtual environment"
        )
    for trial in report["sample"]:
        if not (trial["is_found"] and trial["is_quoted"]):
            problems.append(
                f"the built-in sample does not answer {trial['question']!r}; the models may be damaged, "
                "install the package again: pip install --force-reinstall sanad"
            )
    if here["disk_free_bytes"] < _LEAST_DISK:
        problems.append(f"only {_size(here['disk_free_bytes'])} of disk are free; a build may need more, free some")
    if (here["memory_available_bytes"] or _GIB) < _LEAST_MEMORY:
        problems.append(f"only {_size(here['memory_available_bytes'])} of memory are free; end other programs")


def _slowest(seconds: dict[str, float]) -> dict[str, Any] | None:
    """Return the step that a cold ``rag ask`` spends most on; None where nothing was timed."""
    cold = {step: seconds[step] for step in _COLD if step in seconds}
    if not cold:
        return None
    step = max(cold, key=lambda name: cold[name])
    total = sum(cold.values())
    remedy = _REMEDIES.get(step, _KEEP_OPEN)
    return {"step": step, "share": round(cold[step] / total, 2), "cold_ask": round(total, 3), "remedy": remedy}


def _lines(index_dir: str, report: dict[str, Any]) -> list[str]:
    here = report["machine"]
    lines = [
        f"Python {report['python']}; " + ", ".join(f"{name} {number}" for name, number in report["packages"].items()),
        f"machine: {here['cpu']}, {here['cores']} cores"
        + (f", OMP_NUM_THREADS={here['threads']}" if here["threads"] else "")
        + f", {' '.join(here['cpu_features']) or 'no vector instructions known'}; "
        f"memory {_size(here['memory_bytes'])}, {_size(here['memory_available_bytes'])} of it free; "
        f"{_size(here['disk_free_bytes'])} of disk free",
    ]
    if "embedder" in report:
        lines.append("embedder: {path}, {dim} dimensions, window {max_tokens} tokens".format(**report["embedder"]))
    if "reader" in report:
        lines.append(f"reader: {report['reader']['path']}")
    if "index" in report:
        index = report["index"]
        languages = ", ".join(f"{code} {count}" for code, count in index["languages"].items())
        lines.append(
            f"index: {index_dir}/{report['generation']}, {index['documents']} documents, {index['passages']} passages "
            f"({languages}), {_size(index['bytes'])}, embedder {index['embedder']}, built {index['created']}"
        )
    if "model" in report:
        lines.append("model: {name}, window {context_tokens} tokens".format(**report["model"]))
    else:
        lines.append("model: none, answers are quotes")
    lines.append("time: " + ", ".join(f"{step} {seconds:.2f} s" for step, seconds in report["seconds"].items()))
    if slowest := report["slowest"]:
        lines.append(
            f"slowest: {slowest['step']}, {slowest['share']:.0%} of the {slowest['cold_ask']:.1f} s of a cold rag ask; "
            f"{slowest['remedy']}"
        )
    lines += _network_lines(report)
    lines.append(f"problems: {len(report['problems']) or 'none'}")
    return lines


def _network_lines(report: dict[str, Any]) -> list[str]:
    network = report["network"]
    where = "without any network (a namespace)" if network["isolation"] == "namespace" else "with its sockets guarded"
    questions = len(report["sample"])
    lines = [f"network: a build, {questions} searches and {questions} questions ran {where}; "
             f"attempts to reach it: {len(network['attempts'])}"]  # fmt: skip
    host = report.get("model", {}).get("sent_to")
    if host:
        lines.append(f"network: with this model, questions and the passages that may answer them are sent to {host}")
    else:
        lines.append("network: nothing leaves the machine, unless a hub model is named with --embedder or --model")
    return lines


def _size(count: int | None) -> str:
    """Return bytes for people."""
    if count is None:
        return "an unknown amount"
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / (1 << 20):.1f} MiB"
