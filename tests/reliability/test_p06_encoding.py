"""Arabic comes through right, hidden text does not, and what is not sure is said."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import arabic_reshaper
import pytest
from conftest import HashEmbedder

from rag import Chatbot, Retriever, build_index
from rag.datatypes import Document
from rag.loaders import DocumentLoader
from rag.store import IndexStore
from rag.text.fold import fold
from rag.ui.markup import block
from rag.ui.sources import render_source
from rag.views import document_view
from reliability import hostile

PROMISE = "P6 Arabic comes through right, hidden text does not"
pytestmark = pytest.mark.timeout(3600 if os.environ.get("SANAD_RELIABILITY") == "full" else 600)

FRENCH = (
    "Le marketing numérique coûte moins cher là où l’équipe mesure déjà ses résultats.",
    "Cet été, l’hôtel a reçu près de mille élèves venus de la forêt à côté du château.",
    "Für größere Märkte müssen Verkäufer häufig höhere Beträge einplanen.",
    "La campaña del próximo año costará más; ¿quién la pagará, señor Muñoz?",
    "Où sont passés les dîners de Noël d’antan ? Très loin, hélas, répondit-elle.",
)
QUESTIONS = Path(__file__).parents[1] / "questions"


def arabic_texts(count: int) -> list[str]:
    """Return paragraphs of the demo corpus, Arabic alone and with Latin names in it, of letters of windows-1256."""
    found = []
    for path in sorted((hostile.CORPUS / "ar").glob("*.md")):
        for line in path.read_text("utf-8").splitlines():
            line = line.strip("#*- |").encode("cp1256", "ignore").decode("cp1256")
            if len(line) > 60 and re.search("[\u0621-\u064a]{3}", line) and not set(line) & set("*_`[]|<>&"):
                found.append(line)
    step = max(1, len(found) // count)
    return found[::step][:count]


def encoded(texts: list[str]) -> Iterator[tuple[str, str, bytes, str]]:
    """Yield a name, a suffix, the bytes of a file, and the text that was meant."""
    for at, text in enumerate(texts):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1256"):
            yield f"{at} {encoding}", ".txt", text.encode(encoding), text
        plain = text.encode("iso8859_6", "ignore")
        yield f"{at} iso8859_6", ".txt", plain, plain.decode("iso8859_6")
        mixed = f"{text}\n\n{text}\n\n".encode() + text.encode("cp1256")
        yield f"{at} lines of two encodings", ".txt", mixed, f"{text}\n\n{text}\n\n{text}"
        ending = text + " ثم"
        yield f"{at} cut within a letter", ".txt", ending.encode()[:-1], ending[:-1]
        for charset in ("windows-1256", "iso-8859-1", "utf-16", "punycode"):
            head = f"<html><head><meta charset='{charset}'></head><body><p>".encode()
            yield f"{at} page that says {charset}", ".html", head + text.encode("cp1256") + b"</p></body></html>", text
    for at, text in enumerate(FRENCH):
        yield f"{at} cp1252", ".txt", text.encode("cp1252"), text
        page = f"<html><head><meta charset='windows-1252'></head><body><p>{text}</p></body></html>"
        yield f"{at} page in cp1252", ".html", page.encode("cp1252"), text


def test_texts_in_every_encoding_are_read_exactly_or_with_a_warning(tmp_path, tally):
    cases = list(encoded(arabic_texts(14)))
    assert len(cases) >= 200
    exact = 0
    silent: list[str] = []
    with DocumentLoader() as loader:
        for at, (name, suffix, content, text) in enumerate(cases):
            path, meant = tmp_path / f"{at}{suffix}", tmp_path / f"{at}-meant.txt"
            path.write_bytes(content)
            meant.write_text(text, "utf-8")
            found, wanted = loader.load(path, path.name), loader.load(meant, meant.name)
            is_exact = found.text == wanted.text
            exact += is_exact
            if not is_exact and not found.warnings:
                silent.append(name)
            tally.case(is_exact or bool(found.warnings), f"read wrongly without a word: {name}")
    tally.figures["encodings read exactly"] = f"{exact} of {len(cases)}"
    assert exact >= 0.99 * len(cases)
    assert not silent


DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u2060\u2061\u2062\u2063\u2064\ufeff\u180e\U000e0041\U000e007f\ufff9\u206a"
KEPT = "\u200b\u200c\u200d\u200e\u200f\u00ad\ufe0f"  # one at a time they belong to writing


def holding(text: str) -> dict[str, bytes]:
    """Return files of several formats that hold a text, written out and as references to its characters."""
    references = "".join(f"&#x{ord(each):x};" if unicodedata.category(each) == "Cf" else each for each in text)
    escaped = json.dumps({"text": text})
    body = f"<w:p><w:r><w:t>{references}</w:t></w:r></w:p>"
    return {
        "a.txt": text.encode(),
        "a.md": text.encode(),
        "references.md": references.encode(),
        "a.html": f"<html><body><p>{references}</p></body></html>".encode(),
        "a.json": escaped.encode(),
        "a.docx": hostile.word(body),
        "a.csv": f"name,note\nx,{text}\n".encode(),
        "a.eml": f"From: a@b.c\nSubject: x\nContent-Type: text/plain; charset=utf-8\n\n{text}\n".encode(),
    }


def hidden(text: str) -> str:
    return "".join(each for each in text if each in DIRECTIONS + INVISIBLE)


def test_what_no_reader_sees_is_in_no_document_and_is_reported(tmp_path, tally):
    runs = "".join(f"{each}{each}{each}" for each in KEPT)
    wrong = []
    with DocumentLoader() as loader:
        for mark in [*DIRECTIONS, *INVISIBLE, runs]:
            text = f"Pay {mark}the invoice{mark} of ثلاثة آلاف دينار to the{mark} bank today please"
            for name, content in holding(text).items():
                path = tmp_path / name
                path.write_bytes(content)
                document = loader.load(path, name)
                shown = document.text + document.title + "".join(value for _, value in document.metadata)
                is_clean = not hidden(shown) and not re.search(f"([{KEPT}])\\1", shown) and "the invoice" in shown
                label = "U+" + " ".join(f"{ord(each):04X}" for each in mark[:1]) + f" in {name}"
                tally.case(is_clean and bool(document.warnings), label)
                if not (is_clean and document.warnings):
                    wrong.append(label)
    assert not wrong


def test_citations_and_sources_show_isolated_balanced_text_of_the_document(tmp_path, make_corpus, tally):
    lines = [
        f"The {mark}delivery{mark} of مستودع number {at} takes {at} days.{mark}" for at, mark in enumerate(DIRECTIONS)
    ]
    files = {f"{at}.txt": f"{line}\n\nAnother line {KEPT} of it.\n".encode() for at, line in enumerate(lines)}
    corpus = make_corpus(tmp_path / "corpus", files)
    build_index(corpus, tmp_path / "index", embedder=HashEmbedder())
    generation = IndexStore(tmp_path / "index").open_current()
    wrong = []
    for passage in generation.passages:
        document = generation.documents[passage.doc_id]
        view = document_view(document, passage.start, passage.end)
        shown = render_source(view) + block("p", "quote", passage.text, passage.language)
        bare = re.sub("<[^>]+>", "", render_source(view).partition('<div class="text">')[2])
        holds = (
            document.text[passage.start : passage.end] == passage.text == view.quote
            and not hidden(shown)
            and shown.count("<bdi") == shown.count("</bdi>") > 0
            and " ".join(view.quote.split()) in " ".join(bare.split())
        )
        tally.case(holds, f"shown otherwise than stored: {passage.passage_id}")
        wrong += [] if holds else [passage.passage_id]
    assert not wrong


def stretched(text: str) -> str:
    return re.sub("([بتثجحخسشصضطظعغفقكلمنهي])(?=[\u0621-\u064a])", "\\1\u0640\u0640", text)


def with_diacritics(text: str) -> str:
    return re.sub("([\u0621-\u064a])", "\\1\u064e", text)


def with_shapes(text: str) -> str:
    """Return a text in presentation forms, as copied from some PDFs, still in reading order."""
    shaper = arabic_reshaper.ArabicReshaper({"delete_harakat": False, "support_ligatures": True})
    return shaper.reshape(text)


VARIANTS = {"tatweel": stretched, "diacritics": with_diacritics, "presentation forms": with_shapes}


def questions(count: int) -> list[dict]:
    rows = []
    for name in ("corpus.ar.jsonl", "blind.ar.jsonl"):
        rows += [json.loads(line) for line in (QUESTIONS / name).read_text("utf-8").splitlines()]
    rows = [row for row in rows if row.get("doc_id")]
    return rows[:: max(1, len(rows) // count)][:count]


def test_the_way_a_question_is_written_does_not_change_what_is_found(demo_index, tally, is_full):
    retriever = Retriever.open(demo_index)
    asked = questions(100 if is_full else 8)

    def recall(variant) -> float:
        found = [
            any(hit.passage.doc_id == row["doc_id"] for hit in retriever.search(variant(row["question"]), top_k=5))
            for row in asked
        ]
        return 100 * sum(found) / len(found)

    plain = recall(str)
    worst = 0.0
    for name, variant in VARIANTS.items():
        changed = recall(variant)
        tally.figures[f"recall@5 with {name}, points"] = round(changed - plain, 1)
        tally.case(abs(changed - plain) <= 2.0, f"recall@5 {plain:.1f} became {changed:.1f} with {name}")
        worst = max(worst, abs(changed - plain))
    assert worst <= 2.0


def test_every_citation_points_into_the_text_of_its_document(demo_index, tally, is_full):
    retriever = Retriever.open(demo_index)
    documents = IndexStore(demo_index).open_current().documents
    bot = Chatbot(retriever)
    wrong = []
    count = 0
    for row in questions(100 if is_full else 2):
        for citation in bot.ask(stretched(row["question"])).citations:
            count += 1
            holds = documents[citation.doc_id].text[citation.start : citation.end] == citation.quote != ""
            tally.case(holds, f"{citation.doc_id}:{citation.start}-{citation.end}")
            wrong += [] if holds else [citation.doc_id]
    tally.figures["citations"] = count
    assert count and not wrong


def test_a_match_in_folded_text_leads_back_to_the_letters_of_the_document(tally):
    wrong = []
    for text in arabic_texts(14):
        for variant in VARIANTS.values():
            shown = variant(text)
            folded = fold(shown)
            for match in re.finditer(r"\w+", folded.text):
                start, end = folded.to_original(*match.span())
                if fold(shown[start:end]).text != match[0] and match[0] not in fold(shown[start:end]).text:
                    wrong.append(f"{shown[start:end]!r} is not {match[0]!r}")
        tally.case(not wrong, "a folded word points at other letters")
    assert not wrong


# The checks go red without what they check.


def test_a_naive_reader_is_silently_wrong():
    """What believes any declaration, and what replaces what it cannot read: the known bad ones."""
    cases = [case for case in encoded(arabic_texts(14)) if " cp1256" in case[0]]
    believed = [content.decode("iso-8859-1") == text for _, _, content, text in cases]
    replaced = [content.decode("utf-8", "replace") == text for _, _, content, text in cases]
    assert cases and not any(believed) and not any(replaced)


def test_a_direction_mark_that_were_kept_would_be_seen():
    assert hidden(render_source(document_view(Document("a", "a", "Pay \u202ethe invoice", "en", ""), 0, 5)))
