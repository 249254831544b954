"""Pages: Jinja templates rendered in the reader's language, and the headers every page carries.

Everything is escaped unless it was cleaned (`cleaning.py`) or drawn by us (`icons.py`). No template holds a style or a script.

Source: trust.md §2.14 (CSP, leaving).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from isthmus.pages.icons import icon, mark
from isthmus.pages.language import Language, language
from isthmus.transport.answers import Answer

CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "font-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
HEADERS = (
    ("Content-Security-Policy", CSP),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


@cache
def _environment(code: str) -> Environment:
    spoken = language(code)
    environment = Environment(
        loader=PackageLoader("isthmus.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(spoken.say, spoken.count, newstyle=True)  # type: ignore[attr-defined]  # by the extension
    environment.globals.update(icon=icon, mark=mark, lang=spoken)
    environment.filters["short"] = short
    return environment


def short(number: str) -> str:
    """The beginning of an exchange id, as one can say it on the telephone."""
    plain = "".join(sign for sign in number if sign.isalnum()).upper()
    return "-".join((plain[:4], plain[4:8])) if len(plain) > 4 else plain


def render(template: str, spoken: Language, **context: Any) -> bytes:
    """A page's bytes."""
    return _environment(spoken.code).get_template(template).render(**context).encode("utf-8")


def page_answer(status: int, body: bytes, spoken: Language, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An HTML page with the headers that all of them carry."""
    own = (("Content-Type", "text/html; charset=utf-8"), ("Content-Language", spoken.code))
    return Answer(status, (*own, *HEADERS, *headers), (body,))


def moved(path: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """After a post: see there."""
    return Answer(303, (("Location", path), *HEADERS, *headers), (b"",))
