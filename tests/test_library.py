"""The documents of the index and of the folders side by side, what is done to them, and how the list of them looks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from datetime import UTC, datetime, timedelta

import pytest
from test_loader_pdf import make_pdf

from rag.builder import BuildReport, build_index
from rag.embedder import Embedder
from rag.engine import BuildProgress
from rag.errors import BuildCancelledError, CorpusError, IndexLockedError
from rag.server import ChatService
from rag.server.library import FAILED_FILE, Library
from rag.server.uploads import MAX_DEPTH, MAX_PATH_CHARACTERS, UploadError
from rag.store import IndexStore
from rag.ui.documents import render_documents, render_progress, scope_choices
from rag.views import DocumentRow

PDF = make_pdf([[(60, 700, 24, "The lamp burns for nine hours.")], [(60, 700, 24, "Change its wick in spring.")]])
FILES = {
    "warranty.md": b"# Warranty\n\nThe warranty of the blue kettle lasts three years.\n",
    "ar/ضمان.md": "# الضمان\n\nمدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء.\n".encode(),
    "uploads/manuals/lamp.pdf": PDF,
}


@pytest.fixture(scope="module")
def embedder():
    return Embedder.open()


@pytest.fixture(scope="module")
def built(tmp_path_factory, embedder):
    """A corpus and its index, built once; never changed."""
    folder = tmp_path_factory.mktemp("built")
    for name, data in FILES.items():
        path = folder / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    build_index(folder / "corpus", folder / "index", embedder=embedder)
    return folder


@pytest.fixture
def service(built, tmp_path, embedder):
    for name in ("corpus", "index"):
        shutil.copytree(built / name, tmp_path / name)
    return ChatService(tmp_path / "index", corpus_dirs=[tmp_path / "corpus"], embedder=embedder)


def states(service: ChatService, *, look: bool = True) -> dict[str, str]:
    if look:
        service.library.forget()
    return {row.doc_id: row.state for row in service.documents()}


def row_of(service: ChatService, doc_id: str) -> DocumentRow:
    service.library.forget()
    return next(row for row in service.documents() if row.doc_id == doc_id)


# -- the list -------------------------------------------------------------------------------------------------


def test_each_document_has_its_size_its_date_and_whether_it_was_uploaded(service):
    rows = {row.doc_id: row for row in service.documents()}
    assert list(rows) == sorted(FILES)
    for doc_id, data in FILES.items():
        path = service.corpus_dirs[0] / doc_id
        row = rows[doc_id]
        assert (row.state, row.error, row.bytes) == ("indexed", "", len(data))
        assert row.added is not None and row.added.tzinfo is UTC
        assert abs(row.added.timestamp() - path.stat().st_mtime) < 1
        assert row.passages >= 1 and row.characters > 20
    assert [doc_id for doc_id, row in rows.items() if row.is_deletable] == ["uploads/manuals/lamp.pdf"]


def test_a_new_a_changed_and_a_lost_file_are_told_from_the_index(service):
    corpus = service.corpus_dirs[0]
    (corpus / "new.txt").write_text("Tomatoes want six hours of sunlight a day.")
    (corpus / ".hidden.txt").write_text("Not a document.")
    (corpus / "ar" / "ضمان.md").unlink()
    path = corpus / "warranty.md"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"three", b"seven"))  # of the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states(service) == {
        "ar/ضمان.md": "gone",
        "new.txt": "waiting",
        "uploads/manuals/lamp.pdf": "indexed",
        "warranty.md": "changed",
    }
    gone = row_of(service, "ar/ضمان.md")
    assert (gone.bytes, gone.added, gone.is_deletable, gone.is_in_index) == (0, None, False, True)
    path.write_bytes(path.read_bytes().replace(b"seven", b"three"))
    assert states(service)["warranty.md"] == "indexed"  # by its content, not its date
    assert service.rebuild().added == 1
    assert set(states(service).values()) == {"indexed"}


def test_a_rebuild_shows_in_the_list_at_once(service):
    service.documents()
    service.save_upload("new.txt", b"Tomatoes want six hours of sunlight a day.")
    assert states(service, look=False)["uploads/new.txt"] == "waiting"

    def progress(step: BuildProgress) -> None:
        if step.item == "manifest.json":  # the retriever looks at the index now, and not again for half a second
            service.health()

    service.rebuild(progress)
    assert states(service, look=False)["uploads/new.txt"] == "indexed"


def test_without_an_index_every_file_waits(tmp_path, embedder):
    service = ChatService(tmp_path / "index", upload_dir=tmp_path / "uploads", embedder=embedder)
    assert service.documents() == []
    saved = service.save_upload("a.txt", b"The answer is forty-two.")
    assert saved.doc_id == "a.txt"  # the uploads are the whole corpus here
    assert states(service) == {"a.txt": "waiting"}


def test_an_index_without_its_folders_is_taken_as_it_is(service, embedder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = ChatService(service.index_dir, embedder=embedder)
    assert alone.sources() == []
    assert [row.state for row in alone.documents()] == ["indexed"] * 3
    assert all(row.added is None and not row.is_deletable for row in alone.documents())


def test_several_folders_keep_their_names_in_front(service, tmp_path, embedder):
    other = ChatService(
        tmp_path / "other", corpus_dirs=service.corpus_dirs, upload_dir=tmp_path / "sent", embedder=embedder
    )
    saved = other.save_upload("a.txt", b"The answer is forty-two, as everybody knows.", "deep/er")
    assert saved.doc_id == "sent/deep/er/a.txt"
    other.rebuild()
    assert set(states(other)) == {saved.doc_id, *(f"corpus/{name}" for name in FILES)}
    assert set(states(other).values()) == {"indexed"}


def test_the_corpus_folder_may_be_the_upload_folder_too(service, embedder):
    corpus = service.corpus_dirs[0]
    one = ChatService(service.index_dir, corpus_dirs=[corpus], upload_dir=corpus, embedder=embedder)
    assert one.sources() == [corpus]
    assert all(row.is_deletable and row.state == "indexed" for row in one.documents())
    assert one.rebuild().unchanged == 3


def test_what_a_build_could_not_read_is_kept_with_its_reason_until_the_file_changes(service, embedder):
    corpus = service.corpus_dirs[0]
    service.save_upload("broken.pdf", b"%PDF-1.7\nnothing of a PDF")
    (corpus / "table.xyz").write_bytes(b"PK")
    service.rebuild()
    again = ChatService(service.index_dir, corpus_dirs=[corpus], embedder=embedder)
    for one in (service, again):
        broken = row_of(one, "uploads/broken.pdf")
        assert (broken.state, broken.passages, broken.is_deletable) == ("failed", 0, True)
        assert "damaged" in broken.error and str(corpus) not in broken.error
        assert "unsupported format .xyz" in row_of(one, "table.xyz").error
    assert json.loads((service.index_dir / FAILED_FILE).read_text("utf-8"))["failed"][0]["doc_id"] == broken.doc_id
    (corpus / "uploads" / "broken.pdf").write_bytes(PDF)
    assert states(again)["uploads/broken.pdf"] == "waiting"
    again.rebuild()
    assert states(again)["uploads/broken.pdf"] == "indexed"
    assert service.index_dir.joinpath(FAILED_FILE).is_file()
    assert not IndexStore(service.index_dir).verify()


def test_a_corpus_of_which_nothing_can_be_read_says_so_file_by_file(tmp_path, embedder):
    service = ChatService(tmp_path / "index", upload_dir=tmp_path / "uploads", embedder=embedder)
    service.save_upload("broken.pdf", b"%PDF-1.7\nnothing of a PDF")
    with pytest.raises(CorpusError):
        service.rebuild()
    assert states(service) == {"broken.pdf": "failed"}


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"format_version": 2}', b'{"format_version": 1, "failed": [7]}']
)
def test_a_damaged_list_of_failures_is_no_failure(service, damage):
    (service.index_dir / FAILED_FILE).write_bytes(damage)
    assert set(states(service).values()) == {"indexed"}


@pytest.mark.parametrize("name", ["bad\udcff.txt", "line\nbreak.txt", "exe\u202etxt.exe"])
def test_a_name_that_no_reader_should_be_shown_is_shown_without_what_is_wrong_with_it(service, name):
    (service.corpus_dirs[0] / name).write_text("text")
    rows = [row for row in service.documents() if row.state == "failed"]
    (shown,) = rows
    assert "\ufffd" in shown.doc_id
    json.dumps(shown.doc_id, ensure_ascii=False).encode("utf-8")
    assert not shown.is_deletable


def test_the_list_of_a_thousand_documents_is_quick(tmp_path, monkeypatch):
    corpus = tmp_path / "corpus"
    for number in range(1000):
        path = corpus / f"folder{number % 30}" / f"document{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"text " * 2000)
    library = Library(tmp_path / "index", corpus / "uploads", lambda: [corpus])
    first = library.rows(None)
    assert len(first) == 1000
    began = time.process_time()
    library.forget()
    assert library.rows(None) is not first
    assert time.process_time() - began < 1.0  # seconds of work; 0.2 on the machine this was written on
    first = library.rows(None)
    assert all(library.rows(None) is first for _ in range(100))  # within the second that a look is believed
    monkeypatch.setattr("rag.server.library._LOOK_INTERVAL_S", 0.0)
    monkeypatch.setattr("rag.server.library._LOOK_SHARE", 0)
    library.forget()
    assert library.rows(None) is not library.rows(None)


# -- delete ---------------------------------------------------------------------------------------------------


def test_a_deleted_document_lies_in_the_trash_and_is_in_no_file_of_the_new_index(service):
    deleted = service.delete_document("uploads/manuals/lamp.pdf")
    assert deleted.is_in_index and deleted.path.read_bytes() == PDF
    uploads = service.upload_dir
    assert deleted.path.relative_to(uploads).parts[0] == ".trash"
    assert not (uploads / "manuals").exists()  # emptied
    assert states(service)["uploads/manuals/lamp.pdf"] == "gone"
    report = service.rebuild()
    assert (report.removed, report.documents) == (1, 2)
    assert set(states(service)) == {"ar/ضمان.md", "warranty.md"}
    for path in (service.index_dir / report.generation).iterdir():
        assert b"lamp" not in path.read_bytes(), path.name


def test_documents_of_one_name_are_all_kept_in_the_trash(service):
    kept = []
    for content in (b"one of them", b"another one"):
        service.save_upload("same.txt", content)
        kept.append(service.delete_document("uploads/same.txt").path)
    assert [path.read_bytes() for path in kept] == [b"one of them", b"another one"]
    assert "uploads/same.txt" not in states(service)  # it never was in the index


def test_what_is_uploaded_and_deleted_is_seen_without_a_look_at_every_file(service, monkeypatch):
    monkeypatch.setattr("rag.server.library._LOOK_INTERVAL_S", 3600)
    service.library.forget()
    service.documents()
    monkeypatch.setattr("rag.server.library.scan_folders", lambda *_, **__: pytest.fail("looked at every file"))

    def seen():
        return {row.doc_id: row.state for row in service.documents()}

    service.save_upload("new.txt", b"something new")
    assert seen()["uploads/new.txt"] == "waiting"
    service.delete_document("uploads/new.txt")
    assert "uploads/new.txt" not in seen()


def test_only_uploaded_documents_can_be_deleted(service, tmp_path):
    corpus = service.corpus_dirs[0]
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (service.upload_dir / "link").symlink_to(corpus / "ar", target_is_directory=True)
    (service.upload_dir / "out.txt").symlink_to(outside)
    (corpus / "warranty.md").unlink()
    before = sorted(path for path in tmp_path.rglob("*"))
    for doc_id, code in (
        ("ar/ضمان.md", "corpus"),
        ("warranty.md", "gone"),
        ("uploads/out.txt", "corpus"),
        ("uploads/../ar/ضمان.md", "unknown"),
        ("../outside.txt", "unknown"),
        (str(outside), "unknown"),
        ("", "unknown"),
        ("uploads", "unknown"),
    ):
        with pytest.raises(UploadError) as caught:
            service.delete_document(doc_id)
        assert caught.value.code == code, doc_id
    assert sorted(path for path in tmp_path.rglob("*")) == before


# -- uploads into folders -------------------------------------------------------------------------------------


def test_a_folder_keeps_its_structure(service):
    saved = service.save_upload("خطة.md", b"# Plan\n\nPlant in March.", "مشاريع/2026/./ Q1 ")
    assert saved.doc_id == "uploads/مشاريع/2026/Q1/خطة.md"
    assert saved.path == service.upload_dir / "مشاريع" / "2026" / "Q1" / "خطة.md"
    again = service.save_upload("خطة.md", b"# Plan\n\nPlant in March.", "مشاريع\\2026\\q1")
    assert (again.status, again.path) == ("unchanged", saved.path)  # one folder, however it is written
    other = service.save_upload("خطة.md", b"# Plan\n\nPlant in April.", "مشاريع/2026/Q1/")
    assert (other.status, other.doc_id) == ("renamed", "uploads/مشاريع/2026/Q1/خطة (2).md")
    assert states(service)[saved.doc_id] == "waiting"


@pytest.mark.parametrize(
    "folder",
    ["..", "a/../../b", "/etc", "C:\\Windows", "\\\\host\\share", "a/con/b", "a/\u202e/b", "a/SOURCES.md"]
    + ["/".join("a" * (MAX_DEPTH + 1)), "x" * 170 + "/" + "y" * 170 + "/" + "z" * 170],
)
def test_a_folder_that_leads_elsewhere_or_too_deep_is_refused(service, folder):
    before = sorted(service.upload_dir.rglob("*"))
    with pytest.raises(UploadError) as caught:
        service.save_upload("a.txt", b"text", folder)
    assert caught.value.code == "folder"
    assert sorted(service.upload_dir.rglob("*")) == before


def test_a_folder_is_not_taken_for_a_file_and_no_link_is_followed(service, tmp_path):
    (service.upload_dir / "taken.txt").write_text("a file")
    (service.upload_dir / "link").symlink_to(tmp_path, target_is_directory=True)
    for folder in ("taken.txt", "link/deeper"):
        with pytest.raises(UploadError, match="is no folder here"):
            service.save_upload("a.txt", b"text", folder)
    assert not (tmp_path / "a.txt").exists() and not (tmp_path / "deeper").exists()


def test_a_folder_of_exactly_the_limits_is_kept(service):
    assert service.save_upload("a.txt", b"text", "/".join("abcdefgh")).path.is_file()
    name = "n" * (MAX_PATH_CHARACTERS - 2 * 171 - 4) + ".txt"
    assert service.save_upload(name, b"text", f"{'x' * 170}/{'y' * 170}").path.is_file()
    with pytest.raises(UploadError, match="longer than 400"):
        service.save_upload("n" + name, b"text", f"{'x' * 170}/{'y' * 170}")


def test_the_name_of_the_list_of_sources_is_refused(service):
    with pytest.raises(UploadError) as caught:
        service.save_upload("SOURCES.md", b"# Sources")
    assert caught.value.code == "name"


# -- cancel ---------------------------------------------------------------------------------------------------


def index_bytes(service: ChatService) -> dict[str, str]:
    return {
        path.relative_to(service.index_dir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in service.index_dir.rglob("*")
        if path.is_file() and path.name not in (".lock", FAILED_FILE)
    }


@pytest.mark.parametrize("stage", ["load", "embed", "write"])
def test_a_cancelled_rebuild_leaves_the_index_and_frees_the_lock(service, stage):
    service.save_upload("new.txt", b"Tomatoes want six hours of sunlight a day.")
    before = index_bytes(service)
    assert not service.is_rebuilding and not service.cancel_rebuild()
    seen = []

    def progress(step: BuildProgress) -> None:
        seen.append(step)
        # Within the write stage, once files of the new generation lie on disk.
        if step.stage == stage and (stage != "write" or step.item == "manifest.json"):
            assert service.is_rebuilding and service.cancel_rebuild()
            if stage == "write":
                assert list(service.index_dir.glob("gen-*.tmp"))

    with pytest.raises(BuildCancelledError, match="Start it again"):
        service.rebuild(progress)
    assert seen[-1].stage == stage
    assert index_bytes(service) == before
    assert not list(service.index_dir.glob("*.tmp")) and not service.is_rebuilding
    assert [hit.passage.doc_id for hit in service.search("blue kettle warranty")[1]][0] in ("warranty.md", "ar/ضمان.md")
    assert service.rebuild().added == 1  # what was cancelled before does not end the next one


def test_cancelling_ends_the_stream_of_a_rebuild_and_another_rebuild_is_refused_meanwhile(service):
    service.save_upload("new.txt", b"Tomatoes want six hours of sunlight a day.")
    with pytest.raises(BuildCancelledError):
        for event in service.rebuild_stream():
            assert isinstance(event, BuildProgress)
            service.cancel_rebuild()
    with IndexStore(service.index_dir).lock(), pytest.raises(IndexLockedError):
        service.rebuild()
    assert not service.is_rebuilding
    assert isinstance(list(service.rebuild_stream())[-1], BuildReport)


def test_a_cancel_that_comes_once_the_new_index_is_live_is_too_late(service):
    service.save_upload("new.txt", b"Tomatoes want six hours of sunlight a day.")

    def progress(step: BuildProgress) -> None:
        if step.stage == "write" and step.item == IndexStore(service.index_dir).current_name():
            service.cancel_rebuild()

    report = service.rebuild(progress)
    assert report.added == 1
    assert IndexStore(service.index_dir).current_name() == report.generation


# -- pictures of pages ----------------------------------------------------------------------------------------


def test_a_page_of_a_pdf_is_drawn(service):
    from io import BytesIO

    from PIL import Image

    pictures = [service.page_picture("uploads/manuals/lamp.pdf", number) for number in (1, 2)]
    assert pictures[0][0] != pictures[1][0] and pictures[0][1] != pictures[1][1]
    for png, _ in pictures:
        picture = Image.open(BytesIO(png))
        assert (picture.format, picture.width, round(picture.height / picture.width, 2)) == ("PNG", 1000, 1.33)
        assert len(picture.convert("L").getcolors()) > 1  # something is drawn on it
    assert service.page_picture("uploads/manuals/lamp.pdf", 1) == pictures[0]


def test_a_page_that_is_a_thousand_times_as_tall_as_wide_is_drawn_small(tmp_path):
    from rag.loaders.pdf_picture import draw_page

    tall = PDF.replace(b"[0 0 600 800]", b"[0 0 6 6000]")
    assert len(draw_page(tall, 1, width=1000)) < 1_000_000


@pytest.mark.parametrize(
    ("doc_id", "number", "said"),
    [
        ("warranty.md", 1, "only the pages of a PDF"),
        ("nothing.pdf", 1, "no such document"),
        ("uploads/manuals/lamp.pdf", 3, "has 2 pages, no page 3"),
        ("uploads/manuals/lamp.pdf", 0, "no page 0"),
    ],
)
def test_no_picture_of_what_is_no_page(service, doc_id, number, said):
    with pytest.raises(CorpusError, match=said) as caught:
        service.page_picture(doc_id, number)
    assert str(service.corpus_dirs[0]) not in str(caught.value)


def test_no_picture_of_a_file_that_is_another_one_by_now(service):
    doc_id = "uploads/manuals/lamp.pdf"
    service.page_picture(doc_id, 1)
    path = service.corpus_dirs[0] / doc_id
    path.write_bytes(make_pdf([[(60, 700, 24, "Other words.")]]))
    with pytest.raises(CorpusError, match="changed since it was indexed"):
        service.page_picture(doc_id, 1)
    path.unlink()
    service.library.forget()
    with pytest.raises(CorpusError, match="there no more"):
        service.page_picture(doc_id, 1)


# -- how it looks ---------------------------------------------------------------------------------------------

ADDED = datetime(2026, 3, 9, 23, 30, tzinfo=UTC)
ROW = DocumentRow("up/<b>.pdf", "A <i>title</i>", "en", "pdf", 3, 900, 2_560, ADDED, "indexed", "", True)


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", " ", html)


def test_a_row_shows_what_is_known_and_what_can_be_done():
    html = render_documents([ROW])
    assert 'data-action="source"' in html and 'data-added="2026-03-09T23:30:00+00:00"' in html
    assert "2026-03-09" in text_of(html) and "2.5" in text_of(html) and "KB" in html and "كيلوبايت" in html
    for action in ("only", "delete"):
        assert re.search(f'data-action="{action}" data-value="up/&lt;b&gt;.pdf"', html)
    assert "<b>" not in html and "<i>" not in html
    assert "In the index" in html and 'class="pending"' not in html


@pytest.mark.parametrize(
    ("state", "in_index", "said"),
    [
        ("waiting", False, "Waiting for an update"),
        ("changed", True, "Changed since it was indexed"),
        ("gone", True, "Its file is gone"),
        ("failed", False, "Could not be read"),
    ],
)
def test_a_state_is_said_in_words_and_only_what_answers_can_be_asked(state, in_index, said):
    row = DocumentRow("a.pdf", "A", "en", "pdf", 1, 9, 5, ADDED, state, "the PDF is <b>" if state == "failed" else "")
    html = render_documents([row])
    assert said in html and f'<tr class="{state}"' in html
    assert ('data-action="only"' in html, 'data-action="source"' in html) == (in_index, in_index)
    assert 'data-action="delete"' not in html
    assert ("the PDF is &lt;b&gt;" in html) == (state == "failed")
    assert ('class="pending"' in html) == (state != "failed")


def test_progress_says_how_fast_it_goes_and_how_long_it_will_take():
    def said(done: int, seconds: float, *, total: int = 600, stage: str = "load") -> str:
        return text_of(render_progress(BuildProgress(stage, done, total, "a.pdf"), seconds))

    assert "60  of  600" in said(60, 30) and "2  files/s" in said(60, 30) and "5  minutes left" in said(60, 30)
    assert "بقيت نحو  5  دقائق" in said(60, 30) and "2  ملف/ث" in said(60, 30)
    assert "12  passages/min" in said(6, 30, stage="embed") and "50  minutes left" in said(6, 30, stage="embed")
    assert "about an hour left" not in said(6, 30) and "about 2 hours left" in said(60, 800)
    assert "about a minute left" in said(200, 35) and "نحو دقيقتين" in said(200, 60)
    assert "less than a minute" in said(300, 30) and "a few seconds left" in said(590, 59)
    for early in (said(1, 0.5), said(0, 30), said(600, 60), said(60, 0)):
        assert "left" not in early and "/s" not in early
    assert "files" not in said(60, 30, stage="write").replace("Reading the files", "")
    for html in (render_progress(None), render_progress(BuildProgress("load", 1, 2, ""), 1)):
        assert 'data-action="cancel"' in html


def test_a_question_can_be_limited_to_folders_and_languages_that_answer():
    def row(doc_id: str, language: str, state: str = "indexed") -> DocumentRow:
        return DocumentRow(doc_id, "T", language, "md", 1, 1, state=state)

    rows = [
        row("a.md", "ar"),
        row("b/c.md", "en"),
        row("b/d/e.md", "en"),
        row("b/d/f.md", "en", "gone"),
        row("b/d/g.md", "fr", "waiting"),
        row("h/i.md", "ar", "failed"),
    ]
    choices = scope_choices(rows)
    assert choices["collections"] == [{"name": "b", "documents": 3}, {"name": "b/d", "documents": 2}]
    assert choices["languages"] == [{"language": "en", "documents": 3}, {"language": "ar", "documents": 1}]
    json.dumps(choices)
    assert scope_choices([]) == {"collections": [], "languages": []}


def test_dates_are_those_of_the_files(service):
    path = service.corpus_dirs[0] / "warranty.md"
    moment = datetime.now(UTC) - timedelta(days=400)
    os.utime(path, (moment.timestamp(), moment.timestamp()))
    added = row_of(service, "warranty.md").added
    assert added is not None and abs((added - moment).total_seconds()) < 2
