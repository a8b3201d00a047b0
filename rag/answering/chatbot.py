"""The chatbot: one question in, one answer with verified citations out."""

from __future__ import annotations

import dataclasses
import time
from collections import abc
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import chain, islice

from rag.answering.abstention import answerability_features
from rag.answering.background import in_background
from rag.answering.citations import verify
from rag.answering.evidence import TermMatcher, candidates_of, holds_definition
from rag.answering.extractive import abstention, compose, to_markdown
from rag.answering.follow_up import stand_alone
from rag.answering.generative import Writer
from rag.answering.model import AnswerModel
from rag.answering.question import Question, QuestionKind, understand
from rag.answering.rewriting import stand_alone_with
from rag.answering.support import keeps_facts
from rag.config import AnswerConfig
from rag.datatypes import Answer, Citation, Hit, Scope
from rag.generators import Generator
from rag.reader import CosineScorer, Reader, default_reader
from rag.retriever import Retriever, Snapshot
from rag.text import fold_text
from rag.text.language import UNDETERMINED

_WIDER = 30  # passages looked through for a definition
_NEAREST = 3  # passages shown when there is no answer

Answers = abc.Generator[Answer, None, None]


class Stopwatch:
    """Wall-clock seconds since it was made; ``laps`` names its stages so far."""

    def __init__(self) -> None:
        self._started = self._lapped = time.perf_counter()
        self.laps: list[tuple[str, float]] = []

    def lap(self, stage: str) -> None:
        """End a stage."""
        self.laps.append((stage, self.since_lap()))
        self._lapped = time.perf_counter()

    def since_lap(self) -> float:
        """Return the seconds since the last stage ended."""
        return time.perf_counter() - self._lapped

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._started


