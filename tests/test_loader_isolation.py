"""A hostile file ends its own child process, in bounded time and memory, and nothing else."""

from __future__ import annotations

import functools
import io
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from rag.config import LoadConfig
from rag.errors import CorpusError
from rag.loaders import DocumentLoader

CORPUS = Path(__file__).parents[1] / "corpus"
# Slow on purpose: hundreds of thousands of lines, each looked at on its own.
SLOW = b"a b\n" * 1_000_000


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture
def good(tmp_path):
    return write(tmp_path, "good.md", "# عنوان\n\nنص سليم.".encode())


def child_of(loader: DocumentLoader) -> subprocess.Popen[bytes]:
    assert loader._child is not None
    return loader._child


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def resident_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


def wait_until(condition, *, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_one_child_serves_many_files_and_ends_with_the_loader(good):
    with DocumentLoader() as loader:
        loader.load(good, "good.md")
        pid = child_of(loader).pid
        loader.load(good, "good.md")
        assert child_of(loader).pid == pid
    assert not is_alive(pid)
    assert loader.load(good, "good.md").title == "عنوان"  # a closed loader may be used again
    loader.close()


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_is_read(tmp_path, good):
    slow = write(tmp_path, "slow.txt", SLOW)
    with DocumentLoader(LoadConfig(timeout_s=1.5)) as loader:
        loader.load(good, "good.md")
        pid = child_of(loader).pid
        began = time.monotonic()
        with pytest.raises(CorpusError, match=r"took longer than 1\.5 s to read"):
            loader.load(slow, "slow.txt")
        assert time.monotonic() - began < 5
        assert not is_alive(pid)
        assert loader.load(good, "good.md").text == "عنوان\n\nنص سليم."


def test_a_file_that_needs_too_much_memory_is_refused_and_the_next_one_is_read(tmp_path, good):
    big = write(tmp_path, "big.txt", SLOW)
    with DocumentLoader(LoadConfig(max_memory_bytes=96 * 1024 * 1024)) as loader:
        loader.load(good, "good.md")
        with pytest.raises(CorpusError, match="needed more than 96 MiB of memory"):
            loader.load(big, "big.txt")
        assert loader.load(good, "good.md").title == "عنوان"


def test_a_parser_that_breaks_down_is_named_and_the_next_file_is_read(tmp_path, good):
    slow = write(tmp_path, "slow.txt", SLOW)
    with DocumentLoader() as loader:
        loader.load(good, "good.md")
        killed: list[int] = []

        def kill_twice() -> None:
            while len(killed) < 2:
                child = loader._child
                if child is not None and child.pid not in killed and resident_kib(child.pid) > 60_000:  # amid the file
                    killed.append(child.pid)
                    os.kill(child.pid, signal.SIGSEGV)
                time.sleep(0.01)

        thread = threading.Thread(target=kill_twice)
        thread.start()
        with pytest.raises(CorpusError, match="broke down on it .*SIGSEGV"):
            loader.load(slow, "slow.txt")
        thread.join()
        assert len(killed) == 2  # the file had a second try, in a fresh child
        assert loader.load(good, "good.md").title == "عنوان"


def test_a_child_that_died_between_files_is_replaced(good):
    with DocumentLoader() as loader:
        loader.load(good, "good.md")
        os.kill(child_of(loader).pid, signal.SIGKILL)
        child_of(loader).wait()
        assert loader.load(good, "good.md").title == "عنوان"


def test_the_child_is_limited_sees_no_secrets_and_ignores_ctrl_c(good, monkeypatch):
    monkeypatch.setenv("SOME_API_TOKEN", "secret-value")
    with DocumentLoader(LoadConfig(max_memory_bytes=512 * 1024 * 1024)) as loader:
        loader.load(good, "good.md")
        pid = child_of(loader).pid
        limits = {
            line[:25].strip(): line[25:].split()[0] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
        }
        assert limits["Max file size"] == limits["Max core file size"] == "0"
        assert limits["Max address space"] == str(512 * 1024 * 1024)
        assert int(limits["Max cpu time"]) < 60 and int(limits["Max open files"]) <= 64
        assert b"secret-value" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.getsid(pid) == pid  # a session of its own
        os.kill(pid, signal.SIGINT)
        loader.load(good, "good.md")
        assert child_of(loader).pid == pid


def test_the_child_ends_when_its_parent_is_killed(good):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom rag.loaders import DocumentLoader\n"
        "loader = DocumentLoader()\nloader.load(Path(sys.argv[1]), 'good.md')\n"
        "print(loader._child.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(good)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not is_alive(pid), timeout_s=5)


def test_the_child_starts_without_any_parser_or_model_library():
    script = (
        "import sys\nimport rag.loaders.worker\n"
        "print([m for m in ('torch', 'transformers', 'faiss', 'gradio', 'numpy', 'trafilatura', 'lxml', 'docx', "
        "'pypdfium2', 'markdown_it') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_module_in_the_working_directory_does_not_take_the_place_of_a_parser(tmp_path, monkeypatch):
    (tmp_path / "docx.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    with DocumentLoader() as loader:
        assert loader.load(CORPUS / "ar" / "marketing-budget.docx", "x.docx").headings


def test_threads_share_a_loader_without_mixing_replies(tmp_path):
    paths = [write(tmp_path, f"{n}.txt", f"document number {n}.".encode()) for n in range(12)]
    results: dict[int, str] = {}
    with DocumentLoader() as loader:

        def read(number: int) -> None:
            results[number] = loader.load(paths[number], paths[number].name).text

        threads = [threading.Thread(target=read, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {n: f"document number {n}." for n in range(12)}


def docx_with(body: str, extra: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", body)
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pdf_with(content: bytes, *, kids: bytes = b"3 0 R") -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Count 1 /Kids ["
        + kids
        + b"] >>\nendobj\n3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R >>\nendobj\n"
        + b"4 0 obj\n<< /Filter /FlateDecode /Length %d >>\nstream\n" % len(content)
        + content
        + b"\nendstream\nendobj\ntrailer << /Root 1 0 R >>\n"
    )


@functools.cache
def hostile_files() -> dict[str, bytes]:
    noise = random.Random(7)
    pdf = (CORPUS / "ar" / "seo.pdf").read_bytes()
    word = (CORPUS / "ar" / "marketing-budget.docx").read_bytes()
    files = {
        "paragraphs.docx": docx_with("<d>" + "<w:p/>" * 1_500_000 + "</d>"),
        "sparse.docx": docx_with("<d>" + "".join(f"<w:p a='{noise.random()}'/>" for _ in range(100_001)) + "</d>"),
        "bomb.docx": docx_with("<d/>", {"word/media/a": bytes(60_000_000)}),
        "parts.docx": docx_with("<d/>", {f"p{n}": b"" for n in range(5_001)}),
        "entities.docx": docx_with('<!DOCTYPE d [<!ENTITY a "b">]><d>&a;</d>'),
        "other.docx": docx_with("<d/>").replace(b"word/document.xml", b"word/elsewhere.xm"),
        "noise.docx": b"PK\x03\x04" + noise.randbytes(20_000),
        "noise.pdf": b"%PDF-1.7\n" + noise.randbytes(20_000),
        "noise.txt": noise.randbytes(20_000),
        "noise.html": b"<html>" + noise.randbytes(20_000),
        "circle.pdf": pdf_with(b"", kids=b"2 0 R"),
        "deep.html": b"<div>" * 60_000 + b"<p>text</p>",
        "line.html": b"<p>" + b"word " * 2_500_000,
        "quotes.md": b"> " * 20_000 + b"x",
        "brackets.md": b"[" * 20_000,
        "spaces.txt": b" " * 2_000_000 + b"x",
    }
    for number in range(6):
        files[f"cut{number}.pdf"] = pdf[: noise.randrange(len(pdf))]
        files[f"cut{number}.docx"] = word[: noise.randrange(1, len(word))]
        for name, data in (("pdf", pdf), ("docx", word)):
            damaged = bytearray(data)
            for _ in range(40):
                damaged[noise.randrange(len(damaged))] = noise.randrange(256)
            files[f"flip{number}.{name}"] = bytes(damaged)
    return files


def test_hostile_files_end_in_a_reason_and_good_ones_between_them_are_read(tmp_path, good):
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = {name: write(tmp_path, name, content) for name, content in hostile_files().items()}
    grown_by_test = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    with DocumentLoader(LoadConfig(timeout_s=20)) as loader:
        for name, path in files.items():
            began = time.monotonic()
            try:
                loader.load(path, name)
            except CorpusError as error:
                refused += 1
                assert (
                    error.path == path and error.reason and "\n" not in error.reason and "Traceback" not in error.reason
                )
            assert time.monotonic() - began < 25
            assert loader.load(good, "good.md").text == "عنوان\n\nنص سليم."
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before - grown_by_test
    assert refused >= 15
    assert grown < 50 * 1024  # KiB: the parent stays small whatever the child does


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("paragraphs.docx", "zip bomb"),
        ("sparse.docx", "more than 100,000 paragraphs"),
        ("bomb.docx", "zip bomb"),
        ("parts.docx", "5,003 parts"),
        ("entities.docx", "declares XML entities"),
        ("noise.docx", "the docx is damaged"),
        ("noise.pdf", "the PDF is damaged"),
        ("circle.pdf", "damaged"),
        ("deep.html", "too deeply nested"),
        ("line.html", "too long without a tag"),
    ],
)
def test_the_reason_says_what_is_wrong(tmp_path, name, reason):
    path = write(tmp_path, name, hostile_files()[name])
    with DocumentLoader() as loader, pytest.raises(CorpusError, match=reason):
        loader.load(path, name)


@pytest.mark.slow
def test_a_pdf_that_inflates_is_stopped(tmp_path, good):
    path = write(tmp_path, "inflate.pdf", pdf_with(zlib.compress(b"(a) Tj\n" * 40_000_000, 9)))
    with DocumentLoader() as loader:
        began = time.monotonic()
        with pytest.raises(CorpusError):
            loader.load(path, "inflate.pdf")
        assert time.monotonic() - began < 35
        assert loader.load(good, "good.md").title == "عنوان"
