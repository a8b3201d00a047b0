"""Which sentence answers: every quotable unit of the retrieved passages, described by a few numbers and scored.

A logistic model turns the numbers into the probability that the unit answers the question. The terms of a question are
weighted by inverse document frequency in the index at hand and, for a passage in the other language, matched through
the translation dictionary.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rag.answering.model import Logistic
from rag.answering.particulars import Particular, particulars
from rag.answering.question import Question, QuestionKind
from rag.answering.quotes import Unit, UnitKind, units_of
from rag.datatypes import Document, Hit, Passage
from rag.reader import AnswerSpan, CosineScorer, Reader
from rag.text import content_terms, fold_text, terms

_NAMES_SIDE = 0.6  # share of a side's terms that names it
_MAX_SCORED = 32  # units whose cosine is taken: about 0.3 s on two cores

_WORDS = {
    QuestionKind.QUANTITY: (
        "واحد اثنان ثلاث اربع خمس سته سبع ثمان تسع عشر مئه مائه الف مليون مليار ثلث ربع نصف one two three four five "
        "six seven eight nine ten dozen hundred thousand million billion half third quarter"
    ),
    QuestionKind.TIME: (
        "عام سنه يوم شهر اسبوع يناير فبراير مارس ابريل مايو يونيو يوليو اغسطس سبتمبر اكتوبر نوفمبر ديسمبر قبل بعد خلال "
        "عند year month week day january february march april may june july august september october november december "
        "century after before until during when"
    ),
    QuestionKind.REASON: (
        "لان لانه لانها بسبب نظرا نتيجه اذ حيث لذلك لذا يعود يرجع السبب because since due owing reason therefore result"
    ),
    QuestionKind.DEFINITION: "هو هي يعني تعني يقصد المقصود يعرف تعرف عباره is are means refers defined describes",
    QuestionKind.COMPARISON: (
        "بينما حين اما عكس بخلاف مقابل الفرق اكثر اقل كلاهما while whereas unlike but both differ differs difference "
        "contrast more less than"
    ),
    QuestionKind.METHOD: (
        "ابدا حدد اختر ضع استخدم احرص تجنب راقب قس اكتب اجعل تاكد طريق خلال خطوات define set choose start use avoid "
        "write make keep check test measure begin plan ask look by step steps"
    ),
    QuestionKind.PERSON: (
        "هو هي شخص خبير متخصص مختص مسوق مدير مؤسس الذي who person expert specialist founder partner manager"
    ),
}
_KIND_WORDS = {kind: frozenset(fold_text(words).split()) for kind, words in _WORDS.items()}
_DIGIT = re.compile(r"[0-9]")
_YEAR = re.compile(r"\b(?:1[0-9]{3}|20[0-9]{2})\b")

Idf = Callable[[str, str], float]  # (term, language of the passages) -> weight, at least 0
Translate = Callable[[str, str, str], Sequence[tuple[str, float]]]  # (term, from, to) -> [(term, probability)]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit of a retrieved passage with its numbers, in the order of `UNIT_FEATURES`, and its score in [0, 1].

    ``span`` is where in the document the reader sees the answer within the unit; None if it sees nothing there.
    """

    hit: Hit
    unit: Unit
    text: str
    features: tuple[float, ...]
    score: float
    span: AnswerSpan | None = None


class TermMatcher:
    """How much of a question's meaning-bearing terms a text holds.

    Args:
        question: The question.
        idf: Weight of a term among the passages of a language.
        translate: Translations of a term with their probabilities, empty where unknown.
    """

    def __init__(self, question: Question, idf: Idf, translate: Translate) -> None:
        self._text = question.text
        self._terms = list(dict.fromkeys(content_terms(question.text, question.language)))
        self._language = question.language
        self._idf = idf
        self._translate = translate
        self._prepared: dict[str, list[tuple[float, dict[str, float]]]] = {}

    def _prepare(self, language: str) -> list[tuple[float, dict[str, float]]]:
        """Return, for each term, its weight and what matches it in ``language`` with what credit in (0, 1]."""
        if language not in self._prepared:
            prepared = []
            for term in self._terms:
                matches = {term: 1.0}
                weight = self._idf(term, language)
                if language != self._language and not term.isascii():
                    translations = self._translate(term, self._language, language)
                    matches = dict(translations)
                    weights = [self._idf(translation, language) * p for translation, p in translations]
                    total = sum(p for _, p in translations)
                    weight = sum(weights) / total if total else 0.0  # an unknown word speaks neither for nor against
                elif language != self._language:
                    matches.update((t, p) for t, p in self._translate(term, self._language, language))
                prepared.append((weight, matches))
            self._prepared[language] = prepared
        return self._prepared[language]

    def coverage(self, found: set[str], language: str) -> float:
        """Return the weighted share of the question's terms among ``found``, in [0, 1]; 0 if it has none."""
        prepared = self._prepare(language)
        total = sum(weight for weight, _ in prepared)
        if not total:
            return 0.0
        return sum(weight * self._credit(matches, found) for weight, matches in prepared) / total

    def lacks_particular(self, texts: Iterable[tuple[set[str], str]]) -> bool:
        """Tell whether a particular of the question (`rag.answering.particulars`) is in none of some texts.

        Args:
            texts: The terms of each and its language; looked at only where the question has a particular.
        """
        if not self._particulars:
            return False
        every = list(texts)

        def is_named(particular: Particular, found: set[str], language: str) -> bool:
            return particular.is_named(found, lambda term: self._credit(self._matches(term, language), found) > 0)

        return not all(any(is_named(each, *text) for text in every) for each in self._particulars)

    @cached_property
    def _particulars(self) -> list[Particular]:
        return particulars(self._text, self._language)

    def _matches(self, term: str, language: str) -> dict[str, float]:
        """Return what stands for a term in a language, itself included."""
        if language == self._language:
            return {term: 1.0}
        return {term: 1.0, **dict(self._translate(term, self._language, language))}

    def mentions(self, side: str, text: str, passage: Passage) -> bool:
        """Tell whether a text of a passage, or what it stands under, names one side of a comparison."""
        about = TermMatcher(Question(side, self._language, QuestionKind.OTHER), self._idf, self._translate)
        found = set(terms(f"{passage.context}\n{text}", passage.language))
        return about.coverage(found, passage.language) >= _NAMES_SIDE

    @staticmethod
    def _credit(matches: dict[str, float], found: set[str]) -> float:
        return min(1.0, 1.5 * sum(credit for term, credit in matches.items() if term in found))


