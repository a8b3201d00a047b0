"""The pages of the login: one column, both languages, no script needed, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from rag.server.users import MAX_NAME_CHARACTERS, MAX_PASSWORD_CHARACTERS
from rag.ui.words import WORDS, words

_HERE = Path(__file__).parent / "static"
_CHAT = Path(__file__).parent.parent / "ui" / "static"


def preferred_language(accept_language: str) -> str:
    """Return ``"ar"`` or ``"en"``, whichever a browser's ``Accept-Language`` likes better; English where neither."""
    liked: list[tuple[float, str]] = []
    for part in accept_language.lower().split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            liked.append((-float(weight or 1), tag.split("-")[0]))
        except ValueError:
            continue
    return next((tag for _, tag in sorted(liked, key=lambda item: item[0]) if tag in ("ar", "en")), "en")


def login_page(*, language: str, onward: str, name: str = "", said: str = "", is_wrong: bool = False) -> str:
    """Return the page that asks for a name and a password.

    Args:
        language: ``"ar"`` or ``"en"``: what shows until a script knows the reader's own choice.
        onward: Local path to go to afterwards.
        name: What was typed before, to be typed no second time.
        said: HTML of what there is to say: what went wrong, or that the reader has logged out.
        is_wrong: Whether that is trouble.
    """
    role = 'class="trouble" role="alert"' if is_wrong else 'role="status"'
    says = f'<p id="said" {role}>{said}</p>' if said else ""
    marks = ' aria-invalid="true" aria-describedby="said"' if is_wrong else ""
    on_name, on_password = ("", " autofocus") if name else (" autofocus", "")
    return _page(
        "login",
        language,
        onward,
        f"""<form method="post" action="/login">
<h2>{words("login")}</h2>
{says}
<input type="hidden" name="next" value="{escape(onward)}">
<input type="hidden" name="lang" value="{language}">
<label for="name">{words("login_name")}</label>
<input id="name" name="name" value="{escape(name)}" dir="auto" autocomplete="username" autocapitalize="none"
 autocorrect="off" spellcheck="false" maxlength="{MAX_NAME_CHARACTERS}" required{on_name}{marks}>
<label for="password">{words("login_password")}</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="{MAX_PASSWORD_CHARACTERS}" required{on_password}{marks}>
<button type="submit">{words("login_enter")}</button>
</form>""",
    )


def logout_page(*, language: str, name: str) -> str:
    """Return the page that asks whether to log out."""
    return _page(
        "logout",
        language,
        "/",
        f"""<form method="post" action="/logout">
<h2>{words("logged_in_as", name=name)}</h2>
<button type="submit">{words("logout")}</button>
<p><a href="/">{words("back_to_chat")}</a></p>
</form>""",
    )


def onward_page(address: str) -> str:
    """Return a page that goes to a local address by itself, as one of this site, so that its cookie goes along."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sanad</title>'
        f'<meta http-equiv="refresh" content="0;url={escape(address)}"></head>'
        f'<body><a href="{escape(address)}">Sanad · سند</a></body></html>'
    )


def security_headers() -> dict[str, str]:
    """Return the headers of these pages: nothing runs but our own two scripts, nothing is fetched, nothing is kept."""
    style, scripts = _style(), (_script("head.js"), _script("login.js"))
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        f"style-src {_digest(style)}; script-src {' '.join(map(_digest, scripts))}"
    )
    return {"content-security-policy": policy, "cache-control": "no-store"}


def _page(key: str, language: str, onward: str, form: str) -> str:
    other = "en" if language == "ar" else "ar"
    arabic, english = WORDS[key]
    # The chat's pages send no referrer, and a form of such a page has the origin "null", which the guard refuses.
    return f"""<!doctype html>
<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="same-origin">
<meta name="robots" content="noindex">
<title>{escape(english)} · {escape(arabic)} · Sanad · سند</title>
<link rel="icon" href="data:,">
<script>{_script("head.js")}</script>
<style>{_style()}</style>
</head>
<body>
<main>
<header>
<h1><span lang="ar" class="sanad">سند</span> <span lang="en" class="latin">Sanad</span></h1>
<a id="language" href="/{key}?lang={other}&amp;next={escape(quote(onward, safe=""))}">{words("switch_language")}</a>
<p>{words("promise")}</p>
</header>
{form}
</main>
<script>{_script("login.js")}</script>
</body>
</html>
"""


@cache
def _script(name: str) -> str:
    folder = _CHAT if name == "head.js" else _HERE
    return (folder / name).read_text(encoding="utf-8")


@cache
def _style() -> str:
    """Return our style after the chat's colours; without a script the browser's own choice of dark or light counts."""
    chat = (_CHAT / "style.css").read_text(encoding="utf-8")
    light, dark = _rule(chat, ":root"), _rule(chat, 'html[data-theme="dark"]')
    return (
        f':root {{{light}}}\nhtml[data-theme="dark"] {{{dark}}}\n'
        f"@media (prefers-color-scheme: dark) {{ html:not([data-theme]) {{{dark}}} }}\n"
        + (_HERE / "login.css").read_text(encoding="utf-8")
    )


def _rule(style: str, selector: str) -> str:
    found = re.search(rf"^{re.escape(selector)} \{{([^{{}}]*)\}}", style, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"rag/ui/static/style.css has no rule for {selector}, which holds the colours")
    return found[1]


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
