"""Questions with the span that answers them, for the reader: human sets, silver Arabic ones, glossed English ones.

A span counts code points of its context, end exclusive; ``(-1, -1)`` says that the context does not answer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.data import Pair, Sources, Wall, clean
from training.gloss import Glosser
from training.silver import arabic_answers, augment_arabic, chosen, sentences
from training.written import read_collections, read_questions, read_sections, translated


@dataclass(frozen=True, slots=True)
class Example:
    """A question, a context, and where the context answers it. ``group`` names the article."""

    question: str
    context: str
    start: int
    end: int
    source: str
    group: str

    @property
    def answer(self) -> str:
        """The answer; empty if there is none."""
        return self.context[self.start : self.end] if self.start >= 0 else ""


# Set, split, examples at most.
HUMAN_SETS = (
    ("squadshifts_new_wiki.en", "all", 9000), ("tydiqa_goldp.en", "train", 4000), ("policyqa.en", "dev", 1500),
    ("squadshifts_reddit.en", "all", 6000), ("squadshifts_amazon_reviews.en", "all", 5000),
    ("fairytaleqa.en", "train", 3000), ("pquad.fa", "validation", 6000), ("arcd.ar", "train", 600),
)  # fmt: skip
GLOSSED_SETS = frozenset(
    {"squadshifts_new_wiki.en", "tydiqa_goldp.en", "squadshifts_reddit.en", "policyqa.en", "covid_faq_jhu.en"}
)


def human(sources: Sources, rng: np.random.Generator) -> list[Example]:
    """Read the human sets; answers that are no literal span are left out."""
    found = []
    for name, split, cap in HUMAN_SETS:
        rows = sources.questions(name, split, unanswerable=name.startswith("pquad"))
        own = []
        for row in rows:
            place = _place(row)
            if place is not None:
                group = f"{name}:{row['context_id'].rpartition('-')[0] or row['context_id']}"
                own.append(Example(row["question"], row["text"], *place, name, group))
        found += [own[int(i)] for i in rng.permutation(len(own))[:cap]]
    return found


def _place(row: dict[str, Any]) -> tuple[int, int] | None:
    """Return where the first answer stands in the cleaned text, nearest to where the file says."""
    if not row.get("answerable", True):
        return -1, -1
    for answer in row["answers"]:
        text, start = clean(answer["text"]), answer["start"]
        if not text or start < 0:
            continue
        places = [m.start() for m in re.finditer(re.escape(text), row["text"])]
        if places:
            at = min(places, key=lambda place: abs(place - start))
            return at, at + len(text)
    return None


def silver(sources: Sources, rng: np.random.Generator, cap: int) -> list[Example]:
    """Questions made by rule from sentences of Arabic Wikipedia whose answer stands in them."""
    sections = sources.prose("wiki-ar.ar.jsonl.zst")
    found = []
    for i in rng.permutation(len(sections)):
        text, title = clean(sections[int(i)]["text"]), sections[int(i)]["title"]
        short = re.sub(r"\s*\([^)]*\)", "", title)
        made = []
        for sentence in sentences(text):
            for question, answer, place in arabic_answers(sentence, short, rng):
                at = text.find(sentence) + place
                is_there = bool(answer) and sentence in text and text[at : at + len(answer)] == answer
                if is_there and answer not in question and 1 <= len(answer.split()) <= 14:
                    made.append(Example(question, text, at, at + len(answer), "silver.ar", f"wiki:{title}"))
        if made:
            found.append(made[int(rng.integers(len(made)))])
        if len(found) >= cap:
            break
    return found


FAQ_SETS = (("covid_faq_jhu.en", 2200), ("covid_faq_deepset.en", 220), ("medquad.en", 2500), ("covid_faq_mt.ar", 220))


def faq(sources: Sources, rng: np.random.Generator) -> list[Example]:
    """Questions whose answer is a sentence: the first one or two of an FAQ's answer among those of other answers."""
    found = []
    for name, cap in FAQ_SETS:
        rows = sources.questions(name, "train")
        openings = [sentences(row["text"]) for row in rows]
        for i in rng.permutation(len(rows))[:cap]:
            own = " ".join(openings[int(i)][: int(rng.integers(1, 3))])
            if not 5 <= len(own.split()) <= 60:
                continue
            others = [openings[int(j)][: int(rng.integers(1, 4))] for j in rng.integers(len(rows), size=2) if j != i]
            before = " ".join(others[0]) + " " if others and rng.random() < 0.7 else ""
            after = " " + " ".join(others[-1]) if others else ""
            if own not in before and own not in after:
                start = len(before)
                text = before + own + after
                found.append(Example(rows[int(i)]["question"], text, start, start + len(own), name, f"{name}:{i}"))
    return found


