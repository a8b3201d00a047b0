"""Keys for programs: ``Authorization: Bearer KEY`` opens the API where the server was started with keys."""

from __future__ import annotations

import hashlib
import hmac
import logging
import stat
from collections.abc import Iterable
from pathlib import Path

from rag.errors import RagError
from rag.server.asgi import ASGIApp, Receive, Scope, Send
from rag.server.paths import is_for_programs
from rag.server.problems import problem

logger = logging.getLogger(__name__)

KEY_VARIABLE = "SANAD_SERVER_KEY"
MIN_KEY_CHARACTERS = 16
_REMEDY = "Make one with: openssl rand -hex 32"


class KeyFileError(RagError):
    """The file of keys is missing, cannot be used, or a key in it is too weak."""


def read_keys(path: Path) -> tuple[str, ...]:
    """Return the keys of a file, one a line; empty lines and lines that begin with ``#`` are skipped.

    Raises:
        KeyFileError: The file cannot be read, holds no key, or one that is too short or has spaces.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"the file of keys {path} cannot be read: {error}; name a file that you may read") from error
    if mode & stat.S_IRWXO:
        logger.warning("%s can be read or written by others on this machine; run: chmod 600 %s", path, path)
    keys = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not keys:
        raise KeyFileError(f"{path} holds no key. {_REMEDY} > {path}")
    for key in keys:
        check_key(key, str(path))
    return keys


def check_key(key: str, where: str) -> None:
    """Refuse a key that is easy to guess or that no header can carry.

    Raises:
        KeyFileError: It has fewer than 16 characters, or some that are not printable ASCII. The key is not shown.
    """
    if len(key) < MIN_KEY_CHARACTERS or not key.isascii() or not key.isprintable() or " " in key:
        raise KeyFileError(
            f"{where}: a key has at least {MIN_KEY_CHARACTERS} printable ASCII characters and no space. {_REMEDY}"
        )


class Keys:
    """Let programs through that carry a key; others are refused, or left to the login where there is one.

    Stands outside of ``Login``, which lets through what has a key. The page and ``/healthz`` want no key.

    Args:
        app: The application behind it.
        keys: Any of them opens.
        has_login: Whether a login stands behind it, for those without a key.
    """

    def __init__(self, app: ASGIApp, *, keys: Iterable[str], has_login: bool) -> None:
        self.app = app
        self.has_login = has_login
        self._digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not is_for_programs(scope["path"]):
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
        scheme, _, key = given.partition(b" ")
        if scheme.lower() == b"bearer" and self._opens(key.strip()):
            scope.setdefault("state", {}).update(user="api-key", has_key=True)
        elif not self.has_login:
            said = "The key is wrong." if given else "This server wants a key."
            headers = {"www-authenticate": 'Bearer realm="Sanad"', "cache-control": "no-store"}
            remedy = "Send it as a header: Authorization: Bearer KEY"
            refusal = problem(scope["path"], 401, "ApiKeyError", said, remedy, headers=headers)
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _opens(self, key: bytes) -> bool:
        digest = _digest(key)
        found = [hmac.compare_digest(digest, other) for other in self._digests]  # all of them: no time is saved
        return any(found)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
