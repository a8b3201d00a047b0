"""Mails (eml): subject, sender, receivers and date, then the body; attachments that can be read as sections."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from email.message import EmailMessage, MIMEPart
from pathlib import PurePosixPath

from rag.loaders.blocks import Block, Limits, Parsed, UnreadableError, append, check_length, clean, compose, one_line
from rag.loaders.encoding import decode
from rag.loaders.html import read_whole
from rag.loaders.text import structure

Parse = Callable[[str, bytes], Parsed]

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")
_HEADER_CHARACTERS = 1_000
_MAX_PARTS = 500
# What the library raises on headers that are malformed, or hold comments in comments.
_BROKEN_HEADER = (ValueError, IndexError, AttributeError, TypeError, RecursionError)
_HEAD = re.compile(rb"\A(?:From [^\n]*\n)?(?:[!-9;-~]+:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*)+", re.MULTILINE)
_KNOWN_HEADER = re.compile(
    rb"^(?:from|to|date|subject|message-id|mime-version|received|return-path|content-type):",
    re.IGNORECASE | re.MULTILINE,
)


def parse(data: bytes, limits: Limits, suffixes: Sequence[str], parse_part: Parse) -> Parsed:
    """Parse a mail.

    Args:
        data: The whole file.
        limits: Of the mail with its attachments together.
        suffixes: Formats of attachments that are read.
        parse_part: Parses an attachment by its suffix.

    Raises:
        UnreadableError: Not a mail, of too many parts, or of more characters than the limits allow.
    """
    head = _HEAD.match(data)
    if head is None or len(_KNOWN_HEADER.findall(head[0])) < 2:
        raise UnreadableError("not a mail: it does not begin with a mail's headers")
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        parts = list(_leaves(message))
    except RecursionError as error:
        raise UnreadableError("its parts are nested too deeply") from error
    subject = _header(message, "Subject")
    headers = [f"{name}: {value}" for name in _SHOWN_HEADERS if (value := _header(message, name))]
    blocks = [Block("heading", subject, level=1), Block("paragraph", "\n".join(headers))]
    body, notes = _body(message)
    parsed = compose([*blocks, *body], title=subject or None, warnings=notes, metadata=_metadata(message))
    for part in parts:
        if part is not message and part.get_content_disposition() == "attachment" or part.get_filename():
            parsed = _attached(parsed, part, suffixes, parse_part)
            check_length(parsed.text, limits.max_characters)
    return parsed


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """Yield the parts that hold no parts of the same mail; a mail that is attached counts as one part."""
    count = 0
    waiting = [message]
    while waiting:
        part = waiting.pop(0)
        count += 1
        if count > _MAX_PARTS:
            raise UnreadableError(f"it holds more than {_MAX_PARTS} parts")
        if part.get_content_maintype() == "multipart":
            waiting[:0] = [each for each in part.get_payload() if isinstance(each, EmailMessage)]  # type: ignore[union-attr]
        else:
            yield part


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = str(message.get(name, ""))
    except _BROKEN_HEADER:
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return one_line(value)[:_HEADER_CHARACTERS]


def _metadata(message: EmailMessage) -> dict[str, str]:
    try:
        sent = message["Date"].datetime.date().isoformat()
    except _BROKEN_HEADER:
        sent = ""
    return {"author": _header(message, "From"), "date": sent}


def _body(message: EmailMessage) -> tuple[list[Block], tuple[str, ...]]:
    """Return the blocks of the body, as HTML where the mail has that, and the warnings."""
    for kind in ("html", "plain"):
        part = message.get_body(preferencelist=(kind,))
        if part is None:
            continue
        data = _bytes(part)
        charset = part.get_content_charset("")
        if not data.strip():
            continue
        try:
            text, notes = decode(data, declared=charset)
            if kind == "plain":
                lines = [one_line(line) for line in re.split("\r\n?|\n", text)]
                found = structure(lines)
                # "Dear colleagues" alone on a line is no heading
                return [replace(each, kind="paragraph") if each.kind == "heading" else each for each in found], notes
            own, more = read_whole(text.encode("utf-8"))
        except UnreadableError as error:
            return [], (f"its body could not be read: {error}",)
        if own:
            return own, (*notes, *more)
    return [], ()


def _bytes(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attached(parsed: Parsed, part: EmailMessage, suffixes: Sequence[str], parse_part: Parse) -> Parsed:
    """Return the mail with an attachment as a section, or with a warning that names it."""
    name = one_line((part.get_filename() or "").replace("/", "_").replace("\\", "_"))[:200]
    if not name:
        if part.get_content_type() == "message/rfc822":
            name = "a mail"
        else:
            return parsed
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in suffixes:
        return replace(parsed, warnings=(*parsed.warnings, f"the attachment {name} was not read: unsupported format"))
    try:
        own = parse_part(suffix, _bytes(part))
    except UnreadableError as error:
        return replace(parsed, warnings=(*parsed.warnings, f"the attachment {name} was not read: {error}"))
    if not clean(own.text):
        return replace(parsed, warnings=(*parsed.warnings, f"the attachment {name} holds no text"))
    return append(parsed, own, heading=name)
