"""The name of the file that a URL becomes: readable, the same each time, and always inside its folder."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import unquote, urlsplit

_SEGMENT_BYTES = 120  # a file system takes 255, suffix and mark included
_MAX_SEGMENTS = 12
_UNSAFE = re.compile(r'[\\/:*?"<>|\s]+')


def file_name(url: str, suffix: str) -> str:
    """Return ``HOST/path/name.suffix`` for a URL, with ``/``.

    Percent-encoded letters stand there as letters. What a file name cannot hold is replaced, and the name then ends
    in a mark made of the whole URL, as it does where the URL has a query, so that two URLs do not share a file.

    Args:
        url: Absolute, without a fragment.
        suffix: With its dot; it takes the place of one that means the same.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = host if parts.port is None else f"{host}_{parts.port}"
    segments = [_decoded(segment) for segment in parts.path.split("/") if segment]
    is_folder = parts.path.endswith("/") or not segments
    stem = "index" if is_folder else segments.pop()
    for own in (suffix, ".htm") if suffix == ".html" else (suffix,):
        if stem.lower().endswith(own) and len(stem) > len(own):
            stem = stem[: -len(own)]
            break
    safe = [_safe(segment) for segment in segments[: _MAX_SEGMENTS - 1]]
    name = _safe(stem)
    if parts.query or [*segments, stem] != [*safe, name]:
        name += f"~{mark_of(url)}"
    return "/".join([_safe(_readable(host)), *safe, f"{name}{suffix}"])


def mark_of(url: str) -> str:
    """Return eight hexadecimal digits that tell a URL from others."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _decoded(segment: str) -> str:
    try:
        return unicodedata.normalize("NFC", unquote(segment, errors="strict"))
    except UnicodeDecodeError:
        return segment


def _readable(host: str) -> str:
    """Return a host name in its own letters."""
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return host


def _safe(text: str) -> str:
    """Return text as one part of a path: no separator, no hidden character, no leading dot, not too long."""
    shown = "".join(
        char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    )
    shown = _UNSAFE.sub("_", shown).strip(". ~") or "_"
    return shown.encode("utf-8")[:_SEGMENT_BYTES].decode("utf-8", "ignore")
