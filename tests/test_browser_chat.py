"""Ask, read the source, go on asking: what a reader does in the chat, in a real Chromium."""

from __future__ import annotations

import re

import pytest
from garden import ARABIC

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SUNLIGHT = "How much sunlight do tomatoes need?"


def test_an_arabic_reader_asks_and_opens_the_source_with_the_keyboard(visitor):
    person = visitor(locale="ar-EG")
    assert person.direction("html") == person.direction("#sanad-transcript") == "rtl"
    assert person.direction("#sanad-question textarea") == "rtl"
    reply = person.ask("كم مدة ضمان الغلاية الزرقاء؟")
    quote = reply.locator("p.quote").first
    assert "ثلاث سنوات" in quote.inner_text()
    assert quote.evaluate("element => getComputedStyle(element).direction") == "rtl"
    reply.locator(".chip").first.focus()
    person.page.keyboard.press("Enter")
    marked = person.opened()
    assert marked in ARABIC
    assert marked in quote.evaluate("element => element.textContent")
    assert person.page.locator(".about h2").inner_text() == "دليل الغلاية الزرقاء"
    assert "مدة الضمان" in person.page.locator(".about .path").inner_text()
    assert person.page.evaluate("document.activeElement.tagName") == "H2"
    mark, panel = person.page.locator("mark").first.bounding_box(), person.page.locator(".text").bounding_box()
    assert panel["y"] <= mark["y"] <= panel["y"] + panel["height"]
    assert panel["x"] + panel["width"] <= person.page.locator("#sanad-transcript").bounding_box()["x"] + 1  # mirrored
    person.page.keyboard.press("Escape")
    assert not person.page.locator("#sanad-source").is_visible()
    assert "chip" in person.page.evaluate("document.activeElement.className")


def test_an_english_reader_asks_and_a_document_cannot_act(visitor):
    person = visitor()
    assert person.direction("html") == "ltr"
    reply = person.ask("How much sunlight do tomatoes need?")
    assert "six hours" in reply.inner_text()
    marked = person.open(reply.locator(".chip").first)
    assert "six hours" in marked
    assert marked in person.page.locator(".source-body .text").evaluate("element => element.textContent")
    reply = person.ask("How should I water tomatoes?")
    assert "every second morning" in reply.inner_text()
    person.open(reply.locator(".chip").first)
    assert person.page.locator(":is(#sanad-chat, #sanad-source) :is(img, script, iframe)").count() == 0


def test_a_follow_up_question_is_read_with_the_turn_before_it(visitor):
    person = visitor()
    first = person.ask("How much sunlight do tomatoes need?")
    assert first.locator(".searched").count() == 0
    reply = person.ask("And how should I water them?")
    assert "every second morning" in reply.inner_text()
    searched = reply.locator(".searched")
    assert "Searched for: " in searched.inner_text() and "tomatoes" in searched.inner_text()
    assert searched.bounding_box()["y"] < reply.locator(".quote").first.bounding_box()["y"]
    arabic = visitor(locale="ar-EG")
    arabic.ask("كم مدة ضمان الغلاية الزرقاء؟")
    reply = arabic.ask("وكيف أنظّفها؟")
    assert "بالخلّ الأبيض" in reply.inner_text()
    assert "الغلاية الزرقاء" in reply.locator(".searched").inner_text()
    assert arabic.direction(".searched .in-ar") == "rtl"


def test_what_the_documents_do_not_say_looks_different_and_shows_the_nearest_passages(visitor):
    person = visitor()
    reply = person.ask("Who won the football world cup in 1998?")
    assert "abstained" in reply.get_attribute("class")
    assert reply.locator(".verdict").inner_text() == "Not in the documents"
    assert reply.locator(".chip").count() == 0
    near = reply.locator(".near").first
    assert person.open(near)
    answered = person.ask("How much sunlight do tomatoes need?")
    colour = "element => getComputedStyle(element).backgroundColor"
    assert reply.evaluate(colour) != answered.evaluate(colour)


def test_a_question_in_markup_is_shown_as_it_was_typed(visitor):
    person = visitor()
    question = "<img src=x onerror=alert(1)> **tomatoes** {{value}} ${1+1} `x`"
    person.ask(question)
    assert person.page.locator(".question").last.inner_text() == question


def test_a_reader_tries_again_edits_and_takes_a_question_back(visitor):
    person = visitor()
    person.ask("Who won the football world cup in 1998?")
    turns = person.page.locator(".turn")
    turns.last.locator("[data-action=edit]").click()
    box = person.page.locator("#sanad-question textarea")
    assert box.input_value() == "Who won the football world cup in 1998?"
    box.fill(SUNLIGHT)
    box.press("Enter")
    person.page.wait_for_selector(".turn .reply.done:not(.abstained)")
    assert turns.count() == 1 and turns.locator(".question").inner_text() == SUNLIGHT
    turns.locator("[data-action=retry]").click()
    person.settled()
    assert turns.count() == 1 and "six hours" in turns.inner_text()
    turns.locator("[data-action=undo]").click()
    assert turns.count() == 0 and box.input_value() == SUNLIGHT
    assert person.page.locator(".welcome").is_visible()


