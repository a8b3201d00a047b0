"""An archive is a folder of documents: each file in it is one, and one that is bad stops none of the others."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import papers
import pytest
from conftest import HashEmbedder

from rag import Retriever, build_index
from rag.config import LoadConfig
from rag.datatypes import Document
from rag.errors import CorpusError
from rag.loaders import DocumentLoader, scan
from rag.loaders.archive import _names
from rag.loaders.blocks import UnreadableError
from rag.loaders.package import Package, opened
from rag.server.library import Library
from rag.store import IndexStore


@pytest.fixture(scope="module")
def loader():
    with DocumentLoader() as shared:
        yield shared


@pytest.fixture
def unpack(loader, tmp_path):
    def read(content: bytes, **limits) -> tuple[dict[str, Document], dict[str, str]]:
        """Return the documents by doc_id and the reasons by path in the archive."""
        path = tmp_path / "all.zip"
        path.write_bytes(content)
        documents: dict[str, Document] = {}
        reasons: dict[str, str] = {}
        with DocumentLoader(LoadConfig(**limits)) if limits else loader as reader:
            for found in reader.load_archive(path, "all.zip"):
                if isinstance(found, CorpusError):
                    reasons[found.path.relative_to(path).as_posix()] = found.reason
                else:
                    documents[found[0].doc_id] = found[0]
        return documents, reasons

    return read


def test_each_file_of_an_archive_is_a_document(unpack):
    documents, reasons = unpack(
        papers.packed(
            {"دليل/بداية.md": "# عنوان\n\nنص.", "b.txt": "Plain text here.", "c/": "", "c/deck.pptx": papers.deck()}
        )
    )
    assert reasons == {}
    assert {doc_id: document.title for doc_id, document in documents.items()} == {
        "all.zip/b.txt": "Plain text here.",
        "all.zip/c/deck.pptx": "Launch 2026",
        "all.zip/دليل/بداية.md": "عنوان",
    }


def test_one_bad_file_stops_none_of_the_others(unpack):
    documents, reasons = unpack(
        papers.packed(
            {
                "a.txt": "The first one.",
                "b.pdf": "no pdf",
                "c.zip": papers.packed({"x.txt": "x"}),
                "d.exe": "x",
                "e.doc": "x",
                "f.txt": "",
                "../up.txt": "x",
                "/root.txt": "x",
                "C:\\dos.txt": "x",
                "bomb.txt": bytes(30_000_000),
                "zeros.txt": bytes(20_000_000),
                "g\u202etxt.md": "x",
                "z.txt": "The last one.",
                "__MACOSX/z.txt": "x",
                ".hidden/z.txt": "x",
                "SOURCES.md": "x",
            }
        )
    )
    assert set(documents) == {"all.zip/a.txt", "all.zip/z.txt"}
    assert {name: reason[:30] for name, reason in reasons.items()} == {
        "b.pdf": "not a PDF: its first bytes are",
        "c.zip": "an archive within an archive; ",
        "d.exe": "unsupported format .exe (suppo",
        "e.doc": "unsupported format .doc: save ",
        "f.txt": "the file is empty",
        "../up.txt": "its name leads out of the arch",
        "root.txt": "its name leads out of the arch",
        "C:/dos.txt": "its name leads out of the arch",
        "bomb.txt": "larger than 25 MiB; split it o",
        "zeros.txt": "it grows more than 100-fold wh",
        "gtxt.md": "its name holds a hidden direct",
    }


def with_names(names: list[bytes]) -> bytes:
    """Return an archive whose names are in no declared encoding."""
    plain = papers.packed({f"{'n' * (len(name) - 1)}{at}": f"Text number {at}." for at, name in enumerate(names)})
    for at, name in enumerate(names):
        plain = plain.replace(b"n" * (len(name) - 1) + b"%d" % at, name)
    return plain


@pytest.mark.parametrize("encoding", ["utf-8", "cp1256", "cp720", "cp437"])
def test_names_are_read_in_the_encoding_of_the_packer(unpack, encoding):
    names = ["café.txt", "über uns.txt"] if encoding == "cp437" else ["دليل التسويق.txt", "خطة الميزانية.txt"]
    documents, _ = unpack(with_names([name.encode(encoding) for name in names]))
    assert set(documents) == {f"all.zip/{name}" for name in names}


def test_a_name_that_zipfile_took_from_the_unicode_path_field_stays_as_it_is():
    """As Python 3.12 does it: the flag of UTF-8 is not set, and ``orig_filename`` is the name before."""
    neighbour = "خطة الميزانية.txt"
    with zipfile.ZipFile(io.BytesIO(with_names([b"____.txt", b"uber.txt", neighbour.encode("cp1256")]))) as archive:
        archive.filelist[0].filename, archive.filelist[1].filename = "دليل.txt", "über.txt"
        assert list(_names(archive).values()) == ["دليل.txt", "über.txt", neighbour]


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_packed_so_that_it_inflates_without_a_bound_is_refused_alone(unpack, compression):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "The first one.")
        archive.writestr("b.txt", "The second one.", compression)
    documents, reasons = unpack(buffer.getvalue())
    assert list(documents) == ["all.zip/a.txt"]
    assert reasons == {"b.txt": "packed in a way that is not read; pack it again"}
    with pytest.raises(UnreadableError, match="the odt is packed in a way that is not read"):
        with opened(buffer.getvalue(), "the odt"):
            pass


def test_what_a_member_hides_beyond_its_declared_size_is_never_inflated():
    with Package(io.BytesIO(papers.packed({"a.txt": bytes(40_000_000)}))) as archive:
        entry = archive.getinfo("a.txt")
        entry.file_size, entry.CRC = 100, zlib.crc32(bytes(100))
        tracemalloc.start()
        try:
            assert archive.read("a.txt") == bytes(100)
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


def test_a_file_with_a_password_is_refused_alone(unpack):
    data = bytearray(papers.packed({"a.txt": "open", "b.txt": "closed"}, compression=zipfile.ZIP_STORED))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        offset = archive.getinfo("b.txt").header_offset
    data[offset + 6] |= 1
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1
    documents, reasons = unpack(bytes(data))
    assert list(documents) == ["all.zip/a.txt"] and reasons == {"b.txt": "protected by a password; pack it without one"}


def test_a_damaged_member_is_refused_alone(unpack):
    data = papers.packed({"a.txt": "fine text", "b.txt": "wrong text"}, compression=zipfile.ZIP_STORED)
    documents, reasons = unpack(data.replace(b"wrong text", b"wrong test", 1))
    assert list(documents) == ["all.zip/a.txt"] and reasons["b.txt"].startswith("damaged in the archive")


def test_limits_of_count_and_size(unpack):
    files = {f"{n}.txt": f"{n} " * 400 for n in range(10)}
    with pytest.raises(CorpusError, match="holds 10 files, more than 9"):
        unpack(papers.packed(files), max_members=9)
    documents, reasons = unpack(papers.packed(files), max_unpacked_bytes=3_000)
    assert len(documents) == 3 and len(reasons) == 7 and "more than 0 MiB" in reasons["9.txt"]


def test_many_large_members_come_in_batches(unpack):
    files = {f"{n}.txt": (f"word{n} " * 700_000) for n in range(6)}
    documents, reasons = unpack(papers.packed(files, compression=zipfile.ZIP_STORED), max_bytes=40 * 2**20)
    assert len(documents) == 6 and reasons == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no archive", "not an archive of documents"),
        (b"PK\x03\x04" + bytes(60), "the archive is damaged"),
        (b"PK\x05\x06" + bytes(18), "the archive holds no document"),
        (papers.packed({"folder/": ""}), "the archive holds no document"),
        (papers.deck(), "it is a pptx; rename it to .pptx"),
    ],
)
def test_what_is_no_archive_of_documents_is_refused(unpack, content, reason):
    with pytest.raises(CorpusError, match=reason):
        unpack(content)


def test_a_parser_killed_by_one_member_reads_the_next(unpack):
    files = {"a.txt": "first", "b.txt": "a b\n" * 1_000_000, "c.txt": "last"}
    documents, reasons = unpack(papers.packed(files), max_memory_bytes=160 * 2**20)
    assert set(documents) == {"all.zip/a.txt", "all.zip/c.txt"}
    assert "of memory" in reasons["b.txt"]


# From a folder with everything to an answer.


def test_a_sentence_of_every_format_is_found_with_its_document_and_page(tmp_path, make_corpus):
    files = {name: content for name, (content, _, _) in papers.every_format().items()}
    corpus = make_corpus(
        tmp_path / "corpus", {**files, "packed/all.zip": papers.packed({f"in/{n}": c for n, c in files.items()})}
    )
    embedder = HashEmbedder(dim=256)
    report = build_index(corpus, tmp_path / "index", embedder=embedder)
    assert report.failed == () and report.documents == 2 * len(files)
    retriever = Retriever.open(tmp_path / "index", embedder=embedder)
    for name, (_, sentence, page) in papers.every_format().items():
        hits = [hit.passage for hit in retriever.search(sentence, top_k=5) if sentence in hit.passage.text]
        pages = {hit.doc_id: hit.page for hit in hits}
        assert (pages[name], pages[f"packed/all.zip/in/{name}"]) == (page, page)


def test_a_rebuild_reads_only_the_members_that_changed(tmp_path, make_corpus):
    corpus = make_corpus(
        tmp_path / "corpus", {"a.zip": papers.packed({"x/n.txt": "One fish.", "y/n.txt": "Two boats."})}
    )
    embedder = HashEmbedder()
    build_index(corpus, tmp_path / "index", embedder=embedder)
    before = len(embedder.encoded)
    make_corpus(corpus, {"a.zip": papers.packed({"x/n.txt": "One fish.", "y/n.txt": "Two trains.", "bad.pdf": "x"})})
    report = build_index(corpus, tmp_path / "index", embedder=embedder)
    assert (report.unchanged, report.updated, report.added, report.removed) == (1, 1, 0, 0)
    assert embedder.encoded[before:] == ["Two trains\nTwo trains."] or len(embedder.encoded) == before + 1
    assert [(Path(item.path).relative_to(corpus).as_posix()) for item in report.failed] == ["a.zip/bad.pdf"]


def test_the_list_of_documents_shows_an_archive_and_what_is_in_it(tmp_path, make_corpus):
    corpus = make_corpus(
        tmp_path / "corpus", {"a.zip": papers.packed({"n.txt": "One fish.", "m.txt": "Two boats.", "b.pdf": "x"})}
    )
    library = Library(tmp_path / "index", corpus, lambda: [corpus])

    def states() -> dict[str, str]:
        library.forget()
        return {row.doc_id: row.state for row in library.rows(generation)}

    generation = None
    assert states() == {"a.zip": "waiting"}
    report = build_index(corpus, tmp_path / "index", embedder=HashEmbedder())
    library.keep_failures([(item.path, item.reason) for item in report.failed])
    generation = IndexStore(tmp_path / "index").open_current()
    assert states() == {"a.zip": "indexed", "a.zip/n.txt": "indexed", "a.zip/m.txt": "indexed"}
    rows = {row.doc_id: row for row in library.rows(generation)}
    assert rows["a.zip"].error.startswith("b.pdf: not a PDF") and rows["a.zip"].is_deletable
    assert not rows["a.zip/n.txt"].is_deletable
    file = library.file("a.zip/n.txt")
    assert file is not None and file.path == corpus / "a.zip" / "n.txt"
    assert library.sha256("a.zip/n.txt") == generation.documents["a.zip/n.txt"].sha256
    make_corpus(corpus, {"a.zip": papers.packed({"n.txt": "Three fish."})})
    assert states() == {"a.zip": "changed", "a.zip/n.txt": "changed", "a.zip/m.txt": "gone"}
    (corpus / "a.zip").unlink()
    assert states() == {"a.zip/n.txt": "gone", "a.zip/m.txt": "gone"}


def test_a_page_of_a_pdf_in_an_archive_can_be_drawn(loader, tmp_path):
    pdf = (Path(__file__).parents[1] / "corpus" / "ar" / "seo.pdf").read_bytes()
    (tmp_path / "a.zip").write_bytes(papers.packed({"seo.pdf": pdf}))
    path = tmp_path / "a.zip" / "seo.pdf"
    document = loader.load(path, "a.zip/seo.pdf")
    assert loader.draw_page(path, 1, sha256=document.sha256, width=50).startswith(b"\x89PNG")
    with pytest.raises(CorpusError, match="no such file in the archive"):
        loader.load(tmp_path / "a.zip" / "none.pdf", "a.zip/none.pdf")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.doc", "save it as .docx"),
        ("a.XLS", "save it as .xlsx"),
        ("a.ppt", "save it as .pptx"),
        ("a.pages", "export it as"),
        ("a.rar", "pack it as .zip"),
        ("a.gif", "save the picture as .png or .jpg"),
        ("a.msg", "save each mail as .eml"),
    ],
)
def test_formats_of_other_times_are_named_with_a_remedy(tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b"x")
    ((_, reason),) = scan(tmp_path).refused
    assert reason.startswith(f"unsupported format {Path(name).suffix}: ") and remedy in reason
