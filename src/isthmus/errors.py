"""Every error of the house: one tree, and one table that says what each means outside.

    IsthmusError
    ├─ RequestProblem     the asker can correct it
    │   ├─ MalformedRequest · UnsupportedRequest · TooLarge · TooOften
    ├─ TrustProblem       we do not know or believe the asker
    │   ├─ UntrustedCountry · InvalidAssertion · InvalidToken · Replayed · ContextMismatch · WeakAuthentication
    ├─ Refusal            a lawful no
    │   ├─ NoConsent · InsufficientRights · ServiceNotOffered
    ├─ Absence            nothing there, or nothing to be seen
    │   ├─ PatientNotFound · PatientAmbiguous · DocumentNotFound · ImagesNotFound
    ├─ Unavailable        the other side, or behind it; again, later
    │   ├─ ImagesPreparing · CountryUnreachable · CountryTimedOut · NationalInfrastructureUnavailable
    │   ├─ TrustListStale · AuditUnavailable
    ├─ IntegrityLost      nothing is shown
    │   ├─ CountryMisanswered · ContentMismatch · ArrivalRefused · ReceiptDisputed
    └─ SettingsProblem    at start only

A message is for an engineer and carries no patient data; facts are attributes. `reason` chooses among the situations
of one class. `wire/outcomes.py` writes and reads the same table, so that Country B raises what Country A raised.

Source: trust.md §2.7; wire.md §1.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one error means outside: at the border, in the trail, at the command line, to the professional."""

    code: str  # urn:ncp:error
    status: int  # HTTP
    issue: str  # FHIR issue type
    outcome: int  # AuditEvent.outcome
    exit_status: int
    words: str  # gettext message id: what the professional reads
    oauth: str | None = None  # RFC 6749 error
    ehdsi: str | None = None


class IsthmusError(Exception):
    """An error of ours. Subclasses say what happened; `meaning` says what follows."""

    default_reason: ClassVar[str] = "internal"

    def __init__(self, message: str = "", *, reason: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.facts = facts
        if self.reason not in MEANINGS:
            raise ValueError(f"no meaning is written down for reason {self.reason!r}")

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self.reason]

    def __str__(self) -> str:
        return self.message or self.reason


class RequestProblem(IsthmusError):
    """The asker can correct it."""

    default_reason = "malformed"


class MalformedRequest(RequestProblem):
    """Not well-formed. Fact `path`: the parameter, header or element at fault.

    Reasons: malformed, required, value, uid, search-mask, search-mask-value, misdirected, no-host, not-allowed, grant,
    grant-type, grant-scope.
    """


class UnsupportedRequest(RequestProblem):
    """Well-formed, but not something this border does.

    Reasons: param, media, body-media, coding, transfer-coding, no-route.
    """

    default_reason = "param"


class TooLarge(RequestProblem):
    """Over a limit. Facts `limit_bytes`. Reasons: limit, header-limit, too-costly."""

    default_reason = "limit"


class TooOften(RequestProblem):
    """Throttled. Fact `retry_after_s`."""

    default_reason = "rate"


class TrustProblem(IsthmusError):
    """We do not know or believe the asker."""

    default_reason = "peer-not-trusted"


class UntrustedCountry(TrustProblem):
    """Unlisted, suspended, or with a key the list does not name. Fact `country`."""


class InvalidAssertion(TrustProblem):
    """A statement at the token endpoint does not hold.

    Reasons: client-assertion, hpa-invalid, trc-invalid, nok-invalid, presence, access-code.
    """

    default_reason = "client-assertion"


class InvalidToken(TrustProblem):
    """The access token is missing, bad, expired or bound elsewhere. Reasons: token-missing, token, token-expired."""

    default_reason = "token"


class Replayed(TrustProblem):
    """Seen before. Reasons: replay (client assertion), replay-hpa."""

    default_reason = "replay"


class ContextMismatch(TrustProblem):
    """Asked for another patient than the one attested."""

    default_reason = "patient-mismatch"


class WeakAuthentication(TrustProblem):
    """Level of assurance below what Country A asks. Fact `acr_values`."""

    default_reason = "loa"


