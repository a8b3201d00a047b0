"""P5: whatever is damaged in a generation is found before anything is answered from it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_runs import plant
from drafts import TEXTS, make_draft

from rag.cli import main
from rag.errors import IndexCorruptError, RagError
from rag.retriever import Retriever
from rag.store import IndexStore, generation, segment
from reliability.disks import write

PROMISE = "P5 damage is detected"

SEED = 5
FILES = ("manifest.json", "vectors.faiss", "passages.jsonl", "documents.jsonl", "bm25-ar.safetensors",
         "bm25-en.safetensors", "calibration.json")  # fmt: skip
# Cases of each file: flipped bits, truncations, zeroed blocks, files of other generations.
SHORT, FULL = (40, 15, 10, 5), (1000, 300, 100, 50)
ZEROED_BYTES = 4096

Damage = tuple[str, bytes | None]  # what was done, and the file's bytes after it; None where it is deleted


def damages(data: bytes, others: list[bytes], picks: random.Random, counts: tuple[int, ...]) -> Iterator[Damage]:
    """Yield damaged versions of a file, all of them other than ``data``."""
    flips, cuts, zeroed, swaps = counts
    for _ in range(flips):
        bit = picks.randrange(8 * len(data))
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(changed)
    for _ in range(cuts):
        length = picks.randrange(len(data))
        yield f"cut to {length} bytes", data[:length]
    for _ in range(zeroed):
        begin = picks.randrange(len(data))
        end = begin + min(ZEROED_BYTES, max(1, len(data) // 4))
        changed = data[:begin] + bytes(len(data[begin:end])) + data[end:]
        if changed != data:
            yield f"zeroed from {begin}", changed
        else:
            yield f"overwritten at {begin}", data[:begin] + b"\xff" + data[begin + 1 :]
    for number in range(swaps):
        yield f"taken from generation {number}", others[number % len(others)]
    yield "emptied", b""
    yield "doubled", data + data
    yield "deleted", None


@pytest.fixture
def index(ram_path, fake_embedder):
    """Return the folder of an index of two generations; the text of the first ends in ``old``."""
    for stamp in (" old", " new"):
        write(ram_path / "index", replace(make_draft(fake_embedder, stamp=stamp), calibration={"threshold": stamp}))
    return ram_path / "index"


@pytest.fixture
def others(ram_path, fake_embedder):
    """Return files of valid generations of other indexes, by file name; each has the name of the damaged one."""
    found: dict[str, list[bytes]] = {name: [] for name in FILES}
    for number in range(5):
        texts = {doc_id: f"{text} other {number}" for doc_id, text in TEXTS.items()}
        draft = replace(make_draft(fake_embedder, texts=texts), calibration={"threshold": number})
        folder = ram_path / f"other{number}"
        write(folder, draft), write(folder, draft)
        for name in FILES:
            found[name].append((folder / "gen-000002" / name).read_bytes())
    return found


def why_undetected(store: IndexStore, path: Path, *, is_manifest: bool) -> str | None:
    """Return how the damage of a file came through, None if it was found, named, and stood in for."""
    try:
        store.open_current(fallback=False)
        return "answered from"
    except IndexCorruptError as error:
        # A whole manifest of another generation gives away the files beside it.
        if error.path != path and not (is_manifest and error.path.parent == path.parent):
            return f"named {error.path}"
        if "rag rollback" not in str(error) or "rag build" not in str(error):
            return f"no remedy: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    try:
        found = store.open_current()
    except RagError as error:
        return f"no generation stood in: {error}"
    if found.name != "gen-000001" or not found.warning or str(path.parent) not in found.warning:
        return f"{found.name} stood in with the warning {found.warning}"
    return None


def try_all(index: Path, others: dict[str, list[bytes]], counts: tuple[int, ...]) -> Iterator[tuple[str, str | None]]:
    """Damage every file in every way; yield each case and how it came through, None if it did not."""
    store, picks = IndexStore(index), random.Random(SEED)
    for name in FILES:
        path = index / "gen-000002" / name
        whole = path.read_bytes()
        for what, data in damages(whole, others[name], picks, counts):
            assert data != whole
            path.unlink() if data is None else path.write_bytes(data)
            yield f"{name}, {what}", why_undetected(store, path, is_manifest=name == "manifest.json")
            path.write_bytes(whole)


@pytest.mark.filterwarnings("ignore")
def test_no_damage_is_answered_from(index, others, tally, is_full, caplog):
    caplog.set_level("ERROR")
    assert sorted(path.name for path in (index / "gen-000002").iterdir()) == sorted(FILES)
    missed = []
    for what, why in try_all(index, others, FULL if is_full else SHORT):
        tally.case(why is None, f"{what}: {why}")
        if why is not None:
            missed.append(f"{what}: {why}")
    assert missed == []
    assert IndexStore(index).verify() == []


def test_damage_of_current_never_leads_to_half_an_index(index, fake_embedder, tally):
    """CURRENT has no checksum: each of its bits is flipped, with generations that differ in one bit beside it."""
    write(index, make_draft(fake_embedder, stamp=" newest"))
    store, path = IndexStore(index), index / "CURRENT"
    whole = path.read_bytes()
    assert whole == b"gen-000003\n" and store.generations() == ["gen-000002", "gen-000003"]
    n_earlier = 0
    missed = []
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(changed))
        try:
            found = store.open_current(fallback=False).name
        except IndexCorruptError:
            held = store.open_current().name == "gen-000003"
        else:  # the same state as after rag rollback: whole, and rag verify says so
            held = found == "gen-000002"
            n_earlier += held
        tally.case(held, f"CURRENT, bit {bit}")
        if not held:
            missed.append(bit)
    assert missed == [] and n_earlier == 1
    tally.figures["flipped bits of CURRENT that name another whole generation"] = n_earlier


def test_without_the_checksums_damage_comes_through(index, others, monkeypatch, caplog):
    caplog.set_level("ERROR")
    for module in (generation, segment):
        monkeypatch.setattr(module, "read_checked", lambda folder, name, entry: (folder / name).read_bytes())
    undetected = [what for what, why in try_all(index, others, (20, 0, 5, 0)) if why is not None]
    assert len(undetected) > 20


# ---- what people see


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with an index of two generations, built with the built-in models."""
    folder = tmp_path_factory.mktemp("p05")
    plant(folder)
    for _ in range(2):
        assert main(["build", str(folder / "corpus"), "--index-dir", str(folder / "index")]) == 0
        (folder / "corpus" / "more.txt").write_text("One more document, about search engines.", encoding="utf-8")
    return folder


