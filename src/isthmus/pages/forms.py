"""What a browser posts: fields that stand once, from a page of ours, by the person who signed in.

Source: trust.md §2.14 (unsafe methods).
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from isthmus.errors import InsufficientRights, MalformedRequest
from isthmus.signin.sessions import Session, page_token_holds
from isthmus.transport.inbound import Request

TOKEN_FIELD = "page-token"  # noqa: S105  # a field's name
FIELD_MAX = 1000


def require_own_page(request: Request, public: str) -> None:
    """A post comes from a page of ours: the browser says so. Raises InsufficientRights."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if not (origin == public or (site == "same-origin" and origin in (None, public))):
        raise InsufficientRights("the request does not come from a page of this portal", reason="scope")


def read_cookies(request: Request) -> Mapping[str, str]:
    """What the browser keeps for us; nothing where it is malformed."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(request.headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def read_form(request: Request) -> Mapping[str, str]:
    """The fields, each once, without blanks at the ends. Raises MalformedRequest."""
    fields: dict[str, str] = {}
    for name, value in request.form():
        if name in fields:
            raise MalformedRequest("a field came twice", reason="value", path="form")
        if len(value) > FIELD_MAX:
            raise MalformedRequest("a field is too long", reason="value", path="form")
        fields[name] = value.strip()
    return fields


def require_page_token(session: Session, fields: Mapping[str, str]) -> None:
    """The form was made for this session. Raises InsufficientRights."""
    if not page_token_holds(session, fields.get(TOKEN_FIELD, "")):
        raise InsufficientRights("the form was not made for this session", reason="scope")


def local_path(text: str) -> str:
    """Where to go back to: a path of ours, else the front page."""
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isascii()
    return text if plain and text.isprintable() and len(text) <= 2000 else "/"
