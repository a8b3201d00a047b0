"""Questions made of headings, in Arabic and in English, without a language model."""

from rag.answering.headings.cleaning import Wording
from rag.answering.headings.question import Casing, about_heading, question_of_heading

__all__ = ["Casing", "Wording", "about_heading", "question_of_heading"]
