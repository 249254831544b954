"""Token requests and statements: round trips, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from isthmus.errors import CountryMisanswered, InvalidAssertion, MalformedRequest
from isthmus.model.context import PointOfCare, Purpose, TreatmentRelationship
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HealthProfessional, HumanName, Organisation, Patient
from isthmus.wire import assertions, tokens

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
POINT = PointOfCare("poc-1", "Clinic North", "BB")
PROFESSIONAL = HealthProfessional(
    sub="hp-1",
    name="Vera Doctor",
    role="221",
    organisation=Organisation("Hospital B", "org-1"),
    auth_time=1788249600,
    amr=("pwd", "otp"),
    session="digest-1",
)
PATIENT = Patient(
    PatientIdentifier("urn:oid:2.999.4.1", "1|2"), (HumanName("Testova", ("Eva",)),), "1970-01-01", "female", "h-1"
)
RELATIONSHIP = TreatmentRelationship(
    purpose=Purpose.TREAT,
    method="id-document",
    document_country="AA",
    verified_at=NOW - timedelta(minutes=2),
    notice_version="1",
    notice_language="en",
    notice_given=True,
    encounter="enc-1",
    confirmed_at=NOW,
    point_of_care=POINT,
)
FRAME: dict[str, Any] = {"issuer": "urn:b", "audience": "urn:a", "x5t": "abc", "jti": "j-1"}


def _hpa() -> dict[str, Any]:
    return assertions.write_hpa(
        PROFESSIONAL, **FRAME, now=NOW, purpose=Purpose.TREAT, point_of_care=POINT, home_community_id="urn:oid:2.999.1"
    )


def _trc() -> dict[str, Any]:
    return assertions.write_trc(
        RELATIONSHIP, PATIENT, **FRAME, now=NOW + timedelta(minutes=30), sub="hp-1", sid="digest-1"
    )


def test_a_professional_comes_back_as_stated() -> None:
    professional, purpose, point = assertions.read_hpa(_hpa())

    assert (professional.sub, professional.name, professional.role) == ("hp-1", "Vera Doctor", "221")
    assert (professional.acr, professional.auth_time, professional.amr) == (
        PROFESSIONAL.acr,
        1788249600,
        ("pwd", "otp"),
    )
    assert (professional.organisation, professional.session) == (PROFESSIONAL.organisation, "digest-1")
    assert (purpose, point) == (Purpose.TREAT, POINT)


@pytest.mark.parametrize("member", ["subject_name", "subject_organization", "subject_role", "purpose_of_use"])
def test_a_statement_without_a_required_part_does_not_hold(member: str) -> None:
    claims = _hpa()
    del claims["extensions"]["ihe_iua"][member]

    with pytest.raises(InvalidAssertion) as caught:
        assertions.read_hpa(claims)

    assert caught.value.reason == "hpa-invalid"


def test_two_purposes_are_no_purpose() -> None:
    claims = _hpa()
    claims["extensions"]["ihe_iua"]["purpose_of_use"] *= 2

    with pytest.raises(InvalidAssertion):
        assertions.read_hpa(claims)


def test_a_relationship_comes_back_and_ends_two_hours_after_it_was_confirmed() -> None:
    claims = _trc()

    read = assertions.read_trc(claims)

    assert read == assertions.Trc(RELATIONSHIP, "h-1", PATIENT.identifier, "hp-1", "digest-1")
    assert claims["exp"] == int(NOW.timestamp()) + 7200
    assert claims["exp"] - claims["iat"] == 5400


def test_a_notice_not_given_holds_only_for_a_patient_who_cannot() -> None:
    claims = _trc()
    claims["extensions"]["ehdsi"]["trc"]["information_notice"]["given"] = False

    with pytest.raises(InvalidAssertion):
        assertions.read_trc(claims)


@pytest.mark.parametrize("path", [("patient", "handle"), ("patient", "identifier"), ("purpose",), ("relationship",)])
def test_a_relationship_without_a_part_does_not_hold(path: tuple[str, ...]) -> None:
    claims = _trc()
    node = claims["extensions"]["ehdsi"]["trc"]
    for name in path[:-1]:
        node = node[name]
    del node[path[-1]]

    with pytest.raises(InvalidAssertion) as caught:
        assertions.read_trc(claims)

    assert caught.value.reason == "trc-invalid"


def test_the_client_assertion_carries_both_statements_for_a_minute() -> None:
    claims = assertions.write_client_assertion(**FRAME, now=NOW, hpa="h.p.a", trc="t.r.c")

    assert assertions.read_client_assertion(claims) == assertions.Inner("h.p.a", "t.r.c")
    assert claims["exp"] - claims["iat"] == 60
    assert claims["iss"] == claims["sub"] == "urn:b"


@pytest.mark.parametrize("extra", [{"nok": "n.o.k"}, {"access_code": "1"}])
def test_what_is_not_built_is_refused_aloud(extra: dict[str, str]) -> None:
    claims = assertions.write_client_assertion(**FRAME, now=NOW, hpa="h.p.a")
    claims["extensions"]["ehdsi"] |= extra

    with pytest.raises(InvalidAssertion):
        assertions.read_client_assertion(claims)


def test_a_token_request_comes_back() -> None:
    form = tokens.write_token_request("a.b.c")

    assert tokens.read_token_request(parse_qsl(form.decode())) == "a.b.c"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"grant_type": "password"}, "grant-type"),
        ({"client_assertion_type": "x"}, "grant"),
        ({"client_assertion": ""}, "grant"),
        ({"scope": "system/*.*"}, "grant-scope"),
    ],
)
def test_another_grant_is_refused(change: dict[str, str], reason: str) -> None:
    form = dict(parse_qsl(tokens.write_token_request("a.b.c").decode())) | change

    with pytest.raises(MalformedRequest) as caught:
        tokens.read_token_request(form.items())

    assert caught.value.reason == reason


def test_a_member_given_twice_is_refused() -> None:
    pairs = parse_qsl(tokens.write_token_request("a.b.c").decode())

    with pytest.raises(MalformedRequest):
        tokens.read_token_request([*pairs, pairs[0]])


def test_a_token_comes_back() -> None:
    body = tokens.write_token("tok", 300, tokens.care_scope(frozenset({"imaging-report"})), "h-1")

    token = tokens.read_token(body)

    assert (token.access_token, token.expires_in, token.patient) == ("tok", 300, "h-1")
    assert "dicomweb.retrieve" not in token.scope.split()
    assert "patient/Bundle.r" in token.scope.split()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"access_token":"x","token_type":"mac","expires_in":1}'])
def test_an_answer_that_is_no_token_is_a_misanswer(body: bytes) -> None:
    with pytest.raises(CountryMisanswered):
        tokens.read_token(body)