def rag(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rag", *arguments], capture_output=True, text=True, check=False, env=dict(os.environ)
    )


def test_the_terminal_warns_and_names_what_to_do(folder, tmp_path, capsys, tally):
    index = tmp_path / "index"
    shutil.copytree(folder / "index", index)
    where = ["--index-dir", str(index)]
    path = index / "gen-000002" / "vectors.faiss"
    damage(path)
    warning = f"WARNING: {path} is damaged: its checksum does not match. Restore the previous index: rag rollback, "
    asked = rag("ask", "When should a welcome message leave?", *where)
    held = asked.returncode == 0 and "within one hour" in asked.stdout and warning in asked.stderr
    tally.case(held, f"rag ask on a damaged index: {asked}")
    assert held and "Answers come from gen-000001 meanwhile" in asked.stderr and "Traceback" not in asked.stderr

    assert main(["verify", *where, "--json"]) == 1
    seen = capsys.readouterr()
    report = json.loads(seen.out)
    assert report["generation"] == "gen-000002" and len(report["problems"]) == 1
    assert str(path) in report["problems"][0]
    assert "gen-000001 answers meanwhile. Make it the live one: rag rollback" in report["standing"]
    assert seen.err == f"error: {report['problems'][0]}\n{report['standing']}\n"

    assert main(["rollback", *where]) == 0
    assert "is back at gen-000001" in capsys.readouterr().out
    assert main(["search", "welcome message", *where]) == 0
    assert capsys.readouterr().err == ""
    shutil.copy(folder / "index" / "gen-000002" / "vectors.faiss", path)
    assert main(["verify", *where]) == 0
    assert "gen-000002 is newer than gen-000001, after a rollback" in capsys.readouterr().err


