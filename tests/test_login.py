"""Who is let through and who is not, and what guessing costs: the application behind its login."""

from __future__ import annotations

import base64
import logging
import re
import time

import pytest
from conftest import HashEmbedder
from fastapi.testclient import TestClient
from people import MUNA, SARA, write_users
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect

from rag.builder import build_index
from rag.server import ChatService, create_app
from rag.server.login import COOKIE, Login, local_path
from rag.server.login_page import login_page, logout_page, preferred_language
from rag.server.users import Users
from rag.ui.words import WORDS

BASE = "http://127.0.0.1:7860"
PAGE = {"accept": "text/html,application/xhtml+xml", "user-agent": "Mozilla/5.0", "sec-fetch-mode": "navigate"}
FETCH = {"accept": "*/*", "user-agent": "Mozilla/5.0", "sec-fetch-mode": "cors"}


@pytest.fixture
def users(tmp_path):
    return write_users(tmp_path / "users", SARA, MUNA)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("login")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "garden.md").write_text("# Garden\n\nTomatoes want six hours of sunlight a day.\n", "utf-8")
    embedder = HashEmbedder()
    build_index(folder / "corpus", folder / "index", embedder=embedder)
    return ChatService(folder / "index", corpus_dirs=[folder / "corpus"], embedder=embedder)


@pytest.fixture
def visit(service, users):
    """Return a function that opens a browser-like client at an address; all of them visit one server."""
    app = create_app(service=service, ui=False, auth_file=users)

    def visit(address: str = "10.0.0.1", **options) -> TestClient:
        return TestClient(app, **{"base_url": BASE, "client": (address, 1), "follow_redirects": False, **options})

    return visit


def log_in(client: TestClient, name: str = SARA[0], password: str = SARA[1], **fields: str):
    return client.post("/login", data={"name": name, "password": password, **fields}, headers=PAGE)


def search(client: TestClient, **options):
    return client.post("/api/search", json={"query": "tomatoes"}, **options)


def test_after_five_failures_a_name_waits_even_with_its_password(visit):
    stranger = visit("203.0.113.9")
    statuses = [log_in(stranger, password=f"wrong {number}").status_code for number in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    refused = log_in(stranger)
    assert refused.status_code == 429
    assert COOKIE not in refused.cookies
    assert refused.headers["retry-after"] == "1"
    assert "Try again in <bdi>1</bdi> s." in refused.text and "seven" not in refused.text
    answer = search(visit("203.0.113.10"), auth=SARA)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["remedy"] == "Wait 1 seconds, then try again."
    assert log_in(stranger, *MUNA).status_code == 303
    time.sleep(1.1)
    assert log_in(stranger).status_code == 303


def test_guessing_elsewhere_does_not_lock_a_user_out_where_she_has_been(visit):
    sara, stranger = visit("10.0.0.7"), visit("203.0.113.9")
    assert log_in(sara).status_code == 303
    for number in range(6):
        log_in(stranger, password=f"wrong {number}")
    assert log_in(stranger).status_code == 429
    assert log_in(sara).status_code == 303
    for number in range(5):
        assert log_in(sara, password=f"wrong {number}").status_code == 401
    assert log_in(sara).status_code == 429  # there too a guesser is slowed down


def test_one_address_cannot_try_many_names(visit):
    stranger = visit("2001:db8:1:2::1")
    statuses = [log_in(stranger, name=f"name{number}").status_code for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert log_in(visit("2001:db8:1:2:ffff::9")).status_code == 429  # of the same household
    assert log_in(visit("2001:db8:1:3::1")).status_code == 303
    assert log_in(visit("::ffff:10.1.1.1")).status_code == 303


def test_the_log_has_no_passwords_and_no_names_that_may_be_passwords(visit, caplog):
    caplog.set_level(logging.DEBUG)
    client = visit("10.0.0.1")
    log_in(client, password="wrong and secret")
    log_in(client, name="typed my password here", password="x")
    search(client, auth=("sara", "wrong and secret"))
    log_in(client)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("rag.")]
    assert messages == [
        "a login failed: 'sara' from 10.0.0.1",
        "a login failed: an unknown name from 10.0.0.1",
        "a login failed: 'sara' from 10.0.0.1",
        "'sara' logged in from 10.0.0.1",
    ]
    assert "secret" not in caplog.text and "typed" not in caplog.text and SARA[1] not in caplog.text


@pytest.mark.parametrize(
    "path",
    ["/", "/api/openapi.json", "/gradio_api/info", "/config", "/theme.css", "/nothing", "/healthz/", "//healthz",
     "/HEALTHZ", "/login/", "/healthz%2f..%2fconfig", "/%2e/"],
)  # fmt: skip
def test_nothing_is_open_but_the_health_and_the_login(visit, path):
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        assert visit().request(method, path).status_code == 401, method
    assert visit().get("/healthz").json()["status"] == "ok"
    assert visit().get("/login").status_code == 200
    with pytest.raises(WebSocketDisconnect) as caught, visit().websocket_connect("/anything"):
        pass
    assert caught.value.code == 1008


def test_without_a_file_of_users_everything_is_open(service):
    app = create_app(service=service, ui=False)
    assert app.state.has_login is False
    client = TestClient(app, base_url=BASE)
    assert search(client).status_code == 200
    assert client.get("/login").status_code == 404


def test_a_browser_is_shown_the_login_and_a_program_is_told(visit):
    client = visit()
    page = client.get("/", headers=PAGE)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    deep = client.get("/a b/é?x=1&y=//z", headers=PAGE)
    assert deep.headers["location"] == "/login?next=%2Fa%2520b%2F%25C3%25A9%3Fx%3D1%26y%3D%2F%2Fz"
    for headers in (FETCH, {**FETCH, "sec-fetch-mode": "", "accept": "text/event-stream"}):
        fetched = search(client, headers=headers)
        assert fetched.status_code == 401
        assert "www-authenticate" not in fetched.headers  # or the browser would ask in a window of its own
    program = search(client)
    assert program.status_code == 401
    assert program.headers["www-authenticate"] == 'Basic realm="Sanad", charset="UTF-8"'
    for reply in (fetched, program):
        assert reply.json()["error"]["type"] == "LoginError"
        assert "curl -u NAME" in reply.json()["error"]["remedy"]
        assert reply.headers["cache-control"] == "no-store"
        assert "frame-ancestors" in reply.headers["content-security-policy"]  # the guard stands outside
    framed = client.get("/quality", headers={**PAGE, "sec-fetch-dest": "iframe"})
    assert framed.status_code == 401


def test_a_program_logs_in_by_http_basic(visit):
    assert search(visit(), auth=SARA).json()["hits"][0]["doc_id"] == "garden.md"
    muna = ":".join(MUNA).encode()
    assert search(visit(), headers={"authorization": f"basic {base64.b64encode(muna).decode()}"}).status_code == 200
    assert search(visit(), auth=SARA).headers["cache-control"] == "no-store"
    assert search(visit(), auth=(SARA[0], "wrong")).json()["error"]["message"] == "The name or the password is wrong."


def test_a_password_in_latin_1_is_understood(service, tmp_path):
    app = create_app(service=service, ui=False, auth_file=write_users(tmp_path / "users", ("zoë", "café café")))
    token = base64.b64encode("zoë:café café".encode("latin-1")).decode()
    client = TestClient(app, base_url=BASE)
    assert search(client, headers={"authorization": f"Basic {token}"}).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic c2FyYQ==",
        "Basic OnNlY3JldA==",
        "Bearer c2FyYTp4",
        "Basic " + "A" * 5000,
    ],
)
def test_other_authorizations_are_refused(visit, authorization):
    assert search(visit(), headers={"authorization": authorization}).status_code == 401


