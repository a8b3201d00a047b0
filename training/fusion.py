"""Learn the weights of `rag.fusion` on training questions over mixed Arabic-English collections.

    python -m training.fusion DATA_DIR [--embedder NAME_OR_PATH] [--dictionary FILE] [--output rag/models/fusion.json]
        [--collections 4] [--l2 0.001] [--seed 0]

A collection holds passages of both languages; a text that exists in both stands there in Arabic only, in English
only, or in both, by lot. The loss is the cross-entropy of the right passages among each query's candidates, with
every pair of query and answer languages counting the same; so one scale holds for all pairs. Queries are the
questions of ARCD, SQuADShifts, TyDi QA and bilingual FAQs, our own for the answerer, which seldom repeat the words of
their passage, and pieces of sentences out of UD-PUD and TICO-19, whose neighbouring lines make passages. The dictionary
used here is learnt without those two, or its leg would look better than it is (``--dictionary`` takes one made by
``python -m training.dictionary DATA_DIR --without ud-pud tico19``).
Three minutes on two cores, without the dictionary two. No evaluation text goes in; that is asserted.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rag.dictionary import Dictionary
from rag.embedder import Embedder, fingerprint_hash
from rag.fusion import DEFAULT_WEIGHTS, Background, Moments, PairWeights, features
from rag.lexical import LexicalLeg
from rag.store import Bm25Index
from rag.text.analyzers import terms
from training import dictionary as dictionary_training
from training.data import Pair, Sources, Wall, clean_question, evaluation_wall
from training.pairs import DEV_SEED, TICO_DEV_LINES, build_dev
from training.written import read_collections, read_questions, read_sections

logger = logging.getLogger(__name__)

LANGUAGES = ("ar", "en")
HELD_OUT = ("ud-pud", "tico19")
MOST_QUESTIONS = 3  # of one passage
CANDIDATES = 60  # of each leg and language
FEATURES = tuple(PairWeights.__slots__)


@dataclass(frozen=True)
class Text:
    """A passage or a query; texts of one ``key`` belong together."""

    language: str
    text: str
    key: str
    source: str


@dataclass(frozen=True)
class Example:
    """A query's candidates: feature rows (n, 4), pair numbers (n,), which are right (n,), and the languages.

    A pair's number is 2 * query language + passage language; ``kind`` is the query's language and then those of its
    right passages.
    """

    rows: npt.NDArray[np.float64]
    pairs: npt.NDArray[np.int64]
    is_right: npt.NDArray[np.bool_]
    kind: tuple[str, ...]


def read_texts(sources: Sources, wall: Wall, held: Wall, seed: int) -> tuple[list[Text], list[Text]]:
    """Return passages and queries; none of them inside the wall.

    A question that the embedder has been trained on would make its leg look better than it is: of the question sets
    only passages inside ``held``, its development set, are asked about, and of TICO-19 only the lines held out.
    """
    rng = np.random.default_rng(seed)
    passages, queries = _ours(sources)
    known = {passage.text for passage in passages}
    for name, split, language, most in (
        ("arcd.ar", "train", "ar", 1000),
        ("squadshifts_new_wiki.en", "all", "en", 250),
        ("tydiqa_goldp.en", "train", "en", 150),
    ):
        questions: dict[str, list[str]] = defaultdict(list)
        for row in sources.questions(name, split):
            questions[row["text"]].append(row["question"])
        texts = list(questions)
        unseen = {number for number, text in enumerate(texts) if held.is_inside(text)}
        for number in sorted({*rng.permutation(len(texts))[:most].tolist(), *unseen}):
            if texts[number] in known:
                continue
            key = f"{name}:{number}"
            passages.append(Text(language, texts[number], key, name))
            if number in unseen:
                queries += [Text(language, q, key, name) for q in questions[texts[number]][:MOST_QUESTIONS]]
    for key, source, question, answer in _bilingual_faqs(sources):
        for side, language in enumerate(LANGUAGES):
            passages.append(Text(language, answer[side], key, source))
            if source != "covid":
                queries.append(Text(language, question[side], key, source))
    for name in HELD_OUT:
        lines = sources.parallel(name, "prose" if name in dictionary_training.PROSE else "parallel")
        lines = lines[-TICO_DEV_LINES:] if name == "tico19" else lines
        blocks = [lines[begin : begin + 4] for begin in range(0, len(lines) - 3, 4)]
        for number in sorted(rng.permutation(len(blocks))[:200]):
            block = blocks[number]
            if sum(len(english) for english, _ in block) < 200:
                continue
            chosen = block[int(rng.integers(len(block)))]
            for side, language in ((1, "ar"), (0, "en")):
                passages.append(Text(language, " ".join(line[side] for line in block), f"{name}:{number}", name))
                words = chosen[side].split()
                if len(words) >= 8:
                    wanted = min(max(5, len(words) // 3), 12)
                    begin = int(rng.integers(len(words) - wanted + 1))
                    piece = " ".join(words[begin : begin + wanted])
                    queries.append(Text(language, piece, f"{name}:{number}", name))
    dirty = {text.key for text in (*passages, *queries) if wall.is_inside(text.text)}
    passages = [text for text in passages if text.key not in dirty]
    queries = [text for text in queries if text.key not in dirty]
    wall.assert_clean(Pair(text.text, text.text, "fusion", text.key, text.language) for text in (*passages, *queries))
    logger.info("%s; dropped as evaluation text: %d", Counter(q.source for q in queries), len(dirty))
    return passages, queries


def _ours(sources: Sources) -> tuple[list[Text], list[Text]]:
    """Return the sections of the answerer's collections, behind their title and heading, and the questions on them."""
    sections = read_sections(sources)
    names = dict.fromkeys(name for part in read_collections("answerer").values() for name in part)
    passages = []
    for name in names:
        section = sections[name]
        context = " › ".join(dict.fromkeys(filter(None, (section.title, section.heading))))
        text = f"{context}\n{section.text}" if context else section.text
        passages.append(Text(section.language, text, name, "ours"))
    asked = [asked for asked in read_questions("answerer") if asked.context in names]
    return passages, [Text(a.language, a.question, a.context, "ours") for a in asked if a.context]


