"""Cut a document into the passages that are indexed and cited.

A passage holds whole sentences of one section, as many as the embedder's budget allows; tokens are counted by the
embedder itself, the context included. A heading, or a line that introduces a list, stays with what follows. A list or
a table stays whole where it fits and is otherwise cut between items or rows. A section too small to stand alone joins
its small neighbours under the same parent.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rag.config import ChunkingConfig
from rag.datatypes import Document, Heading, Passage
from rag.text.graphemes import cluster_starts, extends
from rag.text.groups import Group, Piece, cut_at, is_title_like, split_groups
from rag.text.language import UNDETERMINED, detect_language, script
from rag.text.sentences import split_sentences

CountTokens = Callable[[Sequence[str]], list[int]]

_CONTEXT_END: Final = "\n"  # between the context and the text in what the embedder reads
_BATCH: Final = 2_048  # texts counted in one call
_WORD: Final = re.compile(r"\S+")
_CLUSTERS_A_CUT: Final = 16  # a word longer than a passage is first cut at every so many letters
_SURELY_TOO_LONG: Final = 40  # characters a token; no need to count a longer text
_TELLING: Final = 200  # characters from which on a text's own language is sure enough to differ from its document's


@dataclass(slots=True)
class _Section:
    """A heading with the text up to the next heading; the text above the first heading has level 0."""

    path: tuple[str, ...]
    level: int
    groups: list[Group]
    budget: int = 0  # tokens of text in a passage of this section


@dataclass(slots=True)
class _Draft:
    """A passage in the making: its pieces, and the heading path and level of its section."""

    path: tuple[str, ...]
    level: int
    pieces: list[Piece]
    is_small: bool = False  # made of whole sections, each below ``min_tokens``
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = sum(piece.tokens for piece in self.pieces)

    def append(self, other: _Draft) -> None:
        self.pieces += other.pieces
        self.tokens += other.tokens


def split_document(document: Document, *, count_tokens: CountTokens, config: ChunkingConfig) -> list[Passage]:
    """Cut ``document`` into passages.

    Every character but white space lies in exactly one passage. A passage with its context, as
    :func:`embedder_texts` gives it, has at most ``config.max_tokens`` tokens; only one grapheme cluster that is longer
    by itself breaks this bound. The same document gives the same passages. Time and memory grow linearly.

    Args:
        document: Its headings in text order.
        count_tokens: Counts the embedder's tokens, special tokens included, of each text; called with many texts.
        config: Budgets in those tokens.

    Returns:
        Passages in text order; ``document.text[p.start:p.end] == p.text``, without white space at either end. A
        passage is in the document's language unless its own text is clearly in another. None for a document without
        a visible character.
    """
    counter = _Counter(document.text, count_tokens)
    sections = _sections(document)
    _set_budgets(document, sections, counter, config)
    counter.count_sections(sections)
    drafts: list[_Draft] = []
    carried: list[Piece] = []  # headings without text of their own stay with the next section
    for section in sections:
        pieces = [piece for group in section.groups for piece in group.pieces]
        if section is not sections[-1] and all(piece.stays for piece in pieces):
            carried += pieces
            continue
        own = _pack([Group(carried), *section.groups], section, counter)
        _add_section(drafts, own, section, config.min_tokens)
        carried = []
    passages = _passages(document, _fit(document, drafts, counter, config))
    return [replace(passage, language=_language(passage.text, document.language)) for passage in passages]


def embedder_texts(passages: Sequence[Passage], *, count_tokens: CountTokens, config: ChunkingConfig) -> list[str]:
    """Return what the embedder reads of each passage: its context, cut to ``config.context_tokens``, and its text.

    A context that is too long loses its middle headings first, then all but the last heading, then the last words of
    that.

    Args:
        passages: Of any documents.
        count_tokens: As for :func:`split_document`.
        config: The one the passages were cut with.
    """
    special = count_tokens([""])[0]
    choices = {passage.context: _shorter_contexts(passage) for passage in passages if passage.context}
    counts = _count_all(count_tokens, [text for texts in choices.values() for text in texts])
    fitted: dict[str, str] = {}
    for context, texts in choices.items():
        lengths = [next(counts) - special for _ in texts]
        fits = [text for text, length in zip(texts, lengths, strict=True) if length <= config.context_tokens]
        fitted[context] = fits[0] if fits else _first_words(texts[-1], count_tokens, config.context_tokens, special)
    return [
        fitted[passage.context] + _CONTEXT_END + passage.text if fitted.get(passage.context) else passage.text
        for passage in passages
    ]


def _shorter_contexts(passage: Passage) -> list[str]:
    """Return the context, longest first: whole, without the first middle heading, ..., the last heading alone."""
    parts = [*dict.fromkeys(part for part in (passage.title, *passage.heading) if part)]
    kept = [[parts[0], *parts[first:]] for first in range(1, len(parts))]
    return [" › ".join(some) for some in [*kept, parts[-1:]]]


def _first_words(text: str, count_tokens: CountTokens, limit: int, special: int) -> str:
    words = text.split()
    kept = 0
    for tokens in _count_all(count_tokens, words):
        limit -= tokens - special
        if limit < 0:
            break
        kept += 1
    return " ".join(words[:kept])


def _count_all(count_tokens: CountTokens, texts: Sequence[str]) -> Iterator[int]:
    for first in range(0, len(texts), _BATCH):
        yield from count_tokens(texts[first : first + _BATCH])


def _sections(document: Document) -> list[_Section]:
    """Cut the document at its headings; sections without a visible character are left out."""
    text = document.text
    sections: list[_Section] = []
    path: list[Heading] = []
    starts = [heading.start for heading in document.headings]
    above = split_groups(text, 0, starts[0] if starts else len(text))
    if above:
        if starts:  # a title that was not marked as one stays with the first section
            for group in above:
                first, last = group.pieces[0], group.pieces[-1]
                last.stays = last.stays or (first is last and is_title_like(text, last.start, last.end))
        sections.append(_Section((), 0, above))
    for heading, end in zip(document.headings, [*starts[1:], len(text)], strict=False):
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
        groups = split_groups(text, heading.end, end)
        line = text[heading.start : heading.end]
        if line.strip():
            start = heading.start + len(line) - len(line.lstrip())
            groups.insert(0, Group([Piece(start, start + len(line.strip()), stays=True)]))
        if groups:
            sections.append(_Section(tuple(each.text for each in path), heading.level, groups))
    return sections


def _set_budgets(document: Document, sections: list[_Section], counter: _Counter, config: ChunkingConfig) -> None:
    contexts = [Passage("", 0, 0, "", "", document.title, section.path).context for section in sections]
    unique = list(dict.fromkeys(contexts))
    lengths = dict(zip(unique, counter.count_texts(unique), strict=True))
    for section, context in zip(sections, contexts, strict=True):
        # One token for the end of the context, one since parts may count one less than the whole.
        section.budget = max(1, config.max_tokens - counter.special - min(lengths[context], config.context_tokens) - 2)


class _Counter:
    """Counts the tokens of parts of one text, many at a time, without the special tokens."""

    def __init__(self, text: str, count_tokens: CountTokens) -> None:
        self.text = text
        self.count_tokens = count_tokens
        self.special = count_tokens([""])[0]

    def count_texts(self, texts: Sequence[str]) -> list[int]:
        return [max(0, count - self.special) for count in _count_all(self.count_tokens, texts)]

    def count_sections(self, sections: Sequence[_Section]) -> None:
        """Count every piece, and cut those that are longer than a passage may be."""
        budgets = [(group, section.budget) for section in sections for group in section.groups]
        countable = []
        for group, budget in budgets:
            for piece in group.pieces:
                piece.tokens = budget + 1
                if piece.end - piece.start <= _SURELY_TOO_LONG * budget:
                    countable.append(piece)
        self._count(countable)
        for group, budget in budgets:
            if any(piece.tokens > budget for piece in group.pieces):
                group.pieces = [part for piece in group.pieces for part in self.cut(piece, budget)]

    def cut(self, piece: Piece, budget: int) -> list[Piece]:
        """Cut a piece of more than ``budget`` tokens between sentences, else words, else letters."""
        if piece.tokens <= budget:
            return [piece]
        text, start, end = self.text, piece.start, piece.end
        sentences = [start + first for first, _ in split_sentences(text[start:end])][1:]
        parts = self._refill([piece], budget, lambda part: sentences)
        parts = self._refill(parts, budget, self._words)
        parts = self._refill(parts, budget, lambda part: [*self._clusters(part)][::_CLUSTERS_A_CUT])
        parts = self._refill(parts, budget, self._clusters)
        parts[-1].stays = piece.stays
        return parts

    def _refill(self, parts: list[Piece], budget: int, starts: Callable[[Piece], Iterable[int]]) -> list[Piece]:
        """Cut the parts that are too long at ``starts``, and join what fits together again."""
        filled: list[Piece] = []
        for part in parts:
            if part.tokens <= budget:
                filled.append(part)
                continue
            small = cut_at(self.text, part.start, part.end, starts(part))
            self._count(small)
            last = small[0]
            filled.append(last)
            for each in small[1:]:
                if last.tokens + each.tokens <= budget:
                    last.end = each.end
                    last.tokens += each.tokens
                else:
                    last = each
                    filled.append(last)
        return filled

    def _count(self, pieces: Sequence[Piece]) -> None:
        counts = self.count_texts([self.text[piece.start : piece.end] for piece in pieces])
        for piece, tokens in zip(pieces, counts, strict=True):
            piece.tokens = max(1, tokens)

    def _words(self, part: Piece) -> Iterator[int]:
        matches = _WORD.finditer(self.text, part.start, part.end)
        return (match.start() for match in matches if not extends(self.text[match.start()]))

    def _clusters(self, part: Piece) -> Iterator[int]:
        return cluster_starts(self.text, part.start, part.end)


def _pack(groups: Sequence[Group], section: _Section, counter: _Counter) -> list[_Draft]:
    """Fill passages with the groups of one section, in order."""
    budget = section.budget
    drafts: list[_Draft] = []
    current: list[Piece] = []
    filled = 0

    def close() -> None:
        """End the passage; the lines at its end that introduce what follows move on to the next."""
        nonlocal current, filled
        last, moved = len(current), 0
        while last and current[last - 1].stays and moved + current[last - 1].tokens <= budget // 2:
            last -= 1
            moved += current[last].tokens
        if last:
            drafts.append(_Draft(section.path, section.level, current[:last]))
        current, filled = current[last:], moved

    for group in groups:
        total = group.tokens
        would_split = current and filled + total > budget
        if would_split and (group.is_list or (total <= budget and 3 * filled >= budget)):
            close()
        for piece in group.pieces:
            if current and filled + piece.tokens > budget:
                close()
            parts = [piece]
            if current and filled + piece.tokens > budget:  # better cut than part from the heading above
                parts = counter.cut(piece, budget - filled)
            for part in parts:
                if current and filled + part.tokens > budget:
                    drafts.append(_Draft(section.path, section.level, current))
                    current, filled = [], 0
                current.append(part)
                filled += part.tokens
    drafts.append(_Draft(section.path, section.level, current))
    return drafts


def _add_section(drafts: list[_Draft], own: list[_Draft], section: _Section, min_tokens: int) -> None:
    """Add a section's passages; a small section joins the small ones right before it under the same parent."""
    first = own[0]
    first.is_small = len(own) == 1 and first.tokens < min_tokens and section.level > 0
    last = drafts[-1] if drafts else first
    if (
        last is not first
        and first.is_small
        and last.is_small
        and (last.level, last.path[:-1]) == (section.level, section.path[:-1])
        and last.tokens < 2 * min_tokens
        and last.tokens + first.tokens <= section.budget
    ):
        last.append(first)
    else:
        drafts += own


