"""What a file says of itself is kept beside its text, bounded, stored with its generation, and searched by."""

from __future__ import annotations

import dataclasses
import io
import json

import docx
import pytest
from test_loader_pdf import make_pdf

from rag import Retriever, build_index
from rag.datatypes import Document, Scope
from rag.loaders import DocumentLoader
from rag.loaders.blocks import bounded
from rag.store import IndexStore, fsio
from rag.store.manifest import MANIFEST_FILE, FileEntry, read_manifest


@pytest.fixture(scope="module")
def loader():
    with DocumentLoader() as shared:
        yield shared


@pytest.fixture
def load(loader, tmp_path):
    def load_file(name: str, content: str | bytes) -> Document:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return loader.load(path, name)

    return load_file


# ---- front matter


def test_front_matter_gives_title_and_metadata_and_is_no_text(load):
    document = load(
        "post.md",
        "---\nTitle: Titel\nauthor: ليلى حسن\ndate: 2026-01-31 10:00:00 +0300\nTags:\n  - SEO\n  - تسويق\n"
        "draft: false\nweight: 007\nmap: {a: 1}\nempty:\n---\n\n# Heading\n\nThe text.\n".replace(
            "Ein: Titel", "Titel"
        ),
    )
    assert document.text == "Heading\n\nThe text."
    assert [(heading.start, heading.end) for heading in document.headings] == [(0, 7)]
    assert document.title == "Titel"
    assert document.metadata == (
        ("author", "ليلى حسن"),
        ("date", "2026-01-31"),
        ("draft", "false"),
        ("tags", "SEO, تسويق"),
        ("weight", "007"),
    )


def test_front_matter_that_is_no_yaml_is_read_line_by_line(load):
    document = load("post.md", '---\ntitle: Part 1: the "plan"\nauthor: Jane\n\tbad: indent\n---\nThe text.\n')
    assert (document.title, document.text) == ('Part 1: the "plan', "The text.")
    assert document.metadata == (("author", "Jane"),)


def test_prose_between_two_rules_is_text(load):
    document = load("post.md", "---\nThis stands between two rules.\n---\n\nThe text.\n")
    assert "This stands between two rules." in document.text and "The text." in document.text
    assert document.metadata == ()


@pytest.mark.parametrize(
    "front",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"k{n}: &k{n} [*b, *b, *b]\n" for n in range(99)),
        "x: " + "[" * 9000,
        "x: !!python/object/apply:os.system ['exit 3']",
        'x: "\\U99999999"',
        "k: v\n" * 100_000,
        "? [a, b]\n: c",
        "a: *nobody",
    ],
    ids=["aliases", "nesting", "object", "escape", "long", "key", "anchor"],
)
def test_hostile_front_matter_harms_nobody(load, front):
    document = load("post.md", f"---\n{front}\nauthor: Jane\n---\nThe text.\n")
    assert "The text." in document.text
    assert all(isinstance(value, str) and len(value) <= 1000 for _, value in document.metadata)


def test_html_gives_its_front_matter_and_meta_tags(load):
    body = "<p>" + "The text of this page says what there is to say. " * 9 + "</p>"
    document = load(
        "page.html",
        '<html><head><title>T</title><meta name="Author" content="Jane Doe">'
        '<meta property="article:author" content="https://example.org/jane">'
        '<meta property="article:published_time" content="2026-01-31T10:00:00+00:00">'
        '<meta property="article:tag" content="SEO"><meta property="article:tag" content="Ads">'
        '<meta name="keywords" content="a, b"><meta name="viewport" content="width=1">'
        f"</head><body>{body}</body></html>",
    )
    assert document.metadata == (
        ("author", "Jane Doe"),
        ("date", "2026-01-31"),
        ("keywords", "a, b"),
        ("tags", "SEO, Ads"),
    )
    front = load("front.html", f"---\r\ntitle: Front\r\nauthor: Omar\r\n---\r\n<html><body>{body}</body></html>")
    assert (front.title, front.metadata) == ("Front", (("author", "Omar"),))
    assert front.text.startswith("The text of this page")


# ---- properties of files