class Chatbot:
    """Answers questions from the documents of a retriever's index: quotes them, or has a language model write.

    Threads may share one chatbot. Each answer reads one generation of the index from retrieval to citation.

    Args:
        retriever: Where to look.
        config: How to answer.
        reader: Finds the answer in a passage; the built-in one by default.
        generator: Writes the answers; without one they are made of quotes.
    """

    def __init__(
        self,
        retriever: Retriever,
        *,
        config: AnswerConfig | None = None,
        reader: Reader | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.retriever = retriever
        self.config = config or AnswerConfig()
        embedder = retriever.embedder
        self._model = AnswerModel.load()
        self._scorer = CosineScorer(embedder.encode_queries, embedder.encode_passages)
        self._reader = reader or default_reader()
        self._generator = generator
        self._writer = Writer(generator, self._scorer, config=self.config) if generator else None

    def ask(
        self,
        question: str,
        history: Sequence[Answer] = (),
        *,
        scope: Scope | None = None,
        config: AnswerConfig | None = None,
    ) -> Answer:
        """Answer one question.

        Args:
            question: In Arabic or English, written or dialect; 1 to ``config.max_question_characters`` characters.
            history: The answers before, oldest first; a follow-up question is read with the last of them.
            scope: The documents to look in; all of them by default.
            config: How to answer this one; the chatbot's own by default. What bounds a language model's answer stays
                the chatbot's.

        Returns:
            The answer. ``abstained`` is true where the documents do not answer; ``hits`` then holds the nearest
            passages.

        Raises:
            ValueError: The question is empty or too long.
            RagError: The index cannot be read.
            RuntimeError: The retriever is closed.
        """
        *_, whole = self._growing(question, history, scope or Scope(), config or self.config)
        return whole

    async def aask(
        self,
        question: str,
        history: Sequence[Answer] = (),
        *,
        scope: Scope | None = None,
        config: AnswerConfig | None = None,
    ) -> Answer:
        """Do what `ask` does in a thread, so that the event loop goes on; takes, returns and raises the same.

        Cancelling it takes effect at once; a language model stops after the statement it is writing.
        """
        growing = self._growing(question, history, scope or Scope(), config or self.config)
        async with aclosing(in_background(growing)) as answers:
            *_, whole = [answer async for answer in answers]
        return whole

    def stream(
        self,
        question: str,
        history: Sequence[Answer] = (),
        *,
        scope: Scope | None = None,
        config: AnswerConfig | None = None,
    ) -> Iterator[Answer]:
        """Answer one question in growing answers, a statement more each time; the last one is whole.

        A citation number never changes from one to the next, unless the last one has a ``notice``: quotes then took
        the place of what a language model had begun. Takes and raises what `ask` does.
        """
        return self._stream(question, history, scope or Scope(), config or self.config)

    def astream(
        self,
        question: str,
        history: Sequence[Answer] = (),
        *,
        scope: Scope | None = None,
        config: AnswerConfig | None = None,
    ) -> AsyncGenerator[Answer, None]:
        """Do what `stream` does in a thread, so that the event loop goes on: ``async for answer in bot.astream(...)``.

        Who leaves the loop early closes the generator (``contextlib.aclosing``) or is cancelled; both take effect at
        once, and a language model stops after the statement it is writing.
        """
        return in_background(self._stream(question, history, scope or Scope(), config or self.config))

    def _stream(self, question: str, history: Sequence[Answer], scope: Scope, config: AnswerConfig) -> Answers:
        """Yield growing answers, also where the answer is made of quotes."""
        for answer in self._growing(question, history, scope, config):
            if not answer.model:
                yield from _growing_quotes(answer)
            else:
                yield answer

    def _growing(self, question: str, history: Sequence[Answer], scope: Scope, config: AnswerConfig) -> Answers:
        """Yield the answer of quotes whole, or what a language model writes as it grows."""
        clock = Stopwatch()
        limit = config.max_question_characters
        if not fold_text(question).strip():
            raise ValueError("the question is empty; type a few words")
        if len(question) > limit:
            raise ValueError(f"the question has {len(question):,} characters; ask in at most {limit:,}")
        snapshot = self.retriever.snapshot()
        understood = _understand(question, history, snapshot, self._generator)
        clock.lap("understand")
        answer = self._answer(understood, snapshot, scope, config, clock)
        answers: Iterable[Answer] = (answer,)
        supports = keeps_facts
        if self._writer is not None and not answer.abstained:
            answers, supports = self._writer.write(answer, snapshot.document), self._writer.supports
        for grown in answers:
            verify(grown, snapshot.generation.documents, supports=supports)
            yield dataclasses.replace(
                grown,
                question=question.strip(),
                query=understood.text,
                seconds=clock.seconds(),
                timings=(*clock.laps, ("verify", clock.since_lap())),
            )

    def _answer(
        self, question: Question, snapshot: Snapshot, scope: Scope, config: AnswerConfig, clock: Stopwatch
    ) -> Answer:
        doc_ids = None
        if scope.collection or scope.doc_ids or scope.metadata:
            documents = snapshot.generation.documents
            doc_ids = [doc_id for doc_id, document in documents.items() if scope.admits(document)]
        hits = retrieve(question, snapshot, top_k=config.top_k, doc_ids=doc_ids, language=scope.language)
        clock.lap("retrieve")
        matcher = TermMatcher(question, snapshot.idf, snapshot.translate)
        candidates = candidates_of(
            question, hits, snapshot.document, matcher, self._scorer, self._reader, self._model.unit
        )
        confidence = 0.0
        if candidates:
            features = answerability_features(
                question,
                candidates,
                matcher,
            )
            confidence = self._model.answer.probability(features)
        threshold = self._model.threshold if config.threshold is None else config.threshold
        abstained = not candidates or confidence < threshold
        statements = abstention(question.language, has_hits=bool(hits))
        citations: tuple[Citation, ...] = ()
        if abstained:
            hits = hits[:_NEAREST]
        else:
            statements, citations = compose(
                question,
                candidates,
                snapshot.document,
                matcher,
                max_quotes=config.max_quotes,
                short_threshold=self._model.short_threshold,
            )
        clock.lap("read")
        return Answer(
            question=question.text,
            language=question.language,
            text=to_markdown(statements),
            abstained=abstained,
            confidence=confidence,
            statements=statements,
            citations=citations,
            short=next((statement.text for statement in statements if statement.kind == "short"), ""),
            hits=tuple(hits),
            generation=snapshot.generation.name,
        )


def _growing_quotes(whole: Answer) -> Iterator[Answer]:
    """Yield an answer made of quotes a statement at a time."""
    for count in range(1, len(whole.statements)):
        statements = whole.statements[:count]
        used = {n for statement in statements for n in statement.citations}
        yield dataclasses.replace(
            whole,
            statements=statements,
            text=to_markdown(statements),
            citations=tuple(citation for citation in whole.citations if citation.n in used),
        )
    yield whole


def _understand(typed: str, history: Sequence[Answer], snapshot: Snapshot, generator: Generator | None) -> Question:
    """Read a question, put right and made to stand alone; it stays in the language it was asked in."""
    asked = understand(snapshot.correct(typed))
    if not history:
        return asked
    spoken = snapshot.spell(typed)  # the words that make a follow-up are told as they were said

    def score(query: str) -> float:
        return max((hit.dense_score for hit in snapshot.search(query, top_k=1)), default=0.0)

    if generator is None:
        alone = stand_alone(spoken, history, score=score)
    else:
        alone = stand_alone_with(generator, spoken, history, score=score)
    if not alone.is_follow_up:
        return asked
    question = understand(snapshot.correct(alone.query))
    return question if asked.language == UNDETERMINED else dataclasses.replace(question, language=asked.language)


def retrieve(
    question: Question,
    snapshot: Snapshot,
    *,
    top_k: int,
    doc_ids: Collection[str] | None = None,
    language: str = "",
) -> list[Hit]:
    """Retrieve passages to read, best first: of each language on its own, and in a comparison for each side as well.

    Scores of passages in different languages are hard to compare, so no language may crowd out another: ``top_k`` are
    read of the question's language (of the largest one, where no document is in it), half as many of the next, two of
    each further one. Of what comes after, a passage that opens by saying what the subject is, is read as well when that
    is asked. ``doc_ids`` and ``language`` restrict the documents.
    """
    languages = [known for known in snapshot.languages if language in ("", known)]
    languages.sort(key=lambda known: known != question.language)  # stable: largest first
    wanted = {known: (top_k, max(2, top_k // 2))[place] if place < 2 else 2 for place, known in enumerate(languages)}
    is_defined = question.kind in (QuestionKind.DEFINITION, QuestionKind.PERSON) and question.language in languages
    looked_at = wanted | ({question.language: max(top_k, _WIDER)} if is_defined else {})
    found = snapshot.search_each(question.text, looked_at, doc_ids=doc_ids)
    hits = [hit for known, own in found.items() for hit in own[: wanted[known]]]
    for side in question.sides:
        of_side = snapshot.search_each(side, dict.fromkeys(languages, 1), doc_ids=doc_ids)
        hits += chain.from_iterable(of_side.values())
    if is_defined:
        wider = found[question.language][:_WIDER]
        defining = (h for h in wider if holds_definition(question, snapshot.document(h.passage.doc_id), h))
        hits.extend(islice(defining, 2))
    best = {hit.passage.passage_id: hit for hit in sorted(hits, key=lambda hit: hit.score)}
    ranked = sorted(best.values(), key=lambda hit: (-hit.score, hit.passage.passage_id))
    return [dataclasses.replace(hit, rank=rank) for rank, hit in enumerate(ranked, start=1)]
