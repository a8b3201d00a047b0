"""Pure functions on text: folding, language, blocks, sentences, index terms; all keep the original offsets."""

from rag.text.analyzers import Token, analyze, content_terms, terms, whole_words
from rag.text.blocks import Block, split_blocks
from rag.text.fold import Folded, fold, fold_text
from rag.text.language import detect_language, direction
from rag.text.sentences import split_block, split_sentences

__all__ = [
    "Block",
    "Folded",
    "Token",
    "analyze",
    "content_terms",
    "detect_language",
    "direction",
    "fold",
    "fold_text",
    "split_block",
    "split_blocks",
    "split_sentences",
    "terms",
    "whole_words",
]
