"""Is a written sentence supported by a quote?

Hard rules first (`rag.answering.facts`): no number, date, unit, name, negation or order of a relation may be changed.
Then a score of the terms that both share, through the dictionary where their languages differ, and of the cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.answering.facts import Matcher, Translate, contradiction
from rag.datatypes import Citation
from rag.dictionary import default_dictionary
from rag.text import analyze, content_terms

# Chosen on the half "choose" of tests/questions/support.jsonl; tests/test_support.py has the figures of the other half.
THRESHOLD = 0.70
CROSS_THRESHOLD = 0.455  # between languages fewer terms are found


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a quote supports a sentence.

    ``score`` in [0, 1] is the mean of the share of terms found and of the cosine. ``broken_rule`` names the hard rule
    that the sentence breaks, as `contradiction` does, and is empty where it breaks none.
    """

    is_supported: bool
    score: float
    broken_rule: str


def support(
    sentence: str,
    quote: str,
    *,
    cosine: float,
    language: str,
    quote_language: str,
    context: str = "",
    translate: Translate | None = None,
) -> Support:
    """Judge whether a quote supports a sentence.

    Args:
        sentence: What was written, one sentence.
        quote: A literal slice of a document.
        cosine: Of the embedder's vectors of both, in [-1, 1].
        language: ISO 639-1 code of the sentence.
        quote_language: ISO 639-1 code of the quote.
        context: Title and headings that the quote stands under: names and terms may come from there, numbers not.
        translate: Translations of a term; None takes the shipped dictionary.

    Returns:
        The judgement. A sentence without a content term is never supported.
    """
    matcher = Matcher.of(quote, quote_language, translate or default_dictionary().translate, context=context)
    content = set(content_terms(sentence, language))
    tokens = {token.term: token for token in analyze(sentence, language) if token.term in content}
    found = [matcher.find(token, sentence, language)[0] for token in tokens.values() if not token.term[0].isdigit()]
    coverage = sum(found) / len(found) if found else 0.0
    score = min(1.0, max(0.0, (coverage + cosine) / 2))
    threshold = THRESHOLD if language == quote_language else CROSS_THRESHOLD
    broken = contradiction(sentence, quote, language, matcher)
    return Support(bool(found) and not broken and score >= threshold, score, broken)


def keeps_facts(sentence: str, language: str, quotes: Sequence[Citation]) -> bool:
    """Tell whether a sentence breaks no hard rule against quotes taken together, title and headings included."""
    source = "\n".join(quote.quote for quote in quotes)
    quote_language = quotes[0].language if quotes else language
    matcher = Matcher.of(source, quote_language, default_dictionary().translate, context=context_of(quotes))
    return not contradiction(sentence, source, language, matcher)


def context_of(quotes: Sequence[Citation]) -> str:
    """Return the titles and headings that quotes stand under."""
    return "\n".join(dict.fromkeys(part for quote in quotes for part in (quote.title, *quote.heading)))
