"""Documents become the segments of an index, one at a time: cut, embedded and analysed, written before the next begins.

So a build needs memory for one segment beside the documents, however large the index grows.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rag import memory
from rag.chunking import embedder_texts
from rag.config import ChunkingConfig
from rag.datatypes import Document, Passage
from rag.engine import BuildProgress, Encoder, Engine, Progress
from rag.errors import RagError
from rag.store import Bm25Index, SegmentDraft, VectorIndex
from rag.store.reuse import SEGMENT_PASSAGES, Reuse
from rag.store.segment import LexicalPart, bm25_file
from rag.text.analyzers import terms

_CUT_LETTERS = 4_000_000  # of the documents that are cut at a time
_UNIT_TOLERANCE = 1e-3
_RECORD_BYTES, _BYTES_PER_TEXT_BYTE = 400, 2.5  # measured on corpus/: 325 and 2.2

_Cut = tuple[Document, list[Passage], list[int]]  # the rows are those of the generation before, or -1


class Drafter:
    """Makes the segments of the documents that a build does not keep as they are.

    Args:
        reuse: What may be taken over from the generation before.
        encoder: The embedder.
        budget: How documents are cut.
        engine: Who cuts and embeds.
        check_space: Called before anything is embedded, with the bytes that all that is to come will take, about.
        tell: Told of the texts embedded and, of the last segment, of what is written.
        told: What it was told last.

    Attributes:
        counts: The passages of each document, by doc_id.
        embedded: The texts given to the embedder.
        lost: The doc_id of each document that the engine gave up, and why. It is in no segment.
    """

    def __init__(
        self,
        reuse: Reuse,
        encoder: Encoder,
        budget: ChunkingConfig,
        engine: Engine,
        *,
        check_space: Callable[[int], None],
        tell: Progress,
        told: BuildProgress,
    ) -> None:
        self._reuse, self._encoder, self._budget, self._engine = reuse, encoder, budget, engine
        self._check_space, self._tell = check_space, tell
        self._letters_done = self._letters_left = 0
        self._told = told
        self.counts: Counter[str] = Counter()
        self.embedded = 0
        self.lost: dict[str, str] = {}

    def drafts(self, documents: Sequence[tuple[Document, str]]) -> Iterator[SegmentDraft]:
        """Yield segments of documents.

        Args:
            documents: By doc_id, each with the doc_id of the same one in the generation before.

        Raises:
            RagError: The embedder is unusable, or the disk too small.
        """
        self._letters_left = sum(len(document.text) for document, _ in documents)
        own: list[_Cut] = []
        n_passages = 0
        for one in self._cut(documents):
            if own and n_passages + len(one[1]) > SEGMENT_PASSAGES:
                yield from self._draft(own)
                own, n_passages = [], 0
                memory.give_back()
            own.append(one)
            n_passages += len(one[1])
        if own:
            yield from self._draft(own)

    def tell_written(self, done: int, total: int, item: str) -> None:
        """Tell how far the writing of a segment is; while others are to come, the embedding goes on."""
        self._told = self._told if self._letters_left else BuildProgress("write", done, total, item)
        self._tell(self._told)

    def _cut(self, documents: Sequence[tuple[Document, str]]) -> Iterator[_Cut]:
        """Yield each document with its passages; cut is only what is not cut yet."""
        batch: list[tuple[Document, str]] = []
        letters = 0
        for at, (document, source) in enumerate(documents):
            batch.append((document, source))
            letters += len(document.text)
            if at + 1 < len(documents) and letters < _CUT_LETTERS:
                continue
            known = [self._reuse.passages(source, document.doc_id) for document, source in batch]
            new = [document for (document, _), taken in zip(batch, known, strict=True) if taken is None]
            cut, lost = self._engine.cut(new, self._encoder, self._budget, progress=lambda _: self._tell(self._told))
            self.lost |= {new[number].doc_id: reason for number, reason in lost.items()}
            fresh = iter(cut)
            for (document, _), taken in zip(batch, known, strict=True):
                passages, rows = taken or (next(fresh), None)
                yield document, passages, rows if rows is not None else [-1] * len(passages)
            batch, letters = [], 0

    def _draft(self, cut: Sequence[_Cut]) -> Iterator[SegmentDraft]:
        """Yield the segment of some documents, none if all of them are lost."""
        letters = sum(len(document.text) for document, _, _ in cut)
        cut = [one for one in cut if one[0].doc_id not in self.lost]
        passages = [passage for _, own, _ in cut for passage in own]
        rows = np.array([row for _, _, own in cut for row in own], dtype=np.int64)
        needed = _estimated_bytes([document for document, _, _ in cut], len(passages), self._encoder.dim)
        self._check_space(needed * self._letters_left // max(letters, 1))
        self._letters_left -= letters
        self._letters_done += letters
        inputs, matrix, lost = self._embed(passages)
        memory.give_back()
        if lost:
            self.lost |= lost
            kept = [row for row, passage in enumerate(passages) if passage.doc_id not in lost]
            cut = [one for one in cut if one[0].doc_id not in lost]
            passages, inputs = [passages[row] for row in kept], [inputs[row] for row in kept]
            rows, matrix = rows[kept], matrix[kept]
        if not cut:
            return
        self.counts.update({document.doc_id: len(own) for document, own, _ in cut})
        vectors = VectorIndex.build(matrix)
        del matrix  # as large as the index that was made of it
        yield SegmentDraft(
            documents=[document for document, _, _ in cut],
            passages=passages,
            inputs=inputs,
            vectors=vectors,
            bm25=self._analyse(passages, rows),
        )

    def _embed(self, passages: Sequence[Passage]) -> tuple[list[str], npt.NDArray[np.float32], dict[str, str]]:
        """Embed what is not embedded yet.

        Returns:
            The fingerprint of each passage's embedder input; the vectors, shape (len(passages), dim); the doc_id of
            each document with a text that was lost, and why.
        """
        texts = embedder_texts(passages, count_tokens=self._encoder.count_tokens, config=self._budget)
        inputs = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] for text in texts]
        matrix, is_known = self._reuse.vectors(inputs, self._encoder.dim)
        wanted: dict[str, list[int]] = defaultdict(list)
        for row in np.flatnonzero(~is_known).tolist():
            wanted[inputs[row]].append(row)
        firsts = [same[0] for same in wanted.values()]
        self._tell_embedded(0, len(firsts))
        lost_documents: dict[str, str] = {}
        if firsts:
            fresh, lost = self._engine.encode(
                [texts[row] for row in firsts],
                self._encoder,
                progress=lambda done: self._tell_embedded(done, len(firsts)),
            )
            kept = [number for number in range(len(firsts)) if number not in lost]
            _check_vectors(fresh[kept] if lost else fresh, [passages[firsts[number]] for number in kept], self._encoder)
            for number, (vector, same) in enumerate(zip(fresh, wanted.values(), strict=True)):
                matrix[same] = vector
                if number in lost:
                    lost_documents |= {passages[row].doc_id: lost[number] for row in same}
        self.embedded += len(firsts)
        return inputs, matrix, lost_documents

    def _tell_embedded(self, done: int, n_texts: int) -> None:
        """Tell how far the embedding is; how much later segments add to it is guessed by their letters."""
        so_far = self.embedded + n_texts
        total = so_far + so_far * self._letters_left // max(self._letters_done, 1)
        self._told = BuildProgress("embed", self.embedded + done, total, "")
        self._tell(self._told)

    def _analyse(self, passages: Sequence[Passage], rows: npt.NDArray[np.int64]) -> dict[str, LexicalPart]:
        """Return the BM25 lists of each passage language; a passage's context counts once."""
        by_language: defaultdict[str, list[int]] = defaultdict(list)
        for row, passage in enumerate(passages):
            by_language[passage.language].append(row)
        lists: dict[str, LexicalPart] = {}
        for done, (language, own) in enumerate(sorted(by_language.items())):
            self.tell_written(done, len(by_language), bm25_file(language))
            own_rows = np.array(own, dtype=np.int64)
            taken = self._reuse.lexical(language, rows[own_rows])
            is_known = [False] * len(own) if taken is None else (taken[1] >= 0).tolist()
            term_lists = (
                [] if known else terms(f"{passages[row].context}\n{passages[row].text}", language)
                for row, known in zip(own, is_known, strict=True)
            )
            lists[language] = (Bm25Index.build(term_lists, base=taken), own_rows)
        return lists


def _check_vectors(vectors: npt.NDArray[np.float32], passages: Sequence[Passage], encoder: Encoder) -> None:
    if vectors.shape != (len(passages), encoder.dim):
        raise RagError(
            f"the embedder {encoder.name} gave vectors of shape {vectors.shape}, "
            f"not ({len(passages)}, {encoder.dim}). Choose another one with --embedder"
        )
    is_unit = np.abs(np.linalg.norm(vectors, axis=1) - 1) <= _UNIT_TOLERANCE  # false for NaN
    if not is_unit.all():
        passage = passages[int(np.argmin(is_unit))]
        raise RagError(
            f"the embedder {encoder.name} gave no unit vector for the passage {passage.passage_id}. "
            "Choose another one with --embedder"
        )


def _estimated_bytes(documents: Sequence[Document], n_passages: int, dim: int) -> int:
    """Return about how many bytes a generation takes: vectors, records, and the texts with their BM25 lists."""
    texts = sum(len(document.text.encode("utf-8", "surrogatepass")) for document in documents)
    return n_passages * (4 * dim + _RECORD_BYTES) + int(_BYTES_PER_TEXT_BYTE * texts)
