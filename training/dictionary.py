"""Learn the Arabic-English dictionary of `rag.dictionary` from parallel text.

    python -m training.dictionary DATA_DIR [--output rag/models/dictionary/ar-en.tsv] [--iterations 5]
        [--min-probability 0.01] [--max-translations 12] [--seed-weight 20] [--without NAME ...]

IBM Model 1 (Brown et al., "The Mathematics of Statistical Machine Translation", 1993) with an empty word, by
expectation maximisation in both directions over index terms without stop words. A pair counts with the geometric
mean of its two probabilities, normalised over the translations kept; that agreement of both directions is what
keeps rare words from collecting whatever stands beside them. Software documentation is two thirds of the text: it
is weighted down. ``training/glossary.ar-en.tsv``, hand-written marketing vocabulary, counts ``--seed-weight`` times.

No evaluation text goes in: every line is held against ``DATA_DIR/eval`` first, and once more at the end.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.text.analyzers import content_terms
from rag.text.transliteration import similarity, skeleton
from training.data import Pair, Sources, Wall, evaluation_wall

logger = logging.getLogger(__name__)

GLOSSARY = Path(__file__).parent / "glossary.ar-en.tsv"
OUTPUT = Path(__file__).parents[1] / "rag" / "models" / "dictionary" / "ar-en.tsv"

# Weight of one line by source; general prose and everyday sentences count most.
WEIGHTS = {
    "ms-dynamics-operations": 0.25,
    "ms-project-operations": 0.25,
    "ms-customer-insights": 0.5,
    "coop-ms-beginners": 0.7,
    "tico19": 2.0,
    "ud-pud": 3.0,
    "opensource-guide": 1.5,
    "tatoeba-manythings": 1.0,
    "open-sdg": 1.0,
    "mozilla-www": 1.0,
    "bitcoin-org": 1.0,
    "monero-site": 1.0,
    "common-voice-site": 1.0,
    "wikipedia-android": 0.7,
    "ui-bagisto": 0.5,
    "ui-magento": 0.5,
    "ui-dspace": 0.5,
    "african-storybook": 1.0,
    "faq-sites": 1.5,
}
PROSE = frozenset({"ud-pud", "african-storybook", "faq-sites"})
ALIKE, LEAST_ALIKE = 10.0, 0.7
MOST_TERMS = 60  # of a line; longer ones say little about which word means which

Lines = list[tuple[str, str, float]]
Table = dict[tuple[str, str], float]


def read_pairs(sources: Sources, wall: Wall, *, without: Sequence[str] = ()) -> Lines:
    """Return ``(English, Arabic, weight)`` lines, each pair once, none of them inside the wall.

    Args:
        sources: Where from.
        wall: What must stay out.
        without: Names of sources to leave out, and every line of theirs that stands elsewhere too.
    """
    lines: Lines = []
    dropped: Counter[str] = Counter()
    seen = {pair for name in without for pair in sources.parallel(name, "prose" if name in PROSE else "parallel")}
    for name, weight in WEIGHTS.items():
        for english, arabic in sources.parallel(name, "prose" if name in PROSE else "parallel"):
            if (english, arabic) in seen:
                continue
            seen.add((english, arabic))
            if wall.is_inside(english) or wall.is_inside(arabic):
                dropped[name] += 1
                continue
            lines.append((english, arabic, weight))
    logger.info("%d lines; evaluation text dropped: %s", len(lines), dict(dropped) or "none")
    return lines


def read_glossary(path: Path = GLOSSARY) -> list[tuple[str, str]]:
    """Return the hand-written ``(English, Arabic)`` pairs; lines of ``#`` are remarks."""
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return [(english, arabic) for arabic, english in rows]


