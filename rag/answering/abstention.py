"""When not to answer: what tells a question that the documents answer from one that they do not.

Fitted on small collections of training passages, asked questions of which some are about passages left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rag.answering.evidence import Candidate, TermMatcher
from rag.answering.model import UNIT_FEATURES
from rag.answering.question import Question, QuestionKind
from rag.text import terms

_BEST = 4  # as many as an answer quotes, about
_KIND = UNIT_FEATURES.index("kind")
_SUPPORT = UNIT_FEATURES.index("support")


def answerability_features(
    question: Question,
    candidates: Sequence[Candidate],
    matcher: TermMatcher,
) -> tuple[float, ...]:
    """Describe how likely it is that the best candidate answers at all, in the order of `model.ANSWER_FEATURES`.

    Args:
        question: The question.
        candidates: Best first, at least one.
        matcher: The question's matcher.
    """
    best = candidates[0]
    passage = best.hit.passage
    read = {candidate.hit.passage: None for candidate in candidates}  # in their order, each once
    found = {each: set(terms(f"{each.context}\n{each.text}", each.language)) for each in read}
    score = min(max(best.score, 1e-6), 1 - 1e-6)
    return (
        math.log(score / (1 - score)),
        max(candidate.features[_SUPPORT] for candidate in candidates),
        matcher.coverage(found[passage], passage.language),
        float(matcher.lacks_particular([(own, each.language) for each, own in found.items()])),
        float(_lacks_figure(question, candidates)),
        float(passage.language != question.language),
        float(question.language == "ar"),
    )


def _lacks_figure(question: Question, candidates: Sequence[Candidate]) -> bool:
    """Tell whether a question after a quantity or a time meets no candidate, of the best, that has one."""
    if question.kind not in (QuestionKind.QUANTITY, QuestionKind.TIME):
        return False
    return not any(candidate.features[_KIND] for candidate in candidates[:_BEST])
