"""Outcomes: an error of ours as OperationOutcome, and back to the class that Country A raised.

Both directions use the table in `errors.py`. The exchange id stands in the header alone: answers to "not there" and
"not to be seen" are the same bytes.

Source: trust.md §2.7; wire.md §1.10.
"""

from __future__ import annotations

import re

from isthmus import errors as e
from isthmus.fhir import elements as el

ERROR_SYSTEM = "urn:ncp:error"
EHDSI_SYSTEM = "urn:ehdsi:error"
_UNSHOWN = re.compile(r"[^\x20-\x7e\xa1-\u1fff]")  # controls of a terminal, and of the order of letters
_NAMED = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-\[\]]{0,63}")

_CLASSES: dict[type[e.IsthmusError], str] = {
    e.MalformedRequest: "malformed required value uid search-mask search-mask-value misdirected no-host not-allowed "
    "grant grant-type grant-scope",
    e.UnsupportedRequest: "param media body-media coding transfer-coding no-route",
    e.TooLarge: "limit header-limit too-costly",
    e.TooOften: "rate",
    e.UntrustedCountry: "peer-not-trusted",
    e.InvalidAssertion: "client-assertion hpa-invalid trc-invalid nok-invalid presence access-code",
    e.InvalidToken: "token-missing token token-expired",
    e.Replayed: "replay replay-hpa",
    e.ContextMismatch: "patient-mismatch",
    e.WeakAuthentication: "loa",
    e.InsufficientRights: "role purpose scope sign-in",
    e.ServiceNotOffered: "not-offered",
    e.Absence: "not-found",
    e.PatientNotFound: "no-match",
    e.PatientAmbiguous: "multiple-matches",
    e.ImagesPreparing: "preparing",
    e.CountryUnreachable: "unreachable",
    e.CountryTimedOut: "timed-out",
    e.NationalInfrastructureUnavailable: "backend internal",
    e.TrustListStale: "trustlist",
    e.AuditUnavailable: "audit",
    e.CountryMisanswered: "peer-response peer-limit",
    e.ContentMismatch: "incomplete digest",
    e.ArrivalRefused: "dicom-rejected wrong-patient",
    e.ReceiptDisputed: "receipt",
}
_CLASS_OF = {reason: kind for kind, reasons in _CLASSES.items() for reason in reasons.split()}
_OAUTH = {
    "invalid_client": "client-assertion",
    "invalid_grant": "hpa-invalid",
    "invalid_scope": "role",
    "insufficient_user_authentication": "loa",
    "temporarily_unavailable": "backend",
}  # code of a token error that another product wrote
_BY_STATUS: dict[int, str] = {
    400: "malformed", 401: "token", 403: "scope", 404: "not-found", 405: "not-allowed", 406: "media", 410: "not-found",
    413: "limit", 415: "body-media", 421: "misdirected", 429: "rate", 431: "header-limit", 500: "backend",
    501: "not-offered", 502: "backend", 503: "backend", 504: "timed-out",
}  # fmt: skip


def write_outcome(error: e.IsthmusError, exchange_id: str = "") -> bytes:
    """Write an error as OperationOutcome; the same error always gives the same bytes, whatever the exchange.

    Only a problem that the asker can correct is told in words: which parameter, which form.
    """
    meaning = error.meaning
    codings = [{"system": ERROR_SYSTEM, "code": meaning.code}]
    if meaning.ehdsi is not None:
        codings.append({"system": EHDSI_SYSTEM, "code": meaning.ehdsi})
    issue: el.Node = {"severity": "error", "code": meaning.issue, "details": {"coding": codings}}
    if isinstance(error, e.RequestProblem):
        issue |= el.without_nothing({"diagnostics": error.message, "expression": _expression(error)})
    return el.write_object({"resourceType": "OperationOutcome", "issue": [issue]})


def _expression(error: e.IsthmusError) -> list[str]:
    path = error.facts.get("path")
    return [path] if isinstance(path, str) and _NAMED.fullmatch(path) else []


