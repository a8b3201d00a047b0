"""A small draft of an index: three documents, one of them Arabic and one with a lone surrogate."""

from __future__ import annotations

import numpy as np

from rag.datatypes import Document, Heading, Page, Passage
from rag.store import Bm25Index, Draft, SegmentDraft, VectorIndex

TEXTS = {
    "ar/دليل.md": "التسويق الرقميّ\nإعلاناتٌ مدفوعة ٤٤٫٧٪ 🙂 وحملات",
    "en/guide.md": "Guide\nA paid campaign has a budget.\u2028Second line e\u0301",
    "odd.txt": "lone \ud800 surrogate, tab\tand \u202e mark",
}


def make_draft(embedder, *, texts=TEXTS, stamp=""):
    documents, passages, inputs = [], [], []
    for doc_id, text in sorted(texts.items()):
        text += stamp
        language = "ar" if doc_id.startswith("ar") else "en"
        heading = Heading(text[:5], 1, 0, 5)
        pages = (Page(1, 0, 9), Page(2, 9, len(text)))
        documents.append(Document(doc_id, f"T {doc_id}", text, language, "0" * 64, (heading,), pages, ("guessed",)))
        for start, end in ((0, 9), (9, len(text))):
            page = 1 if start == 0 else None
            passages.append(Passage(doc_id, start, end, text[start:end], language, f"T {doc_id}", (text[:5],), page))
            inputs.append(f"{doc_id} {start}")
    vectors = VectorIndex.build(embedder.encode_passages([passage.text for passage in passages]))
    bm25 = {}
    for language in ("ar", "en"):
        rows = [row for row, passage in enumerate(passages) if passage.language == language]
        lists = [passages[row].text.split() for row in rows]
        bm25[language] = (Bm25Index.build(lists), np.array(rows, dtype=np.int64))
    settings = {"max_tokens": 64}
    segment = SegmentDraft(documents, passages, inputs, vectors, bm25)
    return Draft([segment], embedder.fingerprint, settings, {"timeout_s": 1.5}, {"loading": "x"})
