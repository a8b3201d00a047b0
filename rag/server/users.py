"""Who may log in: names and argon2id hashes in a small file that people can read and edit.

The file is one JSON object of names and hashes, or one ``name:hash`` a line, where empty lines and lines that begin
with ``#`` are kept as they are. ``rag user add`` makes and changes it; a server notices within a second.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from filelock import FileLock

from rag.errors import RagError

logger = logging.getLogger(__name__)

MAX_NAME_CHARACTERS = 64
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 1024
_CHECK_EVERY_S = 1.0
_HASH = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}")
_NOBODY = f"$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${'A' * 43}"  # no password has this hash
_hasher = PasswordHasher()


class AuthFileError(RagError):
    """The file of users, or the secret beside it, is missing, cannot be used or cannot be written."""


def plain_name(name: str) -> str:
    """Return ``name`` in the one form that names are compared in: Unicode NFC, no space around it."""
    return unicodedata.normalize("NFC", name).strip()


def clean_name(name: str) -> str:
    """Return the plain form of a name that a user may have.

    Raises:
        ValueError: It is empty, longer than 64 characters, has a colon or a character that does not print, or begins
            with ``#`` or ``{``, which mean something else in the file.
    """
    name = plain_name(name)
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or ":" in name or name[0] in "#{" or not name.isprintable():
        raise ValueError(
            f"the name {name[:MAX_NAME_CHARACTERS]!r} cannot be used; take 1 to {MAX_NAME_CHARACTERS} letters, digits "
            "and signs, without a colon and with neither # nor { in front"
        )
    return name


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, salt and parameters included.

    Raises:
        ValueError: It has fewer than 8 or more than 1024 characters, or is not text.
    """
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise ValueError(
            f"a password has {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters, this one has "
            f"{len(password)}; choose another"
        )
    try:
        return _hasher.hash(_clean_password(password))
    except UnicodeEncodeError:  # its own message would show the password
        raise ValueError("the password is not text in UTF-8; type it again") from None


def _clean_password(password: str) -> str:
    """Return one form of what different keyboards write in different code points."""
    return unicodedata.normalize("NFC", password)


