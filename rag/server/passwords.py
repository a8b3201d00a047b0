"""Whether a name and a password belong together, asked so that guessing is slow and costs the server little."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from rag.server.throttle import Throttle
from rag.server.users import MAX_NAME_CHARACTERS, MAX_PASSWORD_CHARACTERS, Users, is_password, plain_name

logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_WAITING = 32  # checks in line
_REMEMBERED_S = 300.0
_MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a name and a password: 200 right, 401 wrong, 429 after too many failures, 503 too busy.

    ``wait_s`` is the whole seconds to wait for the last two, else 0.
    """

    status: int
    wait_s: int = 0


class Passwords:
    """Check passwords, one at a time: each takes 64 MB and some tenths of a second.

    Failures are counted by name and by address, and cost time that doubles. An address from which a user has logged
    in has a count of its own with that name, so that guessing elsewhere locks no user out. An unknown name takes as
    long as a known one. What was right is remembered for five minutes, as a keyed digest, for programs that send it
    with every request. Neither passwords nor unknown names (which may be passwords in the wrong field) are logged.

    Args:
        users: Who has which password.
    """

    def __init__(self, users: Users) -> None:
        self.users = users
        self._names = Throttle(free=5, longest_s=900, forget_s=86_400)
        self._addresses = Throttle(free=10, longest_s=60, forget_s=900)
        self._trusted: OrderedDict[str, None] = OrderedDict()  # addresses with names that logged in from there
        self._right: OrderedDict[bytes, float] = OrderedDict()  # digest of what was right: until when that counts
        self._key = secrets.token_bytes(32)
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sanad-login")
        self._waiting = 0

    async def check(self, name: str, password: str, address: str) -> Verdict:
        """Return whether ``password`` is that of ``name``, for somebody at ``address``."""
        name, password = plain_name(name), password[: MAX_PASSWORD_CHARACTERS + 1]
        hashed = self.users.hash_of(name)
        right = self._digest("right", name, hashed or "", password)
        for_name = f"name {name[:MAX_NAME_CHARACTERS]}"
        for_address = f"address {address}"
        for_both = f"both {address} {name[:MAX_NAME_CHARACTERS]}"

        def known() -> Verdict | None:
            if for_both in self._trusted:
                wait = self._names.wait_s(for_both)
            else:
                wait = max(self._names.wait_s(for_name), self._addresses.wait_s(for_address))
            if wait > 0:
                return Verdict(429, math.ceil(wait))
            return Verdict(200) if self._right.get(right, 0.0) > time.monotonic() else None

        if (verdict := known()) is not None:
            return verdict
        if self._waiting >= MAX_WAITING:
            return Verdict(503, 2)
        self._waiting += 1
        try:
            async with self._lock:
                if (verdict := known()) is not None:  # it may have become known while this one stood in line
                    return verdict
                stand_in = self.users.stand_in(int.from_bytes(self._digest("stand-in", name)[:8]))
                loop = asyncio.get_running_loop()
                is_right = await loop.run_in_executor(self._thread, is_password, hashed or stand_in, password)
                if is_right and hashed is not None:
                    self._names.forgive(for_both if for_both in self._trusted else for_name)
                    _remember(self._trusted, for_both, None)
                    _remember(self._right, right, time.monotonic() + _REMEMBERED_S)
                    return Verdict(200)
                if for_both in self._trusted:
                    self._names.fail(for_both)
                else:
                    self._names.fail(for_name)
                    self._addresses.fail(for_address)
        finally:
            self._waiting -= 1
        logger.warning("a login failed: %s from %s", repr(name) if hashed else "an unknown name", address)
        return Verdict(401)

    def _digest(self, *parts: str) -> bytes:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).digest()


def _remember(known: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _MAX_REMEMBERED:
        known.popitem(last=False)