def written(sources: Sources) -> list[Example]:
    """Questions of ours on sections, and those with no answer beside the section that shares most with them."""
    sections, members = read_sections(sources), read_collections("reader")
    found = []
    for asked in read_questions("reader"):
        kind = f"written.{asked.language}"
        if asked.context is None:
            texts = [sections[name].text for name in members[asked.collection]]
            found.append(Example(asked.question, nearest(asked.question, texts), -1, -1, kind, asked.collection))
            continue
        section = sections[asked.context]
        start = section.text.find(asked.answer or "")
        assert start >= 0, f"{asked.context} does not say {asked.answer!r}"
        end, group = start + len(asked.answer or ""), section.document(asked.context)
        found.append(Example(asked.question, section.text, start, end, kind, group))
    return found


def translations(sources: Sources) -> list[Example]:
    """English passages with their questions put into Arabic by hand."""
    found = []
    for name, question, row in translated(sources):
        place = _place(row)
        if place is not None:
            group = f"{name}:{row['context_id'].rpartition('-')[0] or row['context_id']}"
            found.append(Example(question, row["text"], *place, "written.ar-en", group))
    return found


def nearest(question: str, texts: Sequence[str]) -> str:
    """Return the text that shares most word beginnings with the question."""
    asked = _beginnings(question)
    return max(texts, key=lambda text: len(asked & _beginnings(text)))


def _beginnings(text: str) -> frozenset[str]:
    return frozenset(word[:4] for word in re.findall(r"\w{3,}", text.lower()))