def _bilingual_faqs(sources: Sources) -> list[tuple[str, str, tuple[str, str], tuple[str, str]]]:
    """Return ``(key, source, (Arabic, English) question, (Arabic, English) answer)``."""
    found = []
    english = {row["question"]: row["text"] for row in sources.questions("covid_faq_deepset.en", "train")}
    for row in sources.questions("covid_faq_mt.ar", "train"):
        question = clean_question(row["question_en"])
        if question in english:
            answers = (row["text"], english[question])
            found.append((f"covid:{len(found)}", "covid", (row["question"], question), answers))
    for file in ("legal-clinic.ar.faq.jsonl.zst", "covid19-portal.ar.faq.jsonl.zst"):
        for row in sources.prose(file):
            if row.get("question_en") and row.get("answer_en"):
                questions = (row["question"], row["question_en"])
                found.append((f"faq:{len(found)}", "faq", questions, (row["answer"], row["answer_en"])))
    return found


class Collection:
    """Passages of both languages with their lexical legs.

    Args:
        passages: In index order.
        vectors: Their vectors, shape (n, dim).
        dictionary: For the lexical legs.
    """

    def __init__(self, passages: Sequence[Text], vectors: npt.NDArray[np.float32], dictionary: Dictionary) -> None:
        self._vectors = vectors
        self._keys = np.array([passage.key for passage in passages])
        languages = np.array([passage.language for passage in passages])
        self._rows = {language: np.flatnonzero(languages == language) for language in LANGUAGES}
        self._legs = {
            language: LexicalLeg(
                Bm25Index.build([terms(passages[row].text, language) for row in rows]), language, dictionary
            )
            for language, rows in self._rows.items()
        }

    def example(self, query: Text, vector: npt.NDArray[np.float32]) -> Example | None:
        """Return the candidates of a query; None if no passage answers it."""
        is_right = self._keys == query.key
        if not is_right.any():
            return None
        cosines = (self._vectors @ vector).astype(np.float64)
        shares = np.zeros_like(cosines)
        for language, rows in self._rows.items():
            shares[rows] = self._legs[language].score(query.text, query.language).shares
        parts, pairs, right = [], [], []
        everywhere = Background(Moments.of(cosines), Moments.of(shares))
        for number, rows in enumerate(self._rows.values()):
            own = Background(Moments.of(cosines[rows]), Moments.of(shares[rows]))
            numbers = features(cosines[rows], shares[rows], own, everywhere)
            best = [np.argsort(-values[rows], kind="stable")[:CANDIDATES] for values in (cosines, shares)]
            kept = np.unique(np.concatenate([*best, np.flatnonzero(is_right[rows])]))
            parts.append(numbers[kept])
            pairs.append(np.full(len(kept), LANGUAGES.index(query.language) * len(LANGUAGES) + number))
            right.append(is_right[rows][kept])
        answers = tuple(language for language, here in zip(LANGUAGES, right, strict=True) if here.any())
        return Example(np.concatenate(parts), np.concatenate(pairs), np.concatenate(right), (query.language, *answers))


