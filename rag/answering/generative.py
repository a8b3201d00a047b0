"""An answer in a language model's words, every sentence checked against what the documents say.

The model reads passages and writes; it is trusted with nothing else. Citation numbers are given by code, to the quotes
that were found to support a sentence; whatever looks like a citation in the model's text is taken out. Text of a
document can neither end the block that it stands in nor speak for the user.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from rag.answering.citations import cite
from rag.answering.prompts import prompt, words_of
from rag.answering.quotes import units_of
from rag.answering.support import context_of, support
from rag.answering.written import clean, is_in, says_again, says_no_answer, whole_sentences
from rag.config import AnswerConfig
from rag.datatypes import Answer, Citation, Document, Passage, Statement
from rag.errors import GeneratorError
from rag.generators import Generator, Message
from rag.reader import CosineScorer
from rag.text import fold_text

_SPARE_TOKENS = 16
_LEAST_TRIMMED = 160  # characters below which a passage is not cut further
_MOST_REPEATS = 2  # sentences said again, after which the model is going in circles
_JUDGED = 16  # quotes, by cosine, that may support a sentence alone
_LONGEST_STEP_S = 0.5  # after which an answer is yielded as it stands: between two steps who has left is noticed
_JOINED = 4  # of which two may support it together


class _UnusableError(Exception):
    """What the model wrote cannot be shown; ``notice`` is the key of the words that say so."""

    def __init__(self, notice: str) -> None:
        self.notice = notice
        super().__init__(notice)


class _WrongLanguageError(Exception):
    """The model began in another language than the question's."""


@dataclass(slots=True)
class _Draft:
    """The statements written so far and their citations; a number that was given stays."""

    statements: list[Statement] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)

    def number(self, quote: Citation) -> int:
        """Return the number of a quote, the next one if it has none yet."""
        for citation in self.citations:
            if (citation.doc_id, citation.start, citation.end) == (quote.doc_id, quote.start, quote.end):
                return citation.n
        self.citations.append(dataclasses.replace(quote, n=len(self.citations) + 1))
        return len(self.citations)