def candidates_of(
    question: Question,
    hits: Sequence[Hit],
    documents: Callable[[str], Document],
    matcher: TermMatcher,
    scorer: CosineScorer,
    reader: Reader,
    model: Logistic,
) -> list[Candidate]:
    """Describe and score every quotable unit of the hits' passages, best first; equal scores keep rank and text order.

    At most 32 units are described: of each passage the one that shares most with the question, then those that share
    most, earlier passages preferred. The cosine is that of the unit behind the title and headings it stands under; the
    reader reads its whole passage behind them.
    """
    found: list[tuple[Hit, Unit, str, float]] = []
    for hit in hits:
        passage = hit.passage
        document = documents(passage.doc_id)
        for unit in units_of(document, passage.start, passage.end):
            text = document.text[unit.start : unit.end]
            coverage = matcher.coverage(set(terms(text, passage.language)), passage.language)
            found.append((hit, unit, text, coverage))
    order = sorted(range(len(found)), key=lambda i: -(found[i][3] + 2.0 / (1 + found[i][0].rank)))
    first_of = {found[i][0].passage.passage_id: i for i in reversed(order)}  # the best unit of each passage
    order.sort(key=lambda i: first_of[found[i][0].passage.passage_id] != i)
    kept = [found[i] for i in sorted(order[:_MAX_SCORED])]
    cosines = scorer.score(question.text, [f"{hit.passage.context}\n{text}" for hit, _, text, _ in kept])
    passages = list(dict.fromkeys(hit.passage for hit, _, _, _ in kept))
    readings = reader.read(question.text, [f"{passage.context}\n{passage.text}" for passage in passages])
    reading_of = dict(zip(passages, readings, strict=True))
    subject = frozenset(content_terms(question.text, question.language))
    result = []
    for (hit, unit, text, coverage), cosine in zip(kept, cosines, strict=True):
        reading = reading_of[hit.passage]
        before = len(hit.passage.context) + 1 - hit.passage.start
        span = reading.best(unit.start + before, unit.end + before)
        features = (
            float(cosine),
            reading.support(unit.start + before, unit.end + before),
            max(-1.0, min(1.0, span.score / 10)) if span else -1.0,
            coverage,
            hit.score,
            _fits(question, subject, text, unit.kind),
            float(text.rstrip().endswith(("?", "؟"))),
            float(len(text.split()) < 4),
            float(unit.kind is not UnitKind.SENTENCE),
        )
        if span:
            span = AnswerSpan(max(unit.start, span.start - before), min(unit.end, span.end - before), span.score)
        result.append(Candidate(hit, unit, text, features, 0.0, span))
    return rank(result, model)


def holds_definition(question: Question, document: Document, hit: Hit) -> bool:
    """Tell whether a passage has a unit that opens by saying what the question's subject is."""
    subject = frozenset(content_terms(question.text, question.language))
    return any(
        _fits(question, subject, document.text[unit.start : unit.end], unit.kind)
        for unit in units_of(document, hit.passage.start, hit.passage.end)
    )


def rank(candidates: Sequence[Candidate], model: Logistic) -> list[Candidate]:
    """Score candidates, best first; equal scores keep their order."""
    scored = [dataclasses.replace(candidate, score=model.probability(candidate.features)) for candidate in candidates]
    return sorted(scored, key=lambda candidate: -candidate.score)


def _fits(question: Question, subject: frozenset[str], text: str, unit: UnitKind) -> float:
    """Tell whether a unit has the shape of an answer to such a question: 1.0 or 0.0."""
    kind = question.kind
    if kind is QuestionKind.LIST:
        return float(unit is not UnitKind.SENTENCE or text.rstrip().endswith(":"))
    folded = fold_text(text)
    words = re.findall(r"\w+", folded)
    says_so = not _KIND_WORDS.get(kind, frozenset()).isdisjoint(words)
    if kind in (QuestionKind.DEFINITION, QuestionKind.PERSON):
        opening = terms(" ".join(words[: len(subject) + 3]), question.language)
        return float(says_so and bool(subject) and subject <= set(opening))
    if kind is QuestionKind.QUANTITY:
        return float(says_so or bool(_DIGIT.search(folded)))
    if kind is QuestionKind.TIME:
        return float(says_so or bool(_YEAR.search(folded)))
    return float(says_so)
