"""Answer the questions of a CSV file into another, with their sources.

    python batch_answers.py questions.csv answers.csv --index-dir index

The first file has a column ``question``; its other columns are kept. Added are ``answer`` (with marks ``[1]``),
``abstained`` (true where the documents do not answer), ``confidence`` (0 to 1) and ``sources``, a line for each mark:
the document, the place in its text, the page of a PDF, and the quote.
"""

import argparse
import csv
import sys
from pathlib import Path

from rag import Answer, Chatbot, RagError, Retriever


def main() -> int:
    """Read the arguments; return the exit status."""
    parser = argparse.ArgumentParser(description="Answer the questions of a CSV file into another, with their sources.")
    parser.add_argument("questions", type=Path, help="a CSV file with a column 'question'")
    parser.add_argument("answers", type=Path, help="the CSV file to write")
    parser.add_argument("--index-dir", default="index", help="the index (default: %(default)s)")
    args = parser.parse_args()
    try:
        answer_all(args.questions, args.answers, args.index_dir)
    except (RagError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def answer_all(questions: Path, answers: Path, index_dir: str) -> None:
    """Write a row of ``answers`` for each row of ``questions``, in the same order."""
    with open(questions, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=1):
        if not (row.get("question") or "").strip():
            raise ValueError(f"{questions}: row {number} has no question. Name the column 'question' and fill it")
        if None in row:
            raise ValueError(f"{questions}: row {number} has more cells than the first line. Quote cells with commas")
    chatbot = Chatbot(Retriever.open(index_dir))
    # The mark at the beginning of the file tells spreadsheets that it is UTF-8; without it Arabic is unreadable there.
    with open(answers, "w", encoding="utf-8-sig", newline="") as file:
        added = ["answer", "abstained", "confidence", "sources"]
        writer = csv.DictWriter(file, [*(name for name in (rows[0] if rows else {}) if name not in added), *added])
        writer.writeheader()
        for number, row in enumerate(rows, start=1):
            writer.writerow({**row, **columns(chatbot.ask(row["question"]))})
            print(f"{number}/{len(rows)}", file=sys.stderr)


def columns(answer: Answer) -> dict[str, str]:
    """Return the columns that are added for one answer."""
    sources = [
        f"[{citation.n}] {citation.doc_id}:{citation.start}-{citation.end}"
        f"{f', page {citation.page}' if citation.page else ''}: {' '.join(citation.quote.split())}"
        for citation in answer.citations
    ]
    return {
        "answer": as_text(answer.text),
        "abstained": str(answer.abstained).lower(),
        "confidence": f"{answer.confidence:.2f}",
        "sources": as_text("\n".join(sources)),
    }


def as_text(cell: str) -> str:
    """Return a cell that a spreadsheet takes for text: what a document says must not become a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


if __name__ == "__main__":
    raise SystemExit(main())