class Writer:
    """Writes answers with a language model. Threads may share one.

    Args:
        generator: The model.
        scorer: Gives the cosine of a sentence and a quote.
        config: How long an answer may be, and whether unsupported sentences are dropped.
    """

    def __init__(self, generator: Generator, scorer: CosineScorer, *, config: AnswerConfig) -> None:
        self._generator = generator
        self._scorer = scorer
        self._config = config

    def write(self, extractive: Answer, documents: Callable[[str], Document]) -> Iterator[Answer]:
        """Answer in the model's words, in growing answers, a sentence more each time; the last one is whole.

        Where the next sentence takes long, the answer is yielded again as it stands, at first without a statement.

        Args:
            extractive: The answer made of quotes, not abstained. Its hits are what the model reads, those that it
                cites first; it is what the reader gets when the model fails.
            documents: Gives the document of an id.

        Yields:
            Answers with ``model`` set, in which numbers never move. Where the model fails, writes in another language
            twice or writes nothing that the documents support, the last answer is ``extractive`` with a ``notice``.
        """
        try:
            yield from self._written(extractive, documents)
        except GeneratorError:
            yield dataclasses.replace(extractive, notice=words_of(extractive.language)["failed"])
        except _UnusableError as error:
            yield dataclasses.replace(extractive, notice=words_of(extractive.language)[error.notice])

    def supports(self, sentence: str, language: str, quotes: Sequence[Citation]) -> bool:
        """Tell whether quotes together support a sentence of the language; see `rag.answering.support`."""
        return self._score(sentence, language, quotes, self._cosines(sentence, quotes)) is not None

    def _written(self, extractive: Answer, documents: Callable[[str], Document]) -> Iterator[Answer]:
        passages = _reading_order(extractive)
        quotes = _quotes_of(passages, documents)
        for is_firm in (False, True):
            messages = self._fitting_prompt(extractive, passages, is_firm=is_firm)
            draft, stepped_at = _Draft(), time.monotonic()
            try:
                for sentence in self._sentences(messages, extractive.question, extractive.language):
                    has_grown = bool(sentence) and self._add(draft, sentence, extractive.language, quotes)
                    if has_grown or time.monotonic() - stepped_at >= _LONGEST_STEP_S:
                        yield _answer(extractive, draft, self._generator.name)
                        stepped_at = time.monotonic()
            except _WrongLanguageError:
                continue
            if not draft.citations:
                raise _UnusableError("unsupported")
            return
        raise _UnusableError("language")

    def _sentences(self, messages: Sequence[Message], question: str, language: str) -> Iterator[str]:
        """Yield the sentences of an answer as they become whole, cleaned; later ones in another language are left out.

        After each piece of the model an empty text is yielded.

        Raises:
            _WrongLanguageError: The first sentence is in another language.
            _UnusableError: The first sentence says that there is no answer.
        """
        stop = threading.Event()
        said: list[str] = []
        stream = self._generator.stream(messages, max_new_tokens=self._config.max_answer_tokens, stop=stop)
        try:
            for raw in whole_sentences(stream):
                if not raw:
                    yield ""
                    continue
                sentence = clean(raw)
                # Small models say the question again instead of answering it.
                is_question = sentence.endswith(("?", "؟")) or says_again(sentence, question)
                if is_question or not any(map(str.isalnum, sentence)):
                    continue
                if not is_in(sentence, language):
                    if not said:
                        raise _WrongLanguageError
                    continue
                if not said and says_no_answer(sentence):
                    raise _UnusableError("unsupported")
                said.append(" ".join(re.findall(r"\w+", fold_text(sentence))))
                if len(said) - len(set(said)) >= _MOST_REPEATS:
                    return
                if said.count(said[-1]) == 1:
                    yield sentence
        finally:
            stop.set()

    def _add(self, draft: _Draft, sentence: str, language: str, quotes: Sequence[Citation]) -> bool:
        """Add a sentence with what supports it; return whether the answer has grown."""
        found = self._best(sentence, language, quotes)
        if not found and self._config.drop_unsupported:
            return False
        numbers = tuple(draft.number(quote) for quote in found)
        draft.statements.append(Statement(sentence, "written", numbers, is_supported=bool(found)))
        return True

    def _best(self, sentence: str, language: str, quotes: Sequence[Citation]) -> tuple[Citation, ...]:
        """Return the quote that supports a sentence best, or two that do it together; empty if none do."""
        cosines = self._cosines(sentence, quotes)
        order = sorted(range(len(quotes)), key=lambda i: -cosines[i])[:_JUDGED]
        alone = [(i,) for i in order]
        pairs = [(i, j) for i, j in combinations(order[:_JOINED], 2) if quotes[i].language == quotes[j].language]
        for groups in (alone, pairs):
            scored: list[tuple[float, tuple[Citation, ...]]] = []
            for rows in groups:
                group = tuple(quotes[i] for i in rows)
                score = self._score(sentence, language, group, [cosines[i] for i in rows])
                if score is not None:
                    scored.append((score, group))
            if scored:
                return max(scored, key=_preference)[1]
        return ()

    def _score(
        self, sentence: str, language: str, quotes: Sequence[Citation], cosines: Sequence[float]
    ) -> float | None:
        """Return how well quotes together support a sentence; None if they do not."""
        judged = support(
            sentence,
            "\n".join(quote.quote for quote in quotes),
            cosine=max(cosines, default=0.0),
            language=language,
            quote_language=quotes[0].language if quotes else language,
            context=context_of(quotes),
        )
        return judged.score if judged.is_supported else None

    def _cosines(self, sentence: str, quotes: Sequence[Citation]) -> list[float]:
        return [float(score) for score in self._scorer.score(sentence, [quote.quote for quote in quotes])]

    def _fitting_prompt(self, extractive: Answer, passages: Sequence[Passage], *, is_firm: bool) -> list[Message]:
        """Return a prompt that fits the model: the last passages are left out first, then the only one is cut.

        Raises:
            GeneratorError: Not even the beginning of one passage fits.
        """
        room = self._generator.context_tokens - self._config.max_answer_tokens - _SPARE_TOKENS
        texts = [passage.text for passage in passages]
        while texts:
            read = list(zip(passages, texts, strict=False))
            messages = prompt(extractive.question, extractive.language, read, is_firm=is_firm)
            if self._generator.count_tokens(messages) <= room:
                return messages
            if len(texts) > 1:
                texts.pop()
            elif len(texts[0]) > _LEAST_TRIMMED:
                texts[0] = texts[0][: len(texts[0]) * 3 // 4]
            else:
                break
        raise GeneratorError(
            f"{self._generator.name} reads {self._generator.context_tokens} tokens, too few for a passage and an "
            f"answer of {self._config.max_answer_tokens}. Choose a model with a longer context"
        )


def _reading_order(answer: Answer) -> list[Passage]:
    """Return the passages of an answer's hits: those that it cites, then those in its language, each by rank."""
    cited = {(citation.doc_id, citation.passage_start): citation.n for citation in reversed(answer.citations)}

    def place(passage: Passage) -> tuple[int, bool]:
        return cited.get((passage.doc_id, passage.start), len(cited) + 1), passage.language != answer.language

    return sorted((hit.passage for hit in answer.hits), key=place)


def _quotes_of(passages: Sequence[Passage], documents: Callable[[str], Document]) -> list[Citation]:
    """Return what may support a sentence, not yet numbered: each unit of the passages, then each two neighbours."""
    alone: dict[tuple[str, int, int], Citation] = {}
    joined: dict[tuple[str, int, int], Citation] = {}
    for passage in passages:
        document = documents(passage.doc_id)
        units = units_of(document, passage.start, passage.end)
        for unit in units:
            place = (passage.doc_id, unit.start, unit.end)
            alone.setdefault(place, cite(0, document, passage, unit.start, unit.end))
        for first, second in zip(units, units[1:], strict=False):
            place = (passage.doc_id, first.start, second.end)
            joined.setdefault(place, cite(0, document, passage, first.start, second.end))
    return [*alone.values(), *joined.values()]


def _preference(scored: tuple[float, tuple[Citation, ...]]) -> tuple[float, int]:
    """Order what supports a sentence: the better score first, of scores as good as equal the shorter quotes."""
    score, quotes = scored
    return round(score, 2), -sum(len(quote.quote) for quote in quotes)


def _answer(extractive: Answer, draft: _Draft, model: str) -> Answer:
    return dataclasses.replace(
        extractive,
        text=" ".join(_with_marks(statement, extractive.language) for statement in draft.statements),
        statements=tuple(draft.statements),
        citations=tuple(draft.citations),
        short="",
        model=model,
    )


def _with_marks(statement: Statement, language: str) -> str:
    marks = "".join(f" [{n}]" for n in statement.citations) or f" {words_of(language)['mark']}"
    return f"{statement.text}{marks}"
