"""The login page in a real Chromium: in both languages, in both themes, with and without a script."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from garden import server
from people import MUNA, SARA, write_users

from rag.server.login import COOKIE

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent
SERVE = """
import sys
from conftest import HashEmbedder
from rag.server import serve
ready = lambda address: print(f"answers on {address}", flush=True)
serve(port=0, embedder=HashEmbedder(), auth_file="users", ui=sys.argv[1] == "ui", on_ready=ready)
"""


@contextlib.contextmanager
def serving(folder: Path, face: str) -> Iterator[str]:
    """Serve in a process of its own, with a login of two users and no index; yield the address."""
    write_users(folder / "users", SARA, MUNA)
    with server(folder, "-c", SERVE, face, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}") as address:
        yield address


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """Serve the API alone, where every other page is none; yield the address."""
    with serving(tmp_path_factory.mktemp("api"), "api") as address:
        yield address


class Reader:
    """A person with a browser of their own, which stands at the login; notices what is refused or goes elsewhere."""

    def __init__(self, browser, address: str, path: str = "/", **options) -> None:
        self.context = browser.new_context(**{"locale": "en-US", **options})
        self.troubles: list[str] = []
        self.address = address
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self._note(message.text))
        self.page.on("request", lambda request: self._visit(request.url))
        self.page.goto(address + path)

    def _note(self, text: str) -> None:
        if "Content Security" in text:
            self.troubles.append(text)

    def _visit(self, url: str) -> None:
        if not url.startswith((self.address + "/", "data:")):
            self.troubles.append(url)

    def log_in(self, name: str, password: str) -> None:
        self.page.locator("#name").fill(name)
        self.page.locator("#password").fill(password)
        self.page.locator("button").click()


@pytest.fixture
def reader(browser, api):
    """Return a function that gives a reader; see ``Reader``."""
    readers: list[Reader] = []

    def open_page(path: str = "/", *, at: str = "", **options) -> Reader:
        readers.append(Reader(browser, at or api, path, **options))
        return readers[-1]

    yield open_page
    for each in readers:
        each.context.close()
    assert [each.troubles for each in readers] == [[]] * len(readers)


SAID = {
    "en-US": ("ltr", "User name", "Password", "Log in", "The user name or the password is wrong.", "Log out"),
    "ar-EG": ("rtl", "اسم المستخدم", "كلمة المرور", "دخول", "اسم المستخدم أو كلمة المرور غير صحيحة.", "تسجيل الخروج"),
}


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize(("locale", "who"), [("en-US", SARA), ("ar-EG", MUNA)], ids=["en", "ar"])
def test_a_reader_logs_in_and_out_in_her_language(reader, api, locale, who, script):
    way, name, password, enter, wrong, leave = SAID[locale]
    page = reader("/?n=1", locale=locale, java_script_enabled=script).page
    assert page.url == f"{api}/login?next=%2F%3Fn%3D1"
    assert page.locator("html").get_attribute("dir") == way
    assert page.locator("form").evaluate("element => getComputedStyle(element).direction") == way
    page.get_by_role("textbox", name=name, exact=True).fill(who[0])
    page.get_by_label(password).fill("not " + who[1])
    page.get_by_role("button", name=enter, exact=True).click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == wrong
    assert page.get_by_label(name).input_value() == who[0]
    assert page.get_by_label(password).input_value() == ""
    assert page.evaluate("document.activeElement.id") == "password"
    page.keyboard.type(who[1])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{api}/?n=1")
    page.goto(f"{api}/logout")
    assert who[0] in page.get_by_role("heading", level=2).inner_text()
    page.get_by_role("button", name=leave, exact=True).click()
    page.get_by_role("status").wait_for()
    page.goto(api)
    assert page.url == f"{api}/login"


def test_after_the_login_the_chat_is_there_until_the_logout(reader, tmp_path):
    with serving(tmp_path, "ui") as address:
        sara = reader(at=address)
        sara.log_in(*SARA)
        page = sara.page
        page.wait_for_selector("#sanad-header")
        assert page.url == f"{address}/"
        (cookie,) = [cookie for cookie in sara.context.cookies() if cookie["name"] == COOKIE]
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
        config = "() => fetch('/config').then(reply => reply.status)"
        assert page.evaluate(config) == 200
        page.locator("[data-action=view][data-value=settings]").click()
        assert page.locator(".logout").get_attribute("href") == "/logout"
        page.locator("[data-action=view][data-value=chat]").click()
        left = page.evaluate("() => fetch('/logout', {method: 'POST'}).then(reply => reply.url)")
        assert left == f"{address}/login?left=1"
        page.locator("#sanad-question textarea").fill("Is anybody there?")
        page.locator("#sanad-question textarea").press("Enter")
        page.wait_for_selector("#password")  # the question is not answered in silence
        assert page.url == f"{address}/login?next=%2F"
        sara.context.close()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_the_colours_of_the_chat(reader, scheme, script):
    page = reader(color_scheme=scheme, java_script_enabled=script).page
    style = (ROOT / "rag" / "ui" / "static" / "style.css").read_text(encoding="utf-8")
    rule = style[style.index(":root {" if scheme == "light" else 'html[data-theme="dark"] {') :]
    paper = re.search(r"--paper: #(..)(..)(..);", rule)
    red, green, blue = (int(part, 16) for part in paper.groups())
    shown = page.locator("html").evaluate("element => getComputedStyle(element).backgroundColor")
    assert shown == f"rgb({red}, {green}, {blue})"


def test_the_language_is_switched_in_place_and_remembered(reader):
    page = reader().page
    page.locator("#name").fill("sara")
    page.get_by_role("link", name="العربية").click()
    assert page.locator("html").get_attribute("dir") == "rtl"
    assert page.get_by_role("textbox", name="اسم المستخدم").input_value() == "sara"
    page.reload()
    assert page.get_by_role("button", name="دخول", exact=True).is_visible()
    plain = reader("/?n=1", java_script_enabled=False)
    plain.page.get_by_role("link", name="العربية").click()
    plain.page.wait_for_selector("html[dir=rtl]")
    assert plain.page.locator("input[name=next]").get_attribute("value") == "/?n=1"
    plain.log_in("sara", "wrong")
    assert plain.page.get_by_role("alert").inner_text() == SAID["ar-EG"][4]


@pytest.mark.parametrize("locale", SAID)
def test_on_a_phone_the_page_fits_and_can_be_read(reader, locale):
    from axe_playwright_python.sync_playwright import Axe

    someone = reader(locale=locale, viewport={"width": 320, "height": 568})
    someone.log_in("m" * 64, "wrong")
    page = someone.page
    page.get_by_role("alert").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator("button").bounding_box()["height"] >= 44
    for scheme in ("light", "dark"):
        page.evaluate("scheme => document.documentElement.dataset.theme = scheme", scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_a_link_on_another_site_opens_the_page_of_who_has_logged_in(reader, api):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="{api}/?n=1">to Sanad</a>'.encode())

        def log_message(self, *_: object) -> None:
            pass

    sara = reader()
    sara.log_in(*SARA)
    sara.page.wait_for_url(f"{api}/")
    other = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        elsewhere = sara.context.new_page()
        elsewhere.goto(f"http://localhost:{other.server_port}/")  # localhost is another site than 127.0.0.1
        elsewhere.locator("a").click()
        elsewhere.wait_for_url(f"{api}/?n=1")
        elsewhere.get_by_text("Not Found").wait_for()  # the application's word: the login was passed
    finally:
        other.shutdown()
        other.server_close()
