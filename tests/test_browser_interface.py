"""The interface: language, theme, phone, settings, accessibility."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_the_interface_switches_language_and_theme_and_remembers_both(visitor):
    person = visitor()
    person.ask("How much sunlight do tomatoes need?")
    assert person.direction("#sanad-header .brand") == person.direction("#sanad-transcript") == "ltr"
    person.page.locator("[data-action=language]").click()
    person.page.wait_for_selector("#sanad-question textarea[placeholder*='سؤالك']")
    for place in ("html", "#sanad-header .brand", "#sanad-transcript", "#sanad-question textarea"):
        assert person.direction(place) == "rtl", place
    assert person.direction(".reply p.quote") == "ltr"  # an English quote stays as it is
    assert person.page.locator("nav button").first.inner_text() == "المحادثة"
    person.page.locator("[data-action=theme]").click()
    person.page.reload()
    person.page.wait_for_selector("#sanad-question textarea[placeholder*='سؤالك']")
    assert person.direction("html") == "rtl"
    assert "dark" in person.page.evaluate("document.body.className")


def test_on_a_phone_nothing_runs_off_the_screen(visitor):
    person = visitor(viewport={"width": 390, "height": 844}, locale="ar-EG")
    reply = person.ask("كيف تُنظَّف الغلاية؟")
    asked, shown = (person.page.locator(part).bounding_box() for part in (".question", "#sanad-transcript"))
    assert shown["y"] <= asked["y"] < shown["y"] + shown["height"]  # the answer is read from its question down
    width = "document.documentElement.scrollWidth"
    assert person.page.evaluate(width) <= 390
    assert person.open(reply.locator(".chip").first)
    box = person.page.locator(".source-body .text").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert person.page.evaluate(width) <= 390
    person.page.locator("[data-action=close]").click()
    person.page.locator("[data-action=view][data-value=documents]").click()
    person.page.wait_for_selector("table.documents")
    assert person.page.evaluate(width) <= 390


def test_settings_are_remembered_and_reach_the_answer(visitor):
    person = visitor()
    person.page.locator("[data-action=view][data-value=settings]").click()
    person.page.locator("[data-input=length][value=short]").check()
    person.page.locator("[data-input=theme][value=dark]").check()
    assert "dark" in person.page.evaluate("document.body.className")
    person.page.reload()
    person.page.wait_for_selector(".example", state="attached")
    assert "dark" in person.page.evaluate("document.body.className")
    person.page.locator("[data-action=view][data-value=settings]").click()
    assert person.page.locator("[data-input=length][value=short]").is_checked()
    person.page.locator("[data-input=interface-language][value=ar]").check()
    assert person.direction("html") == "rtl"
    person.page.locator("[data-action=view][data-value=chat]").click()
    reply = person.ask("How should I grow tomatoes, with how much light and water?")
    assert reply.locator("> .quote, > ul").count() == 1


def test_a_model_that_is_not_there_is_said_in_plain_words(visitor):
    person = visitor()
    person.page.locator("[data-action=view][data-value=settings]").click()
    person.page.locator("[data-input=model]").fill("./no-such-folder")
    person.page.locator("[data-action=model]").click()
    person.page.wait_for_selector(".model-said .trouble")
    assert "no-such-folder" in person.page.locator(".model-said").inner_text()
    person.page.locator("[data-action=view][data-value=chat]").click()
    assert "six hours" in person.ask("How much sunlight do tomatoes need?").inner_text()


def test_the_quality_view_says_how_to_measure(visitor):
    person = visitor()
    person.page.locator("[data-action=view][data-value=quality]").click()
    frame = person.page.frame_locator("#sanad-quality iframe")
    assert "rag eval" in frame.locator("body").inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["ar-EG", "en-US"])
def test_axe_finds_nothing_serious(visitor, locale, theme):
    from axe_playwright_python.sync_playwright import Axe

    person = visitor(locale=locale, color_scheme=theme, reduced_motion="reduce")
    found = []

    def look(where: str) -> None:
        violations = Axe().run(person.page).response["violations"]
        found.extend(
            (where, one["id"], [node["html"][:160] for node in one["nodes"][:3]])
            for one in violations
            if one["impact"] in ("serious", "critical")
        )

    look("welcome")
    reply = person.ask("How much sunlight do tomatoes need?")
    reply.locator(".why summary").click()
    person.ask("Who won the football world cup in 1998?")
    person.open(reply.locator(".chip").first)
    person.page.locator("[data-action=conversations]").click()
    look("chat with source and list")
    person.page.keyboard.press("Escape")
    for view in ("documents", "settings", "quality"):
        person.page.locator(f"[data-action=view][data-value={view}]").click()
        person.page.wait_for_timeout(300)
        look(view)
    assert found == []
