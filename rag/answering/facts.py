"""What a sentence may not change of what its source says: numbers, dates, units, names, negation, who did it to whom.

Rules on folded text, for Arabic and English and between them. They look for contradictions and know nothing of meaning:
a sentence that passes may still say something else (see `rag.answering.support`), and a free paraphrase may fail.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from itertools import combinations

from rapidfuzz.distance import OSA

from rag.answering.quantities import MONEY, TIME, month_numbers, months, numbers, pieces_of, units
from rag.text import Token, analyze, content_terms, fold, fold_text
from rag.text.transliteration import Transliterator, similarity

Translate = Callable[[str, str, str], Sequence[tuple[str, float]]]  # (term, from, to) -> [(term, probability)]

_BREAKS = frozenset(".;:،؛,")
_NOT = frozenset(fold_text(
    "not no never without cannot nor neither none nobody nothing avoid لا لم لن ليس ليست ليسوا غير بدون دون عدم بلا "
    "مش مو مب تجنب تفاد تفادي"
).split())  # fmt: skip
_NO_NEGATION_BEFORE = frozenset(fold_text("only يزال تزال يزالون سيما بد فقط").split())
_EXCEPT = frozenset(fold_text("سوى إلا except").split())
_ADVERSATIVE = frozenset(fold_text("but بل لكن ولكن while بينما").split())
_SCOPE = 3  # content terms after a negation that it is about
_BESIDE_NAMES = frozenset(fold_text("بن ابن بنت أبو أبي عبد").split())
_LIKELY = 0.05
_PARTICIPLE = (
    r"(?:\w+(?:ed|en)|bought|built|cut|found|held|kept|led|lost|made|met|paid|put|read|sold|sent|set|spent|told|won)"
)
_PASSIVE = re.compile(
    rf"\b(?:is|are|was|were|been|being|be)\s+(?:\w+\s+)?{_PARTICIPLE}\b|\b{_PARTICIPLE} by\b"
    r"|(?:^|\s)(?:من قبل|بواسطه|[يت]?تم)(?:\s|$)"
)
_CLAUSE = re.compile(
    r"[.;:،؛,]|\b(?:but|while|whereas|because|before|after|when|if|so|which|who|بل|لكن|ولكن|بينما|لان|لانه|قبل|بعد|عندما|اذا|حيث)\b"
)
# Words that keep two sides apart in both languages: "more than", "into".
_PIVOTS = (re.compile(r"\bthan\b|\bا\w{3,4} (?:من|مما)\b"), re.compile(r"\binto\b|\bالي\b"))
_CONTRAST = re.compile(r"\b(?:while|whereas|بينما)\b")
# Where one claim ends and the next begins; "1,200" and "3.5" are whole.
_CLAIM = re.compile(r"[.;:؛،,!?؟](?=\s|$)|\n|\b(?:but|while|whereas|بل|لكن|ولكن|بينما)\b")
_TELLING = 0.6  # share of a claim's terms that must be found before its number can be said to stand elsewhere
_SOUNDS_ALIKE = 0.8  # a term whose translation sounds so much like it is a name


@dataclass(frozen=True, slots=True)
class Matcher:
    """Finds the terms of a sentence among those of its source; made by `of`.

    ``terms`` gives each term its position in the source, None where it stands more than once or in the context.
    """

    terms: dict[str, int | None]
    language: str
    translate: Translate
    transliterator: Transliterator

    @classmethod
    def of(cls, quote: str, language: str, translate: Translate, *, context: str = "") -> Matcher:
        """Read a source, and the title and headings it stands under."""
        tokens, around = analyze(quote, language), analyze(context, language)
        counts = Counter(token.term for token in (*tokens, *around))
        places: dict[str, int | None] = dict.fromkeys(counts)
        places.update((token.term, at) for at, token in enumerate(tokens) if counts[token.term] == 1)
        words = {fold_text(quote[token.start : token.end]) for token in tokens}
        words |= {fold_text(context[token.start : token.end]) for token in around}
        return cls(places, language, translate, Transliterator(words | places.keys(), language))

    def find(self, token: Token, text: str, language: str) -> tuple[float, int | None]:
        """Return how surely a term is there, in [0, 1], and where, if its place is known."""
        if token.term in self.terms:
            return 1.0, self.terms[token.term]
        if language != self.language:
            options = [
                (p, term) for term, p in self.translate(token.term, language, self.language) if term in self.terms
            ]
            if options:
                return min(1.0, 1.5 * sum(p for p, _ in options)), self.terms[max(options)[1]]
            derived = self._derived(token.term, language)
            if derived:
                return 0.5, self.terms[max(derived)[1]]
            alike = self.transliterator.find(text[token.start : token.end], language)
            return (0.8, self.terms.get(alike[0][0])) if alike else (0.0, None)
        near = [term for term in self.terms if _is_variant(token.term, term)]
        return (0.7, self.terms[near[0]]) if near else (0.0, None)

    def _derived(self, term: str, language: str) -> list[tuple[float, str]]:
        """Return the terms of the source that begin as a likely translation does, or the other way round."""
        return [
            (p, other)
            for translation, p in self.translate(term, language, self.language)
            for other in self.terms
            if p >= _LIKELY and min(len(translation), len(other)) >= 4 and _begins_alike(translation, other)
        ]


def contradiction(sentence: str, quote: str, language: str, matcher: Matcher) -> str:
    """Return which rule a sentence breaks against its source, empty if none.

    Args:
        sentence: What was written.
        quote: What it is said to come from.
        language: ISO 639-1 code of the sentence.
        matcher: Made of ``quote``.

    Returns:
        ``"number"`` (a number, percentage or magnitude that the source has not, or has of something else),
        ``"date"`` (a month), ``"unit"`` (of time or money), ``"name"``, ``"negation"`` (said by one and not by the
        other), ``"order"`` (the two sides of a relation have changed places), or ``""``.
    """
    said, source = pieces_of(sentence), pieces_of(quote)
    found = set().union(*numbers(source))
    has_dual = matcher.language == "ar" and any(len(word) > 4 and word.endswith(("ين", "ان")) for word in source)
    for readings in numbers(said):
        if readings.isdisjoint(found) and not (has_dual and (2.0, False) in readings):
            return "number"
    if _is_number_of_another(sentence, quote, language, matcher):
        return "number"
    if not months(said, is_strict=True) <= months(source, is_strict=False) | month_numbers(quote):
        return "date"
    for classes in (TIME, MONEY):
        theirs = units(source, classes)
        if theirs and not units(said, classes) <= theirs:
            return "unit"
    tokens = analyze(sentence, language)
    content = set(content_terms(sentence, language))
    if _is_name_missing(tokens, content, sentence, language, matcher):
        return "name"
    if _is_negation_changed(sentence, quote, language, matcher):
        return "negation"
    content_tokens = [token for token in tokens if token.term in content]
    if not _PASSIVE.search(fold_text(sentence)) and not _PASSIVE.search(fold_text(quote)):
        if _is_turned_round(sentence, quote, content_tokens, language, matcher):
            return "order"
    return ""


def _is_number_of_another(sentence: str, quote: str, language: str, matcher: Matcher) -> bool:
    """Tell whether a number was put to a claim of the source that gives another one.

    So it is where a claim of the source has all the terms of what was said, yet another number, and the claims that
    have the number lack one of these terms: "the battery lasts 9 years", of a battery that lasts 7 and a frame that
    lasts 9.
    """
    if not _readings(sentence):
        return False
    claims = [(text, _readings(text)) for text in _CLAIM.split(quote) if text.strip()]
    if sum(bool(readings) for _, readings in claims) < 2:
        return False
    of_claims = [Matcher.of(text, matcher.language, matcher.translate) for text, _ in claims]
    for claim in _CLAIM.split(sentence):
        said = _readings(claim)
        if not said:
            continue
        content = set(content_terms(claim, language))
        words = [t for t in analyze(claim, language) if t.term in content and not t.term[0].isdigit()]
        found = [{t.term for t in words if of_claim.find(t, claim, language)[0] > 0} for of_claim in of_claims]
        everywhere = set().union(*found)
        if len(everywhere) < max(2, _TELLING * len({t.term for t in words})):
            continue
        for readings in said:
            others = [other for other in said if other != readings]
            has = [not _missing([readings], theirs) for _, theirs in claims]
            is_whole = [
                words == everywhere and not _missing(others, theirs)
                for words, (_, theirs) in zip(found, claims, strict=True)
            ]
            if not any(h and w for h, w in zip(has, is_whole, strict=True)) and any(
                w and theirs and not h for h, w, (_, theirs) in zip(has, is_whole, claims, strict=True)
            ):
                return True
    return False


def _missing(said: Sequence[frozenset[tuple[float, bool]]], source: Sequence[frozenset[tuple[float, bool]]]) -> bool:
    """Tell whether one of the numbers said is none of the source's."""
    return any(all(readings.isdisjoint(other) for other in source) for readings in said)


