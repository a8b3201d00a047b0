"""English text written in Arabic word by word, to lend the many English questions to the few Arabic ones.

After the code-switching of Qin et al., "CoSDA-ML: Multi-Lingual Code-Switching Data Augmentation for Zero-Shot
Cross-Lingual NLP" (2020): each word becomes one of its translations in the learnt dictionary, drawn by its
probability and put into a form that Arabic text really has; a name becomes its sound in Arabic letters. It is no
translation and is never shown to anybody; spans can be followed from one text into the other.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.dictionary import Dictionary, default_dictionary
from rag.text.analyzers import analyze

_DROPPED = frozenset("the a an of is are was were be been do does did to s am it that's".split())
_WORDS = {
    "what": ["ما", "ماذا", "ما هو", "ما هي"], "who": ["من", "من هو"], "whom": ["من"], "whose": ["لمن"],
    "when": ["متى"], "where": ["أين"], "why": ["لماذا"], "how": ["كيف"], "which": ["أي", "ما"],
    "many": ["عدد", "كم"], "much": ["مقدار", "كم"], "in": ["في"], "on": ["على", "في"], "at": ["في", "عند"],
    "from": ["من"], "by": ["من قبل", "بواسطة"], "for": ["من أجل", "لـ"], "with": ["مع"], "and": ["و"], "or": ["أو"],
    "not": ["لا", "ليس", "لم"], "this": ["هذا", "هذه"], "that": ["الذي", "التي", "أن"], "these": ["هذه"],
    "his": ["له"], "her": ["لها"], "their": ["لهم"], "its": ["له", "لها"], "he": ["هو"], "she": ["هي"],
    "they": ["هم"], "has": ["لديه"], "have": ["لديهم"], "had": ["كان لديه"], "as": ["كما", "مثل"], "after": ["بعد"],
    "before": ["قبل"], "between": ["بين"], "during": ["خلال"], "first": ["أول", "الأول"], "than": ["من"],
    "most": ["معظم", "أكثر"], "more": ["أكثر"], "other": ["أخرى"], "also": ["أيضا"], "but": ["لكن"],
    "name": ["اسم"],
}  # fmt: skip
_SOUNDS = {
    "tion": "شن", "sch": "ش", "tch": "تش", "sh": "ش", "ch": "تش", "ph": "ف", "th": "ث", "kh": "خ", "gh": "غ",
    "ck": "ك", "qu": "كو", "ee": "ي", "ea": "ي", "ie": "ي", "oo": "و", "ou": "و", "ow": "و", "au": "او", "ai": "اي",
    "ay": "اي", "ey": "ي", "ce": "س", "ci": "سي", "cy": "سي", "x": "كس", "b": "ب", "p": "ب", "t": "ت", "j": "ج",
    "c": "ك", "k": "ك", "q": "ق", "d": "د", "r": "ر", "s": "س", "z": "ز", "f": "ف", "v": "ف", "l": "ل", "m": "م",
    "n": "ن", "h": "ه", "w": "و",
}  # fmt: skip
_SOUND = re.compile("|".join(sorted(_SOUNDS, key=len, reverse=True)) + "|.")
_MARKS = str.maketrans({"?": "؟", ",": "،", ";": "؛"})
_ARABIC_WORD = re.compile("[\u0621-\u064a]+")


def in_arabic_letters(name: str, rng: np.random.Generator) -> str:
    """Return an English name as Arabic might spell it; vowels may be written or not."""
    word = re.sub(r"(.)\1", r"\1", name.lower())
    word = re.sub(r"(?<=[a-z]{3})e$", "", word)
    out = ""
    for match in _SOUND.finditer(word):
        sound, at_start = match[0], match.start() == 0
        if sound in _SOUNDS:
            letter = _SOUNDS[sound]
            if at_start and sound in ("ee", "ea", "ie"):
                letter = "إي"
            elif at_start and sound in ("oo", "ou", "ow"):
                letter = "أو"
            out += letter
        elif sound == "g":
            out += "جغ"[int(rng.integers(2))]
        elif sound in "aeiouy":
            draw = rng.random()
            if at_start:
                out += {"a": "أ", "e": "إ", "i": "إ", "o": "أو", "u": "أو", "y": "ي"}[sound]
            elif match.end() == len(word):
                out += {"a": "ا", "e": "ي", "i": "ي", "o": "و", "u": "و", "y": "ي"}[sound]
            elif sound == "a":
                out += "ا" if draw < 0.6 else ""
            elif sound == "e":
                out += "ي" if draw < 0.3 else ""
            elif sound in "iy":
                out += "ي" if draw < 0.75 else ""
            else:
                out += "و" if draw < 0.75 else ""
    return out


@dataclass(frozen=True, slots=True)
class Gloss:
    """An English text in Arabic words.

    ``places`` has a (start, end, new start, new end) for each English word, code points, ends exclusive.
    """

    text: str
    places: tuple[tuple[int, int, int, int], ...]

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Return where the words touching an English span went, or None if they vanished."""
        inside = [(a, b) for s, e, a, b in self.places if s < end and e > start and b > a]
        return (inside[0][0], inside[-1][1]) if inside else None


