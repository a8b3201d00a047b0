"""The signed cookie of those who have logged in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from typing import Any

from itsdangerous import BadSignature, URLSafeTimedSerializer

from rag.server.users import Users

_MAX_ENDED = 10_000


class Sessions:
    """Make and read session tokens. A token is void after its time, its logout, or a change of its user's password.

    Args:
        users: Who may have a session.
        lifetime_s: Seconds that a session lasts.
        secret: What signs them, at least 32 bytes; None takes a random one, so that a restart ends every session.
    """

    def __init__(self, users: Users, *, lifetime_s: int, secret: bytes | None = None) -> None:
        self.users = users
        self.lifetime_s = lifetime_s
        self._secret = secret or secrets.token_bytes(32)
        self._signer = URLSafeTimedSerializer(
            self._secret,
            salt="sanad-session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
        self._ended: OrderedDict[str, float] = OrderedDict()  # id: when its token is void anyway

    def start(self, name: str) -> str | None:
        """Return a new token for a user; None if nobody has that name (any more)."""
        hashed = self.users.hash_of(name)
        if hashed is None:
            return None
        return self._signer.dumps([name, self._mark(hashed), secrets.token_urlsafe(12)])

    def user(self, token: str) -> str | None:
        """Return the name of the user a token was made for; None if it is forged, void or not a token."""
        name, mark, number = self._read(token)
        hashed = self.users.hash_of(name) if name else None
        if hashed is None or number in self._ended:
            return None
        return name if hmac.compare_digest(mark, self._mark(hashed)) else None

    def end(self, token: str) -> None:
        """Make a token void before its time. A token that is none is let be."""
        number = self._read(token)[2]
        if not number:
            return
        now = time.time()
        self._ended[number] = now + self.lifetime_s
        while len(self._ended) > _MAX_ENDED or next(iter(self._ended.values())) < now:
            self._ended.popitem(last=False)

    def _read(self, token: str) -> tuple[str, str, str]:
        try:
            value: Any = self._signer.loads(token, max_age=self.lifetime_s)
        except BadSignature:
            return "", "", ""
        name, mark, number = value  # we signed it, so we made it
        return name, mark, number

    def _mark(self, hashed: str) -> str:
        """Return what stands in a token for the password it was got with."""
        return hmac.new(self._secret, hashed.encode(), hashlib.sha256).hexdigest()[:16]