def read_users(path: Path) -> dict[str, str]:
    """Return the hash of each name in a file of users, in the order of the file.

    Raises:
        AuthFileError: There is no such file, or something in it is no user. Says which line.
    """
    return _parse(path, _read(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise AuthFileError(
            f"there is no file of users at {path}; make it with: rag user add NAME --auth-file {path}"
        ) from error
    except OSError as error:
        raise AuthFileError(
            f"the file of users {path} cannot be read: {error.strerror}; name a file that you may read"
        ) from error
    except UnicodeDecodeError as error:
        raise AuthFileError(
            f"{path} is no file of users: it is not text in UTF-8; make one with: rag user add NAME --auth-file FILE"
        ) from error


def _parse(path: Path, text: str) -> dict[str, str]:
    pairs: list[tuple[str, object, object]] = []
    if _is_json(text):
        try:
            # Not a dict at first: of two entries with one name, none may win in silence.
            read = json.loads(text, object_pairs_hook=list)
        except ValueError as error:
            raise AuthFileError(f"{path} is no valid JSON ({error}); mend it, or write one name:hash a line") from error
        pairs = [(f"the user {name!r}", name, value) for name, value in read]
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            if not _is_remark(line):
                pairs.append((f"line {number}", *line.strip().partition(":")[::2]))
    users: dict[str, str] = {}
    for place, name, value in pairs:
        remedy = "take it out, and add the user with: rag user add NAME --auth-file FILE"
        try:
            name = clean_name(str(name))
        except ValueError as error:
            raise AuthFileError(f"{path}, {place}: {error}") from error
        if name in users:
            raise AuthFileError(f"{path}, {place}: the user {name!r} is there twice; take one of the two out")
        if not isinstance(value, str) or not is_hash(value.strip()):
            raise AuthFileError(f"{path}, {place}: no argon2id hash stands behind the name; {remedy}")
        users[name] = value.strip()
    return users


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def is_hash(text: str) -> bool:
    """Return whether ``text`` is an argon2id hash that a password can be checked against."""
    try:
        extract_parameters(text)
    except InvalidHashError:
        return False
    return _HASH.fullmatch(text) is not None


def add_user(path: Path, name: str, password: str) -> bool:
    """Add a user, or give one another password; the file is made if it is not there, as JSON if its name says so.

    Returns:
        Whether the name is new.

    Raises:
        ValueError: The name or the password cannot be used.
        AuthFileError: The file is no file of users, or cannot be written.
    """
    name, hashed = clean_name(name), hash_password(password)
    with _changing(path):
        text = _read(path) if path.exists() else ""
        if not text.strip() and path.suffix.lower() == ".json":
            text = "{}"
        is_new = name not in _parse(path, text)
        _write(path, _with_user(text, name, hashed))
    return is_new


def remove_user(path: Path, name: str) -> None:
    """Take a user out of the file; a server that runs lets them in no more.

    Raises:
        ValueError: No user has that name.
        AuthFileError: The file is missing, is no file of users, or cannot be written.
    """
    name = plain_name(name)
    with _changing(path):
        text = _read(path)
        users = _parse(path, text)
        if name not in users:
            raise ValueError(f"there is no user {name!r} in {path}; see: rag user list --auth-file {path}")
        _write(path, _with_user(text, name, None))


def _with_user(text: str, name: str, hashed: str | None) -> str:
    """Return the file's text with a user set, or removed where ``hashed`` is None. All else stays as it was."""
    if _is_json(text):
        users = {clean_name(key): value for key, value in json.loads(text).items()}
        users.pop(name, None) if hashed is None else users.update({name: hashed})
        return json.dumps(users, ensure_ascii=False, indent=1) + "\n"
    lines: list[str] = []
    for line in text.splitlines():
        if _is_remark(line) or clean_name(line.partition(":")[0]) != name:
            lines.append(line)
        elif hashed is not None:
            lines.append(f"{name}:{hashed}")
            hashed = None
    if hashed is not None:
        lines.append(f"{name}:{hashed}")
    return "".join(line + "\n" for line in lines)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One change at a time, so that of two users added at once none is lost."""
    try:
        path.parent.stat()  # the lock would make the folder
        with FileLock(f"{path}.lock", mode=0o600):
            yield
    except OSError as error:
        raise AuthFileError(
            f"the file of users {path} cannot be written: {error.strerror or error}; name a file in a folder that "
            "exists and that you may write to"
        ) from error


def _write(path: Path, text: str) -> None:
    """Write a whole file or none, for the owner alone; a link stays a link, the owner stays the owner."""
    path = path.resolve()
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8") as file:
        try:
            os.fchmod(file.fileno(), 0o600)
            with suppress(FileNotFoundError, PermissionError):
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def read_secret(auth_file: Path) -> bytes | None:
    """Return what signs the sessions, from ``AUTH_FILE.secret``; None if there is no such file.

    Raises:
        AuthFileError: It can be read by others, or has fewer than 32 bytes.
    """
    path = auth_file.with_name(auth_file.name + ".secret")
    try:
        mode, secret = path.stat().st_mode, path.read_bytes().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuthFileError(f"the secret {path} cannot be read: {error.strerror}; remove it or mend it") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AuthFileError(f"the secret {path} can be read by others; make a new one and run: chmod 600 {path}")
    if len(secret) < 32:
        raise AuthFileError(f"the secret {path} has fewer than 32 bytes; make another: openssl rand -hex 32 > {path}")
    return secret


class Users:
    """The users of a file, as it is now: a change is seen within a second.

    A change that cannot be read (a slip of the editor) is logged, and those who were users before stay so.

    Args:
        path: The file of users.
        clock: Seconds that only grow.

    Raises:
        AuthFileError: The file is missing, cannot be used, or has no users.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._state = self._look()
        self._looked_at = clock()
        self._hashes = read_users(path)
        if not self._hashes:
            raise AuthFileError(
                f"{path} has no users, nobody could log in; add one: rag user add NAME --auth-file {path}"
            )
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            logger.warning("%s can be read or written by others on this machine; run: chmod 600 %s", path, path)

    def hash_of(self, name: str) -> str | None:
        """Return the hash of a user's password; None if nobody has that name."""
        self._refresh()
        return self._hashes.get(plain_name(name))

    def stand_in(self, number: int) -> str:
        """Return some user's hash, to be checked where a name is unknown: that takes as long as any other.

        Args:
            number: Any; the same number gives the same hash until the file changes.
        """
        hashes = [*self._hashes.values()]
        return hashes[number % len(hashes)] if hashes else _NOBODY

    def _look(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._looked_at < _CHECK_EVERY_S:
            return
        self._looked_at = now
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self._hashes = read_users(self.path)
        except AuthFileError as error:
            logger.error("the users stay as they were: %s", error)
        else:
            logger.info("%s has changed: %d users", self.path, len(self._hashes))


def is_password(hashed: str, password: str) -> bool:
    """Return whether a password belongs to a hash. Takes the time and the memory that the hash asks for."""
    try:
        return _hasher.verify(hashed, _clean_password(password))
    except (VerifyMismatchError, UnicodeEncodeError):
        return False
    except (VerificationError, InvalidHashError) as error:
        logger.error("a password could not be checked: %s", error)
        return False
