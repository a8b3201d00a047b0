"""What guessing costs, what a password costs, and how long a session lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from people import MUNA, QUICK, SARA, write_users

from rag.server.passwords import MAX_WAITING, Passwords
from rag.server.sessions import Sessions
from rag.server.throttle import Throttle
from rag.server.users import Users, add_user

Result = TypeVar("Result")


@pytest.fixture
def users(tmp_path):
    return write_users(tmp_path / "users", SARA, MUNA)


def run(work: Coroutine[None, None, Result]) -> Result:
    """Run in a thread of its own: the browser of other tests keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


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


def test_guesses_sent_at_once_count_like_guesses_one_by_one(users):
    async def guess() -> list[int]:
        passwords = Passwords(Users(users))
        checks = [passwords.check("sara", f"wrong {number}", "203.0.113.9") for number in range(MAX_WAITING + 3)]
        return [verdict.status for verdict in await asyncio.gather(*checks)]

    statuses = run(guess())
    assert statuses.count(401) == 5
    assert statuses.count(503) == 3
    assert statuses.count(429) == MAX_WAITING - 5
    assert 200 not in statuses


def test_programs_that_start_at_once_with_the_right_password_all_get_in(users):
    async def ask() -> set[int]:
        passwords = Passwords(Users(users))
        return {v.status for v in await asyncio.gather(*(passwords.check(*SARA, "10.0.0.1") for _ in range(20)))}

    assert run(ask()) == {200}


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

    known, unknown = run(seconds("sara")), run(seconds("nobody"))
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

    run(check())


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