def test_an_answer_is_copied_with_its_sources(visitor):
    person = visitor(permissions=["clipboard-read", "clipboard-write"])
    reply = person.ask(SUNLIGHT)
    reply.locator("[data-action=copy]").click()
    person.page.wait_for_selector("#sanad-question .said >> text=Copied")
    copied = person.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(SUNLIGHT) and "six hours" in copied
    assert re.search(r"\[1\] Growing tomatoes · Light · garden/tomatoes\.md\n", copied)


def test_the_quote_shows_on_hover_and_focus_of_its_number(visitor):
    person = visitor()
    chip = person.ask(SUNLIGHT).locator(".chip").first
    card = person.page.locator("#sanad-hover")
    assert not card.is_visible()
    chip.hover()
    assert "six hours" in card.inner_text() and "Growing tomatoes" in card.inner_text()
    person.page.mouse.move(2, 2)
    assert not card.is_visible()
    chip.focus()
    assert card.is_visible() and chip.get_attribute("aria-describedby") == "sanad-hover"
    box = card.bounding_box()
    assert 0 <= box["x"] and box["x"] + box["width"] <= 1280


def test_why_these_passages_shows_ranks_and_times(visitor):
    reply = visitor().ask(SUNLIGHT)
    assert not reply.locator(".why table").is_visible()
    reply.locator(".why summary").click()
    rows = reply.locator(".why tbody tr")
    assert rows.count() >= 3 and reply.locator(".why tr.quoted-one").count() >= 1
    assert "Growing tomatoes" in rows.first.inner_text()
    assert re.search(r"\d+ ms", reply.locator(".why .times").inner_text())


def test_sure_answers_say_so_in_words_and_suggest_what_to_ask_next(visitor):
    person = visitor()
    reply = person.ask(SUNLIGHT)
    assert not re.search(r"0\.\d", reply.locator(".confidence").inner_text())
    following = reply.locator(".follow-up")
    assert following.count() >= 1
    following.first.click()
    person.page.wait_for_function("document.querySelectorAll('.turn').length === 2")
    person.settled()
    assert not person.page.locator(".turn").first.locator(".further").is_visible()


def test_stopping_leaves_what_has_come_and_the_next_question_is_answered(visitor):
    person = visitor()
    box = person.page.locator("#sanad-question textarea")
    box.fill(SUNLIGHT)
    person.page.evaluate("""() => new MutationObserver((_, observer) => {
        if (!document.querySelector('.reply.writing')) return;
        observer.disconnect();
        document.querySelector('#sanad-question .stop').click();
    }).observe(document.querySelector('#sanad-transcript'), {childList: true, subtree: true})""")
    box.press("Enter")
    person.page.wait_for_selector(".turn .reply.stopped, .turn .reply.done")
    person.settled()
    assert person.page.locator(".turn").count() == 1
    assert "six hours" in person.ask(SUNLIGHT).inner_text()


def test_a_question_can_be_kept_to_a_folder_a_language_or_a_document(visitor):
    person = visitor()
    person.page.locator("[data-input=collection]").select_option("home")
    reply = person.ask(SUNLIGHT)
    assert "six hours" not in reply.inner_text()
    person.page.locator("[data-input=collection]").select_option("")
    person.page.locator("[data-input=documents-language]").select_option("ar")
    assert "six hours" not in person.ask(SUNLIGHT).inner_text()
    person.page.locator("[data-input=documents-language]").select_option("")
    person.page.locator("[data-action=view][data-value=documents]").click()
    person.page.locator("[data-action=only][data-value='home/kettle.md']").click()
    chip = person.page.locator(".only-one")
    assert "دليل الغلاية الزرقاء" in chip.inner_text()
    assert "six hours" not in person.ask(SUNLIGHT).inner_text()
    chip.click()
    assert "six hours" in person.ask(SUNLIGHT).inner_text()


def test_an_opinion_is_kept_with_its_reason(visitor, address):
    person = visitor()
    reply = person.ask(SUNLIGHT)
    reply.locator("[data-action=feedback][data-value=down]").click()
    reply.locator(".reason textarea").fill("too short")
    reply.locator("[data-action=send-reason]").click()
    person.page.wait_for_selector("#sanad-question .said >> text=saved")
    assert reply.locator("[data-action=feedback][data-value=down]").get_attribute("aria-pressed") == "true"
    assert reply.locator(".reason").count() == 0
