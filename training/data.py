"""Training text for the embedder: reading, licences, and the wall around the evaluation sets.

Everything here is plain Python and numpy. The data folder has four parts: ``qa_train/``, ``parallel/`` and
``prose/`` may be trained on, ``eval/`` only measures. Three guards keep it that way:

* a file is read only if its licence stands in ``LICENCES`` and is one of ``ALLOWED``;
* ``Wall`` drops each pair with an evaluation text, or with eight words in a row from one;
* ``Wall.assert_clean`` runs once more over the finished training pairs and raises ``LeakError``.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from rag.loaders import DocumentLoader, find_files

SHINGLE_WORDS = 8
ALLOWED = frozenset({"MIT", "Apache-2.0", "BSD", "CC0", "CC-BY", "CC-BY-SA", "MPL-2.0"})
LICENCES = {
    "arcd.ar": "MIT",
    "aux.mrtydi_topics": "Apache-2.0",
    "covid_faq_deepset.en": "Apache-2.0",
    "covid_faq_jhu.en": "Apache-2.0",
    "covid_faq_mt.ar": "Apache-2.0",
    "fairytaleqa.en": "Apache-2.0",
    "medquad.en": "CC-BY",
    "policyqa.en": "MIT",
    "pquad.fa": "CC-BY-SA",
    "pubmedqa_l.en": "MIT",
    "squadshifts_amazon_reviews.en": "CC-BY",
    "squadshifts_new_wiki.en": "CC-BY",
    "squadshifts_reddit.en": "CC-BY",
    "tydiqa_goldp.en": "Apache-2.0",
    "wiki-ar.ar": "CC-BY-SA",
    "legal-clinic.ar": "MIT",
    "covid19-portal.ar": "MIT",
    "faq-sites.en-ar": "MIT",
    "ud-pud.en-ar": "CC-BY-SA",
    "african-storybook.en-ar": "CC-BY",
    "bitcoin-org.en-ar": "MIT",
    "common-voice-site.en-ar": "MPL-2.0",
    "coop-ms-beginners.en-ar": "MIT",
    "monero-site.en-ar": "BSD",
    "mozilla-www.en-ar": "MPL-2.0",
    "ms-customer-insights.en-ar": "CC-BY",
    "ms-dynamics-operations.en-ar": "CC-BY",
    "ms-project-operations.en-ar": "CC-BY",
    "open-sdg.en-ar": "MIT",
    "opensource-guide.en-ar": "CC-BY",
    "tatoeba-manythings.en-ar": "CC-BY",
    "tico19.en-ar": "CC0",
    "ui-bagisto.en-ar": "MIT",
    "ui-dspace.en-ar": "BSD",
    "ui-magento.en-ar": "MIT",
    "wikipedia-android.en-ar": "Apache-2.0",
    # Text under CC BY-SA, but the licence of its annotations is not stated: named here so that it is refused.
    "qed.en": "not stated",
}


_ROOT = Path(__file__).parents[1]
_PARALLEL = re.compile(r"\.en-[a-z]{2}$")


class LeakError(AssertionError):
    """An evaluation text, or eight words in a row from one, is about to be trained on."""


class LicenceError(ValueError):
    """A data set without a licence that allows training."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that belong together.

    ``group`` names the source passage or article: pairs of one group are never each other's negatives.
    ``languages`` is the language of the query and of the passage, such as ``"ar-en"``.
    """

    query: str
    passage: str
    task: str
    group: str
    languages: str


def check_licence(name: str) -> str:
    """Return the licence of a data set, by the file name's first parts.

    Raises:
        LicenceError: the set is not listed, or its licence does not allow training.
    """
    licence = LICENCES.get(_PARALLEL.sub(".en-ar", name), "not listed")  # a parallel set has one in all languages
    if licence not in ALLOWED:
        raise LicenceError(f"{name} must not be trained on: its licence is {licence!r}, not one of {sorted(ALLOWED)}")
    return licence


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a zstd text file without their ends."""
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as packed:
        for line in io.TextIOWrapper(packed, encoding="utf-8", newline="\n"):
            yield line.rstrip("\n")


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a zstd JSON Lines file."""
    for line in read_lines(path):
        yield json.loads(line)


def read_parallel(path: Path) -> list[tuple[str, str]]:
    """Return the (English, other language) lines of a parallel file, in document order."""
    rows = (line.split("\t") for line in read_lines(path))
    return [(row[0].strip(), row[1].strip()) for row in rows if len(row) == 2 and row[0].strip() and row[1].strip()]


def sha256_file(path: Path) -> str:
    """Return the first 16 hexadecimal digits of a file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------- the wall

