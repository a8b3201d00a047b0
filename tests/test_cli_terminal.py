"""What a terminal shows: an answer dressed by rich, letters of Arabic, nothing that a document says to the terminal."""

import io

import pytest
from cli_runs import RAG, Terminal, run_on_folder, small_folder  # noqa: F401  (fixtures)
from rich.console import Console

from rag.answering.extractive import to_markdown
from rag.cli.pretty import PlainWriter, PrettyWriter
from rag.cli.rtl import draw_line, join_letters, wants_shaping
from rag.datatypes import Answer, Citation, Hit, Passage, Statement

QUOTE = "It leaves within one hour."
CITATION = Citation(1, "email.md", "Email", "en", QUOTE, 9, 9 + len(QUOTE), None, ("Welcome",), 0, 99)
STATEMENTS = (
    Statement("one hour", "short", (1,)),
    Statement("The documents say:", "frame"),
    Statement(QUOTE, "quote", (1,)),
    Statement("an item", "item", (2,)),
    Statement("another item", "item", (2,)),
)


def answer(statements=STATEMENTS, citations=(CITATION,), **more):
    text = to_markdown(statements)
    return Answer("q", "en", text, **{"abstained": False, "confidence": 0.9, **more}, statements=statements,
                  citations=citations)  # fmt: skip


def growing(whole, count):
    return [answer(STATEMENTS[:n], ()) for n in range(1, count)] + [whole]


def pretty(answers, *, shapes=False, width=60):
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, highlight=False, markup=False, color_system="standard"
    )
    PrettyWriter(console, shapes=shapes).show(answers)
    return console.file.getvalue()


def test_plain_text_is_the_markdown_however_it_grew(capsys):
    whole = answer()
    PlainWriter().show(growing(whole, len(STATEMENTS)))
    out = capsys.readouterr().out
    assert out == f"{whole.text}\n\n[1] Email › Welcome (email.md:9-{9 + len(QUOTE)})\n"


def test_plain_text_is_shown_block_by_block_as_it_grows(capsys):
    seen = []

    def answers():
        for grown in growing(answer(), len(STATEMENTS)):
            yield grown
            seen.append(capsys.readouterr().out)

    PlainWriter().show(answers())
    assert seen[1] == "**one hour** [1]\n\n"
    assert seen[2] == "The documents say:\n\n"


def test_quotes_that_replace_what_a_model_began_are_shown_whole(capsys):
    begun = answer((Statement("Written first.", "written", (1,)), Statement("More.", "written", (2,))), ())
    whole = answer(STATEMENTS[1:3], notice="The model failed.")
    PlainWriter().show([begun, whole])
    captured = capsys.readouterr()
    assert captured.out.startswith(f"Written first. [1]\n\n\n{whole.text}\n")
    assert captured.err == "note: The model failed.\n"
    assert "─" in pretty([begun, whole])


def test_a_short_answer_is_bold_a_frame_dim_and_marks_coloured():
    shown = pretty(growing(answer(), len(STATEMENTS)))
    assert "\x1b[1mone hour \x1b[0m\x1b[1;36m[1]\x1b[0m" in shown
    assert "\x1b[2;3mThe documents say:\x1b[0m" in shown
    assert shown.count(QUOTE) == 1 and shown.count("• an item") == 1
    assert "• another item \x1b[36m[2]\x1b[0m" in shown
    assert "Email › Welcome (email.md:9-" in shown


def test_a_refusal_looks_different_and_names_the_nearest_passages():
    passage = Passage("a.md", 3, 9, "passage", "en", "A title")
    refusal = answer((Statement("I did not find it.", "frame"),), (), abstained=True, hits=(Hit(passage, 1.0, 1),))
    shown = pretty([refusal])
    assert "\x1b[33mI did not find it.\x1b[0m" in shown
    assert "nearest: A title (a.md:3-9)" in shown