def _readings(text: str) -> list[frozenset[tuple[float, bool]]]:
    return list(numbers(pieces_of(text)))


def _begins_alike(term: str, other: str) -> bool:
    return term.startswith(other) or other.startswith(term)


def _is_variant(term: str, other: str) -> bool:
    """Tell whether two terms of one language are forms of one word as far as spelling can tell."""
    longest = max(len(term), len(other))
    return term.isalpha() and min(len(term), len(other)) >= 4 and OSA.distance(term, other) <= (2 if longest > 6 else 1)


def _is_name_missing(tokens: Sequence[Token], content: Set[str], text: str, language: str, matcher: Matcher) -> bool:
    """Tell whether a name is not in the source; of a name of several words in the other script half must be found."""
    runs: list[list[Token]] = []
    end = -1
    for at, token in enumerate(tokens):
        if token.term in content and _is_name(at, tokens, text, language, matcher):
            if not runs or text[end : token.start].strip(" -"):
                runs.append([])
            runs[-1].append(token)
            end = token.end
    for run in runs:
        found = sum(matcher.find(token, text, language)[0] > 0 for token in run)
        if found < (len(run) if language == matcher.language else len(run) / 2):
            return True
    return False


def _is_name(at: int, tokens: Sequence[Token], text: str, language: str, matcher: Matcher) -> bool:
    token = tokens[at]
    surface = text[token.start : token.end]
    if not token.term[0].isalpha():
        return False
    if not surface[0].isascii():
        neighbours = (*tokens[max(0, at - 1) : at], *tokens[at + 1 : at + 2])
        words = {fold_text(text[other.start : other.end]) for other in neighbours}
        return language == "ar" and (not _BESIDE_NAMES.isdisjoint(words) or _is_known_name(token, "ar", matcher))
    if language == "ar":
        return len(surface) > 1
    if language != "en" or surface == surface.lower():
        return False
    return at > 0 or surface[1:] != surface[1:].lower() or _is_known_name(token, "en", matcher)