def test_where_nothing_is_intact_the_remedy_is_a_build(folder, tmp_path, capsys, tally):
    index = tmp_path / "index"
    shutil.copytree(folder / "index", index)
    for generation_dir in index.glob("gen-*"):
        damage(generation_dir / "documents.jsonl")
    statuses = [main([*command, "--index-dir", str(index)]) for command in (["search", "q"], ["verify"], ["rollback"])]
    error = capsys.readouterr().err
    held = statuses == [1, 1, 1] and f"no generation in {index} is intact. Rebuild the index: rag build" in error
    tally.case(held, error)
    assert held and "no earlier intact generation. Rebuild the index: rag build" in error
    assert "Traceback" not in error


def test_a_lost_current_is_named_as_json_too(folder, tmp_path, capsys):
    index = tmp_path / "index"
    shutil.copytree(folder / "index", index)
    (index / "CURRENT").write_text("nonsense\n")
    assert main(["verify", "--index-dir", str(index), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["generation"] is None and "names no generation" in report["problems"][0]


def test_the_doctor_says_which_generation_answers(folder, tmp_path):
    from rag.cli.doctor import _examine_index

    index = tmp_path / "index"
    shutil.copytree(folder / "index", index)
    damage(index / "gen-000002" / "passages.jsonl")
    report: dict[str, list[str]] = {"problems": []}
    _examine_index(str(index), report)
    assert "passages.jsonl is damaged" in report["problems"][0]
    assert "gen-000001 answers meanwhile" in report["problems"][1]


# ---- a retriever that runs on


def test_a_retriever_says_why_it_serves_an_older_generation(index, fake_embedder, tally):
    store = IndexStore(index)
    retriever = Retriever.open(index, embedder=fake_embedder)
    assert retriever.warning is None
    name = write(index, make_draft(fake_embedder, stamp=" newest"))
    damage(index / name / "documents.jsonl")
    assert retriever.refresh().generation.name == "gen-000002"
    assert "documents.jsonl is damaged" in retriever.warning and "Still serving gen-000002" in retriever.warning
    assert retriever.refresh() and "Still serving gen-000002" in retriever.warning  # and again, a look later
    late = Retriever.open(index, embedder=fake_embedder)
    assert late.snapshot().generation.name == "gen-000002" and "gen-000002 meanwhile" in late.warning
    assert store.rollback() == "gen-000002"
    for one in (retriever, late):
        held = one.refresh().generation.warning is None and one.warning is None
        tally.case(held, "the warning outlived its cause")
        assert held


def test_a_lack_of_descriptors_is_no_damage(index, fake_embedder, monkeypatch, tally):
    """The newest generation is whole: nothing older stands in, nothing is thrown away, and it is tried again."""
    retriever = Retriever.open(index, embedder=fake_embedder)
    name = write(index, make_draft(fake_embedder, stamp=" newest"))
    with no_descriptors_left():
        with pytest.raises(RagError, match=r"Too many open files. Raise the limit \(ulimit -n\)") as caught:
            IndexStore(index).open_current()
        assert not isinstance(caught.value, IndexCorruptError)
        assert retriever.refresh().generation.name == "gen-000002" and "ulimit" in retriever.warning
    held = retriever.refresh().generation.name == name and retriever.warning is None
    tally.case(held, "the new generation was never followed")
    assert held


class no_descriptors_left:  # noqa: N801  (reads as what it is)
    """Takes every descriptor that the process may still open."""

    def __enter__(self):
        import resource

        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.open("/", os.O_RDONLY)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, self._limits[1]))

    def __exit__(self, *exception):
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
