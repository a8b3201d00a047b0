"""Public question sets: answers are found again in the documents that the contexts become."""

import pytest

from benchmarks.public import find_place, write_corpus
from rag.datatypes import Document
from rag.loaders.text import parse


@pytest.mark.parametrize(
    ("title", "context", "answer"),
    [
        ("The 1990s", "The  1990s were long.\nIn 1994 and\u00a01994 again, 1994\u20091995.", "1994"),
        ("مرو (معدن)", "\ufeff\u200fالمرو أو الكوارتز  هو معدن.\n\nويعود أول نموذج إلى سنة 1967.", "الكوارتز  هو"),
        ("No title", "A context without one.", "context"),
    ],
)
def test_every_answer_is_found_at_its_own_place(tmp_path, title, context, answer):
    for has_titles in (True, False):
        contexts = [{"context_id": "c", "title": title, "text": context}]
        doc_ids = write_corpus(contexts, tmp_path / str(has_titles), has_titles=has_titles)
        data = (tmp_path / str(has_titles) / doc_ids["c"]).read_bytes()
        document = Document("0000.txt", title, parse(data, max_characters=10_000).text, "en", "0")
        starts = [n for n in range(len(context)) if context.startswith(answer, n)]
        places = [find_place(document, context, answer, start) for start in starts]
        assert len({place.start for place in places}) == len(starts) > 0
        for place in places:
            assert document.text[place.start : place.end].split() == answer.split()
        whole = find_place(document, context, "free text", -1)
        assert "".join(document.text[whole.start : whole.end].split()) == "".join(context.replace("\ufeff", "").split())
        assert (whole.start > 0) == has_titles


def test_a_document_that_lost_its_context_is_named():
    with pytest.raises(ValueError, match=r"a\.txt does not hold its context 'Some words"):
        find_place(Document("a.txt", "", "Other words.", "en", "0"), "Some words.", "words", 5)
