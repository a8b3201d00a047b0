import random
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chunking import embedder_texts, split_document
from rag.config import ChunkingConfig, LoadConfig
from rag.datatypes import Document, Heading, Page, Passage
from rag.loaders import DocumentLoader
from rag.text.graphemes import cluster_starts


def count_words(texts: Sequence[str]) -> list[int]:
    """A tokenizer to reason about: two special tokens, one for each started four characters of a word."""
    return [2 + sum(-(-len(word) // 4) for word in text.split()) for text in texts]


def document(text: str, *, headings: Sequence[tuple[int, str]] = (), language: str = "en", **rest) -> Document:
    found = []
    position = 0
    for level, line in headings:
        position = text.index(line, position)
        found.append(Heading(line, level, position, position + len(line)))
        position += len(line)
    return Document("guide.md", "Guide", text, language, "0" * 64, tuple(found), **rest)


def split(source: Document, max_tokens: int = 40, *, min_tokens: int = 6, context_tokens: int = 8):
    config = ChunkingConfig(max_tokens=max_tokens, min_tokens=min_tokens, context_tokens=context_tokens)
    passages = split_document(source, count_tokens=count_words, config=config)
    check(source, passages, config)
    return passages


def check(source: Document, passages, config: ChunkingConfig) -> None:
    covered = 0
    for passage in passages:
        assert source.text[passage.start : passage.end] == passage.text == passage.text.strip()
        assert not source.text[covered : passage.start].strip(), "characters lost or out of order"
        assert passage.start >= covered, "passages overlap"
        assert passage.heading == source.heading_path(passage.start)
        assert passage.page == source.page_at(passage.start)
        covered = passage.end
    assert not source.text[covered:].strip()
    texts = embedder_texts(passages, count_tokens=count_words, config=config)
    clusters = {start for start in cluster_starts(source.text, 0, len(source.text))}
    for passage, text, tokens in zip(passages, texts, count_words(texts), strict=True):
        assert text.endswith(passage.text)
        # A lone grapheme cluster may be longer than a passage.
        is_one = len([*cluster_starts(passage.text, 0, len(passage.text))]) == 1
        assert tokens <= config.max_tokens or is_one
        assert passage.start in clusters or source.text[passage.start - 1].isspace()


def test_text_within_the_budget_is_one_passage():
    (passage,) = split(document("  One sentence. And another.\n"))
    assert (passage.start, passage.end, passage.text) == (2, 28, "One sentence. And another.")
    assert passage.passage_id == "guide.md:2-28"


@pytest.mark.parametrize("text", ["", " \n\n\t", "\u2028"])
def test_no_visible_character_no_passage(text):
    assert split(document(text)) == []


def test_sentences_stay_whole():
    text = "The budget of the campaign is set. The channels are chosen with care. The results are measured daily."
    assert [p.text for p in split(document(text), 20)] == [
        "The budget of the campaign is set.",
        "The channels are chosen with care.",
        "The results are measured daily.",
    ]


def test_passages_do_not_cross_headings():
    text = (
        "# One\n\nText of the first part, long enough to stand.\n\n# Two\n\nText of the second part, long enough too."
    )
    passages = split(document(text, headings=[(1, "# One"), (1, "# Two")]))
    assert [p.text.splitlines()[0] for p in passages] == ["# One", "# Two"]
    assert [p.heading for p in passages] == [("# One",), ("# Two",)]


def test_small_sections_join_their_small_siblings_only():
    text = "A\n\nyes.\n\nB\n\nno.\n\nC\n\nA long section that can well stand on its own feet here.\n\nD\n\nsure."
    headings = [(2, "A"), (2, "B"), (2, "C\n"), (2, "D\n")]
    source = document(text, headings=[(level, line.strip()) for level, line in headings])
    # "C" is looked up after B, "D" after C: the first capital of that kind is the heading.
    assert [p.text for p in split(source)] == [
        "A\n\nyes.\n\nB\n\nno.",
        "C\n\nA long section that can well stand on its own feet here.",
        "D\n\nsure.",
    ]


def test_small_sections_of_different_parents_stay_apart():
    text = "One\n\nA\n\nyes.\n\nTwo\n\nB\n\nno."
    source = document(text, headings=[(1, "One"), (2, "A"), (1, "Two"), (2, "B")])
    assert [p.text for p in split(source)] == ["One\n\nA\n\nyes.", "Two\n\nB\n\nno."]


def test_a_heading_never_ends_a_passage():
    filler = "Words fill up the passage nearly to its very end. " * 2
    text = f"Start\n\n{filler}\n\nNext part\n\nInner\n\nThe text that belongs to both headings above it."
    source = document(text, headings=[(1, "Start"), (1, "Next part"), (2, "Inner")])
    passages = split(source, 34)
    assert passages[-1].text == "Next part\n\nInner\n\nThe text that belongs to both headings above it."
    assert passages[-1].heading == ("Next part",)


def test_a_sentence_as_long_as_the_budget_is_cut_rather_than_parted_from_its_heading():
    text = "Heading here\n\n" + "word " * 27 + "end."
    passages = split(document(text, headings=[(1, "Heading here")]), 40)
    assert passages[0].text.startswith("Heading here\n\nword")


def test_a_list_stays_with_the_line_that_introduces_it():
    filler = "Some words before it all. " * 4
    items = "\n".join(f"- item number {n}" for n in range(4))
    passages = split(document(f"{filler}The steps are these:\n\n{items}\n\nAnd then it ends well."), 40)
    assert any(p.text.startswith("The steps are these:\n\n- item number 0") for p in passages)
    assert any("- item number 3" in p.text and "these:" in p.text for p in passages)


def test_the_line_right_before_a_list_stays_with_it():
    filler = "Some words that fill the passage nearly up to its end before the list. "
    passages = split(document(f"{filler}\n\nOur promise to every customer of ours\n- fast\n- cheap"), 36)
    assert passages[-1].text == "Our promise to every customer of ours\n- fast\n- cheap"


def test_a_list_that_fits_is_not_begun_at_the_end_of_a_passage():
    items = "\n".join(f"- item number {n} of it" for n in range(4))
    passages = split(document(f"A short remark here.\n\n{items}"), 36)
    assert [p.text for p in passages] == ["A short remark here.", items]


def test_an_unmarked_title_stays_with_the_first_section():
    text = "All about ads\n\nOne\n\nThis is what the first section says about them."
    (passage,) = split(document(text, headings=[(1, "One")]))
    assert passage.text == text


def test_an_arabic_list_stays_with_its_line():
    before = "هذه جملة تملأ المقطع بكلمات كثيرة قبل القائمة. " * 2
    text = before + "\n\nخطوات التخطيط هي التالية:\n\n1. حدد الأهداف.\n2. حدد الجمهور.\n3. ضع الميزانية."
    passages = split(document(text, language="ar"), 44)
    assert passages[-1].text == "خطوات التخطيط هي التالية:\n\n1. حدد الأهداف.\n2. حدد الجمهور.\n3. ضع الميزانية."
    assert passages[-1].language == "ar"


def test_a_list_too_long_is_cut_between_items():
    items = [f"- the item number {n} with some more words." for n in range(12)]
    passages = split(document("Plan\n\nDo all of this:\n\n" + "\n".join(items), headings=[(1, "Plan")]), 48)
    assert len(passages) > 2
    assert all(p.text.startswith("- the item") for p in passages[1:])
    assert all(p.heading == ("Plan",) for p in passages)
    assert all(line in items for p in passages for line in p.text.splitlines() if line.startswith("-"))


def test_rows_are_not_cut_unless_one_alone_is_too_long():
    rows = [f"name {n} | value {n} | a longer remark about {n}" for n in range(8)]
    passages = split(document("\n".join(rows)), 40)
    assert [line for p in passages for line in p.text.splitlines()] == rows
    long = " | ".join(f"cell{n}" for n in range(60))
    assert len(split(document(long), 40)) > 1


def test_a_sentence_too_long_is_cut_at_words():
    text = " ".join(f"word{n}" for n in range(100))
    passages = split(document(text), 40)
    assert " ".join(p.text for p in passages) == text
    assert len(passages) <= 8, "passages are filled up"


@pytest.mark.parametrize(
    "cluster", ["e\u0301", "بّ", "👩\u200d👩\u200d👧\u200d👦", "🇪🇬", "한", "👍🏽", "\u1112\u1161\u11ab", "नि"]
)
def test_a_word_too_long_is_never_cut_inside_a_letter(cluster):
    text = cluster * 300
    passages = split(document(text), 40)
    assert len(passages) > 1
    assert all(p.text == cluster * (len(p.text) // len(cluster)) for p in passages)


def test_a_mark_on_a_blank_is_not_parted_from_it():
    assert all(p.text[0] == "y" for p in split(document("y \u0301" * 200), 40)[1:])


def test_a_single_cluster_longer_than_the_budget_stays_whole():
    text = "a" + "\u0301" * 500
    (passage,) = split(document(text), 40)
    assert passage.text == text


def test_context_is_cut_to_its_share():
    text = "Deep\n\nText of it."
    source = Document("d.md", "A title of quite a few words", text, "en", "", (Heading("Deep", 1, 0, 4),))
    config = ChunkingConfig(max_tokens=40, min_tokens=4, context_tokens=6)
    passages = split_document(source, count_tokens=count_words, config=config)
    assert embedder_texts(passages, count_tokens=count_words, config=config) == ["Deep\nDeep\n\nText of it."]
    wide = ChunkingConfig(max_tokens=40, min_tokens=4, context_tokens=20)
    assert embedder_texts(passages, count_tokens=count_words, config=wide) == [
        "A title of quite a few words › Deep\nDeep\n\nText of it."
    ]
    none = ChunkingConfig(max_tokens=40, min_tokens=4, context_tokens=0)
    assert embedder_texts(passages, count_tokens=count_words, config=none) == [passages[0].text]


def test_middle_headings_leave_a_long_context_first():
    passage = Passage("d.md", 0, 4, "Text", "en", "Guide", ("Outer part", "Middle part", "Inner"))
    reads = {
        limit: embedder_texts(
            [passage],
            count_tokens=count_words,
            config=ChunkingConfig(max_tokens=64, min_tokens=0, context_tokens=limit),
        )[0]
        for limit in (13, 10, 6, 2, 1)
    }
    assert reads == {
        13: "Guide › Outer part › Middle part › Inner\nText",
        10: "Guide › Middle part › Inner\nText",
        6: "Guide › Inner\nText",
        2: "Inner\nText",
        1: "Text",
    }


def test_a_passage_in_another_language_than_its_document_says_so():
    arabic = "هذا قسم مكتوب باللغة العربية عن التسويق الرقمي. " * 3
    source = document(f"One\n\nAn English part.\n\nTwo\n\n{arabic}", headings=[(1, "One"), (1, "Two")])
    assert [p.language for p in split(source, 100)] == ["en", "ar"]
    assert [p.language for p in split(document("42 %"))] == ["en"], "no letters: the document's"


def test_page_is_the_one_a_passage_begins_on():
    text = "First page text here now. " * 4 + "\n\n" + "Second page text here now. " * 4
    edge = text.index("Second")
    source = document(text, pages=(Page(1, 0, edge), Page(2, edge, edge), Page(3, edge, len(text))))
    assert {p.page for p in split(source, 34)} == {1, 3}


def test_an_underestimate_of_the_parts_is_repaired():
    """A tokenizer whose whole is longer than its parts: the fuller passages are counted again."""

    def count(texts):
        return [2 + len(t.split()) + len(t.split()) // 5 * 3 for t in texts]

    config = ChunkingConfig(max_tokens=24, min_tokens=2, context_tokens=2)
    source = document(" ".join("Four words are here." for _ in range(50)))
    passages = split_document(source, count_tokens=count, config=config)
    assert max(count(embedder_texts(passages, count_tokens=count, config=config))) <= 24


SNIPPETS = ["Heading\n\n", "A sentence here. ", "هذه جملة عربية طويلة نسبيا. ", "- item\n", "1. خطوة\n", "a | b | c\n"]
SNIPPETS += ["steps:\n", "\n\n", "\n", "\r\n", "\x0c", "\u202e", "\ufeff", "👍🏽", " \u0301"]
SNIPPETS += ["w" * 90 + " ", "好" * 50, "e\u0301" * 40]
PARTS = st.lists(st.one_of(st.sampled_from(SNIPPETS), st.text(max_size=12)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(PARTS, st.integers(16, 60), st.randoms(use_true_random=False))
def test_nothing_is_lost_and_nothing_is_said_twice(parts, max_tokens, rng: random.Random):
    text = "".join(parts)
    headings = []
    position = 0
    for part in parts:
        if part.strip() and "\n" not in part.strip() and rng.random() < 0.3:
            start = position + len(part) - len(part.lstrip())
            headings.append(Heading(part.strip(), rng.randint(1, 4), start, start + len(part.strip())))
        position += len(part)
    source = Document("d.md", "Guide", text, "en", "", tuple(headings))
    config = ChunkingConfig(max_tokens=max_tokens, min_tokens=rng.randint(0, 15), context_tokens=rng.randint(0, 8))
    passages = split_document(source, count_tokens=count_words, config=config)
    check(source, passages, config)
    assert passages == split_document(source, count_tokens=count_words, config=config)


@pytest.mark.parametrize(
    "unit",
    [
        "word ",
        "x",
        "A sentence. ",
        "- item\n",
        "Title\n\n",
        "a | b\n",
        "\n",
        "e\u0301",
        "steps:\n",
        "كلمة ",
        ".",
        "1. ",
    ],
    ids=repr,
)
def test_time_grows_linearly(unit):
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        heading = re.compile("Title")
        source = Document(
            "d",
            "",
            text,
            "en",
            "",
            tuple(Heading("Title", 1 + m.start() % 3, *m.span()) for m in heading.finditer(text)),
        )
        best = float("inf")
        for _ in range(3):
            begin = time.process_time()
            split_document(source, count_tokens=count_words, config=ChunkingConfig(max_tokens=96))
            best = min(best, time.process_time() - begin)
        return best

    seconds(2_000)
    assert seconds(40_000) < 10 * 2.5 * max(seconds(4_000), 0.002)


def test_the_demo_corpus_is_covered():
    corpus = Path(__file__).parent.parent / "corpus"
    languages = set()
    with DocumentLoader(LoadConfig()) as loader:
        for path in sorted(corpus.glob("*/*.*")):
            source = loader.load(path, path.name)
            passages = split(source, 192, min_tokens=24, context_tokens=40)
            headings = {heading.text for heading in source.headings}
            assert not any(p.text.rsplit("\n", 1)[-1] in headings for p in passages), f"{path} ends in a bare heading"
            assert {p.language for p in passages} == {path.parent.name}
            languages |= {p.language for p in passages}
    assert languages == {"ar", "en"}