def test_a_rewritten_question_is_said(capsys):
    rewritten = answer(query="what was searched for")
    assert "searched for: what was searched for" in pretty([rewritten])
    PlainWriter(says_query=True).show([rewritten])
    assert capsys.readouterr().out.startswith("searched for: what was searched for\n\n")
    PlainWriter().show([rewritten])
    assert "searched for" not in capsys.readouterr().out


@pytest.mark.parametrize("attack", ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\r", "\x00", "\x08"])
def test_a_document_cannot_speak_to_the_terminal(attack, capsys):
    hostile = answer((Statement(f"before{attack}after", "quote", (1,)),))
    PlainWriter().show([hostile])
    shown = capsys.readouterr().out + pretty([hostile])
    assert attack not in shown.replace("\x1b[36m", "")


def test_text_of_a_document_is_no_markup_of_rich():
    assert "[bold]:smile:[/bold]" in pretty([answer((Statement("[bold]:smile:[/bold]", "quote", (1,)),))])


def test_letters_are_joined_and_drawn_from_the_right():
    joined = join_letters("لا بأس")
    assert "\ufefb" in joined  # lam and alef in one
    drawn, is_rtl = draw_line(joined)
    assert is_rtl and drawn == joined[::-1]


def test_brackets_numbers_and_latin_keep_their_sense():
    assert draw_line("تكلفة SEO هي 20 (دولار) [1]")[0] == "[1] (رالود) 20 يه SEO ةفلكت"
    assert draw_line("plain (text) [1]") == ("plain (text) [1]", False)


def test_a_diacritic_stays_on_its_letter():
    drawn = draw_line("سلّم")[0]
    assert drawn == "ملّس"
    assert drawn.index("ّ") == drawn.index("ل") + 1


def test_the_name_of_god_keeps_its_letters():
    assert len(join_letters("الله")) == 4


def test_wrapped_lines_are_each_drawn_and_set_to_the_right():
    text = " ".join(["كلمة"] * 20)
    shown = pretty([answer((Statement(text, "quote", (1,)),), ())], shapes=True, width=40)
    lines = [line for line in shown.splitlines() if line.strip()]
    assert len(lines) > 2
    assert lines[-1].startswith(" ") and all(len(line) <= 52 for line in lines)  # colours of the mark count here
    assert "[1]" in "".join(lines[-1].replace("\x1b[36m", "").replace("\x1b[0m", ""))


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, False),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600", "KITTY_WINDOW_ID": "1"}, False),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "240800"}, False),
        ({"TERM": "mlterm"}, False),
        ({"TERM_PROGRAM": "Apple_Terminal"}, False),
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "linux"}, True),
        ({"TERM": "alacritty"}, True),
        ({"TERM": "foot-extra"}, True),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(390)"}, True),
        ({"TERM": "xterm-256color", "WT_SESSION": "1"}, True),
        ({"TERM_PROGRAM": "vscode"}, True),
        ({}, False),
    ],
)
def test_letters_are_shaped_where_the_terminal_is_known_not_to(variables, wanted):
    assert wants_shaping("auto", variables, is_terminal=True) is wanted
    assert wants_shaping("auto", variables, is_terminal=False) is False
    assert wants_shaping("shape", variables, is_terminal=False) is True
    assert wants_shaping("off", variables, is_terminal=True) is False


def test_a_pipe_gets_the_letters_as_they_are_stored(run):
    question = "كيف توضع الميزانية؟"
    assert "توضع ميزانية التسويق" in run("ask", question)[1]
    assert "ﺗﻮﺿﻊ" not in run("ask", question)[1]
    assert "ﻊﺿﻮﺗ" in run("ask", question, "--rtl", "shape")[1]


def test_ask_on_a_terminal(folder):
    with Terminal(
        *RAG, "ask", "When should a welcome message leave?", "--index-dir", str(folder / "index")
    ) as terminal:
        shown = terminal.end()
    assert terminal.process.returncode == 0
    assert "\x1b[2;3mThe documents say:" in shown
    assert "within one hour of the subscription." in shown and "Email (email.md:" in shown
