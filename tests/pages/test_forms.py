"""Posts come from pages of ours."""

from __future__ import annotations

import pytest

from isthmus.errors import InsufficientRights, MalformedRequest
from isthmus.pages.forms import local_path, read_form, require_own_page
from isthmus.transport.inbound import Request

PUBLIC = "http://127.0.0.1:8700"


def _request(body: bytes = b"", **headers: str) -> Request:
    named = {"content-type": "application/x-www-form-urlencoded"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return Request("POST", "/find", (), named, body, "x", None, None, {})


@pytest.mark.parametrize("headers", [{"origin": PUBLIC}, {"sec_fetch_site": "same-origin"}])
def test_a_page_of_ours_may_post(headers: dict[str, str]) -> None:
    require_own_page(_request(b"", **headers), PUBLIC)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8701"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-origin", "origin": "http://elsewhere.example"},
    ],
)
@pytest.mark.threat("T71")
def test_another_page_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(InsufficientRights):
        require_own_page(_request(b"", **headers), PUBLIC)


def test_fields_are_read_without_blanks_at_the_ends() -> None:
    assert read_form(_request(b"family=+Mavridi+&given=")) == {"family": "Mavridi", "given": ""}


@pytest.mark.parametrize("body", [b"a=1&a=2", b"a=" + b"x" * 2000])
def test_a_field_stands_once_and_is_short(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_form(_request(body))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/find?country=AA", "/find?country=AA"),
        ("//elsewhere.example", "/"),
        ("https://elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_one_goes_back_only_within_the_portal(text: str, path: str) -> None:
    assert local_path(text) == path
