"""Conversations stay in the browser: reload, list, rename, search, delete, export."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SUNLIGHT = "How much sunlight do tomatoes need?"
WARRANTY = "كم مدة ضمان الغلاية الزرقاء؟"


def test_a_reload_keeps_the_conversation_and_the_follow_up_knows_it(visitor):
    person = visitor()
    before = person.ask(SUNLIGHT).locator(".quote").first.inner_text()
    person.page.reload()
    person.page.wait_for_selector(".turn .reply.done")
    assert person.page.locator(".turn .quote").first.inner_text() == before
    assert person.open(person.page.locator(".chip").first) in before
    reply = person.ask("And how should I water them?")
    assert "every second morning" in reply.inner_text()
    assert "tomatoes" in reply.locator(".searched").inner_text()


def test_what_is_kept_in_the_browser_cannot_act_when_it_is_shown_again(visitor):
    person = visitor()
    person.ask(SUNLIGHT)
    person.page.evaluate("""() => {
        const key = Object.keys(localStorage).find(key => key.startsWith('sanad-conversation-'));
        const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
        const one = JSON.parse(localStorage[key]);
        one.title = evil;
        const [turn] = one.turns;
        turn.question = turn.answer.text = turn.answer.query = turn.answer.notice = evil;
        turn.answer.statements.forEach(said => { said.text = evil; said.kind = '"><img src=x onerror=alert(1)>'; });
        turn.answer.citations.forEach(cited => { cited.title = cited.doc_id = cited.quote = evil; });
        localStorage[key] = JSON.stringify(one);
    }""")
    person.page.reload()
    person.page.wait_for_selector(".turn .reply")
    assert "onerror" in person.page.locator(".turn .question").inner_text()
    assert person.page.locator(":is(#sanad-chat, #sanad-source, #sanad-conversations) :is(img, script)").count() == 0
    person.page.locator("[data-action=conversations]").click()
    assert "<img" in person.page.locator("#sanad-conversations .name").inner_text()


@pytest.mark.parametrize("kept", ["not json", '{"turns": 5}', '{"id": "x", "title": "t", "updated": 1, "turns": [{}]}'])
def test_a_conversation_that_cannot_be_read_is_no_trouble(visitor, kept):
    person = visitor()
    person.page.evaluate(
        "kept => { localStorage['sanad-conversation-x'] = kept; sessionStorage['sanad-current'] = 'x'; }", kept
    )
    person.page.reload()
    person.page.wait_for_selector(".example")
    assert "six hours" in person.ask(SUNLIGHT).inner_text()


def test_conversations_are_listed_found_renamed_and_deleted(visitor):
    person = visitor()
    person.ask(SUNLIGHT)
    person.page.locator("[data-action=conversations]").click()
    person.page.locator("[data-action=new]").click()
    assert person.page.locator(".turn").count() == 0 and person.page.locator(".welcome").is_visible()
    person.ask(WARRANTY)
    names = person.page.locator("#sanad-conversations .name")
    assert names.all_inner_texts() == [WARRANTY, SUNLIGHT]
    search = person.page.locator("[data-input=search]")
    search.fill("ثلاث سنوات")  # said in the answer
    assert names.all_inner_texts() == [WARRANTY]
    search.fill("SUNLIGHT")
    assert names.all_inner_texts() == [SUNLIGHT]
    search.fill("")
    person.page.locator("#sanad-conversations li").nth(1).locator("[data-action=rename]").click()
    person.page.keyboard.type("Garden")
    person.page.keyboard.press("Enter")
    assert names.all_inner_texts() == [WARRANTY, "Garden"]
    names.nth(1).click()
    person.page.wait_for_function("document.querySelector('.turn .question')?.innerText.startsWith('How much')")
    forget = person.page.locator("#sanad-conversations li").nth(1).locator("[data-action=forget]")
    forget.click()
    assert names.count() == 2  # asked again first
    forget.click()
    assert names.all_inner_texts() == [WARRANTY] and person.page.locator(".turn").count() == 0
    person.page.reload()
    person.page.wait_for_selector(".example", state="attached")
    person.page.locator("[data-action=conversations]").click()
    assert names.all_inner_texts() == [WARRANTY]


@pytest.mark.parametrize("kind", ["md", "html"])
def test_an_exported_conversation_holds_the_quotes_and_asks_nothing_of_anyone(visitor, tmp_path, kind):
    person = visitor()
    person.ask(SUNLIGHT)
    person.page.locator("[data-action=conversations]").click()
    with person.page.expect_download() as download:
        person.page.locator(f"[data-action=export][data-value={kind}]").click()
    assert download.value.suggested_filename == f"How much sunlight do tomatoes need.{kind}"
    path = Path(tmp_path, f"export.{kind}")
    download.value.save_as(path)
    text = path.read_text(encoding="utf-8")
    if kind == "html":
        requests: list[str] = []
        page = person.context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        assert "six hours" in page.locator("body").inner_text() and SUNLIGHT in page.locator("body").inner_text()
        assert "tomatoes.md" in page.locator("body").inner_text()
        assert requests == [path.as_uri()]
        page.close()
    else:
        plain = re.sub(r"\\(.)", r"\1", text)  # each mark that Markdown would read is escaped
        assert "six hours" in plain and "tomatoes.md" in plain and SUNLIGHT in plain