def test_a_login_lasts_until_the_logout_and_its_cookie_not_longer(visit):
    client = visit()
    done = log_in(client, next="/api/openapi.json")
    assert (done.status_code, done.headers["location"]) == (303, "/api/openapi.json")
    cookie = done.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie and "Domain" not in cookie and SARA[1] not in cookie
    assert search(client).status_code == 200
    assert client.get("/login?next=/x", headers=PAGE).headers["location"] == "/x"
    kept = client.cookies[COOKIE]
    left = client.post("/logout", headers={**PAGE, "origin": BASE})
    assert (left.status_code, left.headers["location"]) == (303, "/login?left=1")
    assert COOKIE not in client.cookies
    assert "You are logged out." in client.get("/login?left=1").text
    assert search(client).status_code == 401
    assert search(visit(cookies={COOKIE: kept})).status_code == 401  # not for who has kept the cookie either


def test_leaving_is_asked_for_on_a_page_of_its_own(visit):
    client = visit()
    assert client.get("/logout").headers["location"] == "/login"
    log_in(client, *MUNA)
    page = client.get("/logout", headers=PAGE).text
    assert MUNA[0] in page and 'method="post" action="/logout"' in page
    assert search(client).status_code == 200  # asking is not leaving


def test_the_name_reaches_the_application(service, users):

    def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.user, headers={"cache-control": "max-age=9"})

    app = Login(Starlette(routes=[Route("/who", who)]), users=Users(users))
    client = TestClient(app, base_url=BASE, follow_redirects=False)
    log_in(client, *MUNA)
    reply = client.get("/who")
    assert reply.text == MUNA[0]
    assert reply.headers["cache-control"] == "max-age=9"  # scripts and styles may be kept
    assert client.get("/who", auth=SARA).text == MUNA[0]