def collect(
    passages: list[Text],
    queries: list[Text],
    embedder: Embedder,
    dictionary: Dictionary,
    *,
    collections: int,
    seed: int,
) -> list[Example]:
    """Return examples out of several collections; texts of one language take part in the first only."""
    passage_vectors = embedder.encode_passages([passage.text for passage in passages])
    query_vectors = embedder.encode_queries([query.text for query in queries])
    languages: dict[str, set[str]] = defaultdict(set)
    for passage in passages:
        languages[passage.key].add(passage.language)
    examples: list[Example] = []
    for number in range(collections):
        lot = random.Random(seed + number)
        shown = {
            key: lot.choice((*LANGUAGES, "both")) if len(in_them) > 1 else "both"
            for key, in_them in sorted(languages.items())
        }
        rows = [row for row, passage in enumerate(passages) if shown[passage.key] in (passage.language, "both")]
        collection = Collection([passages[row] for row in rows], passage_vectors[rows], dictionary)
        for query, vector in zip(queries, query_vectors, strict=True):
            if number == 0 or len(languages[query.key]) > 1:
                example = collection.example(query, vector)
                if example is not None:
                    examples.append(example)
        logger.info("collection %d: %d passages, %d examples so far", number + 1, len(rows), len(examples))
    return examples


def in_own_language(examples: Sequence[Example]) -> list[Example]:
    """Return the examples that both languages answer, with only the passages of the query's language right."""
    return [
        replace(
            example, is_right=example.is_right & (example.pairs % len(LANGUAGES) == LANGUAGES.index(example.kind[0]))
        )
        for example in examples
        if len(example.kind) > len(LANGUAGES)
    ]