def _fit(document: Document, drafts: list[_Draft], counter: _Counter, config: ChunkingConfig) -> list[_Draft]:
    """Count the fuller passages as the embedder reads them, and halve those that are too long after all."""
    is_doubtful = [2 * draft.tokens > config.max_tokens for draft in drafts]
    while any(is_doubtful):
        doubtful = [draft for draft, doubt in zip(drafts, is_doubtful, strict=True) if doubt]
        texts = embedder_texts(_passages(document, doubtful), count_tokens=counter.count_tokens, config=config)
        counts = _count_all(counter.count_tokens, texts)
        fitted: list[_Draft] = []
        doubts: list[bool] = []
        for draft, doubt in zip(drafts, is_doubtful, strict=True):
            halves = _halves(draft, counter) if doubt and next(counts) > config.max_tokens else [draft]
            fitted += halves
            doubts += [len(halves) > 1] * len(halves)
        drafts, is_doubtful = fitted, doubts
    return drafts


def _halves(draft: _Draft, counter: _Counter) -> list[_Draft]:
    """Part a passage in two (or, if it is one long sentence, in a few); a single grapheme cluster stays whole."""
    if len(draft.pieces) == 1:
        piece = draft.pieces[0]
        parts = counter.cut(piece, piece.tokens // 2) if piece.tokens > 1 else [piece]
        return [_Draft(draft.path, draft.level, [part]) for part in parts]
    middle = len(draft.pieces) // 2
    while middle > 1 and draft.pieces[middle - 1].stays:
        middle -= 1
    return [_Draft(draft.path, draft.level, part) for part in (draft.pieces[:middle], draft.pieces[middle:])]


def _passages(document: Document, drafts: Sequence[_Draft]) -> list[Passage]:
    page_starts = [page.start for page in document.pages]
    headings = iter(document.headings)
    following = next(headings, None)
    path: list[Heading] = []
    passages = []
    for draft in drafts:
        start, end = draft.pieces[0].start, draft.pieces[-1].end
        while following is not None and following.start <= start:
            while path and path[-1].level >= following.level:
                path.pop()
            path.append(following)
            following = next(headings, None)
        page = bisect_right(page_starts, start)
        passages.append(
            Passage(
                doc_id=document.doc_id,
                start=start,
                end=end,
                text=document.text[start:end],
                language=document.language,
                title=document.title,
                heading=tuple(heading.text for heading in path),
                page=document.pages[page - 1].number if page else None,
            )
        )
    return passages


def _language(text: str, usual: str) -> str:
    """Return the language of a passage: its document's, unless its own letters or enough of its words differ."""
    own = detect_language(text)
    if own == UNDETERMINED or own == usual:
        return usual
    if len(text) >= _TELLING or script(own) != script(usual):
        return own
    return usual