class Glosser:
    """Writes English in Arabic words.

    Args:
        arabic: Arabic texts whose words give each term the forms it has in real text.
        dictionary: Translations of terms; the shipped dictionary by default.
    """

    def __init__(self, arabic: Iterable[str], dictionary: Dictionary | None = None) -> None:
        self._dictionary = dictionary or default_dictionary()
        words: Counter[str] = Counter()
        for text in arabic:
            words.update(_ARABIC_WORD.findall(text))
        forms: dict[str, Counter[str]] = defaultdict(Counter)
        for word, count in words.items():
            if word[0] in "وفلبك" and words[word[1:]] > count:  # a conjunction or preposition written together
                continue
            for token in analyze(word, "ar"):
                forms[token.term][word] += count
        self._forms: dict[str, tuple[list[str], npt.NDArray[np.float64]]] = {}
        for term, found in forms.items():
            best = found.most_common(6)
            weights = np.sqrt(np.array([n for _, n in best], dtype=np.float64))
            self._forms[term] = [w for w, _ in best], weights / weights.sum()

    def gloss(self, text: str, rng: np.random.Generator, *, keep: float = 0.0) -> Gloss:
        """Return the text in Arabic words.

        Args:
            text: English.
            rng: Draws translations, forms and spellings.
            keep: The share of words left in English.
        """
        out, places, at = "", [], 0
        for token in analyze(text, "en"):
            out += text[at : token.start].translate(_MARKS)
            word = text[token.start : token.end]
            new = word if rng.random() < keep else self._word(word, token.term, token.start, rng)
            if not new and out.endswith(" "):
                out = out[:-1]
            places.append((token.start, token.end, len(out), len(out) + len(new)))
            out += new
            at = token.end
        return Gloss(out + text[at:].translate(_MARKS), tuple(places))

    def _word(self, word: str, term: str, start: int, rng: np.random.Generator) -> str:
        low = word.lower()
        if low in _DROPPED:
            return ""
        if low in _WORDS:
            return _WORDS[low][int(rng.integers(len(_WORDS[low])))]
        options = self._dictionary.translate(term, "en", "ar")
        if not word[0].isalpha():
            return word
        is_name = word[0].isupper() and start > 0
        if options and not (is_name and options[0][1] < 0.15):
            weights = np.array([p for _, p in options[:6]]) ** 2
            arabic = options[int(rng.choice(len(weights), p=weights / weights.sum()))][0]
            if arabic in self._forms:
                forms, shares = self._forms[arabic]
                return forms[int(rng.choice(len(forms), p=shares))]
            return arabic
        if word.isascii() and word.isalpha() and (is_name or rng.random() < 0.5):
            return in_arabic_letters(word, rng) or word
        return word
