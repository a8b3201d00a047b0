"""Questions that we wrote ourselves, and the passages they ask about: ``training/questions/``.

Asked as people ask, in Arabic, written and dialect, and in English, mostly not in the passage's own words.
``answerer/`` is for fitting the answerer, a third of it with no answer in the collection; ``reader/`` is for training
reader and embedder; ``translated.ar.jsonl`` puts English questions of the human sets into Arabic. The passages are
sections of Arabic Wikipedia and paragraphs of SQuADShifts, read from the data folder by name, and sections of
documents that we wrote as well, ``documents/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from training.data import Sources, clean

QUESTIONS = Path(__file__).parent / "questions"
TRANSLATED_SETS = (("squadshifts_new_wiki.en", "all"), ("tydiqa_goldp.en", "train"), ("squadshifts_reddit.en", "all"))


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of ours. ``context`` names the section that answers and ``answer`` is a slice of it; else None."""

    question: str
    language: str
    variety: str
    collection: str
    context: str | None
    answer: str | None


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read a JSON Lines file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def read_questions(part: str) -> list[Asked]:
    """Read the questions of ``"answerer"`` or ``"reader"``; a file's name is its collection's."""
    return [
        Asked(row["question"], row["lang"], row["variety"], path.stem, row["context"], row["answer"])
        for path in sorted((QUESTIONS / part).glob("*.jsonl"))
        for row in read_lines(path)
    ]


class Section(NamedTuple):
    """A passage that questions are asked about; ``title`` and ``heading`` may be empty."""

    title: str
    heading: str
    text: str
    language: str

    def document(self, name: str) -> str:
        """Return what names the document of the section called ``name``: its title, or its paragraph's article."""
        source, _, number = name.partition(":")
        return self.title or f"{source} {number.partition('-')[0]}"


def read_collections(part: str) -> dict[str, list[str]]:
    """Return the names of the sections of each collection."""
    found: dict[str, list[str]] = json.loads((QUESTIONS / part / "collections.json").read_text(encoding="utf-8"))
    for collection in {asked.collection for asked in read_questions(part)} - set(found):
        found[collection] = list(own_sections(collection))
    return found


@cache
def own_sections(collection: str) -> dict[str, Section]:
    """Return the sections of the documents that we wrote for a collection, by name: ``ours:DOCUMENT:NUMBER``."""
    return {
        f"ours:{document['id']}:{number}": Section(
            document["title"], section["heading"], clean(section["text"]), document["lang"]
        )
        for document in read_lines(QUESTIONS / "documents" / f"{collection}.jsonl")
        for number, section in enumerate(document["sections"])
    }


def read_sections(sources: Sources) -> dict[str, Section]:
    """Return the sections that collections are made of, by name."""
    sections = {
        f"wiki-ar:{number}": Section(row["title"], row["heading"], clean(row["text"]), "ar")
        for number, row in enumerate(sources.prose("wiki-ar.ar.jsonl.zst"))
    }
    for row in sources.questions("squadshifts_new_wiki.en", "all"):
        sections[f"squadshifts_new_wiki.en:{row['context_id']}"] = Section("", "", row["text"], "en")
    for path in sorted((QUESTIONS / "documents").glob("*.jsonl")):
        sections |= own_sections(path.stem)
    return sections


def translated(sources: Sources) -> list[tuple[str, str, dict[str, Any]]]:
    """Return ``(set, Arabic question, the row it translates)`` of the translated questions."""
    rows = {
        f"{name}:{row['id']}": (name, row)
        for name, split in TRANSLATED_SETS
        for row in sources.questions(name, split)
    }  # fmt: skip
    return [
        (rows[line["id"]][0], line["question"], rows[line["id"]][1])
        for line in read_lines(QUESTIONS / "translated.ar.jsonl")
    ]
