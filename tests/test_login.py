"""The login: the file of users, who is let through and who is not, what guessing costs, and the page in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from conftest import HashEmbedder
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from rag.builder import build_index
from rag.cli import main
from rag.server import ChatService, create_app
from rag.server.login import COOKIE, Login, local_path
from rag.server.login_page import login_page, logout_page, preferred_language
from rag.server.passwords import MAX_WAITING, Passwords
from rag.server.sessions import Sessions
from rag.server.throttle import Throttle
from rag.server.users import AuthFileError, Users, add_user, is_password, read_secret, read_users, remove_user
from rag.ui.words import WORDS

ROOT = Path(__file__).parent.parent
CHROMIUM = Path("/usr/bin/chromium")
BASE = "http://127.0.0.1:7860"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # argon2id as ever, of little work
SARA, MUNA = ("sara", "seven blue kettles"), ("منى", "كلمة سرّ طويلة")
PAGE = {"accept": "text/html,application/xhtml+xml", "user-agent": "Mozilla/5.0", "sec-fetch-mode": "navigate"}
FETCH = {"accept": "*/*", "user-agent": "Mozilla/5.0", "sec-fetch-mode": "cors"}


def write_users(path: Path, *people: tuple[str, str]) -> Path:
    path.write_text("".join(f"{name}:{QUICK.hash(password)}\n" for name, password in people), encoding="utf-8")
    path.chmod(0o600)
    return path


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


# -- the file of users ----------------------------------------------------------------------------------------


def test_both_forms_of_the_file_are_read_alike(tmp_path):
    hashes = {name: QUICK.hash(password) for name, password in (SARA, MUNA)}
    lines, structure = tmp_path / "lines", tmp_path / "structure"
    text = "".join(f"  {name} : {hashed}\r\n" for name, hashed in hashes.items())
    lines.write_bytes(("\ufeff# who may read\r\n\r\n" + text).encode())
    structure.write_text(json.dumps(hashes), encoding="utf-8")
    assert read_users(lines) == read_users(structure) == hashes
    assert [*read_users(lines)] == ["sara", "منى"]


GOOD = "$argon2id$v=19$m=64,t=1,p=1$nxQnRwevs08sCVo9ybqPCg$1/kOafxGw2hmFSUSHIMFhQEGzTfE2rsA+Rzi6zAQ1cM"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"sara:{GOOD}\nmuna\n", "line 2: no argon2id hash"),
        ("sara:my own password", "line 1: no argon2id hash"),
        (f"sara:{GOOD.replace('argon2id', 'argon2i')}", "no argon2id hash"),
        (f"sara:{GOOD[:-30]}", "no argon2id hash"),
        (f"sara:{GOOD}:more", "no argon2id hash"),
        (f"sara:{GOOD}\n# and\n sara:{GOOD}", "line 3: the user 'sara' is there twice"),
        (f":{GOOD}", "line 1: the name '' cannot be used"),
        (f"{'x' * 65}:{GOOD}", "cannot be used"),
        (f"a\u202eb:{GOOD}", "cannot be used"),
        ('{"sara": 7}', "'sara': no argon2id hash"),
        ('{"sara": {"hash": "x"}}', "'sara': no argon2id hash"),
        (f'{{"sara": "{GOOD}", "sara": "{GOOD}"}}', "twice"),
        ('{"sara": ', "no valid JSON"),
        ('["sara"]', "line 1"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        ("", "has no users"),
        ("# nobody\n", "has no users"),
        ("{}", "has no users"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_to_do(tmp_path, content, said):
    path = tmp_path / "users"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AuthFileError, match=re.escape(said)) as caught:
        Users(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert "my own password" not in message and GOOD.rsplit("$")[-1] not in message
    assert re.search(r"rag user add|take one of the two out|take 1 to 64|mend it", message)


def test_a_missing_file_or_a_folder_says_so(tmp_path):
    with pytest.raises(AuthFileError, match="there is no file of users at .*; make it with: rag user add"):
        Users(tmp_path / "nothing")
    with pytest.raises(AuthFileError, match="cannot be read"):
        Users(tmp_path)


def test_users_are_added_changed_and_removed_and_the_rest_stays(tmp_path):
    path = tmp_path / "users"
    assert add_user(path, "sara", "first password") is True
    path.write_text("# the team\n" + path.read_text() + "\n# guests\n", encoding="utf-8")
    assert add_user(path, " منى ", "كلمة سرّ طويلة") is True
    assert add_user(path, "sara", "second password") is False
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.split(":")[0] for line in lines] == ["# the team", "sara", "", "# guests", "منى"]
    hashes = read_users(path)
    assert is_password(hashes["sara"], "second password") and not is_password(hashes["sara"], "first password")
    assert is_password(hashes["منى"], "كلمة سرّ طويلة")
    remove_user(path, "sara")
    assert [*read_users(path)] == ["منى"]
    with pytest.raises(ValueError, match="there is no user 'sara'"):
        remove_user(path, "sara")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_json_file_stays_json_and_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "users.json", tmp_path / "users.json"
    real.write_text(json.dumps({"muna": GOOD}), encoding="utf-8")
    real.chmod(0o644)
    link.symlink_to(real)
    add_user(link, "سارة", "long enough")
    assert link.is_symlink()
    assert [*json.loads(real.read_text(encoding="utf-8"))] == ["muna", "سارة"]
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    remove_user(link, "muna")
    assert [*json.loads(real.read_text(encoding="utf-8"))] == ["سارة"]


def test_of_users_added_at_once_none_is_lost(tmp_path):
    path = tmp_path / "users"
    names = [f"user{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda name: add_user(path, name, "long enough"), names))
    assert sorted(read_users(path)) == names


def test_a_file_that_is_no_file_of_users_is_not_touched(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n", encoding="utf-8")
    with pytest.raises(AuthFileError, match="no argon2id hash"):
        add_user(path, "sara", "long enough")
    assert path.read_text(encoding="utf-8") == "my notes\n"
    with pytest.raises(AuthFileError, match="cannot be written"):
        add_user(tmp_path / "nowhere" / "users", "sara", "long enough")


@pytest.mark.parametrize("name", ["", " ", "a:b", "#a", "{a", "a\nb", "a\u200fb", "a\ud800", "x" * 65])
def test_names_that_cannot_be_kept_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be used"):
        add_user(tmp_path / "users", name, "long enough")
    assert not (tmp_path / "users").exists()


@pytest.mark.parametrize(
    ("password", "said"), [("", "8 to 1024"), ("x" * 7, "has 7"), ("x" * 1025, "1025"), ("x" * 9 + "\udc80", "UTF-8")]
)
def test_passwords_that_cannot_be_kept_are_refused_and_not_repeated(tmp_path, password, said):
    with pytest.raises(ValueError, match=said) as caught:
        add_user(tmp_path / "users", "sara", password)
    assert not password or password not in str(caught.value)


def test_one_password_typed_on_two_keyboards_is_one(tmp_path):
    path = tmp_path / "users"
    add_user(path, "Zoe\u0308", "cafe\u0301 cafe\u0301")
    users = Users(path)
    assert users.hash_of("Zo\u00eb") == users.hash_of(" Zoe\u0308 ") is not None
    assert is_password(users.hash_of("Zo\u00eb"), "caf\u00e9 caf\u00e9")


def test_a_running_server_sees_changes_and_survives_a_slip(tmp_path, caplog):
    now = [0.0]
    path = write_users(tmp_path / "users", SARA)
    users = Users(path, clock=lambda: now[0])
    write_users(path, SARA, MUNA)
    assert users.hash_of("منى") is None  # looked at most once a second
    now[0] = 1.5
    assert users.hash_of("منى")
    path.write_text("oops", encoding="utf-8")
    now[0] = 3
    assert users.hash_of("منى") and users.hash_of("sara")
    assert "stay as they were" in caplog.text
    path.write_text("# all gone\n", encoding="utf-8")
    now[0] = 5
    assert users.hash_of("sara") is None
    assert is_password(users.stand_in(3), SARA[1]) is False


def test_a_file_that_others_can_read_is_warned_of(tmp_path, caplog):
    path = write_users(tmp_path / "users", SARA)
    Users(path)
    assert not caplog.records
    path.chmod(0o644)
    Users(path)
    assert f"chmod 600 {path}" in caplog.text


def test_the_secret_beside_the_file_must_be_long_and_private(tmp_path):
    path = tmp_path / "users.secret"
    assert read_secret(tmp_path / "users") is None
    path.write_text("0" * 31)
    path.chmod(0o600)
    with pytest.raises(AuthFileError, match="fewer than 32"):
        read_secret(tmp_path / "users")
    path.write_text("0" * 32 + "\n")
    assert read_secret(tmp_path / "users") == b"0" * 32
    path.chmod(0o640)
    with pytest.raises(AuthFileError, match="chmod 600"):
        read_secret(tmp_path / "users")


# -- what guessing costs --------------------------------------------------------------------------------------


def test_waits_double_up_to_the_longest_and_are_forgotten():
    now = [100.0]
    throttle = Throttle(free=3, longest_s=5, forget_s=60, clock=lambda: now[0])
    waits = []
    for _ in range(7):
        throttle.fail("a")
        waits.append(throttle.wait_s("a"))
    assert waits == [0, 0, 1, 2, 4, 5, 5]
    now[0] += 4.5
    assert throttle.wait_s("a") == 0.5
    now[0] += 0.5
    assert throttle.wait_s("a") == 0 == throttle.wait_s("b")
    throttle.fail("a")
    assert throttle.wait_s("a") == 5
    now[0] += 60
    throttle.fail("a")
    assert throttle.wait_s("a") == 0  # a new count
    for _ in range(3):
        throttle.fail("a")
    throttle.forgive("a")
    assert throttle.wait_s("a") == 0
    for _ in range(2000):
        throttle.fail("b")
    assert throttle.wait_s("b") == 5


def test_counts_take_bounded_memory_and_the_last_seen_are_kept():
    throttle = Throttle(free=1, longest_s=5, forget_s=60, keep=3)
    for key in "abacd":
        throttle.fail(key)
    assert len(throttle) == 3
    assert [throttle.wait_s(key) > 0 for key in "abcd"] == [True, False, True, True]
    with pytest.raises(ValueError, match="free=0"):
        Throttle(free=0, longest_s=1, forget_s=2)


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
    statuses = [log_in(stranger, name=f"name{number}").status_code for number in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    assert log_in(visit("2001:db8:1:2:ffff::9")).status_code == 429  # of the same household
    assert log_in(visit("2001:db8:1:3::1")).status_code == 303
    assert log_in(visit("::ffff:10.1.1.1")).status_code == 303


def test_guesses_sent_at_once_count_like_guesses_one_by_one(users):
    async def guess() -> list[int]:
        passwords = Passwords(Users(users))
        checks = [passwords.check("sara", f"wrong {number}", "203.0.113.9") for number in range(MAX_WAITING + 3)]
        return [verdict.status for verdict in await asyncio.gather(*checks)]

    statuses = asyncio.run(guess())
    assert statuses.count(401) == 5
    assert statuses.count(503) == 3
    assert statuses.count(429) == MAX_WAITING - 5
    assert 200 not in statuses


def test_programs_that_start_at_once_with_the_right_password_all_get_in(users):
    async def ask() -> set[int]:
        passwords = Passwords(Users(users))
        return {v.status for v in await asyncio.gather(*(passwords.check(*SARA, "10.0.0.1") for _ in range(20)))}

    assert asyncio.run(ask()) == {200}


def test_an_unknown_name_takes_as_long_as_a_known_one(tmp_path):
    path = tmp_path / "users"
    add_user(path, *SARA)

    async def seconds(name: str) -> float:  # of the processor: the clock also counts what others do on this machine
        passwords, times = Passwords(Users(path)), []
        for number in range(4):
            start = time.process_time()
            assert (await passwords.check(name, f"wrong {number}", "10.0.0.1")).status == 401
            times.append(time.process_time() - start)
        return min(times)

    known, unknown = asyncio.run(seconds("sara")), asyncio.run(seconds("nobody"))
    assert 0.5 < unknown / known < 2


def test_what_was_right_is_remembered_but_ends_with_the_password(tmp_path):
    now = [0.0]
    path = tmp_path / "users"
    add_user(path, *SARA)

    async def check() -> None:
        passwords = Passwords(Users(path, clock=lambda: now[0]))
        start = time.process_time()
        assert (await passwords.check(*SARA, "10.0.0.1")).status == 200
        first, start = time.process_time() - start, time.process_time()
        assert (await passwords.check(*SARA, "10.0.0.1")).status == 200
        assert time.process_time() - start < first / 5
        write_users(path, (SARA[0], "another password"))
        now[0] = 2
        assert (await passwords.check(*SARA, "10.0.0.1")).status == 401

    asyncio.run(check())


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


# -- who is let through ---------------------------------------------------------------------------------------


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
    import base64

    assert search(visit(), headers={"authorization": f"basic {base64.b64encode(muna).decode()}"}).status_code == 200
    assert search(visit(), auth=SARA).headers["cache-control"] == "no-store"
    assert search(visit(), auth=(SARA[0], "wrong")).json()["error"]["message"] == "The name or the password is wrong."


def test_a_password_in_latin_1_is_understood(service, tmp_path):
    import base64

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
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.user, headers={"cache-control": "max-age=9"})

    app = Login(Starlette(routes=[Route("/who", who)]), users=Users(users))
    client = TestClient(app, base_url=BASE, follow_redirects=False)
    log_in(client, *MUNA)
    reply = client.get("/who")
    assert reply.text == MUNA[0]
    assert reply.headers["cache-control"] == "max-age=9"  # scripts and styles may be kept
    assert client.get("/who", auth=SARA).text == MUNA[0]


def test_only_a_token_of_this_server_counts(users):
    sessions = Sessions(Users(users), lifetime_s=60)
    token = sessions.start("sara")
    assert sessions.user(token) == "sara"
    other = Sessions(Users(users), lifetime_s=60)
    payload, stamp, signature = token.split(".")
    forged = [
        "", "x", "..", token[:-1], token + "x", f"{payload}.{stamp}.", f"{payload[:-2]}AA.{stamp}.{signature}",
        other.start("sara"), token.upper(),
    ]  # fmt: skip
    assert [sessions.user(text) for text in forged] == [None] * len(forged)
    sessions.end("x")
    sessions.end(sessions.start("sara"))
    assert sessions.user(token) == "sara"
    assert sessions.start("nobody") is None


def test_a_session_ends_after_its_time(users):
    sessions = Sessions(Users(users), lifetime_s=1)
    token = sessions.start("sara")
    assert sessions.user(token) == "sara"
    time.sleep(2.1)
    assert sessions.user(token) is None


def test_a_session_ends_with_the_password_and_with_the_user(tmp_path):
    now = [0.0]
    path = write_users(tmp_path / "users", SARA, MUNA)
    sessions = Sessions(Users(path, clock=lambda: now[0]), lifetime_s=60)
    sara, muna = sessions.start("sara"), sessions.start("منى")
    path.write_text(f"sara:{QUICK.hash('another password')}\n", encoding="utf-8")
    now[0] = 2
    assert sessions.user(sara) is None
    assert sessions.user(muna) is None


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


# -- the terminal ---------------------------------------------------------------------------------------------


def rag(*args: str | Path, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rag", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT, check=False, **options)


def test_users_are_managed_from_a_pipe(tmp_path, capsys):
    path = tmp_path / "users"
    added = rag("user", "add", "سارة", "--auth-file", path, input="كلمة سرّ طويلة\n")
    assert (added.returncode, added.stderr) == (0, "")
    assert "سارة is now a user" in added.stdout
    assert is_password(read_users(path)["سارة"], "كلمة سرّ طويلة")
    assert main(["user", "list", "--auth-file", str(path)]) == 0
    assert capsys.readouterr().out == "سارة\n"
    assert main(["user", "remove", "سارة", "--auth-file", str(path)]) == 0
    assert "no user" in capsys.readouterr().out
    assert read_users(path) == {}
    assert main(["user", "remove", "سارة", "--auth-file", str(path)]) == 1
    assert main(["user", "list", "--auth-file", str(tmp_path / "no")]) == 1
    error = capsys.readouterr().err
    assert "error: there is no user 'سارة'" in error and "make it with: rag user add" in error
    short = rag("user", "add", "sara", "--auth-file", path, input="short\n")
    assert (short.returncode, short.stdout) == (1, "")
    assert short.stderr.startswith("error: a password has 8 to 1024 characters")
    assert rag("user", "add", "sara").returncode == 2


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        (["long enough", "long enough"], 0, "is now a user"),
        (["long enough", "long  enough"], 1, "not the same; nothing was changed"),
        (["\x04"], 1, "no password was given"),
    ],
)
def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path, typed, status, said):
    import pty

    path = tmp_path / "users"
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "rag", "user", "add", "sara", "--auth-file", str(path)]
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT, start_new_session=True
    )
    os.close(terminal)
    shown = b""
    try:
        for prompt, line in zip((b"Password of sara: ", b"The same again: "), typed, strict=False):
            while not shown.endswith(prompt):
                shown += os.read(controller, 1000)
            os.write(controller, line.encode() if line == "\x04" else line.encode() + b"\n")
        with contextlib.suppress(OSError):  # the end of a terminal is an error
            while more := os.read(controller, 1000):
                shown += more
        assert process.wait(30) == status
    finally:
        os.close(controller)
        process.kill()
        process.wait()
    assert said in shown.decode()
    assert b"long" not in shown and b"Traceback" not in shown
    assert path.exists() == (status == 0)


def test_a_server_says_what_is_wrong_with_its_users_before_it_starts(tmp_path):
    done = rag("serve", "--port", "0", "--index-dir", tmp_path / "index", "--auth-file", tmp_path / "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.strip().splitlines()
    assert line == (
        f"error: there is no file of users at {tmp_path}/nobody; "
        f"make it with: rag user add NAME --auth-file {tmp_path}/nobody"
    )


def test_an_open_server_without_a_login_is_warned_of(tmp_path, users, capsys):
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        for options, warned in (
            (["--host", "0.0.0.0"], True),
            (["--host", "127.0.0.1"], False),
            (["--host", "0.0.0.0", "--auth-file", str(users)], False),
        ):
            assert main(["serve", "--port", str(port), *options]) == 1
            lines = capsys.readouterr().err.strip().splitlines()
            assert f"error: port {port} is in use" in lines[-1]
            assert [line.startswith(f"warning: anyone who reaches port {port} can read") for line in lines[:-1]] == (
                [True] if warned else []
            )


# -- in the browser -------------------------------------------------------------------------------------------


SERVE = """
import sys
from conftest import HashEmbedder
from rag.server import serve
ready = lambda address: print(f"at {address} now", flush=True)
serve(port=0, embedder=HashEmbedder(), auth_file="users", ui=sys.argv[1] == "ui", on_ready=ready)
"""


@contextlib.contextmanager
def serving(folder: Path, face: str) -> Iterator[str]:
    """Serve in a process of its own, with a login of two users and no index; yield the address."""
    write_users(folder / "users", SARA, MUNA)
    log = folder / "log"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "GRADIO_TEMP_DIR": str(folder / "tmp")}
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, face], cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + 100
        while not (found := re.search(r"at (http://\S+) now", log.read_text(encoding="utf-8"))):
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


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
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
def reader(browser, address):
    """Return a function that gives a reader; see ``Reader``."""
    readers: list[Reader] = []

    def open_page(path: str = "/", *, at: str = "", **options) -> Reader:
        readers.append(Reader(browser, at or address, path, **options))
        return readers[-1]

    yield open_page
    for each in readers:
        each.context.close()
    assert [each.troubles for each in readers] == [[]] * len(readers)


SAID = {
    "en-US": ("ltr", "User name", "Password", "Log in", "The user name or the password is wrong.", "Log out"),
    "ar-EG": ("rtl", "اسم المستخدم", "كلمة المرور", "دخول", "اسم المستخدم أو كلمة المرور غير صحيحة.", "تسجيل الخروج"),
}


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize(("locale", "who"), [("en-US", SARA), ("ar-EG", MUNA)], ids=["en", "ar"])
def test_a_reader_logs_in_and_out_in_her_language(reader, address, locale, who, script):
    way, name, password, enter, wrong, leave = SAID[locale]
    page = reader("/?n=1", locale=locale, java_script_enabled=script).page
    assert page.url == f"{address}/login?next=%2F%3Fn%3D1"
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
    page.wait_for_url(f"{address}/?n=1")
    page.goto(f"{address}/logout")
    assert who[0] in page.get_by_role("heading", level=2).inner_text()
    page.get_by_role("button", name=leave, exact=True).click()
    page.get_by_role("status").wait_for()
    page.goto(address)
    assert page.url == f"{address}/login"


@pytest.mark.browser
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
        left = page.evaluate("() => fetch('/logout', {method: 'POST'}).then(reply => reply.url)")
        assert left == f"{address}/login?left=1"
        assert page.evaluate(config) == 401
        page.reload()
        page.wait_for_selector("#password")
        sara.context.close()


@pytest.mark.browser
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


@pytest.mark.browser
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


@pytest.mark.browser
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


@pytest.mark.browser
def test_a_link_on_another_site_opens_the_page_of_who_has_logged_in(reader, address):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="{address}/?n=1">to Sanad</a>'.encode())

        def log_message(self, *_: object) -> None:
            pass

    sara = reader()
    sara.log_in(*SARA)
    sara.page.wait_for_url(f"{address}/")
    other = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        elsewhere = sara.context.new_page()
        elsewhere.goto(f"http://localhost:{other.server_port}/")  # localhost is another site than 127.0.0.1
        elsewhere.locator("a").click()
        elsewhere.wait_for_url(f"{address}/?n=1")
        elsewhere.get_by_text("Not Found").wait_for()  # the application's word: the login was passed
    finally:
        other.shutdown()
        other.server_close()
