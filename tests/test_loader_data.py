"""Rows and records: each says what its values are called, in every format that has tables."""

from __future__ import annotations

import datetime
import json

import docx
import papers
import pytest
from test_loader_office import load, loader  # noqa: F401  (fixtures)
from test_loaders import assert_contract, headings

from rag.config import LoadConfig
from rag.errors import CorpusError
from rag.loaders import DocumentLoader
from rag.loaders.cells import shown
from rag.loaders.separated import find_separator

ROWS = "Name: Sara | City: Amman\nName: Omar | City: Irbid"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "،", "؛"])
def test_the_separator_is_found(load, separator):  # noqa: F811
    lines = [["Name", "City"], ["Sara", "Amman"], ["Omar", "Irbid"]]
    text = "\r\n".join(separator.join(line) for line in lines)
    assert find_separator(text) == separator
    assert load("a.csv", text.encode()).text == ROWS


def test_commas_within_values_and_numbers_do_not_hide_the_separator():
    assert find_separator("Name;Sum\nSara, B.;1,5\nOmar, K.;2,5\n") == ";"
    assert find_separator("sep=;\nA,B;C\n") == ";"


def test_quotes_hold_separators_and_line_breaks(load):  # noqa: F811
    document = load("a.csv", b'Name,Remark\nSara,"tall, quick"\nOmar,"two\nlines"\n')
    assert document.text == "Name: Sara | Remark: tall, quick\nName: Omar | Remark: two lines"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1256", "utf-16"])
def test_a_csv_is_decoded_as_a_text_is(load, encoding):  # noqa: F811
    text = "الاسم;المدينة\nسارة;عمّان\nعمر;إربد\nليلى;العقبة\n"
    document = load("a.csv", text.encode(encoding))
    assert document.text.startswith("الاسم: سارة | المدينة: عمّان\n")
    assert document.title == "الاسم: سارة | المدينة: عمّان"  # the file's name is a mere code


def test_a_csv_without_a_header_keeps_its_first_row(load):  # noqa: F811
    assert load("a.csv", b"1,2.5\n3,4\n").text == "1 | 2.5\n3 | 4"


def test_a_csv_of_one_column_is_a_list(load):  # noqa: F811
    assert load("a.csv", b"first\nsecond\n").text == "- first\n- second"


def test_cells_beyond_the_limit_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 60)
    with DocumentLoader(LoadConfig(max_cells=100)) as small, pytest.raises(CorpusError, match="more than 100 cells"):
        small.load(tmp_path / "a.csv", "a.csv")


def test_json_gives_each_value_its_path_and_lists_of_objects_as_records(load):  # noqa: F811
    value = {
        "title": "دليل المقهى",
        "address": {"city": "عمّان", "floor": 3},
        "open": True,
        "closed": None,
        "staff": [{"name": "Sara", "skills": ["tea", "cake"]}, {"name": "Omar", "since": 2.50}],
    }
    document = load("cafe.json", json.dumps(value, ensure_ascii=False).encode())
    assert document.text == (
        "title: دليل المقهى\n\naddress.city: عمّان\n\naddress.floor: 3\n\nopen: true\n\nstaff\n\n"
        "name: Sara | skills: tea, cake\nname: Omar | since: 2.5"
    ).replace("\n\naddress", "\naddress").replace("\n\nopen", "\nopen")
    assert document.title == "دليل المقهى" and headings(document) == [(2, "staff")]
    assert_contract(document)


def test_json_keeps_long_texts_whole_under_their_titles(load):  # noqa: F811
    body = "The pool is cleaned before sunrise and tested at noon.\n\nThe water is changed in autumn. " * 8
    document = load("posts.json", json.dumps([{"id": 7, "title": "The pool", "body": body}]).encode())
    assert headings(document) == [(2, "The pool")]
    assert document.text.startswith("The pool\n\nid: 7 | title: The pool\n\nbody: The pool is cleaned")
    assert document.text.count("changed in autumn.") == 8


def test_json_numbers_are_shown_as_they_are_written(load):  # noqa: F811
    text = load("a.json", b'[{"a": 1.50, "b": 123456789012345678901234567890, "c": 1e400}]').text
    assert text == "a: 1.50 | b: 123456789012345678901234567890 | c: 1e400"


def test_json_lines_name_the_lines_that_are_no_json(load):  # noqa: F811
    document = load("a.jsonl", b'{"a": "one", "b": 1}\nbroken\n{"a": "two", "b": 2}\n')
    assert document.text == "a: one | b: 1\na: two | b: 2"
    assert document.warnings == ("1 lines are not JSON and were left out: 2",)


def test_text_that_is_no_json_is_refused_with_the_place(load):  # noqa: F811
    with pytest.raises(CorpusError, match="not JSON: .* in line 2, column 1"):
        load("a.json", b'{"a": 1,\n}')


LONG = [["Name", "City"], *([f"Person {n}", f"City {n}"] for n in range(20))]


def word_table() -> bytes:
    word = docx.Document()
    table = word.add_table(rows=len(LONG), cols=2)
    for cell, text in zip(table._cells, [text for row in LONG for text in row], strict=True):
        cell.text = text
    return papers.saved(word)


def html_table() -> bytes:
    rows = "".join("<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in LONG[1:])
    return f"<body><table><tr><th>Name</th><th>City</th></tr>{rows}</table></body>".encode()


def markdown_table() -> bytes:
    lines = [" | ".join(row) for row in LONG]
    return "\n".join([lines[0], "---|---", *lines[1:]]).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.docx", word_table), ("a.html", html_table), ("a.md", markdown_table)],
)
def test_a_table_too_long_for_one_passage_names_its_columns_in_each_row(load, name, content):  # noqa: F811
    lines = load(name, content()).text.split("\n")
    assert lines == [f"Name: Person {n} | City: City {n}" for n in range(20)]


def test_a_short_table_of_a_text_stays_as_it_is(load):  # noqa: F811
    assert load("a.md", b"Name | City\n---|---\nSara | Amman").text == "Name | City\nSara | Amman"


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.456, "0.0%", "45.6%"),
        (1234567.5, "#,##0.00", "1,234,567.50"),
        (-12.5, '"$"#,##0.00', "-$12.50"),
        (5, "[$€-407] #,##0.00", "€ 5.00"),
        (1_500_000, '#,##0,"K"', "1,500K"),
        (7, "000", "007"),
        (2.5, "0.##", "2.5"),
        (0.1 + 0.2, "General", "0.3"),
        (3.0, "General", "3"),
        (12, "# ?/?", "12"),
        (datetime.datetime(2026, 3, 1), "dd/mm/yyyy", "2026-03-01"),
        (datetime.datetime(2026, 3, 1, 14, 5), "dd/mm/yyyy hh:mm", "2026-03-01 14:05"),
        (datetime.timedelta(hours=26, minutes=3), "[h]:mm", "26:03"),
        (True, "General", "TRUE"),
        (float("inf"), "0.0", "inf"),
    ],
)
def test_a_cell_is_shown_as_a_sheet_shows_it(value, code, text):
    assert shown(value, code) == text