_ARABIC_FORMS = str.maketrans("أإآٱىةؤئ", "اااايهوي")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|(?:(?![\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])\w)+")


def normal_words(text: str) -> list[str]:
    """Return the words of a text with case, diacritics, Arabic letter forms and punctuation taken away.

    Chinese and Japanese letters, written without spaces, count as words.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold().replace("ـ", "").translate(_ARABIC_FORMS))
    return _WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)))


class Wall:
    """Knows every evaluation text by hash, and every run of eight words in one.

    Args:
        texts: The texts that must stay out of training.
    """

    _FACTOR = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self, texts: Iterable[str]) -> None:
        self._words: dict[str, int] = {}
        whole: set[int] = set()
        runs: list[npt.NDArray[np.uint64]] = []
        for text in texts:
            hashes = self._word_hashes(text)
            if len(hashes):
                whole.add(self._whole(hashes))
                runs.append(self._runs(hashes))
        self._whole_hashes = whole
        self._run_hashes = np.unique(np.concatenate(runs)) if runs else np.empty(0, dtype=np.uint64)

    @classmethod
    def of_folder(cls, folder: Path, more: Iterable[str] = ()) -> Wall:
        """Build the wall around every text of every file in an evaluation folder.

        Args:
            folder: Holds ``*.jsonl.zst``; each string under question, text, s1, s2, answer or a language code
                counts (an answer span of up to seven words is no text of its own).
            more: Further texts to keep out, such as the held-out development set.

        Raises:
            FileNotFoundError: no such file is there; an empty wall would let everything through.
        """
        files = sorted(folder.glob("*.jsonl.zst"))
        if not files:
            raise FileNotFoundError(f"no evaluation file (*.jsonl.zst) in {folder}")

        def texts() -> Iterator[str]:
            for path in files:
                for record in read_jsonl(path):
                    yield from _strings(record)
            yield from more

        return cls(texts())

    def __len__(self) -> int:
        return len(self._whole_hashes)

    def is_inside(self, text: str) -> bool:
        """Say whether the text is an evaluation text or shares eight words in a row with one."""
        hashes = self._word_hashes(text)
        if not len(hashes):
            return False
        if self._whole(hashes) in self._whole_hashes:
            return True
        runs = self._runs(hashes)
        if not len(runs) or not len(self._run_hashes):
            return False
        found = np.searchsorted(self._run_hashes, runs)
        return bool(np.any(self._run_hashes[np.minimum(found, len(self._run_hashes) - 1)] == runs))

    def keep_clean(self, pairs: Iterable[Pair]) -> tuple[list[Pair], Counter[str]]:
        """Return the pairs with no text inside the wall, and how many were dropped of each task."""
        kept: list[Pair] = []
        dropped: Counter[str] = Counter()
        for pair in pairs:
            if self.is_inside(pair.query) or self.is_inside(pair.passage):
                dropped[pair.task] += 1
            else:
                kept.append(pair)
        return kept, dropped

    def assert_clean(self, pairs: Iterable[Pair]) -> int:
        """Return the number of pairs looked at.

        Raises:
            LeakError: one side of a pair is inside the wall.
        """
        count = 0
        for pair in pairs:
            for text in (pair.query, pair.passage):
                if self.is_inside(text):
                    raise LeakError(f"evaluation text in training ({pair.task}, {pair.group}): {text[:120]!r}")
            count += 1
        return count

    def _word_hashes(self, text: str) -> npt.NDArray[np.uint64]:
        cache = self._words
        out = np.empty(len(words := normal_words(text)), dtype=np.uint64)
        for i, word in enumerate(words):
            value = cache.get(word)
            if value is None:
                value = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
                cache[word] = value
            out[i] = value
        return out

    def _whole(self, hashes: npt.NDArray[np.uint64]) -> int:
        return int.from_bytes(hashlib.blake2b(hashes.tobytes(), digest_size=8).digest(), "little")

    def _runs(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        count = len(hashes) - SHINGLE_WORDS + 1
        if count < 1:
            return np.empty(0, dtype=np.uint64)
        total = np.zeros(count, dtype=np.uint64)
        with np.errstate(over="ignore"):
            for i in range(SHINGLE_WORDS):
                total = total * self._FACTOR + hashes[i : i + count]
        return total


@cache
def own_evaluation_texts() -> tuple[str, ...]:
    """Return what ``rag eval`` is run on: our questions with their evidence, and the demo corpus line by line."""
    texts: list[str] = []
    for path in sorted((_ROOT / "tests").rglob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            texts += _strings(json.loads(line))
    with DocumentLoader() as loader:
        for path, doc_id in find_files(_ROOT / "corpus"):
            texts += loader.load(path, doc_id).text.splitlines()
    return tuple(texts)


def evaluation_wall(root: Path, more: Iterable[str] = ()) -> Wall:
    """Return the wall around the evaluation sets of the data folder ``root``, our own, and ``more``."""
    return Wall.of_folder(root / "eval", [*own_evaluation_texts(), *more])


_NOT_TEXT = frozenset({"id", "lang", "langs", "context_id", "kind", "track", "source", "title", "score", "split"})


def _strings(record: Any, key: str = "") -> Iterator[str]:
    """Yield the texts of an evaluation record, at any depth."""
    if isinstance(record, dict):
        for name, value in record.items():
            if name not in _NOT_TEXT:
                yield from _strings(value, "answer" if key == "answers" else name)
    elif isinstance(record, list):
        for value in record:
            yield from _strings(value, key)
    elif isinstance(record, str) and (key != "answer" or len(normal_words(record)) >= SHINGLE_WORDS):
        yield record


# ------------------------------------------------------------------------------------------ the sources


class Sources:
    """Reads the training sets of a data folder and remembers the hash of each file read.

    Args:
        root: The data folder, with ``qa_train/``, ``parallel/``, ``prose/`` and ``eval/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hashes: dict[str, str] = {}
        self.licences: dict[str, str] = {}

    def _open(self, part: str, file: str) -> Path:
        name = ".".join(file.split(".")[:2])
        self.licences[name] = check_licence(name)
        path = self.root / part / file
        self.hashes[f"{part}/{file}"] = sha256_file(path)
        return path

    def questions(self, name: str, split: str, *, unanswerable: bool = False) -> list[dict[str, Any]]:
        """Return the answerable questions of a set, each with its passage under ``text`` and its ``title``.

        With ``unanswerable`` the others come too. ``start`` of an answer counts in the file's text, not in ``text``.
        """
        contexts = {
            row["context_id"]: row for row in read_jsonl(self._open("qa_train", f"{name}.{split}.contexts.jsonl.zst"))
        }
        rows = []
        for row in read_jsonl(self._open("qa_train", f"{name}.{split}.jsonl.zst")):
            if (unanswerable or row.get("answerable", True)) and not row.get("eval_overlap"):
                context = contexts[row["context_id"]]
                question, text = clean_question(row["question"]), clean(context["text"])
                rows.append({**row, "question": question, "text": text, "title": context["title"]})
        return [row for row in rows if len(row["question"]) > 5 and len(row["text"]) > 20]

    def topics(self) -> list[dict[str, Any]]:
        """Return the real Arabic questions of Mr.TyDi's training split, without passages."""
        path = self._open("qa_train", "aux.mrtydi_topics.multi.train.jsonl.zst")
        return [row for row in read_jsonl(path) if row["lang"] == "ar" and row["split"] == "train"]

    def parallel(self, name: str, part: str = "parallel", language: str = "ar") -> list[tuple[str, str]]:
        """Return the (English, other language) lines of a parallel set."""
        return read_parallel(self._open(part, f"{name}.en-{language}.tsv.zst"))

    def prose(self, file: str) -> list[dict[str, Any]]:
        """Return the records of a prose file."""
        return list(read_jsonl(self._open("prose", file)))


_SPACES = re.compile(r"[ \t\u00a0]+")


def clean(text: str) -> str:
    """Return the text with runs of spaces made one."""
    return _SPACES.sub(" ", text).strip()


def clean_question(text: str) -> str:
    """Return a question without list dashes before it, words after its mark, or a space before that."""
    text = clean(text).lstrip("-–• ").strip()
    head, mark, tail = text.partition("؟")
    if mark and len(tail.strip()) <= 4:
        text = head + mark
    return text.replace(" ؟", "؟").replace(" ?", "?")
