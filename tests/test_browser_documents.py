"""Documents: upload, index, ask, delete; others go on chatting meanwhile."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_an_uploaded_document_answers_after_the_rebuild(visitors, own_address, tmp_path):
    import docx

    person = visitors(own_address)
    document = docx.Document()
    document.add_heading("Lighthouse rules", 1)
    document.add_paragraph("The lighthouse keeper lights the lamp twenty minutes before sunset.")
    document.save(tmp_path / "منارة البحر.docx")
    question = "When does the lighthouse keeper light the lamp?"
    person.page.locator("[data-action=view][data-value=documents]").click()
    assert person.page.locator("table.documents tbody tr").count() == 2
    person.page.locator("[data-input=files]").set_input_files(tmp_path / "منارة البحر.docx")
    person.page.wait_for_selector(".uploads .upload_added")
    assert "منارة البحر" in person.page.locator(".uploads").inner_text()
    person.page.locator("[data-action=rebuild]").click()
    person.page.wait_for_selector(".progress progress")
    person.page.wait_for_selector(".report")
    assert "New: 1" in person.page.locator(".report .in-en").first.inner_text()
    person.page.wait_for_function(
        "() => document.querySelectorAll('table.documents tbody tr').length === 3", timeout=5000
    )
    person.page.locator("[data-action=view][data-value=chat]").click()
    reply = person.ask(question)
    assert "twenty minutes before sunset" in reply.inner_text()
    assert person.open(reply.locator(".chip").first) == reply.locator(".quote").first.evaluate(
        "element => [...element.childNodes].filter(node => !node.matches?.('.chips'))"
        ".map(node => node.textContent).join('').trim()"
    )
    # ... and is gone after it was deleted, here for a second reader who was chatting all the while
    other = visitors(own_address)
    assert "twenty minutes" in other.ask(question).inner_text()
    person.page.locator("[data-action=view][data-value=documents]").click()
    row = person.page.locator("table.documents tbody tr").filter(has_text="منارة البحر")
    assert row.locator("[data-action=delete]").count() == 1
    assert person.page.locator("table.documents [data-action=delete]").count() == 1  # only what was uploaded
    row.locator("[data-action=delete]").click()
    row.locator("[data-action=delete]").click()
    person.page.wait_for_function(
        "() => /no longer|gone|deleted/i.test(document.querySelector('#sanad-list').innerText)"
    )
    person.page.locator("[data-action=rebuild]").click()
    person.page.wait_for_function("() => document.querySelectorAll('table.documents tbody tr').length === 2")
    reply = other.ask(question)
    assert "twenty minutes" not in reply.inner_text()


def test_two_readers_ask_on_while_the_index_is_rebuilt(visitors, own_address, tmp_path):
    person, other = visitors(own_address), visitors(own_address)
    for number in range(30):
        (tmp_path / f"note-{number}.txt").write_text(
            f"Note {number}.\n\nThe gardener of plot {number} waters at {number % 12 + 1} o'clock. " * 20,
            encoding="utf-8",
        )
    person.page.locator("[data-action=view][data-value=documents]").click()
    person.page.locator("[data-input=files]").set_input_files(sorted(tmp_path.glob("note-*.txt")))
    person.page.wait_for_function("() => document.querySelectorAll('.uploads .upload_added').length === 30")
    person.page.locator("[data-action=rebuild]").click()
    person.page.wait_for_selector(".progress progress")
    asked = 0
    while person.page.locator(".report").count() == 0:
        assert "six hours" in other.ask("How much sunlight do tomatoes need?").inner_text()
        asked += 1
        person.page.wait_for_timeout(50)
    assert asked >= 1
    assert person.page.locator("table.documents tbody tr").count() == 32


def test_a_file_of_no_use_is_refused_with_a_reason(visitors, own_address, tmp_path):
    person = visitors(own_address)
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    (tmp_path / "empty.txt").write_bytes(b"")
    person.page.locator("[data-action=view][data-value=documents]").click()
    person.page.locator("[data-input=files]").set_input_files([tmp_path / "song.mp3", tmp_path / "empty.txt"])
    person.page.wait_for_selector(".uploads .upload_type")
    person.page.wait_for_selector(".uploads .upload_empty")
    assert "cannot be read" in person.page.locator(".uploads").inner_text()
    person.errors.clear()  # Chromium writes a refused request to its console