def fit(examples: Sequence[Example], *, l2: float) -> tuple[npt.NDArray[np.float64], float]:
    """Return weights of shape (4 pairs, 4 features), and the loss.

    Args:
        examples: At least one of each pair of languages.
        l2: How strongly the pairs' weights are drawn to their mean, biases aside.
    """
    n = max(len(example.pairs) for example in examples)
    rows = torch.zeros(len(examples), n, len(FEATURES), dtype=torch.float64)
    pairs = torch.zeros(len(examples), n, dtype=torch.long)
    out = torch.full((len(examples), n), -1e9, dtype=torch.float64)
    wrong = torch.full((len(examples), n), -1e9, dtype=torch.float64)
    for number, example in enumerate(examples):
        here = slice(0, len(example.pairs))
        rows[number, here] = torch.from_numpy(example.rows)
        pairs[number, here] = torch.from_numpy(example.pairs)
        out[number, here] = 0
        wrong[number, here] = torch.where(torch.from_numpy(example.is_right), 0.0, -1e9)
    kinds = Counter(example.kind for example in examples)
    weight = torch.tensor([1.0 / kinds[example.kind] for example in examples], dtype=torch.float64)
    weight /= weight.sum()
    theta = torch.zeros(len(LANGUAGES) ** 2, len(FEATURES), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        scores = (rows * theta[pairs]).sum(-1)
        surprise = torch.logsumexp(scores + out, 1) - torch.logsumexp(scores + wrong, 1)
        apart = (theta - theta.mean(0, keepdim=True))[:, :-1].square().sum()
        total = (weight * surprise).sum() + l2 * apart + 1e-5 * theta.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return theta.detach().numpy(), float(loss().detach())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the training; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="holds qa_train/, parallel/, prose/ and eval/")
    parser.add_argument("--embedder", default=None, help="folder or hub name (default: the built-in one)")
    parser.add_argument("--dictionary", type=Path, default=None, help="learnt without the held-out sources")
    parser.add_argument("--output", type=Path, default=DEFAULT_WEIGHTS, help="(default: %(default)s)")
    parser.add_argument("--collections", type=int, default=4, help="mixed collections drawn (default: 4)")
    parser.add_argument("--l2", type=float, default=1e-3, help="pull of the pairs to each other (default: 0.001)")
    parser.add_argument("--seed", type=int, default=0, help="of all choices by lot (default: 0)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    begin = time.monotonic()
    sources = Sources(options.data_dir)
    wall = evaluation_wall(options.data_dir)
    if options.dictionary is None:
        lines = dictionary_training.read_pairs(sources, wall, without=HELD_OUT)
        to_english, to_arabic = dictionary_training.learn(lines, 5, min_probability=0.01, max_translations=12)
        pairs = sorted(set(to_english) | {(arabic, english) for english, arabic in to_arabic})
        dictionary = Dictionary((a, e, to_english.get((a, e), 0.0), to_arabic.get((e, a), 0.0)) for a, e in pairs)
    else:
        dictionary = Dictionary.load(options.dictionary)
    held = Wall(build_dev(sources, DEV_SEED).texts())
    passages, queries = read_texts(sources, wall, held, options.seed)
    embedder = Embedder.open(options.embedder)
    examples = collect(passages, queries, embedder, dictionary, collections=options.collections, seed=options.seed)
    theta, loss = fit([*examples, *in_own_language(examples)], l2=options.l2)
    weights = {
        f"{LANGUAGES[number // 2]}-{LANGUAGES[number % 2]}": PairWeights(*(round(float(w), 4) for w in row))
        for number, row in enumerate(theta)
    }
    for name, (first, second) in {"same": ("ar-ar", "en-en"), "cross": ("ar-en", "en-ar")}.items():
        mean = [(a + b) / 2 for a, b in zip(_row(weights[first]), _row(weights[second]), strict=True)]
        weights[name] = PairWeights(*(round(w, 4) for w in mean))
    record = {
        "pairs": {pair: asdict(row) for pair, row in sorted(weights.items())},
        "meta": {
            "embedder": fingerprint_hash(embedder.fingerprint),
            "examples": len(examples),
            "loss": round(loss, 4),
            "flags": {"collections": options.collections, "l2": options.l2, "seed": options.seed},
            "data": sources.hashes,
        },
    }
    options.output.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", "utf-8")
    logger.info("loss %.4f, %.0f s: %s", loss, time.monotonic() - begin, options.output)
    return 0


def _row(weights: PairWeights) -> list[float]:
    return [float(getattr(weights, name)) for name in FEATURES]


if __name__ == "__main__":
    raise SystemExit(main())
