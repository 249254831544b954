"""Tokens: the request for one, the answer, and its errors.

Source: RFC 6749 §4.4, §5; RFC 7523 §2.2; SMART backend services; trust.md §2.5.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from isthmus.errors import CountryMisanswered, IsthmusError, MalformedRequest
from isthmus.fhir import elements as el
from isthmus.wire.outcomes import ERROR_SYSTEM, outcome_headers

GRANT_TYPE = "client_credentials"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

IDENTIFY_SCOPES = ("system/Patient.s",)
DICOMWEB_SCOPE = "dicomweb.retrieve"
_CARE: tuple[tuple[str, frozenset[str]], ...] = (
    ("patient/Patient.rs", frozenset()),
    ("patient/DocumentReference.rs", frozenset({"imaging-report", "imaging-manifest"})),
    ("patient/ImagingStudy.rs", frozenset({"imaging-manifest"})),
    ("patient/DiagnosticReport.rs", frozenset({"imaging-report"})),
    ("patient/Binary.r", frozenset({"imaging-report", "imaging-manifest"})),
    ("patient/Bundle.r", frozenset({"imaging-report", "imaging-manifest"})),
    (DICOMWEB_SCOPE, frozenset({"imaging-pixels"})),
)
CARE_SCOPES = tuple(scope for scope, _ in _CARE)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as the token endpoint gave it. `patient` is the handle, under a care token."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    patient: str | None = None


def care_scope(services: frozenset[str]) -> str:
    """The scope of a care token: what the country offers, never what the patient said."""
    return " ".join(scope for scope, needs in _CARE if not needs or needs & services)


def write_token_request(assertion: str) -> bytes:
    """Write the form body of a token request."""
    form = {
        "grant_type": GRANT_TYPE,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return urlencode(form).encode()


def read_token_request(pairs: Iterable[tuple[str, str]]) -> str:
    """Give the client assertion of a token request. Raises MalformedRequest for anything else.

    Members: grant_type, client_assertion_type, client_assertion, and optionally scope, client_id; each once.
    """
    form: dict[str, str] = {}
    for name, value in pairs:
        if name in form:
            raise MalformedRequest("a form member is given twice", reason="grant", path=name)
        form[name] = value
    if form.get("grant_type") != GRANT_TYPE:
        raise MalformedRequest(f"the grant type is {GRANT_TYPE}", reason="grant-type", path="grant_type")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise MalformedRequest("the client shows itself by a JWT", reason="grant", path="client_assertion_type")
    if set(form.get("scope", "").split()) - {*IDENTIFY_SCOPES, *CARE_SCOPES}:
        raise MalformedRequest("a scope that is not given here", reason="grant-scope", path="scope")
    assertion = form.get("client_assertion", "")
    if not assertion:
        raise MalformedRequest("no client assertion", reason="grant", path="client_assertion")
    return assertion


def write_token(access_token: str, expires_in: int, scope: str, patient: str | None = None) -> bytes:
    """Write the answer of the token endpoint."""
    return el.write_object(
        el.without_nothing(
            {
                "access_token": access_token,
                "token_type": "Bearer",
                "expires_in": expires_in,
                "scope": scope,
                "patient": patient,
            }
        )
    )


def read_token(body: bytes) -> Token:
    """Read the answer of the token endpoint. Raises CountryMisanswered."""
    node = el.read_object(body)
    token, expires_in = el.text(node, "access_token"), el.number(node, "expires_in")
    if token is None or expires_in is None or (el.text(node, "token_type") or "").lower() != "bearer":
        raise CountryMisanswered("a token answer without a bearer token and its life", path="access_token")
    return Token(token, expires_in, el.text(node, "scope") or "", el.text(node, "patient"))


def token_number(access_token: str | None) -> str:
    """The jti of an access token, as its issuer wrote it; nothing where there is none. It joins records and proves nothing.

    Source: BALP (OAuth); AUD-08.
    """
    return _claim(access_token, "jti")


def token_decision(access_token: str | None) -> str:
    """The number of the decision that an access token was given under; nothing where its issuer says none."""
    return _claim(access_token, "did")


def _claim(access_token: str | None, name: str) -> str:
    payload = (access_token or "").split(".")[1:2]
    try:
        claims = el.read_object(urlsafe_b64decode(payload[0] + "=" * (-len(payload[0]) % 4)))
    except (CountryMisanswered, IndexError, ValueError):
        return ""
    return el.text(claims, name) or ""


def write_token_error(error: IsthmusError) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Write an error of the token endpoint: RFC 6749 JSON, our code as its URI; and the headers that go with it."""
    meaning = error.meaning
    body = el.write_object({"error": meaning.oauth or "invalid_request", "error_uri": f"{ERROR_SYSTEM}:{meaning.code}"})
    return body, outcome_headers(error)
