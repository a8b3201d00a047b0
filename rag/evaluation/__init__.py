"""Evaluation on judged questions, with no API key and no judge but the documents themselves."""

from rag.evaluation.compare import Comparison, compare, comparison_table
from rag.evaluation.evaluate import QUALITY_FILE, EvalReport, evaluate, evaluate_questions, load_report
from rag.evaluation.gates import Gate, gate_comparison, parse_gates
from rag.evaluation.page import render_page, require_page
from rag.evaluation.report import report_table

__all__ = [
    "QUALITY_FILE",
    "Comparison",
    "EvalReport",
    "Gate",
    "compare",
    "comparison_table",
    "evaluate",
    "evaluate_questions",
    "gate_comparison",
    "load_report",
    "parse_gates",
    "render_page",
    "report_table",
    "require_page",
]
