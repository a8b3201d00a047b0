"""Where in a passage is the answer? A question answering model, and the embedder alone for sentences."""

from rag.reader.cosine import CosineScorer
from rag.reader.reader import DEFAULT_READER, Reader, default_reader
from rag.reader.reading import AnswerSpan, Reading

__all__ = ["DEFAULT_READER", "AnswerSpan", "CosineScorer", "Reader", "Reading", "default_reader"]
