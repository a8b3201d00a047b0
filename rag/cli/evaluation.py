"""``rag eval``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path

from rag.cli.terminal import MODEL_HELP, Progress, print_json


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag eval`` takes beside the index."""
    parser.add_argument("questions", nargs="*", metavar="QUESTIONS.jsonl")
    parser.add_argument("--embedder", metavar="NAME_OR_PATH", help="the embedder the index was built with")
    parser.add_argument(
        "--details", type=_new_file, metavar="FILE", help="write what happened to each question, as JSON Lines"
    )
    parser.add_argument("--model", metavar="NAME", help=MODEL_HELP)
    parser.add_argument("--output", type=_new_file, metavar="FILE", help="save the report, rows included, as JSON")
    parser.add_argument(
        "--html", type=_new_file, metavar="FILE", help="write it as one HTML page (pip install 'sanad[report]')"
    )
    parser.add_argument(
        "--false-answer-rate",
        type=_share,
        default=0.05,
        metavar="SHARE",
        help="name the threshold that answers at most this share of unanswerable questions (default: %(default)s)",
    )
    parser.add_argument(
        "--gate",
        metavar="GATES",
        help="exit with 1 if missed, for instance evidence_cited>=0.7,refused_answerable<=0.1",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("FIRST", "SECOND"),
        help="compare two saved reports instead; exit with 1 if a gated figure got worse",
    )
    parser.add_argument(
        "--conversations",
        nargs="+",
        metavar="FILE",
        help="measure follow-up questions instead, with their history and without it",
    )
    parser.add_argument(
        "--from-feedback",
        type=Path,
        metavar="FEEDBACK.jsonl",
        help="make questions of what readers thought of the answers instead, into a new file named with --output",
    )
    parser.set_defaults(wrong_usage=parser.error)


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written; name a file in a folder that exists")
    return path


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, 0 to 1")
    return value


def run_evaluation(args: argparse.Namespace) -> int:
    """Run ``rag eval`` and return the exit status."""
    from rag.answering import Chatbot
    from rag.engine import BuildProgress
    from rag.evaluation import QUALITY_FILE, evaluate, parse_gates, render_page, report_table, require_page
    from rag.generators import open_generator
    from rag.retriever import Retriever
    from rag.store import notes_folder
    from rag.store.fsio import replace_file

    gates = parse_gates(args.gate) if args.gate else ()
    if sum(map(bool, (args.questions, args.compare, args.conversations, args.from_feedback))) != 1:
        args.wrong_usage("give question files, --conversations, --from-feedback, or --compare with two reports")
    if args.from_feedback and not args.output:
        args.wrong_usage("--from-feedback wants --output QUESTIONS.jsonl")
    if not args.questions and (args.html or (args.output and not args.from_feedback)):
        args.wrong_usage("--html and --output want question files")
    if args.compare:
        return _compare(args)
    if args.conversations:
        return _eval_conversations(args)
    if args.from_feedback:
        return _questions_from_feedback(args)
    if args.html:
        require_page()
    retriever = Retriever.open(args.index_dir, embedder=args.embedder)
    generator = open_generator(args.model) if args.model else None
    with Progress() as progress:
        report = evaluate(
            Chatbot(retriever, generator=generator),
            [Path(p) for p in args.questions],
            false_answer_rate=args.false_answer_rate,
            progress=lambda done, total, item: progress(BuildProgress("ask", done, total, item)),
        )
    if args.details:
        with open(args.details, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in report.details)
    text = json.dumps(report.to_json(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    with suppress(OSError):  # for the chat's Quality view; an index may be read-only
        replace_file(notes_folder(args.index_dir) / QUALITY_FILE, text.encode())
    if args.html:
        args.html.write_text(render_page(report), encoding="utf-8")
    if args.json:
        print_json(report.to_json())
    else:
        print(report_table(report))
    missed = [line for gate in gates if (line := gate.missed_by(report))]
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


def _eval_conversations(args: argparse.Namespace) -> int:
    from rag.answering import Chatbot
    from rag.evaluation.conversations import conversations_table, evaluate_conversations
    from rag.retriever import Retriever

    chatbot = Chatbot(Retriever.open(args.index_dir, embedder=args.embedder))
    report = evaluate_conversations(chatbot, [Path(path) for path in args.conversations])
    if args.details:
        with open(args.details, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in report.details)
    if args.json:
        print_json(report.to_json())
    else:
        print(conversations_table(report))
    return 0


def _questions_from_feedback(args: argparse.Namespace) -> int:
    from rag.evaluation.feedback import candidates_from, write_candidates

    candidates = candidates_from(args.from_feedback)
    write_candidates(candidates, args.output)
    if candidates.skipped:
        print(f"left out {candidates.skipped} lines of {args.from_feedback} that are no feedback", file=sys.stderr)
    if args.json:
        counts = {"questions": len(candidates.records), "to_review": candidates.to_review}
        print_json({"output": str(args.output), **counts, "merged": candidates.merged, "skipped": candidates.skipped})
    else:
        print(f"{args.output}: {len(candidates.records)} questions, {candidates.to_review} of them to review")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from rag.evaluation import compare, comparison_table, gate_comparison, load_report, parse_gates

    first, second = (load_report(Path(path)) for path in args.compare)
    comparison = compare(first, second)
    if args.json:
        print_json(comparison.to_json())
    else:
        print(comparison_table(comparison))
    missed = gate_comparison(comparison, second, parse_gates(args.gate) if args.gate else ())
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0
