"""Evaluation on judged questions, with no API key and no judge but the documents themselves."""

from rag.evaluation.evaluate import EvalReport, evaluate
from rag.evaluation.report import report_table

__all__ = ["EvalReport", "evaluate", "report_table"]