def test_a_secret_in_a_file_keeps_sessions_through_a_restart(service, users):
    def start() -> TestClient:
        app = create_app(service=service, ui=False, auth_file=users)
        return TestClient(app, base_url=BASE, follow_redirects=False)

    def survives() -> bool:
        first, second = start(), start()
        log_in(first)
        second.cookies.set(COOKIE, first.cookies[COOKIE])
        return search(second).status_code == 200

    assert not survives()
    secret = users.with_name("users.secret")
    secret.write_text("f" * 64)
    secret.chmod(0o600)
    assert survives()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/", "/"),
        ("/quality?x=1#y", "/quality?x=1#y"),
        ("/%D8%B3?x=//a", "/%D8%B3?x=//a"),
        ("", "/"),
        ("quality", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/x\\..\\y", "/"),
        ("/\t/evil.example/", "/"),
        ("/\n/evil.example/", "/"),
        (" //evil.example", "/"),
        ("/x y", "/"),
        ("/é", "/"),
        ("javascript:alert(1)", "/"),
        ("/login?next=/login", "/"),
        ("/logout", "/"),
        ("/" + "x" * 2001, "/"),
    ],
)
def test_after_the_login_one_stays_on_this_server(visit, text, expected):
    assert local_path(text) == expected
    client = visit()
    shown = client.get("/login", params={"next": text}).text
    assert f'name="next" value="{expected}"' in shown
    assert log_in(client, next=text).headers["location"] == expected
    assert client.get("/login", params={"next": text}, headers=PAGE).headers["location"] == expected


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:7861"])
def test_another_site_can_neither_log_in_nor_out(visit, origin):
    client = visit()
    form = {"name": SARA[0], "password": SARA[1]}
    assert client.post("/login", data=form, headers={"origin": origin}).status_code == 403
    log_in(client)
    assert client.post("/logout", headers={"origin": origin}).status_code == 403
    assert client.post("/logout", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert search(client).status_code == 200


def test_what_is_no_login_form_is_refused(visit):
    client = visit()
    form = {"name": SARA[0], "password": SARA[1]}
    assert client.get("/login", params=form).status_code == 200
    assert COOKIE not in client.cookies
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for options in (
        {"json": form},
        {"data": {**form, "next": "x" * 17_000}},
        {"content": b"name=%ff&password=x", "headers": kind},
        {"content": b"&".join([b"a=b"] * 9), "headers": kind},
        {"content": "name=سارة".encode(), "headers": kind},
    ):
        reply = client.post("/login", **options)
        assert reply.status_code == 400, options
        assert "error" in reply.json()
    assert client.put("/login").status_code == 400
    assert log_in(client, name="", password="").status_code == 401
    assert client.post("/login", data={}, headers=kind).status_code == 401


def test_over_https_the_cookie_stays_there(service, users):
    app = create_app(service=service, ui=False, auth_file=users, loopback_only=False)
    for base, origin in (("https://sanad.example", None), ("http://sanad.example", "https://sanad.example")):
        client = TestClient(app, base_url=base, follow_redirects=False)
        headers = {"origin": origin} if origin else {}
        done = client.post("/login", data={"name": SARA[0], "password": SARA[1]}, headers=headers)
        assert "Secure" in done.headers["set-cookie"]


def test_nothing_that_was_typed_acts_on_the_page(visit):
    name = '"><script>alert(1)</script>'
    page = log_in(visit(), name=name, next='/"><script>').text
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert "<script>alert" not in logout_page(language="en", name=name)
    assert 'value="/&quot;&gt;&lt;b&gt;"' in login_page(language="en", onward='/"><b>')


def test_the_page_needs_nothing_from_elsewhere_and_allows_no_script_but_its_own(visit):
    page = visit().get("/login", headers=PAGE)
    assert not re.search(r"https?://|\bsrc=|@import|url\((?!#)", page.text.replace("http://www.w3.org", ""))
    policies = page.headers.get_list("content-security-policy")
    assert any("default-src 'none'" in policy and "unsafe" not in policy for policy in policies)
    assert page.headers["cache-control"] == "no-store"


def test_a_link_on_another_site_leads_to_a_page_that_goes_on_as_this_site(visit):
    reply = visit().get("/x?y=1", headers={**PAGE, "sec-fetch-site": "cross-site"})
    assert reply.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/login?next=%2Fx%3Fy%3D1"' in reply.text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ar-EG,ar;q=0.9,en;q=0.8", "ar"),
        ("en-US,en;q=0.9,ar;q=0.8", "en"),
        ("fr-FR,ar;q=0.5,en;q=0.4", "ar"),
        ("en;q=0.3, AR;q=0.7", "ar"),
        ("de", "en"),
        ("", "en"),
        ("ar;q=x, en", "en"),
        ("*", "en"),
    ],
)
def test_the_page_opens_in_the_language_the_browser_likes(visit, header, language):
    assert preferred_language(header) == language
    page = visit().get("/login", headers={"accept-language": header}).text
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in page
    for key in ("login", "login_name", "login_password", "login_enter"):
        assert all(word in page for word in WORDS[key])
    assert '<html lang="ar"' in visit().get("/login?lang=ar", headers={"accept-language": header}).text
