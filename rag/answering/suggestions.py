"""Questions to ask, made of the documents' own titles and headings: to open with, and to go on with after an answer.

No language model and no chance: the same documents give the same questions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, zip_longest

from rag.answering.headings import Casing, about_heading, question_of_heading
from rag.answering.headings.cleaning import terms_of
from rag.datatypes import Answer, Document
from rag.text import content_terms, fold_text

_MAX_DOCUMENTS = 100  # looked at for questions to open with, spread evenly over the corpus
_MAX_HEADINGS = 400  # looked at in all of them
_NEAR_HEADINGS = 40  # looked at in one document, around the cited place
_MIN_BODY = 60  # characters under a heading that are worth a question
_TITLE_BODY, _SECTION_BODY = 3000, 400  # characters in which the meaning of a name is looked for
_CASING_SAMPLE = 10_000  # characters
_EASY_WORDS = 7  # of a question that is read at a glance
_LAST_RESORT = 3  # a grade
_SAME = 0.75  # share of terms in common from which two questions ask the same
_WORDINGS = {  # what questions made of headings are worded with, whatever they ask about
    "ar": "ما الذي ينبغي معرفته عن، ماذا تقول المستندات عن، كيف يمكن، ما المقصود بمصطلح",
    "en": "what should I know about, what do the documents say about, can you explain, what is meant by",
}
_MAX_OTHERS = 3  # documents beside the cited ones


@dataclass(frozen=True, slots=True)
class _Suggestion:
    """A question with where it comes from. ``place``: of its heading in the document, -1 for the title."""

    text: str
    language: str
    grade: int
    doc_id: str
    place: int

    @property
    def terms(self) -> frozenset[str]:
        return terms_of(self.text)

    @property
    def kind(self) -> str:
        """Return how it asks: by its first word, or as a comparison."""
        words = fold_text(self.text).split()
        return "difference" if {"difference", "الفرق"} & set(words) else words[0]


def opening_questions(documents: Mapping[str, Document], language: str, *, count: int = 4) -> list[str]:
    """Return questions to open a conversation with, each answered by a section of a document.

    They come from as many documents as can be, of as many kinds as can be; documents in the interface's language come
    first, others only where these make too few questions. The order of ``documents`` does not matter.

    Args:
        documents: The documents by ``doc_id``.
        language: Of the interface, ISO 639-1.
        count: Questions wanted, at least 0.

    Returns:
        Up to ``count`` questions, the best first, each in the language of its document; empty where no heading makes a
        question that reads well.

    Raises:
        ValueError: ``count`` < 0.
    """
    if count < 0:
        raise ValueError(f"count is {count}; ask for at least 0 questions")
    by_language: dict[bool, list[Document]] = {True: [], False: []}
    for doc_id in sorted(documents):
        by_language[documents[doc_id].language == language].append(documents[doc_id])
    chosen: list[_Suggestion] = []
    for wanted in (True, False):
        if len(chosen) < count:
            spread = _spread(by_language[wanted], _MAX_DOCUMENTS)
            most = max(1, _MAX_HEADINGS // max(1, len(spread)))
            offered = [suggestion for document in spread for suggestion in _suggestions_of(document, most=most)]
            chosen = _vary(offered, chosen, count)
    return [suggestion.text for suggestion in chosen]


def follow_up_questions(
    answer: Answer, documents: Mapping[str, Document], *, asked: Collection[str] = (), count: int = 3
) -> list[str]:
    """Return questions to go on with after an answer: what stands near the cited places, then in documents like them.

    Args:
        answer: The answer. Of one that abstains, the headings of the nearest passages are asked about.
        documents: The documents by ``doc_id``; what is cited of others is passed over.
        asked: Questions asked before in the conversation; the answer's own need not be among them.
        count: Questions wanted, at least 0.

    Returns:
        Up to ``count`` questions in the language of the answer's question, the nearest first; none that was asked or
        that a citation already answers.

    Raises:
        ValueError: ``count`` < 0.
    """
    if count < 0:
        raise ValueError(f"count is {count}; ask for at least 0 questions")
    spoken = [*asked, answer.question, answer.query]
    if answer.abstained or not answer.citations:
        return _unlike(_of_nearest(answer, documents), spoken, answer.language, count)
    near = _unlike((s.text for s in _near(answer, documents)), spoken, answer.language, count)
    # One of another document among them, so that the conversation can leave the one it is in.
    kept = near[: max(count - 1, 1)]
    others = (suggestion.text for suggestion in _of_others(answer, documents))
    found = _unlike(others, [*spoken, *kept], answer.language, count - len(kept))
    return _unlike([*kept, *found, *near], spoken, answer.language, count)


def _suggestions_of(document: Document, *, around: int = 0, most: int = _NEAR_HEADINGS) -> list[_Suggestion]:
    """Return what the title and so many headings around one ask, in text order; each question once."""
    casing = _casing(document)
    found: dict[str, _Suggestion] = {}
    first = max(0, min(around - most // 2, len(document.headings) - most))
    for place in (-1, *range(first, min(first + most, len(document.headings)))):
        suggestion = _suggest(document, place, casing)
        if suggestion:
            found.setdefault(fold_text(suggestion.text), suggestion)
    return list(found.values())


def _suggest(document: Document, place: int, casing: Casing | None) -> _Suggestion | None:
    heading = document.title if place < 0 else document.headings[place].text
    is_title = fold_text(heading) == fold_text(document.title)
    body = _body(document, place).strip()
    if len(body) < _MIN_BODY:
        return None
    body = body[: _TITLE_BODY if is_title else _SECTION_BODY]
    made = question_of_heading(heading, document.title, document.language, body=body, casing=casing)
    if made is None:
        return None
    return _Suggestion(made.text, document.language, made.grade, document.doc_id, -1 if is_title else place)


def _body(document: Document, place: int) -> str:
    """Return what stands under a heading, its subsections too; under the title, everything."""
    if place < 0:
        return document.text
    heading = document.headings[place]
    following = (other.start for other in document.headings[place + 1 :] if other.level <= heading.level)
    return document.text[heading.end : next(following, len(document.text))]


def _casing(document: Document) -> Casing | None:
    if document.language != "en":
        return None
    parts, start = [], 0
    for heading in document.headings:
        if heading.start > _CASING_SAMPLE:
            break
        parts.append(document.text[start : heading.start])
        start = heading.end
    return Casing.of("\n".join([*parts, document.text[start:_CASING_SAMPLE]]))


def _spread(documents: Sequence[Document], most: int) -> list[Document]:
    """Return at most so many of the documents, evenly spread."""
    if len(documents) <= most:
        return list(documents)
    return [documents[place * len(documents) // most] for place in range(most)]


def _vary(offered: Iterable[_Suggestion], chosen: Sequence[_Suggestion], count: int) -> list[_Suggestion]:
    """Add to the chosen, one by one, what reads best and is least like what is there; the earlier where equal."""
    result = list(chosen)
    left = list(offered)
    kinds = {suggestion: suggestion.kind for suggestion in [*left, *result]}
    terms = {suggestion: suggestion.terms for suggestion in [*left, *result]}
    common = _common_terms(left)

    def cost(suggestion: _Suggestion) -> float:
        own = terms[suggestion] - common
        alike = max((_likeness(own, terms[other] - common) for other in result), default=0.0)
        return (
            suggestion.grade
            + (2.0 if suggestion.grade >= _LAST_RESORT else 0.0)
            - (0.75 if suggestion.place < 0 else 0.0)  # what the whole document is about is good to begin with
            + 0.15 * max(0, len(suggestion.text.split()) - _EASY_WORDS)
            + 2.5 * sum(other.doc_id == suggestion.doc_id for other in result)
            + 1.0 * sum(kinds[other] == kinds[suggestion] for other in result)
            + 1.5 * alike
        )

    while left and len(result) < count:
        best = min(left, key=cost)  # the first of equals
        if not any(_is_same(best.text, other.text, best.language) for other in result):
            result.append(best)
        left.remove(best)
    return result


def _common_terms(offered: Iterable[_Suggestion]) -> frozenset[str]:
    """Return the terms that so many documents speak of that two questions are not alike for sharing them."""
    spoken: dict[str, set[str]] = {}
    for suggestion in offered:
        spoken.setdefault(suggestion.doc_id, set()).update(suggestion.terms)
    frequency = Counter(chain.from_iterable(spoken.values()))
    return frozenset(term for term, number in frequency.items() if number > max(2, len(spoken) / 3))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / min(len(one), len(other)) if one and other else 0.0


def _is_same(one: str, other: str, language: str) -> bool:
    """Tell whether two questions ask the same: the same words of meaning, but for one in four."""
    first, second = (set(content_terms(text, language)) - _wording_terms(language) for text in (one, other))
    if not first or not second:
        return fold_text(one) == fold_text(other)
    if language == "ar":  # a preposition is written onto its word
        first = {term[1:] if term[1:] in second and term[0] in "بل" else term for term in first}
        second = {term[1:] if term[1:] in first and term[0] in "بل" else term for term in second}
    return len(first & second) >= _SAME * len(first | second)


@cache
def _wording_terms(language: str) -> frozenset[str]:
    return frozenset(content_terms(_WORDINGS.get(language, ""), language))


def _unlike(texts: Iterable[str], spoken: Sequence[str], language: str, count: int) -> list[str]:
    """Return the first so many of the texts that none of the spoken ones, nor an earlier one, asks the same as."""
    found: list[str] = []
    for text in texts:
        if len(found) >= count:
            break
        if not any(_is_same(text, other, language) for other in [*spoken, *found]):
            found.append(text)
    return found


def _place_of(document: Document, offset: int) -> int:
    """Return the place of the heading that an offset stands under, -1 above the first."""
    return bisect_right([heading.start for heading in document.headings], offset) - 1


def _cited(answer: Answer, documents: Mapping[str, Document]) -> dict[str, list[int]]:
    """Return the places of the headings that citations stand under, by document, both in the order of the citations."""
    found: dict[str, list[int]] = {}
    for citation in answer.citations:
        document = documents.get(citation.doc_id)
        if document is not None:
            found.setdefault(document.doc_id, []).append(_place_of(document, citation.start))
    return found


def _near(answer: Answer, documents: Mapping[str, Document]) -> Iterator[_Suggestion]:
    """Yield the sections around the cited ones: two of the document cited first, then one of each in turn."""
    around: list[list[_Suggestion]] = []
    for doc_id, places in _cited(answer, documents).items():
        document = documents[doc_id]
        if document.language == answer.language:
            offered = [s for s in _suggestions_of(document, around=places[0]) if s.place not in places]
            around.append(sorted(offered, key=partial(_distance, document, places[0])))
    if around:
        yield from around[0][:2]
        around[0] = around[0][2:]
    for row in zip_longest(*around):
        yield from (suggestion for suggestion in row if suggestion)


def _distance(document: Document, place: int, suggestion: _Suggestion) -> tuple[bool, bool, float]:
    """Return a key that sorts the sections of a document by how near they are to one of them, its title last."""
    levels = [heading.level for heading in document.headings]
    steps = suggestion.place - place
    distance = 2 * abs(steps) - (steps > 0)  # the next before the one before
    is_sibling = place >= 0 and levels[suggestion.place] == levels[place]
    weight = distance + 1.5 * suggestion.grade + (0 if is_sibling else 4)
    return suggestion.grade >= _LAST_RESORT, suggestion.place < 0, weight


def _of_others(answer: Answer, documents: Mapping[str, Document]) -> Iterator[_Suggestion]:
    """Yield questions of documents that are not cited and name what the question is about.

    First the sections found for the question, then the best of what is asked by the documents with the nearest titles.
    Words that many titles share tell nothing.
    """
    cited = _cited(answer, documents)
    titles = {
        doc_id: terms_of(document.title)
        for doc_id, document in sorted(documents.items())
        if document.language == answer.language
    }
    frequency = Counter(chain.from_iterable(titles.values()))
    rare = {term: 1 / number for term, number in frequency.items() if number <= max(2, len(titles) / 3)}
    about = [answer.query or answer.question, *answer.citations[0].heading[-1:]]
    subject = terms_of("\n".join(about))
    subject |= {term[1:] for term in subject if term[0] in "بل"}  # a preposition may be written onto the word
    subject -= frequency.keys() - rare.keys()
    for hit in answer.hits:
        doc_id = hit.passage.doc_id
        if doc_id in titles and doc_id not in cited:
            document = documents[doc_id]
            suggestion = _suggest(document, _place_of(document, hit.passage.start), _casing(document))
            if suggestion and suggestion.grade < _LAST_RESORT and suggestion.terms & subject:
                yield suggestion
    nearness = {doc_id: sum(rare.get(term, 0.0) for term in terms & subject) for doc_id, terms in titles.items()}
    others = [doc_id for doc_id in titles if doc_id not in cited and nearness[doc_id] > 0]
    others.sort(key=lambda doc_id: -nearness[doc_id])
    for doc_id in others[:_MAX_OTHERS]:
        yield from sorted(_suggestions_of(documents[doc_id]), key=lambda s: (s.grade, s.place))[:1]


def _of_nearest(answer: Answer, documents: Mapping[str, Document]) -> Iterator[str]:
    """Yield what the documents may be asked to say about the headings of the passages nearest to the question."""
    for hit in answer.hits:
        document = documents.get(hit.passage.doc_id)
        if document is None or document.language != answer.language:
            continue
        place = _place_of(document, hit.passage.start)
        heading = document.title if place < 0 else document.headings[place].text
        text = about_heading(heading, document.title, document.language, _casing(document))
        if text:
            yield text