def test_pdf_and_docx_give_author_and_date(load):
    info = "T) /Author (Jane Doe) /Keywords (plan, budget) /CreationDate (D:20260131120000+02'00'"
    pdf = load("a.pdf", make_pdf([[(50.0, 700.0, 12.0, "Words on a page.")]], title=info))
    assert pdf.metadata == (("author", "Jane Doe"), ("date", "2026-01-31"), ("keywords", "plan, budget"))
    file = docx.Document()
    file.add_paragraph("Words in a file.")
    file.core_properties.author = "سمير"
    stream = io.BytesIO()
    file.save(stream)
    assert load("a.docx", stream.getvalue()).metadata[0] == ("author", "سمير")


def test_plain_text_has_no_metadata(load):
    assert load("a.txt", "author: Jane\n\nThe text.\n").metadata == ()


def test_metadata_is_bounded():
    kept = bounded({f"Key {n} {'x' * 99}": f" a\n{'y' * 2000}" for n in range(99)} | {"\x00": "x", "empty": " "})
    assert len(kept) == 32
    assert all(len(key) <= 64 and key == key.casefold() for key in kept)
    assert all(len(value) == 1000 and "\n" not in value for value in kept.values())
    assert bounded({"A": "1", "a": "2", "b": " \x00 "}) == {"a": "1"}
    assert bounded({"date": "2026-01-31T10:00Z"}) == bounded({"date": "2026-01-31"}) == {"date": "2026-01-31"}
    assert bounded({"date": "last week"}) == {"date": "last week"}


# ---- in the index


FILES = {
    "posts/one.md": "---\nauthor: Jane Doe\ntags: [SEO, Ads]\n---\nThe budget of one campaign.\n",
    "posts/two.md": "---\nauthor: JANE DOE\ntags: [Email]\n---\nThe budget of two campaigns.\n",
    "notes/three.md": "---\nauthor: ليلى حسن\ntags: تسويق، إعلان\n---\nThe budget of three campaigns.\n",
    "four.md": "The budget of four campaigns.\n",
}


@pytest.fixture
def index(tmp_path, make_corpus, fake_embedder):
    build_index(make_corpus(tmp_path / "corpus", FILES), tmp_path / "index", embedder=fake_embedder)
    return tmp_path / "index"


def test_metadata_goes_through_the_index(index):
    documents = IndexStore(index).open_current().documents
    assert documents["posts/one.md"].metadata == (("author", "Jane Doe"), ("tags", "SEO, Ads"))
    assert documents["four.md"].metadata == ()


def test_a_generation_without_metadata_still_opens(index, fake_embedder):
    folder = index / "gen-000001"
    records = [json.loads(line) for line in (folder / "documents.jsonl").read_text("utf-8").splitlines()]
    for record in records:
        del record["metadata"]
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    manifest = read_manifest(folder)
    files = {**manifest.files, "documents.jsonl": FileEntry(len(data), fsio.sha256_hex(data))}
    (folder / "documents.jsonl").write_bytes(data)
    (folder / MANIFEST_FILE).write_bytes(dataclasses.replace(manifest, files=files).to_bytes())
    retriever = Retriever.open(index, embedder=fake_embedder)
    assert len(retriever.search("budget", top_k=9)) == 4
    assert retriever.search("budget", metadata={"author": "Jane Doe"}) == []


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"author": "jane doe"}, ["posts/one.md", "posts/two.md"]),
        ({" Author ": "Jane Doe "}, ["posts/one.md", "posts/two.md"]),
        ({"author": "Jane"}, []),
        ({"tags": "seo"}, ["posts/one.md"]),
        ({"tags": "SEO, Ads"}, ["posts/one.md"]),
        ({"tags": "إعلان"}, ["notes/three.md"]),
        ({"author": "Jane Doe", "tags": "email"}, ["posts/two.md"]),
        ({"author": "Jane Doe", "tags": "print"}, []),
        ({"editor": "Jane Doe"}, []),
        ({}, sorted(FILES)),
    ],
)
def test_every_pair_must_match_whatever_the_case(index, fake_embedder, metadata, found):
    retriever = Retriever.open(index, embedder=fake_embedder)
    assert sorted(hit.passage.doc_id for hit in retriever.search("budget", top_k=9, metadata=metadata)) == found


def test_a_scope_admits_by_folder_ids_and_metadata(index):
    documents = IndexStore(index).open_current().documents
    scope = Scope(collection="posts", metadata=(("author", "jane doe"), ("tags", "ads")))
    assert [doc_id for doc_id, document in documents.items() if scope.admits(document)] == ["posts/one.md"]
    assert all(Scope().admits(document) for document in documents.values())
