"""The answerer's two logistic models, as data: ``rag/models/answering.json``, written by ``training/answering.py``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

UNIT_FEATURES = (
    "cosine", "support", "span", "coverage", "passage_score", "kind", "is_question", "is_short", "is_item",
)  # fmt: skip
ANSWER_FEATURES = ("unit", "support", "coverage", "lacks_particular", "lacks_figure", "is_cross", "is_arabic")

MODEL_FILE = Path(__file__).parent.parent / "models" / "answering.json"


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic regression: one weight a feature, in the order of the features, and a bias."""

    weights: tuple[float, ...]
    bias: float

    @classmethod
    def of(cls, names: Sequence[str], weights: Mapping[str, float]) -> Logistic:
        """Read the weights of the named features, and ``"bias"``."""
        return cls(tuple(weights[name] for name in names), weights["bias"])

    def probability(self, features: Sequence[float]) -> float:
        """Return the probability, in (0, 1), of one row of features."""
        logit = self.bias + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, logit))))


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """The numbers the answerer decides by.

    Attributes:
        unit: Does this unit answer?
        answer: Does the best one?
        threshold: The probability, in [0, 1], below which we abstain.
        short_threshold: Log-odds of the reader's span from which it is offered as the short answer.
    """

    unit: Logistic
    answer: Logistic
    threshold: float
    short_threshold: float

    @classmethod
    def load(cls, path: Path = MODEL_FILE) -> AnswerModel:
        """Read the shipped model, or another of the same form."""
        record = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            Logistic.of(UNIT_FEATURES, record["unit"]),
            Logistic.of(ANSWER_FEATURES, record["answer"]),
            float(record["answer"]["threshold"]),
            float(record["short"]["threshold"]),
        )
