"""What is done with the common model before anything is measured, in the peers' environment.

python -m benchmarks.peers.model copy SOURCE TARGET              a copy in float32, which all systems open
python -m benchmarks.peers.model vectors COLLECTION MODEL FILE   real vectors for `Synthetic`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.data import read_passages, read_questions
from benchmarks.peers.synthetic import Synthetic

_PASSAGES = 300


def main(argv: Sequence[str]) -> None:
    """Do one of the two."""
    from sentence_transformers import SentenceTransformer

    if argv[0] == "copy":
        source, target = argv[1:]
        SentenceTransformer(source, device="cpu", model_kwargs={"dtype": "float32"}).save(
            target, create_model_card=False
        )
        return
    collection, model, target = argv[1:]
    network = SentenceTransformer(model, device="cpu")
    passages = [passage.text for passage in read_passages(Path(collection, "passages.jsonl"))[:_PASSAGES]]
    questions = [question.text for question in read_questions(Path(collection, "questions.jsonl"))]
    vectors = [network.encode(texts, normalize_embeddings=True) for texts in (passages, questions)]
    Synthetic(vectors[0], questions, vectors[1]).save(Path(target))


if __name__ == "__main__":
    main(sys.argv[1:])
