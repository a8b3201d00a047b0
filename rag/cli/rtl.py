"""Arabic and Hebrew on a terminal: who puts the letters in order, the terminal or we.

A terminal that knows the bidirectional algorithm wants text as it is stored. One that does not shows it back to front
and unjoined; for it the letters are joined and each line is put in the order in which it is drawn.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping

CHOICES = ("auto", "shape", "off")
# Terminals without the algorithm, by what they set. What is not known is left alone: text in stored order can be
# copied and is right on the terminals that hide behind TERM=xterm-256color (GNOME, Konsole, Apple, PuTTY).
_WITHOUT_BY_TERM = ("linux", "xterm-kitty", "alacritty", "foot", "wezterm", "xterm-ghostty", "rxvt", "st-", "eterm")
_WITHOUT_BY_VARIABLE = ("WT_SESSION", "XTERM_VERSION", "KITTY_WINDOW_ID", "ALACRITTY_WINDOW_ID", "WEZTERM_PANE")
_WITHOUT_BY_PROGRAM = ("iTerm.app", "vscode", "WezTerm", "ghostty", "Hyper")
_VTE_WITH = 5800  # VTE 0.58 brought it to GNOME Terminal and its kin
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_MARKS_FIRST = re.compile(r"([\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670]+)(.)")


def add_rtl_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--rtl``."""
    parser.add_argument(
        "--rtl",
        choices=CHOICES,
        default="auto",
        help="Arabic on a terminal: join and order the letters here (shape) or leave that to it (off); "
        "auto shapes where the terminal is known not to (default: %(default)s)",
    )


def wants_shaping(choice: str, environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Tell whether letters are to be joined and ordered here.

    Args:
        choice: One of `CHOICES`. ``"shape"`` holds for a pipe too.
        environment: The variables by which a terminal makes itself known.
        is_terminal: Whether the output is one; a pipe gets stored order under ``"auto"``.
    """
    if choice != "auto":
        return choice == "shape"
    if not is_terminal or _knows_bidi(environment):
        return False
    return (
        environment.get("TERM", "").startswith(_WITHOUT_BY_TERM)
        or environment.get("TERM_PROGRAM", "") in _WITHOUT_BY_PROGRAM
        or any(name in environment for name in _WITHOUT_BY_VARIABLE)
    )


def _knows_bidi(environment: Mapping[str, str]) -> bool:
    vte = environment.get("VTE_VERSION", "")
    return (
        (vte.isdecimal() and int(vte) >= _VTE_WITH)
        or "KONSOLE_VERSION" in environment
        or "MLTERM" in environment
        or environment.get("TERM", "").startswith("mlterm")
        or environment.get("TERM_PROGRAM", "") == "Apple_Terminal"
    )


def join_letters(text: str) -> str:
    """Return text with Arabic letters in their joined forms, in stored order; for `draw_line` after it was wrapped."""
    if not _RIGHT_TO_LEFT.search(text):
        return text
    from arabic_reshaper import ArabicReshaper  # type: ignore[import-untyped]

    # Diacritics stay: the quote is the reader's own. Few terminal fonts have the ligature of the name of God.
    reshaper = ArabicReshaper(configuration={"delete_harakat": False, "ARABIC LIGATURE ALLAH": False})
    return str(reshaper.reshape(text))


def draw_line(line: str) -> tuple[str, bool]:
    """Return one line in the order in which it is drawn, and whether it reads from right to left."""
    if not _RIGHT_TO_LEFT.search(line):
        return line, False
    # Not the faster one at the top of the package: it leaves brackets unmirrored.
    from bidi.algorithm import get_base_level, get_display  # type: ignore[import-untyped]

    # A terminal draws a mark on the letter before it; drawn from the left that would be the wrong neighbour.
    return _MARKS_FIRST.sub(r"\2\1", str(get_display(line))), get_base_level(line) == 1