def _is_known_name(token: Token, language: str, matcher: Matcher) -> bool:
    """Tell whether the dictionary shows a term to be a name: it has no translation, or one that sounds like it.

    Arabic has too many forms of a word for "no translation" to tell anything where the source is not Arabic too.
    """
    options = matcher.translate(token.term, language, "en" if language == "ar" else "ar")
    if not options:
        # What begins as an Arabic verb does may be one more form of a word that is known.
        return language == "en" or (matcher.language == "ar" and token.term[0] not in "يت")
    if options[0][0] == token.term:
        return True
    others = [other for other, p in options if p >= _LIKELY]
    alike = [similarity(token.term, o) if language == "ar" else similarity(o, token.term) for o in others]
    return max(alike, default=0.0) >= _SOUNDS_ALIKE


def _is_negation_changed(sentence: str, quote: str, language: str, matcher: Matcher) -> bool:
    said, source = _negated(sentence, language), _negated(quote, matcher.language)
    if said and source:
        negative = " ".join(quote[token.start : token.end] for scope in source for token in scope)
        of_negative = Matcher.of(negative, matcher.language, matcher.translate)
        return not any(of_negative.find(token, sentence, language)[0] for scope in said for token in scope) and any(
            said
        )
    if said:
        return True
    back = Matcher.of(sentence, language, matcher.translate)
    for scope in source:
        hits = sum(back.find(token, quote, matcher.language)[0] > 0 for token in scope)
        if scope and 2 * hits >= len(scope):
            return True
    return False