def windowed(example: Example, words: int, rng: np.random.Generator) -> Example:
    """Cut the context to about ``words`` words that hold the answer."""
    spans = [m.span() for m in re.finditer(r"\S+", example.context)]
    if len(spans) <= words:
        return example
    inside = [i for i, (s, e) in enumerate(spans) if s < example.end and e > example.start]
    first, last = (inside[0], inside[-1]) if inside and example.start >= 0 else (len(spans) // 2, len(spans) // 2)
    low, high = max(0, last - words + 1), min(first, len(spans) - words)
    begin = int(rng.integers(min(low, high), max(low, high) + 1))
    start, end = spans[begin][0], spans[min(begin + words, len(spans)) - 1][1]
    if example.start < 0:
        return replace(example, context=example.context[start:end])
    if example.start < start or example.end > end:
        return example
    return replace(example, context=example.context[start:end], start=example.start - start, end=example.end - start)


def glossed(example: Example, glosser: Glosser, rng: np.random.Generator) -> Example | None:
    """Put the question, the context or both into Arabic words; None if the answer vanished."""
    keep = 0.1 * int(rng.integers(0, 3))
    kind = chosen(["question", "context", "both"], rng)
    question, context, start, end = example.question, example.context, example.start, example.end
    if kind != "context":
        question = augment_arabic(glosser.gloss(question, rng, keep=keep).text, rng)
    if kind != "question":
        new = glosser.gloss(context, rng, keep=keep)
        if start >= 0:
            span = new.span(start, end)
            if span is None:
                return None
            start, end = span
        context = new.text
    return replace(example, question=question, context=context, start=start, end=end, source=f"gloss.{kind}")


def without_answer(examples: list[Example], rng: np.random.Generator, share: float) -> list[Example]:
    """Pair questions with another context, of the same article where there is one, that lacks the answer's words."""
    by_group: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_group[example.group].append(example)
    out = []
    for i in rng.permutation(len(examples))[: int(share * len(examples))]:
        own = examples[int(i)]
        pool = by_group[own.group]
        others = [pool[int(j)].context for j in rng.integers(len(pool), size=12)]
        others = [text for text in others if text != own.context and own.answer not in text]
        if not others or rng.random() < 0.25:
            others = [examples[int(rng.integers(len(examples)))].context]
        other = nearest(own.question, others)  # the passage a retriever would take for the right one
        if own.answer and other != own.context and own.answer not in other:
            out.append(replace(own, context=other, start=-1, end=-1, source=f"none.{own.source}"))
    return out


def is_clean(example: Example, wall: Wall) -> bool:
    """Say whether neither text is inside the wall."""
    return not wall.is_inside(example.question) and not wall.is_inside(example.context)


def assert_clean(examples: list[Example], wall: Wall) -> int:
    """Return the number of examples looked at; `LeakError` if evaluation text is among them."""
    return wall.assert_clean(Pair(e.question, e.context, e.source, e.group, "") for e in examples)


def build(
    sources: Sources,
    wall: Wall,
    held: frozenset[str],
    ours: Sequence[Example],
    seed: int,
    *,
    limit: int,
    words: int,
    copies: int,
) -> tuple[list[Example], list[Example], dict[str, int]]:
    """Make the training examples and the held-out ones.

    Args:
        sources: The data.
        wall: Around the evaluation texts and the held-out ones.
        held: The held-out questions.
        ours: Examples that we wrote.
        seed: Draws everything.
        limit: Examples of each kind at most.
        words: Longest context in words.
        copies: Times that human Arabic examples are seen, each time augmented and cut anew.

    Returns:
        ``(training, held out, counts by source)``.
    """
    rng = np.random.default_rng(seed)
    people = human(sources, rng) + faq(sources, rng)
    dev = [e for e in people if e.question in held and e.start >= 0 and e.group.split(":")[0] not in dict(FAQ_SETS)]
    chosen_people = [people[int(i)] for i in rng.permutation(len(people))[: 8 * limit]]
    kept = [example for example in chosen_people if is_clean(example, wall)]
    made = [example for example in silver(sources, rng, limit) if is_clean(example, wall)]
    made += [example for example in ours if is_clean(example, wall) for _ in range(copies)]
    made += [example for example in kept if example.source in ("arcd.ar", "covid_faq_mt.ar") for _ in range(copies)]
    arabic = [row["text"] for row in sources.prose("wiki-ar.ar.jsonl.zst")[::3]]
    glosser = Glosser(arabic)
    english = [example for example in kept if example.source in GLOSSED_SETS]
    english += without_answer(english, rng, 0.15)
    texts = [windowed(english[int(i)], words, rng) for i in rng.permutation(len(english))[:limit]]
    glosses = [new for example in texts if (new := glossed(example, glosser, rng))]
    rest = kept + made + without_answer([e for e in kept + made if e.start >= 0], rng, 0.12)
    spread = [windowed(example, int(rng.integers(words // 3, words + 1)), rng) for example in rest]
    training = [
        replace(e, question=augment_arabic(e.question, rng)) if e.source.endswith((".ar", ".ar-en")) else e
        for e in spread
    ]
    training += glosses
    assert_clean(training, wall)
    counts: dict[str, int] = defaultdict(int)
    for example in training:
        counts[example.source] += 1
    return [training[int(i)] for i in rng.permutation(len(training))], dev, dict(counts)
