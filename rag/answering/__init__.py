"""Answering: a question becomes an answer made of verified quotes, or a plain "not in the documents"."""

from rag.answering.chatbot import Chatbot
from rag.answering.follow_up import StandAlone, stand_alone
from rag.answering.question import Question, QuestionKind, understand
from rag.answering.suggestions import follow_up_questions, opening_questions

__all__ = [
    "Chatbot",
    "Question",
    "QuestionKind",
    "StandAlone",
    "follow_up_questions",
    "opening_questions",
    "stand_alone",
    "understand",
]