def outcome_headers(error: e.IsthmusError) -> tuple[tuple[str, str], ...]:
    """The headers that go with an error: when to come again, and how to show oneself.

    Source: RFC 6750 §3; RFC 9470 §3.
    """
    headers: list[tuple[str, str]] = []
    meaning = error.meaning
    retry = error.facts.get("retry_after_s")
    if isinstance(retry, int | float):
        headers.append(("Retry-After", str(max(1, int(retry)))))
    elif meaning.status in (429, 503):
        headers.append(("Retry-After", "30"))
    if error.reason == "token-missing":
        headers.append(("WWW-Authenticate", "Bearer"))
    elif meaning.oauth in ("invalid_token", "insufficient_scope", "insufficient_user_authentication"):
        acr = error.facts.get("acr_values")
        more = f', acr_values="{acr}"' if isinstance(acr, str) else ""
        headers.append(("WWW-Authenticate", f'Bearer error="{meaning.oauth}"{more}'))
    return tuple(headers)


def read_outcome(
    status: int,
    body: bytes | None,
    *,
    absent: type[e.Absence] = e.DocumentNotFound,
    retry_after: str | None = None,
    challenge: str | None = None,
) -> e.IsthmusError:
    """Give the error that Country A raised: by its code, else by the status alone.

    Reads OperationOutcome and the token endpoint's JSON; a body that is neither counts as none. `absent` is the class
    for "not there" of what was asked; 410 is read as 404; `challenge` is `WWW-Authenticate`. Source: RET-06; RFC 9470.
    """
    code, issue, path, words = _told(body)
    reason = _reason(status, code, issue)
    if reason is None:
        return e.CountryMisanswered(f"an answer of status {status} that has no meaning here", status=status)
    facts = el.without_nothing(
        {"path": path, "retry_after_s": _seconds(retry_after), "status": status, "acr_values": _acr(challenge)}
    )
    kind = absent if reason == "not-found" else _CLASS_OF[reason]
    message = words if words and issubclass(kind, e.RequestProblem) else f"the other country answered {status}"
    return kind(_UNSHOWN.sub("?", message[:200]), reason="backend" if reason == "internal" else reason, **facts)


def _acr(challenge: str | None) -> str | None:
    """Which level of assurance would do, by `WWW-Authenticate`. Source: RFC 9470 §3."""
    said = re.search(r'acr_values="([\x21\x23-\x7e ]{1,200})"', (challenge or "")[:1000])
    return said[1] if said is not None else None


def _seconds(retry_after: str | None) -> int | None:
    return min(int(retry_after), 3600) if retry_after is not None and re.fullmatch(r"[0-9]{1,9}", retry_after) else None


def _told(body: bytes | None) -> tuple[str | None, str | None, str | None, str | None]:
    """Code, issue type, path and words of the first issue that says something."""
    try:
        node = el.read_object(body or b"")
    except e.CountryMisanswered:
        return None, None, None, None
    if node.get("resourceType") != "OperationOutcome":
        uri, oauth = el.text(node, "error_uri") or "", el.text(node, "error") or ""
        code = uri.removeprefix(f"{ERROR_SYSTEM}:") if uri.startswith(f"{ERROR_SYSTEM}:") else _OAUTH.get(oauth)
        return code, None, None, None
    issue = next((i for i in el.children(node, "issue") if i.get("severity") in ("error", "fatal")), {})
    coded = [c for c in el.codings(issue, "details") if c.get("system") == ERROR_SYSTEM]
    path = next(iter(el.texts(issue, "expression")), None)
    return el.text(coded[0], "code") if coded else None, el.text(issue, "code"), path, el.text(issue, "diagnostics")


def _reason(status: int, code: str | None, issue: str | None) -> str | None:
    fitting = [(reason, m) for reason, m in e.MEANINGS.items() if m.code == code and reason in _CLASS_OF]
    for narrow in (
        [r for r, m in fitting if m.status == status and m.issue == issue],
        [r for r, m in fitting if m.status == status],
        [r for r, m in fitting if status >= 400],
    ):
        if narrow:
            return narrow[0]
    return _BY_STATUS.get(status)
