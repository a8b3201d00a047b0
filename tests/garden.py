"""A real Chromium, a real server with the built-in models, and a person who notices every error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = Path("/usr/bin/chromium")
PAYLOAD = '<img src="http://127.0.0.1:9/x.png" onerror="window.hacked=1"><script>window.hacked=1</script>'
ARABIC = """# دليل الغلاية الزرقاء

## مدة الضمان

مدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء، ويشمل الضمان عطل السخّان ولا يشمل الكسر.

## طريقة التنظيف

SEO ليست من شأن الغلاية؛ تُنظَّف الغلاية الزرقاء بالخلّ الأبيض مرة كل شهر، ثم تُشطف بالماء مرتين.
"""
ENGLISH = f"""# Growing tomatoes

## Light

Tomatoes want at least six hours of direct sunlight a day, and more in spring.

## Water

Water tomatoes every second morning, at the root, and never on the leaves. {PAYLOAD}
"""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    """Return Chromium; it ends with the module, since its event loop would be in the way of other tests."""
    if not CHROMIUM.exists():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{CHROMIUM} is missing: install Debian's package chromium")
        pytest.skip(f"{CHROMIUM} is missing; install Debian's package chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def server(folder: Path, *command: str | Path, wait_s: float = 100, **environment: str) -> Iterator[str]:
    """Run Python in ``folder``, by default ``app.py``; yield the address that it says it answers on."""
    log = folder / "log"
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, *(command or (ROOT / "app.py", "--port", "0"))],
            cwd=folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(folder / "tmp"), **environment},
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + wait_s
        while not (found := re.search(r"answers on (http://\S+)", log.read_text(encoding="utf-8"))):
            assert process.poll() is None and time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield found[1]
        assert "Traceback" not in log.read_text(encoding="utf-8")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def plant(folder: Path) -> None:
    """Write the two documents, each in a folder of its own."""
    (folder / "corpus" / "home").mkdir(parents=True)
    (folder / "corpus" / "garden").mkdir()
    (folder / "corpus" / "home" / "kettle.md").write_text(ARABIC, encoding="utf-8")
    (folder / "corpus" / "garden" / "tomatoes.md").write_text(ENGLISH, encoding="utf-8")


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Return a server that tests only ask; what changes its documents takes ``own_address``."""
    folder = tmp_path_factory.mktemp("ui")
    plant(folder)
    subprocess.run([sys.executable, "-m", "rag", "build", "corpus"], cwd=folder, check=True, capture_output=True)
    with server(folder) as found:
        yield found


@pytest.fixture(scope="module")
def own_address(browser, tmp_path_factory):
    """Return a server whose documents a module may change; its index was built by the page's own button."""
    folder = tmp_path_factory.mktemp("own")
    plant(folder)
    with server(folder) as found:
        first = Visitor(browser, found)
        assert "There is no index yet" in first.ask("Is there an index?").inner_text()
        first.page.locator("[data-action=view][data-value=documents]").click()
        first.page.locator("[data-action=rebuild]").click()
        first.page.wait_for_selector(".report", timeout=120_000)
        first.context.close()
        assert (first.errors, first.elsewhere) == ([], [])
        yield found


class Visitor:
    """A person with a browser of their own, who notices every error and every request to elsewhere."""

    def __init__(self, browser, address: str, **options) -> None:
        self.context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._note(request.url, address))
        self.page.goto(address)
        self.page.wait_for_selector(".example")
        self.page.wait_for_function("document.documentElement.dataset.view === 'chat'")

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address + "/", "data:", "blob:")):
            self.elsewhere.append(url)

    def ask(self, question: str):
        """Type a question, send it with Enter, wait for the end of the answer; return the reply."""
        count = self.page.locator(".turn").count()
        self.page.locator("#sanad-question textarea").fill(question)
        self.page.locator("#sanad-question textarea").press("Enter")
        self.page.wait_for_function("n => document.querySelectorAll('.turn').length === n + 1", arg=count)
        reply = self.page.locator(".turn").nth(count).locator(".reply")
        self.settled()
        return reply

    def settled(self) -> None:
        """Wait for the end of the answer that is being written."""
        self.page.wait_for_function("() => document.querySelector('.turn:last-child .reply:not(.writing)')")

    def open(self, button) -> str:
        """Open what ``button`` cites and return the marked text."""
        button.click()
        return self.opened()

    def opened(self) -> str:
        self.page.wait_for_selector("html[data-source=open] .source-body mark", state="attached")
        return "".join(self.page.locator(".source-body mark").all_text_contents())

    def direction(self, selector: str) -> str:
        return self.page.locator(selector).first.evaluate("element => getComputedStyle(element).direction")


@pytest.fixture
def visitors(browser):
    """Return what opens a browser of its own at an address; each has met no error when the test ends."""
    here: list[Visitor] = []

    def come(address: str, **options) -> Visitor:
        here.append(Visitor(browser, address, **options))
        return here[-1]

    yield come
    for person in here:
        person.page.wait_for_timeout(100)
        hacked = person.page.evaluate("window.hacked")
        person.context.close()
        assert person.errors == []
        assert person.elsewhere == []
        assert hacked is None


@pytest.fixture
def visitor(visitors, address):
    """Return what opens a browser of its own at the server that tests only ask."""
    return lambda **options: visitors(address, **options)
