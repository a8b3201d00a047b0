"""What is indexed and what is asked: XQuAD, and prose around it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LANGUAGES = ("ar", "en")
FILL = {"ar": ("prose/wiki-ar.ar.jsonl.zst",), "en": ("qa_train/squadshifts_new_wiki.en.all.contexts.jsonl.zst",)}
ADDED = 5  # passages kept back, to be added one at a time


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph. ``passage_id`` is six digits, and for one of XQuAD also its number and language: 000004-2-ar."""

    passage_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the number of the paragraph that answers it, which is there in each of `LANGUAGES`."""

    text: str
    language: str
    paragraph: int


@dataclass(frozen=True, slots=True)
class Collection:
    """``passages`` are indexed, ``added`` come later, one by one; the right passages are all in ``passages``."""

    passages: Sequence[Passage]
    added: Sequence[Passage]
    questions: Sequence[Question]


def read_collection(data: Path, *, passages: int, questions: int, seed: int = 17) -> Collection:
    """Read paragraphs of XQuAD in Arabic and in English, as many passages of prose as are missing, and questions.

    Prose: Arabic Wikipedia and the Wikipedia part of SQuADShifts, by turns while both last. Where that does not
    suffice, texts are spliced: see `splice`. The order is shuffled. White space becomes single
    spaces, so that each passage is one paragraph.

    Args:
        data: Holds ``eval/``, ``prose/`` and ``qa_train/``.
        passages: How many. From 480 on all 240 paragraphs of XQuAD are there.
        questions: How many in each language, drawn of those on the paragraphs, other ones in each language.
        seed: Of every draw.

    Raises:
        ValueError: More questions than there are.
    """
    from training.data import read_jsonl  # zstandard is not in the peers' environment

    rng = random.Random(seed)
    asked: list[Question] = []
    texts: list[tuple[str, str]] = []  # (tail of the id, text)
    for turn, language in enumerate(LANGUAGES):
        contexts = list(read_jsonl(data / f"eval/xquad.{language}.test.contexts.jsonl.zst"))[: passages // 2]
        number = {context["context_id"]: n for n, context in enumerate(contexts)}
        rows = [r for r in read_jsonl(data / f"eval/xquad.{language}.test.jsonl.zst") if r["context_id"] in number]
        if questions * len(LANGUAGES) > len(rows):
            raise ValueError(f"{passages} passages have {len(rows)} questions, got {questions} for each language")
        random.Random(seed).shuffle(rows)  # the same order in each language
        rows = rows[turn * questions : (turn + 1) * questions]
        asked += [Question(row["question"], language, number[row["context_id"]]) for row in rows]
        texts += [(f"-{n}-{language}", _one_line(context["text"])) for n, context in enumerate(contexts)]
    prose = {
        language: [_one_line(row["text"]) for name in FILL[language] for row in read_jsonl(data / name)]
        for language in LANGUAGES
    }
    for own in prose.values():
        rng.shuffle(own)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*prose.values()))
    real = [text for text in turns if text is not None]
    grown = splice(real, passages + ADDED - len(texts), rng)
    added, fill = grown[:ADDED], grown[ADDED:]
    texts += [("", text) for text in fill]
    rng.shuffle(texts)
    rng.shuffle(asked)
    return Collection(
        [Passage(f"{row:06}{tail}", text) for row, (tail, text) in enumerate(texts)],
        [Passage(f"{passages + row:06}", text) for row, text in enumerate(added)],
        asked,
    )


def splice(texts: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Return ``count`` texts: the given ones, then the first half of one with the second half of another.

    Words are cut nowhere, so that the vocabulary and its frequencies stay those of the given texts.
    """
    found = list(texts[:count])
    while len(found) < count:
        first, second = (rng.choice(texts).split() for _ in range(2))
        found.append(" ".join([*first[: len(first) // 2], *second[len(second) // 2 :]]))
    return found


def write_records(path: Path, records: Iterable[Passage | Question]) -> None:
    """Write passages or questions as JSON Lines."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)


def read_passages(path: Path) -> list[Passage]:
    """Read what `write_records` wrote of passages."""
    return [Passage(**row) for row in _rows(path)]


def read_questions(path: Path) -> list[Question]:
    """Read what `write_records` wrote of questions."""
    return [Question(**row) for row in _rows(path)]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)
