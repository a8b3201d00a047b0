"""When not to answer: what tells a question that the documents answer from one that they do not.

Fitted on small collections of training passages, asked questions of which some are about passages left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rag.answering.evidence import Candidate, TermMatcher
from rag.answering.model import UNIT_FEATURES
from rag.answering.quantities import TIME, month_numbers, numbers, pieces_of, units
from rag.answering.question import Question, QuestionKind
from rag.datatypes import Passage
from rag.text import fold_text, terms

_BEST = 4  # as many as an answer quotes, about
_AMOUNTS = frozenset(
    fold_text(
        "one once twice single half third quarter double dozen zero none never always every each "
        "واحد واحدة مرة مرتين مرات نصف النصف ثلث الثلث ربع الربع ضعف ضعفين ضعفا صفر كل"
    ).split()
)
_MOMENTS = frozenset(
    fold_text(
        "when whenever before after once until till if during while then first last morning noon evening night monday "
        "tuesday wednesday thursday friday saturday sunday قبل بعد عند عندما حين حينما كلما إذا خلال أثناء متى ثم "
        "قبيل أول آخر صباح صباحا مساء ظهر ليلا الأحد الاثنين الثلاثاء الأربعاء الخميس الجمعة السبت فور فورا"
    ).split()
)
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
    read = dict.fromkeys(candidate.hit.passage for candidate in candidates)  # in their order, each once
    score = min(max(best.score, 1e-6), 1 - 1e-6)
    return (
        math.log(score / (1 - score)),
        max(candidate.features[_SUPPORT] for candidate in candidates),
        matcher.coverage(_terms_of(passage), passage.language),
        float(matcher.lacks_particular((_terms_of(each), each.language) for each in read)),
        float(_lacks_figure(question, candidates)),
        float(passage.language != question.language),
        float(question.language == "ar"),
    )


def _terms_of(passage: Passage) -> set[str]:
    return set(terms(f"{passage.context}\n{passage.text}", passage.language))


def _lacks_figure(question: Question, candidates: Sequence[Candidate]) -> bool:
    """Tell whether a question after a quantity or a time meets no candidate, of the best, that has one."""
    if question.kind not in (QuestionKind.QUANTITY, QuestionKind.TIME):
        return False
    return not any(_has_figure(candidate.text, question.kind) for candidate in candidates[:_BEST])


def _has_figure(text: str, kind: QuestionKind) -> bool:
    pieces = pieces_of(text)
    words = _AMOUNTS if kind is QuestionKind.QUANTITY else _MOMENTS
    return bool(any(numbers(pieces)) or units(pieces, TIME) or not words.isdisjoint(pieces) or month_numbers(text))