class Bitext:
    """Lines as numbered terms, flat, ready for expectation maximisation.

    Args:
        sides: The terms of each line, both languages: ``(source terms, target terms, weight)``.
    """

    def __init__(self, sides: Iterable[tuple[Sequence[str], Sequence[str], float]]) -> None:
        self.source: dict[str, int] = {"": 0}  # the empty word, in every line
        self.target: dict[str, int] = {}
        source_of_link: list[npt.NDArray[np.int32]] = []
        target_of_link: list[npt.NDArray[np.int32]] = []
        slot_of_link: list[npt.NDArray[np.int32]] = []
        weights: list[float] = []
        for source, target, weight in sides:
            s = np.array([0, *(self.source.setdefault(term, len(self.source)) for term in source)], np.int32)
            t = np.array([self.target.setdefault(term, len(self.target)) for term in target], np.int32)
            source_of_link.append(np.tile(s, len(t)))
            target_of_link.append(np.repeat(t, len(s)))
            slot_of_link.append(np.repeat(np.arange(len(weights), len(weights) + len(t), dtype=np.int32), len(s)))
            weights.extend([weight] * len(t))
        self.weights = np.array(weights)  # (n_slots,): a slot is one target term of one line
        self.slots = np.concatenate(slot_of_link)  # (n_links,)
        keys = np.concatenate(source_of_link).astype(np.int64) * len(self.target) + np.concatenate(target_of_link)
        pairs, self.pair_of_link = np.unique(keys, return_inverse=True)
        self.pair_source, self.pair_target = np.divmod(pairs, len(self.target))  # (n_pairs,)

    def learn(self, iterations: int) -> npt.NDArray[np.float64]:
        """Return p(target | source) of each pair, shape (n_pairs,), after that many rounds.

        Pairs that sound alike begin with a lead: a name that stands in one line only could be any word of it.
        """
        p = self._lead() / np.bincount(self.pair_source)[self.pair_source]
        for _ in range(iterations):
            here = p[self.pair_of_link]
            total = np.bincount(self.slots, here, minlength=len(self.weights))
            share = here * (self.weights / total)[self.slots]
            counts = np.bincount(self.pair_of_link, share, minlength=len(p))
            p = counts / np.bincount(self.pair_source, counts)[self.pair_source]
        return p

    def _lead(self) -> npt.NDArray[np.float64]:
        """Return ALIKE for each pair that sounds alike across the scripts, 1 for the others; shape (n_pairs,)."""
        numbers: dict[str, int] = {}
        sides = []
        for terms, blank in ((self.source, -1), (self.target, -2)):
            keys = (skeleton(term) if term.isalpha() else "" for term in terms)
            sides.append(np.array([numbers.setdefault(k, len(numbers)) if len(k) >= 2 else blank for k in keys]))
        lead = np.ones(len(self.pair_source))
        sources, targets = list(self.source), list(self.target)
        for pair in np.flatnonzero(sides[0][self.pair_source] == sides[1][self.pair_target]):
            words = sources[self.pair_source[pair]], targets[self.pair_target[pair]]
            arabic, english = sorted(words, key=str.isascii)
            if not arabic.isascii() and english.isascii() and similarity(arabic, english) >= LEAST_ALIKE:
                lead[pair] = ALIKE
        return lead


def probabilities(sides: Sequence[tuple[Sequence[str], Sequence[str], float]], iterations: int) -> Table:
    """Return p(target term | source term) by pair, the empty word left out."""
    bitext = Bitext(sides)
    p = bitext.learn(iterations)
    sources, targets = list(bitext.source), list(bitext.target)
    kept = np.flatnonzero((p >= 1e-3) & (bitext.pair_source > 0))
    return {(sources[bitext.pair_source[row]], targets[bitext.pair_target[row]]): float(p[row]) for row in kept}


def symmetric(
    forward: Table,
    backward: Table,
    *,
    min_probability: float,
    max_translations: int,
) -> Table:
    """Return p(target | source) from both directions.

    Args:
        forward: p(target | source) by (source, target).
        backward: p(source | target) by (target, source).
        min_probability: Pairs below it, after normalising over a source term, are left out.
        max_translations: The most that one source term keeps.
    """
    options: dict[str, list[tuple[float, str]]] = {}
    for (source, target), p in forward.items():
        q = backward.get((target, source), 0.0)
        if q > 0:
            options.setdefault(source, []).append((float(np.sqrt(p * q)), target))
    found: Table = {}
    for source, scored in options.items():
        best = sorted(scored, key=lambda item: (-item[0], item[1]))[:max_translations]
        best = [(score, target) for score, target in best if score >= min_probability]
        total = sum(score for score, _ in best)
        # A term that agrees with nothing keeps less than all of its weight.
        scale = 1.0 / max(total, 0.5)
        for score, target in best:
            if score * scale >= min_probability:
                found[source, target] = min(1.0, score * scale)
    return found