def _negated(text: str, language: str) -> list[list[Token]]:
    """Return what each negation of a text is about: the content terms after it, up to the end of the clause."""
    content = set(content_terms(text, language))
    tokens = analyze(text, language)
    words = [fold_text(text[token.start : token.end]) for token in tokens]
    scopes = []
    for at, word in enumerate(words):
        bare = word[1:] if word[:1] in "وف" and word not in _NOT else word
        following = words[at + 1 : at + 7]
        if not (bare in _NOT or word.endswith("n't")) or (following and following[0] in _NO_NEGATION_BEFORE):
            continue
        if not _EXCEPT.isdisjoint(following):
            continue
        scope: list[Token] = []
        for i in range(at + 1, len(tokens)):
            gap = text[tokens[i - 1].end : tokens[i].start]
            if words[i] in _ADVERSATIVE or any(mark in gap for mark in _BREAKS) or len(scope) == _SCOPE:
                break
            if tokens[i].term in content:
                scope.append(tokens[i])
        scopes.append(scope)
    return scopes


def _is_turned_round(sentence: str, quote: str, tokens: Sequence[Token], language: str, matcher: Matcher) -> bool:
    """Tell whether three terms x, r, y of a clause stand in one clause of the source as y, r, x.

    "Than" and "into" are such an r wherever x and y stand. Between languages, where the order of a noun and its
    modifiers differs, r is nothing else.
    """
    counts = Counter(token.term for token in tokens)
    found = ((token.start, matcher.find(token, sentence, language)[1]) for token in tokens if counts[token.term] == 1)
    placed = [(start, place) for start, place in found if place is not None]
    said, source = fold(sentence), fold_text(quote)
    for pivot in _PIVOTS:
        here, there = pivot.search(said.text), pivot.search(source)
        if here and there:
            middle, at = said.offsets[here.end()], len(analyze(source[: there.end()], matcher.language)) - 1
            before = [place for start, place in placed if start < middle]
            after = [place for start, place in placed if start >= middle]
            if any(y < at < x for x in before for y in after):
                return True
    if language != matcher.language:
        return False
    starts = [token.start for token in analyze(source, language)]
    clauses: dict[tuple[int, int], list[int]] = {}
    for start, place in placed:
        clause = len(_CLAUSE.findall(fold_text(sentence[:start]))), len(_CLAUSE.findall(source[: starts[place]]))
        clauses.setdefault(clause, []).append(place)
    if any(x > r > y for places in clauses.values() for x, r, y in combinations(places, 3)):
        return True
    contrast = _CONTRAST.search(source)
    if contrast is None:
        return False
    # Two things are set against each other: a clause that takes its words from both has mixed them up.
    turn = contrast.start()
    for own in {said_in for said_in, _ in clauses}:
        places = [place for (said_in, _), found_in in clauses.items() if said_in == own for place in found_in]
        n_before = sum(starts[place] < turn for place in places)
        if min(n_before, len(places) - n_before) >= 2:
            return True
    return False
