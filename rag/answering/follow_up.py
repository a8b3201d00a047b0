"""Follow-up questions made to stand alone, so that one query finds what a conversation means.

By rules, without a language model: what a question leans on (`rag.answering.references`) is replaced by what the last
turns were about (`rag.answering.topic`); what it leaves out is added. A question with a subject of its own stays as it
is. Arabic in its written and large spoken forms, and English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.answering.phrases import Role, Word, is_arabic, is_aspect, is_common_verb, phrases, split_words, without_clitic
from rag.answering.question import QuestionKind, understand
from rag.answering.references import Reference, ReferenceKind, ordinal, references, split_preposition
from rag.answering.topic import MAX_TURNS, Topic, item_of, owner_at, parallel_of, query_of, sides_of, topic_of
from rag.datatypes import Answer
from rag.text import detect_language, fold, fold_text
from rag.text.language import UNDETERMINED

Score = Callable[[str], float]
"""Says how well a query finds something: the higher, the better."""

_MAX_QUESTION = 300  # characters; what is longer says what it is about
_MOST_NAMES = 2  # terms of its own that a question which leans on nothing may have and still be unfinished
_TELLING = 4  # words from which an item of a list says what it is about
_SHORT = 3  # words of "and how many copies?"
_ENOUGH_NAMES = 4  # above so many a pronoun leaves little open
_MARGIN = 0.02  # by which the longer query must find more


@dataclass(frozen=True, slots=True)
class StandAlone:
    """A question made to stand alone: ``query`` is what to search for, ``carried`` the words taken over, in order."""

    query: str
    is_follow_up: bool
    carried: tuple[str, ...] = ()


_OPENER = re.compile(
    r"\W*(?:(?P<fragment>(?:(?:and|so|ok(?:ay)?|but|then|well)[,\s]+)?(?:what|how) about|(?:and )?what of"
    r"|same (?:question )?(?:for|about)|"
    r"(?:(?:طب|طيب|اوك|تمام|ماشي|حلو)،?\s+)?[وف]?(?:ماذا عن|ايش عن|شو عن|وش عن|ايه عن|بالنسبه (?:ل|الي)\s?(?=\S)"
    r"|شو وضع|ايه اخبار))\b"
    r"|(?P<word>and|but|so|then|also|ok(?:ay)?|or|well|طب|طيب|ثم|لكن|بس|كمان|اوك|تمام|ماشي|حلو|زين)\b[،,]?)\s*"
)
_AND = re.compile(r"\W*[وف](?=\w{2})")
# Words whose first و or ف is their own.
_OWN_AND = re.compile(
    fold_text(
        "(?:وسائل|وسيل|وسيط|وسط|وظيف|وظائف|وقت|وقف|وكال|وكيل|وعي|وعد|ورق|ورش|وصف|وصل|وصول|واجب|واجه|وسم|وسوم|وزن|وزار|"
        "وزير|وحد|واحد|واتس|ويب|ويكي|وهم|ولاء|واقع|وضع|وضوح|واضح|وثيق|وثائق|وجه|وجود|وين|وش|واش|ولد|وطن|وفا|ولا\\b|وضح|فيس|"
        "فيديو|في\\b|فيه|فين|فيم|فوائد|فايد|فائد|فرق|فكر|فعال|فتر|فئ|فري|فلوس|فشل|فن|فهم|فهرس|فرص|فرع|فصل|فضل|فقد|فقط|فلتر)"
    )
)
_PREPOSITIONS = frozenset(
    "in on for with at by per during after before without from to under within as في علي مع عند بعد قبل خلال بدون عبر"
    " لدي داخل خارج ضمن حسب ل ب".split()
)
_CONDITIONS = frozenset({"if", "when", "اذا", "لو", "لما"})
_ATTACHED = re.compile(r"(?:بال|لل|كال)\w+")
_PAIR = re.compile(
    r"\bbetween (?:them|the two|both|these|those)\b|\b(?:of )?the two(?: of them)?\b|\bboth(?: of them)?(?=\W*$)"
    r"|(?<!\w)(?:بينهم|بينهما|بيناتهم|(?:بين )?(?:الاثنين|الاتنين|التنين|الاثنتين|النوعين|الطريقتين))(?!\w)"
)
_WHICH = re.compile(
    r"\bwhich (?:one )?(?:is|are|should|works?|costs?|would|do|does|has|gives?|one\b)"
    r"|\bwhich (?:one )?of (?:them|these|the two)\b|\b(?:they|these|those) (?:differ|compare)|\bcompare them\b"
    r"|(?<!\w)(?:اي|انهي|انهو) (?:واحد|واحده|منهم|منهما|فيهم)(?!\w)"
    r"|(?<!\w)(?:[وف]?ايهما|[وف]?ايهم|انهو|انهي|[وف]?مين (?:ال)?(?:احسن|افضل|ارخص|اسرع|اسهل))(?!\w)"
)
_CHOICE = re.compile(r"\bor\b|\bthan\b|(?<!\w)(?:ام|ولا|او)(?!\w)")
_COMPARATIVE = re.compile(
    r"^(?:is|are|does|do|would)\b.*\b(?:better|cheaper|faster|easier|safer|worse|slower|harder|more \w+|less \w+)\W*$"
    r"|^هل .*(?<!\w)(?:افضل|احسن|ارخص|اسرع|اسهل|اغلي|اصعب|اقوي|اكثر \w+|اقل \w+)\W*$"
)
_LEADING = re.compile(
    r"\W*(?:(?:what|which|who|whom|when|where|why|how)\b(?:'s)?(?: (?:much|many|often|long|is|are|was|were|does"
    r"|do|did|can|should|to))*\s+"
    r"|[وف]?(?:هل|ما (?:هو|هي|هم)|ما|ماذا|كيف|لماذا|ليش|ليه|متي|امتي|ازاي|شلون|من (?:هو|هي)|مين|شو(?: هو| هي)?"
    r"|وش|ايش|ايه(?: هو| هي)?|شنو|كم)\s+)"
)
_DEGREES = frozenset("often long soon early late far long exactly".split())
_DO = re.compile(r"(?:do|does|did|done|doing)")
# "How do I", "should we": what stays is what is done.
_LEADING_ACT = re.compile(
    r"\W*(?:(?:what|which|when|where|why|how)\b(?: (?:much|many|often|long))?\s+)?"
    r"(?:(?:is|are|was|were|do|does|did|can|should|must|could|would|will)\s+)?(?:(?:i|we|you|one|they)\s+)?"
)
_ENDING = re.compile(r"[\s?؟.!…،,]+$")


def stand_alone(question: str, history: Sequence[Answer], *, score: Score | None = None) -> StandAlone:
    """Make a question stand alone.

    Args:
        question: As typed, not empty.
        history: The turns before, oldest first. The last three are looked at, and 400 characters of each query.
        score: Decides where the rules leave a choice; without it the likelier reading is taken.

    Returns:
        The query. Where the question is no follow-up, ``query`` is the question without white space around it.
    """
    text = question.strip()
    turns = history[-MAX_TURNS:]
    if not turns or len(text) > _MAX_QUESTION:
        return StandAlone(text, False)
    follow_up = _FollowUp(text, turns, score)
    query, carried = follow_up.resolve() or (text, "")
    if carried:
        query = re.sub(r"\b([Aa])n? (?=([aeiou]?))", _article, query)
    query = re.sub(r"\s+(?=[?؟.,!])", "", re.sub(r"\s+", " ", query)).strip()
    return StandAlone(query, bool(carried), tuple(carried.split()))


def _article(match: re.Match[str]) -> str:
    return f"{match[1]}n " if match[2] else f"{match[1]} "


_Resolved = tuple[str, str]  # the query and what it took over


class _FollowUp:
    """One question against its history; each ``_by_...`` tries one reading and returns None where it does not fit."""

    def __init__(self, text: str, turns: Sequence[Answer], score: Score | None) -> None:
        self.text, self.turns, self.score = text, turns, score
        rest, self.opener = _without_opener(text)
        self._read(rest)
        language = detect_language(text)
        self.last = query_of(turns[-1])
        self.language = detect_language(self.last) if language == UNDETERMINED else language
        self.mark = "؟" if self.language == "ar" else "?"

    def _read(self, rest: str) -> None:
        self.rest, self.folded = rest, fold_text(rest)
        self.words = split_words(rest)
        self.names = [word for word in self.words if word.role is Role.NAME]

    def resolve(self) -> _Resolved | None:
        if not self.words:
            return None
        item = self._by_item()
        if item is not None:
            return item
        pair = self._by_pair()
        if pair is not None:
            return pair
        topic = topic_of(self.turns[-1])
        if topic is None:
            return None
        if self.opener and len(self.words) > 1 and self.words[-1].folded in ("one", "ones") and self.names:
            self._read(f"{self.rest[: self.words[-1].start]}{topic.head}?")  # "what about nano ones"
        for read in (self._by_reference, self._by_fragment, self._by_question_word, self._by_what_is_missing):
            resolved = read(topic)
            if resolved is not None:
                return resolved
        return None

    # -- the readings ---------------------------------------------------------------------------------------------

    def _by_item(self) -> _Resolved | None:
        """Read "the second one" as that item of the last answer, "the latter" as that side of a comparison."""
        found = ordinal(self.folded)
        if found is None or len(self.names) > 1:
            return None
        n, start, end = found
        item = item_of(self.turns[-1], n)
        if item is None:
            sides = sides_of(self.turns)
            if sides is None or n > 2 or self.names:
                return None
            item = sides[-1 if n < 0 else n - 1]
        first, last = fold(self.rest).to_original(start, end)
        topic = topic_of(self.turns[-1])
        if topic is not None and len(item.split()) < _TELLING:
            item = _appended(item, topic.text, self.language)
        return f"{self.rest[:first]} {item} {self.rest[last:]}", item

    def _by_pair(self) -> _Resolved | None:
        """Read "the difference between them" and "which is better" with the last two things talked about."""
        pair, which = _PAIR.search(self.folded), _WHICH.search(self.folded)
        is_open = which is not None and len(self.names) <= ("one" in which[0] or "واحد" in which[0])
        if _CHOICE.search(self.folded) or not (pair or is_open):
            return None
        sides = sides_of(self.turns)
        if sides is None:
            return None
        left, right = sides
        if pair is None or pair[0].startswith("of"):
            body = _ENDING.sub("", self.rest)
            return f"{body}: {left} {'أم' if self.language == 'ar' else 'or'} {right}{self.mark}", f"{left} {right}"
        both = f"{left} و{right}" if self.language == "ar" else f"{left} and {right}"
        between = re.match(r"بين|between", pair[0])
        start, end = fold(self.rest).to_original(*pair.span())
        joint = f"{between[0]} " if between else ""
        return f"{self.rest[:start]}{joint}{both}{self.rest[end:]}", f"{left} {right}"

    def _by_reference(self, topic: Topic) -> _Resolved | None:
        """Put the topic in the place of a pronoun."""
        tells = "ة" in self.text or any("ة" in turn.question for turn in self.turns)
        found = references(self.rest, self.words, tells_ta_marbuta=tells)
        place = ordinal(self.folded)
        if not found and place is not None and not self.names:  # there was no such list
            return _appended(self.rest, topic.text, self.language), topic.text
        if not found or len(self.names) > _ENOUGH_NAMES:
            return None
        reference = found[0]
        if reference.kind is ReferenceKind.POINTING:
            return self._by_pointing(reference, topic)
        first, last = self.words[reference.first], self.words[reference.last - 1]
        before, after = self.rest[: first.start], self.rest[last.end :]
        act = self._body(_LEADING_ACT)
        is_done = reference.first > 0 and _DO.fullmatch(self.words[reference.first - 1].folded) is not None
        if is_done and act and not self.names:  # "how often should I do that"
            return f"{self.rest[: self.words[reference.first - 1].start]}{act}{after}", act
        if reference.kind is ReferenceKind.WORD:
            described = self.words[reference.first - 1] if reference.first else last
            is_contrast = last.folded in ("one", "ones") and described.role is Role.NAME  # "a digital one"
            is_contrast = is_contrast and not described.folded.endswith("est")
            stands_for = topic.head if is_contrast else topic.text
            return f"{before}{stands_for}{after}", stands_for
        if reference.kind is ReferenceKind.POSSESSIVE:
            end = _end_of_noun(self.words, reference.last)
            owned = self.rest[last.end : end]
            return f"{before}the{owned} of {topic.text}{self.rest[max(end, last.end) :]}", topic.text
        host = split_preposition(first.folded) or _host(first.surface)
        return f"{before}{host} {topic.text}{after}", topic.text

    def _by_pointing(self, reference: Reference, topic: Topic) -> _Resolved | None:
        pointed = [w for w in self.words[reference.first : reference.last] if w.role is Role.NAME]
        if pointed or len(self.names) > _MOST_NAMES:
            grown = _appended(self.rest, topic.text, self.language)
            return (grown, topic.text) if len(self.names) <= _MOST_NAMES and self._finds_more(grown, True) else None
        first, last = self.words[reference.first], self.words[reference.last - 1]
        return f"{self.rest[: first.start]}{topic.text}{self.rest[last.end :]}", topic.text

    def _by_fragment(self, topic: Topic) -> _Resolved | None:
        """Put what is no whole question ("and SEO?", "in the long term?") into the last question."""
        roles = {word.role for word in self.words}
        first = self.words[0].folded
        is_placed = first in _PREPOSITIONS or first in _CONDITIONS or _ATTACHED.fullmatch(first) is not None
        is_placed = is_placed and len(self.names) <= _MOST_NAMES
        if roles & {Role.ASKING, Role.VERB} or not (self.opener or is_placed):
            return None
        fragment = _ENDING.sub("", self.rest)
        if any(word.folded in _AUXILIARY_OPENERS for word in self.words[:1]):
            return None
        if is_placed:
            return self._placed(fragment, first)
        if not self.names:
            return _owned(fragment, self.words, topic.text, self.language), topic.text
        own, within = phrases(self.rest), [p for p in phrases(self.last) if p.terms]
        if not own or not within or self.words[0].role is Role.ASPECT:
            return None
        choices: list[_Resolved] = []
        likeliest = 0
        for phrase in parallel_of(own, within):
            start = phrase.start + owner_at(phrase.surface, own[0])
            replaced = self.last[start : phrase.end]
            likeliest = len(choices) if phrase.surface == topic.main else likeliest
            query = f"{self.last[:start]}{_fitted(fragment, replaced)}{self.last[phrase.end :]}"
            choices.append((query, _around(self.last, replaced)))
        return self._best(choices, choices[likeliest])

    def _placed(self, fragment: str, preposition: str) -> _Resolved:
        """Add "in the long term" to the last question, or put "on Instagram" where it said "on TikTok"."""
        words = split_words(self.last)
        if self.words[0].role is Role.FUNCTION:
            fragment = fragment[0].lower() + fragment[1:]
        for i, word in enumerate(words[:-1]):
            if preposition in _CONDITIONS and word.folded in _CONDITIONS:
                return f"{self.last[: word.start]}{fragment}{self.mark}", self.last[: word.start]
            first = i + 1 + (words[i + 1].folded in ("a", "an", "the") and i + 2 < len(words))
            if word.folded != preposition or (words[first].role is Role.NAME) != bool(self.names):
                continue
            kept = f"{self.last[: word.start]}{fragment}{self.last[_end_of_noun(words, first) :]}"
            return kept, _around(kept, fragment)
        body = _ENDING.sub("", self.last)
        return f"{body} {fragment}{self.last[len(body) :].strip() or '?'}", body

    def _by_question_word(self, topic: Topic) -> _Resolved | None:
        """Read "why?" as that question about what the last one said."""
        said = [word for word in self.words if word.folded not in _DEGREES]
        if any(word.role not in (Role.ASKING, Role.FUNCTION) for word in said):
            return None
        if not any(word.role is Role.ASKING for word in self.words):
            return None
        body = self._body(_LEADING) or topic.text
        return f"{_ENDING.sub('', self.rest)} {body}{self.mark}", body

    def _by_what_is_missing(self, topic: Topic) -> _Resolved | None:
        """Add the topic to a question that names none, and the second side to a comparison that has one."""
        if self.opener and not self.names and len(self.words) == 1:
            return _owned(_ENDING.sub("", self.rest), self.words, topic.text, self.language), topic.text
        grown = _appended(self.rest, topic.text, self.language)
        if not self.names:
            return grown, topic.text
        is_told = understand(self.rest).kind in (QuestionKind.DEFINITION, QuestionKind.PERSON)  # "and what is SEO?"
        if self.opener and not is_told and len(self.names) <= _MOST_NAMES:
            is_short = len(self.names) == 1 and len(self.words) <= _SHORT
            if is_short or self._finds_more(grown, False):
                return grown, topic.text
        if _COMPARATIVE.search(self.folded) and len(self.names) <= _MOST_NAMES:
            joint = "من" if self.language == "ar" else "than"
            return f"{_ENDING.sub('', self.rest)} {joint} {topic.main}{self.mark}", topic.main
        return None

    def _body(self, leading: re.Pattern[str]) -> str:
        """Return what the last question says without the words that ask; empty if that names nothing."""
        match = leading.match(fold_text(self.last))
        start = fold(self.last).to_original(0, match.end())[1] if match else 0
        body = _ENDING.sub("", self.last[start:])
        if body[1:2].islower():
            body = body[0].lower() + body[1:]
        return body if phrases(body) else ""

    # -- choices --------------------------------------------------------------------------------------------------

    def _finds_more(self, query: str, otherwise: bool) -> bool:
        return otherwise if self.score is None else self.score(query) >= self.score(self.rest) + _MARGIN

    def _best(self, choices: Sequence[_Resolved], otherwise: _Resolved) -> _Resolved:
        if self.score is None or len(choices) == 1:
            return otherwise
        score = self.score
        return max(choices, key=lambda choice: score(choice[0]))


_AUXILIARY_OPENERS = frozenset("is are was were do does did can could should would will has have may must am".split())


def _without_opener(text: str) -> tuple[str, bool]:
    """Return a question without "and", "what about", "طب", و at its beginning, and whether there was one."""
    has_opener = False
    while match := _OPENER.match(fold_text(text)):
        if match.end() >= len(fold_text(text)):
            break
        text = text[fold(text).to_original(0, match.end())[1] :].lstrip()
        has_opener = True
    folded = fold_text(text)
    if _AND.match(folded) and not _OWN_AND.match(folded.lstrip()):
        found = _AND.match(folded)
        assert found is not None
        text = text[fold(text).to_original(0, found.end())[1] :]
        has_opener = True
    return (text, has_opener) if split_words(text) else (text, False)


def _appended(text: str, topic: str, language: str) -> str:
    body = _ENDING.sub("", text)
    return f"{body} {'في' if language == 'ar' else 'in'} {topic}{text[len(body) :].strip()}"


def _owned(fragment: str, words: Sequence[Word], topic: str, language: str) -> str:
    """Return "the cost of email marketing" for "the cost"."""
    if language != "ar":
        return f"{fragment} of {topic}?"
    if len(words) == 1 and fragment.startswith("ال") and is_aspect(words[0].folded):
        return f"{fragment[2:]} {topic}؟"
    return f"{fragment} في {topic}؟"


def _host(surface: str) -> str:
    """Return an Arabic word without the pronoun on its end, written as it would be alone."""
    bare = without_clitic(fold_text(surface))
    host = surface[: len(bare)] if len(fold_text(surface)) == len(surface) else bare
    if bare.endswith("ه") and host.endswith("ت"):
        return f"{host[:-1]}ة"
    return f"{host[:-1]}ء" if host.endswith(("ئ", "ؤ")) else host


def _end_of_noun(words: Sequence[Word], first: int) -> int:
    """Return where the run of content words that begins at ``first`` ends; articles before it belong to it."""
    end = words[first - 1].end if first else 0
    for word in words[first:]:
        if word.role not in (Role.NAME, Role.ASPECT) or (end and is_common_verb(word.folded)):
            break
        end = word.end
    return end


def _fitted(fragment: str, replaced: str) -> str:
    """Return a fragment as it reads in the place of what it replaces."""
    folded = fold_text(replaced)
    for prefix in ("بال", "لل"):
        if folded.startswith(prefix) and fragment.startswith("ال"):
            return prefix + fragment[2:]
    bare = re.sub(r"^(?:the|an?)\s+", "", fragment, flags=re.IGNORECASE)
    return bare if not is_arabic(folded) else fragment


def _around(text: str, replaced: str) -> str:
    """Return what of the last question stays."""
    return " ".join(_ENDING.sub("", text.replace(replaced, " ", 1)).split())