class Refusal(IsthmusError):
    """A lawful no."""

    default_reason = "role"


class NoConsent(Refusal):
    """Inside Country A only; at the border it is silence."""

    default_reason = "no-consent"


class InsufficientRights(Refusal):
    """Reasons: role, purpose, scope, sign-in, identity, no-role."""


class ServiceNotOffered(Refusal):
    """The country's list entry lacks the row. Fact `service`."""

    default_reason = "not-offered"


class Absence(IsthmusError):
    """Nothing there, or nothing to be seen: the two are one."""

    default_reason = "not-found"


class PatientNotFound(Absence):
    """No person with these traits."""

    default_reason = "no-match"


class PatientAmbiguous(Absence):
    """Several persons fit."""

    default_reason = "multiple-matches"


class DocumentNotFound(Absence):
    """No such document for this patient."""


class ImagesNotFound(Absence):
    """No such study, series or instance for this patient."""


class Withdrawn(Absence):
    """It stood in the list of this visit and does not any more: Country B says so, no country answers with it."""

    default_reason = "withdrawn"


class Unavailable(IsthmusError):
    """The other side, or what lies behind it; again, later. Fact `retry_after_s`."""

    default_reason = "backend"


class ImagesPreparing(Unavailable):
    """Being fetched from a near-line archive. Fact `retry_after_s`."""

    default_reason = "preparing"


class CountryUnreachable(Unavailable):
    """No connection, or it broke before the first byte. Fact `country`."""

    default_reason = "unreachable"


class CountryTimedOut(Unavailable):
    """Connected, then silence. Fact `country`."""

    default_reason = "timed-out"


class NationalInfrastructureUnavailable(Unavailable):
    """Register, archive or consent store does not answer, or a directive cannot be read."""


class TrustListStale(Unavailable):
    """The trust list has run out, or none was ever accepted."""

    default_reason = "trustlist"


class AuditUnavailable(Unavailable):
    """The trail cannot be written: no audit, no data."""

    default_reason = "audit"


class IntegrityLost(IsthmusError):
    """What came is not what it should be; nothing is shown."""

    default_reason = "peer-response"


class CountryMisanswered(IntegrityLost):
    """The other country's answer breaks the rules. Facts `country`, `path`. Reasons: peer-response, peer-limit."""


class ContentMismatch(IntegrityLost):
    """Bytes are missing or differ: a digest, a length, a closing boundary. Reasons: incomplete, digest."""

    default_reason = "incomplete"


class ArrivalRefused(IntegrityLost):
    """Hostile, or another person's. Reasons: dicom-rejected, wrong-patient."""

    default_reason = "dicom-rejected"


class ReceiptDisputed(IntegrityLost):
    """A receipt says otherwise than the list of what was sent."""

    default_reason = "receipt"


class SettingsProblem(IsthmusError):
    """Settings, keys or files of the node do not allow a start. Fact `key`. Reasons: settings, usage, stand-in."""

    default_reason = "settings"


_CALL = "Access is not possible now. Try again, or call your support desk."
_STOPPED = "Stopped: this may be another person. Nothing of it has been shown."
_NOTHING = "No imaging information is available here for this person. This does not mean that none exists."
_GONE = "This is not available here."

