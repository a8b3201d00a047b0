"""Fuzzed: whatever comes from outside is taken or refused, and never breaks what takes it.

The short run uses hypothesis and the inputs that were kept; the full run atheris as well, for
``SANAD_FUZZ_SECONDS`` a target (60).
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reliability import fuzz

PROMISE = "P19 fuzzed"
IS_FULL = os.environ.get("SANAD_RELIABILITY") == "full"
pytestmark = pytest.mark.timeout(12 * 3600 if IS_FULL else 600)
SECONDS = int(os.environ.get("SANAD_FUZZ_SECONDS", "60"))
EXAMPLES = 300 if IS_FULL else 25

# Letters that texts are made of, with those among them that break programs.
_LETTERS = (
    "aZé ßı\n\t.!?؟،:-*#>|`[](){}<&;\"'\\/=_~0٣$"
    + "ابةىءـ\u064e\u0651ﷺﻻ"
    + "\u200b\u200d\u200f\u202e\u2066\u2069\ufeff\u00ad"
)
_LETTERS += "\u0301\ufe0f\U000e0041👩🇯\u1100\u1161가\u3042漢\ufffd\x00\x1b\x85\u2028"
texts = st.text(st.sampled_from(_LETTERS), max_size=400)
starts = st.sampled_from(
    ["", "---\n", "<html><body>", "{\\rtf1 ", '{"a": ', "From: a@b.c\nSubject: x\n", "a,b\n", "| a |\n|-|\n"]
)
inputs = st.one_of(
    st.binary(max_size=600),
    texts.map(lambda text: text.encode()),
    st.tuples(st.integers(0, 255), starts, texts).map(lambda parts: bytes([parts[0]]) + (parts[1] + parts[2]).encode()),
    st.tuples(st.integers(0, 255), texts).map(lambda parts: bytes([parts[0]]) + parts[1].encode("cp1256", "ignore")),
)


def kept(target: str) -> list[Path]:
    folder = fuzz.KEPT / target
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_any_input_is_taken_or_refused(name, tally):
    target = fuzz.TARGETS[name]
    for seed in fuzz.seeds(name):
        target(seed)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(inputs)
    def holds(data: bytes) -> None:
        target(data)
        tally.case(True)

    holds()


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_inputs_that_once_broke_something_do_so_no_more(name, tally):
    for path in kept(name):
        fuzz.TARGETS[name](path.read_bytes())
        tally.case(True, path.name)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_guided_fuzzing_finds_nothing(name, tally, is_full, tmp_path):
    if importlib.util.find_spec("atheris") is None:
        tally.skip("atheris is not installed: pip install 'sanad[fuzz]'")
        pytest.skip("atheris is not installed: pip install 'sanad[fuzz]'")
    if not is_full:
        pytest.skip("guided fuzzing is for the full run: make reliability")
    done = fuzzed(name, SECONDS, tmp_path)
    runs = re.findall(rb"Done (\d+) runs", done.stderr) or re.findall(rb"^#(\d+)", done.stderr, re.MULTILINE)
    tally.figures[f"runs of {name}"] = int(runs[-1]) if runs else 0
    broken = [
        path.read_bytes()[:200] for pattern in ("crash-*", "timeout-*", "oom-*") for path in tmp_path.glob(pattern)
    ]
    held = done.returncode == 0 and not broken
    tally.case(held, f"{name}: {broken} {done.stderr[-300:]!r}" if not held else "")
    assert held, done.stderr.decode("utf-8", "replace")[-3_000:]


def fuzzed(name: str, seconds: int, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "reliability.fuzz", name, str(seconds), str(folder / "corpus")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
    )


def test_a_broken_target_would_be_found():
    """The known bad one: a parser that trusts a length."""

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(inputs)
    def naive(data: bytes) -> None:
        assert data.decode("utf-8")[: len(data)] is not None

    with pytest.raises(UnicodeDecodeError):
        naive()