def learn(lines: Lines, iterations: int, *, min_probability: float, max_translations: int) -> tuple[Table, Table]:
    """Return p(English | Arabic) by (Arabic, English), and p(Arabic | English) by (English, Arabic)."""
    sides = [(content_terms(english, "en"), content_terms(arabic, "ar"), weight) for english, arabic, weight in lines]
    sides = [side for side in sides if 1 <= len(side[0]) <= MOST_TERMS and 1 <= len(side[1]) <= MOST_TERMS]
    logger.info("%d lines with terms on both sides", len(sides))
    to_arabic = probabilities(sides, iterations)
    to_english = probabilities([(arabic, english, weight) for english, arabic, weight in sides], iterations)
    return (
        symmetric(to_english, to_arabic, min_probability=min_probability, max_translations=max_translations),
        symmetric(to_arabic, to_english, min_probability=min_probability, max_translations=max_translations),
    )


def write_dictionary(path: Path, to_english: Table, to_arabic: Table) -> int:
    """Write the file that `rag.dictionary.Dictionary.load` reads; return its number of pairs.

    Args:
        path: Where to.
        to_english: p(English | Arabic) by (Arabic, English).
        to_arabic: p(Arabic | English) by (English, Arabic).
    """
    groups: dict[str, dict[str, tuple[int, int]]] = {}
    for arabic, english in sorted(set(to_english) | {(arabic, english) for english, arabic in to_arabic}):
        p, q = to_english.get((arabic, english), 0.0), to_arabic.get((english, arabic), 0.0)
        groups.setdefault(arabic, {})[english] = (round(100 * p), round(100 * q))
    lines = [
        "\t".join([arabic, *(f"{english}\t{p}\t{q}" for english, (p, q) in options.items())])
        for arabic, options in groups.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return sum(len(options) for options in groups.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the training; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="holds parallel/, prose/ and eval/")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the dictionary file (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=5, help="rounds of expectation maximisation (default: 5)")
    parser.add_argument("--min-probability", type=float, default=0.01, help="least p of a translation (default: 0.01)")
    parser.add_argument("--max-translations", type=int, default=12, help="most translations of a term (default: 12)")
    parser.add_argument("--seed-weight", type=float, default=20.0, help="weight of a glossary line (default: 20)")
    parser.add_argument("--without", nargs="*", default=[], help="sources to leave out (default: none)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    begin = time.monotonic()
    sources = Sources(options.data_dir)
    wall = evaluation_wall(options.data_dir)
    lines = read_pairs(sources, wall, without=options.without)
    lines += [(english, arabic, options.seed_weight) for english, arabic in read_glossary()]
    wall.assert_clean(Pair(english, arabic, "dictionary", "", "en-ar") for english, arabic, _ in lines)
    limits = {"min_probability": options.min_probability, "max_translations": options.max_translations}
    to_english, to_arabic = learn(lines, options.iterations, **limits)
    n_pairs = write_dictionary(options.output, to_english, to_arabic)
    meta = {
        "flags": {
            "iterations": options.iterations,
            "seed_weight": options.seed_weight,
            **limits,
            "without": options.without,
        },
        "lines": len(lines),
        "pairs": n_pairs,
        "data": sources.hashes,
        "licences": sources.licences,
        "weights": WEIGHTS,
    }
    options.output.with_name("meta.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n", "utf-8")
    logger.info("%d pairs, %d bytes, %.0f s", n_pairs, options.output.stat().st_size, time.monotonic() - begin)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