MEANINGS: dict[str, Meaning] = {
    # the asker can correct it
    "malformed": Meaning("malformed", 400, "structure", 4, 2, "The request is not well-formed.", "invalid_request"),
    "required": Meaning(
        "malformed", 400, "required", 4, 2, "Something that must be given is missing.", "invalid_request"
    ),
    "value": Meaning("malformed", 400, "invalid", 4, 2, "A value is not of its kind.", "invalid_request"),
    "uid": Meaning("malformed", 400, "value", 4, 2, "A UID is not well-formed.", "invalid_request"),
    "search-mask": Meaning(
        "search-mask",
        400,
        "required",
        4,
        2,
        "Fill in every field that the country asks for.",
        None,
        "ERROR_PI_MISSING_REQUIRED_FIELDS",
    ),
    "search-mask-value": Meaning(
        "search-mask", 400, "value", 4, 2, "The number does not have the form that the country uses."
    ),
    "misdirected": Meaning("misdirected", 421, "security", 8, 2, "This address is not served here."),
    "no-host": Meaning("misdirected", 400, "security", 8, 2, "This address is not served here."),
    "not-allowed": Meaning("malformed", 405, "not-supported", 4, 2, "This cannot be done here.", "invalid_request"),
    "grant": Meaning("grant", 400, "invalid", 4, 2, "The request is not well-formed.", "invalid_request"),
    "grant-type": Meaning("grant", 400, "invalid", 4, 2, "The request is not well-formed.", "unsupported_grant_type"),
    "grant-scope": Meaning("grant", 400, "invalid", 4, 2, "The request is not well-formed.", "invalid_scope"),
    "param": Meaning("param", 400, "not-supported", 4, 2, "This cannot be asked here.", None, "4204"),
    "media": Meaning("media", 406, "not-supported", 4, 2, "This form is not available."),
    "body-media": Meaning("media", 415, "not-supported", 4, 2, "This form is not accepted.", "invalid_request"),
    "coding": Meaning("coding", 415, "not-supported", 4, 2, "This encoding is not accepted.", "invalid_request"),
    "transfer-coding": Meaning(
        "coding", 400, "not-supported", 4, 2, "This encoding is not accepted.", "invalid_request"
    ),
    "no-route": Meaning("not-found", 404, "not-supported", 4, 4, _GONE),
    "limit": Meaning("limit", 413, "too-long", 4, 2, "This is larger than what is accepted.", "invalid_request"),
    "header-limit": Meaning("limit", 431, "too-long", 4, 2, "This is larger than what is accepted.", "invalid_request"),
    "too-costly": Meaning("limit", 413, "too-costly", 4, 2, "This is larger than what can be answered."),
    "rate": Meaning(
        "rate", 429, "throttled", 4, 5, "Too many requests. Wait a little, then try again.", "invalid_request"
    ),
    # we do not know or believe the asker
    "peer-not-trusted": Meaning(
        "peer-not-trusted", 403, "security", 8, 3, _CALL, "invalid_client", "ERROR_SEC_GENERIC"
    ),
    "client-assertion": Meaning("client-assertion", 401, "security", 8, 3, _CALL, "invalid_client", "1001"),
    "hpa-invalid": Meaning("hpa-invalid", 400, "security", 8, 3, _CALL, "invalid_grant", "1001"),
    "trc-invalid": Meaning("trc-invalid", 400, "security", 8, 3, _CALL, "invalid_grant", "1001"),
    "nok-invalid": Meaning("nok-invalid", 400, "security", 8, 3, _CALL, "invalid_grant", "1001"),
    "presence": Meaning(
        "presence",
        403,
        "business-rule",
        4,
        3,
        "This way of identifying the patient is not accepted by the country.",
        "invalid_grant",
    ),
    "token-missing": Meaning("token", 401, "login", 8, 3, _CALL, "invalid_token"),
    "token": Meaning("token", 401, "security", 8, 3, _CALL, "invalid_token", "1001"),
    "token-expired": Meaning("token", 401, "expired", 8, 3, _CALL, "invalid_token", "1002"),
    "replay": Meaning("replay", 401, "duplicate", 8, 3, _CALL, "invalid_client", "1001"),
    "replay-hpa": Meaning("replay", 400, "duplicate", 8, 3, _CALL, "invalid_grant", "1001"),
    "patient-mismatch": Meaning("patient-mismatch", 403, "forbidden", 8, 3, _STOPPED, None, "4206"),
    "loa": Meaning(
        "loa", 403, "security", 8, 3, "Sign in again with a stronger means.", "insufficient_user_authentication", "4702"
    ),
    # a lawful no
    "no-consent": Meaning("not-found", 404, "not-found", 4, 4, _NOTHING),
    "role": Meaning(
        "role",
        403,
        "forbidden",
        4,
        3,
        "Your role may not do this. Ask a physician of your team.",
        "invalid_scope",
        "4703",
    ),
    "purpose": Meaning(
        "purpose", 403, "forbidden", 4, 3, "This purpose is not available here yet.", "invalid_scope", "4703"
    ),
    "access-code": Meaning(
        "access-code", 403, "security", 4, 3, "Access codes are not accepted here yet.", "invalid_grant"
    ),
    "scope": Meaning("scope", 403, "forbidden", 4, 3, _CALL, "insufficient_scope", "4703"),
    "sign-in": Meaning("sign-in", 403, "login", 8, 3, "Name or password is not right. Try again."),
    "identity": Meaning("sign-in", 403, "login", 8, 3, "Your identity service did not confirm who you are. Try again."),
    "no-role": Meaning(
        "sign-in", 403, "login", 4, 3, "You are known, but no role or workplace of yours is known here."
    ),
    "not-offered": Meaning(
        "not-offered",
        501,
        "not-supported",
        4,
        3,
        "This country does not offer this yet.",
        None,
        "ERROR_GENERIC_SERVICE_SIGNIFIER_UNKNOWN",
    ),
    # nothing there, or nothing to be seen
    "not-found": Meaning("not-found", 404, "not-found", 4, 4, _GONE),
    "no-match": Meaning(
        "no-match",
        200,
        "not-found",
        4,
        4,
        "No person found with these data. Check the number on the card. Nothing was opened.",
        None,
        "ERROR_PI_NO_MATCH",
    ),
    "multiple-matches": Meaning(
        "multiple-matches",
        200,
        "multiple-matches",
        4,
        4,
        "These data fit more than one person. Add the family name.",
        None,
        "ERROR_PI_MULTIPLE_MATCHES",
    ),
    "withdrawn": Meaning(
        "not-found", 404, "not-found", 4, 4, "The country does not give this any more, and does not say why."
    ),
    # again, later
    "preparing": Meaning("preparing", 503, "transient", 8, 5, "Being prepared from a slow archive."),
    "unreachable": Meaning(
        "unreachable", 502, "transient", 8, 5, "The country cannot be reached. Try again, or call the country's desk."
    ),
    "timed-out": Meaning(
        "timed-out", 504, "timeout", 8, 5, "The country does not answer. Try again, or call the country's desk."
    ),
    "backend": Meaning("backend", 503, "transient", 8, 5, _CALL, "temporarily_unavailable"),
    "trustlist": Meaning("trustlist", 503, "transient", 8, 5, _CALL, "temporarily_unavailable", "ERROR_SEC_GENERIC"),
    "audit": Meaning("audit", 503, "no-store", 8, 5, _CALL, "temporarily_unavailable", "ERROR_SEC_GENERIC"),
    # nothing is shown
    "peer-response": Meaning(
        "peer-response", 502, "security", 12, 6, _CALL, None, "ERROR_SEC_DATA_INTEGRITY_NOT_ENSURED"
    ),
    "peer-limit": Meaning("peer-response", 502, "too-long", 12, 6, _CALL),
    "incomplete": Meaning(
        "incomplete",
        502,
        "incomplete",
        12,
        6,
        "What came is not complete. What came whole is kept.",
        None,
        "ERROR_SEC_DATA_INTEGRITY_NOT_ENSURED",
    ),
    "digest": Meaning("dicom-rejected", 502, "security", 12, 6, _CALL, None, "ERROR_SEC_DATA_INTEGRITY_NOT_ENSURED"),
    "dicom-rejected": Meaning(
        "dicom-rejected",
        502,
        "security",
        12,
        6,
        "This object is not safe to open and was put aside.",
        None,
        "ERROR_SEC_DATA_INTEGRITY_NOT_ENSURED",
    ),
    "wrong-patient": Meaning(
        "wrong-patient", 502, "security", 12, 6, _STOPPED, None, "ERROR_SEC_DATA_INTEGRITY_NOT_ENSURED"
    ),
    "receipt": Meaning("receipt", 409, "conflict", 8, 6, _CALL),
    # at start, and the unforeseen
    "settings": Meaning("settings", 500, "exception", 8, 2, _CALL),
    "usage": Meaning("usage", 400, "invalid", 4, 2, _CALL),
    "stand-in": Meaning("stand-in", 403, "security", 8, 3, _CALL),
    "internal": Meaning("internal", 500, "exception", 8, 1, _CALL, "server_error"),
}
