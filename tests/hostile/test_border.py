"""A listed country that cheats, and one that is not listed: each attempt its status, its code, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from isthmus.model.context import Purpose
from isthmus.model.people import HealthProfessional
from isthmus.testing.border import DOCTOR, PracticeBorder, Reply, traits
from isthmus.testing.register import CT, SEEN, THEIRS, TWIN
from isthmus.trust.jws import sign
from isthmus.trust.keys import new_signing_key

pytestmark = pytest.mark.anyio
NURSE, CLERK = replace(DOCTOR, sub="nurse", role="2221"), replace(DOCTOR, sub="clerk", role="4110")


def refused(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.code) == (status, code)
    assert not any(word in reply.body.decode() for word in ("Practice", SEEN.identifier.value, "Traceback"))


async def care_request(border: PracticeBorder, **changes: Any) -> dict[str, Any]:
    """Claims of a right TRC about SEEN, with changes in its `trc` part."""
    handle = await border.find(SEEN, await border.token())
    claims = border.bb.trc_claims(replace(SEEN, handle=handle))
    claims["extensions"]["ehdsi"]["trc"] |= changes
    return claims


# the knock


@pytest.mark.threat("T13")
async def test_statements_signed_by_an_unknown_key_are_refused(border: PracticeBorder) -> None:
    bb = border.bb
    forged = replace(new_signing_key(bb.sig.kid, demo=True))
    forged_hpa = replace(new_signing_key(bb.hpa_key.kid, demo=True))
    good = bb.client_claims(bb.sign_hpa(bb.hpa_claims()))

    by_client = await border.knock(_form(sign(good, forged, "client-authentication+jwt")))
    by_hpa = await border.knock(_form(bb.sign_client(bb.client_claims(sign(bb.hpa_claims(), forged_hpa, "hpa+jwt")))))

    refused(by_client, 401, "client-assertion")
    refused(by_hpa, 400, "hpa-invalid")


def _form(assertion: str, **more: str) -> bytes:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    return urlencode(form | more).encode()


@pytest.mark.threat("T15")
async def test_a_statement_of_another_type_is_refused(border: PracticeBorder) -> None:
    bb, trc = border.bb, await care_request(border)
    hpa = bb.sign_hpa(bb.hpa_claims())

    as_hpa = await border.knock(_form(bb.sign_client(bb.client_claims(bb.sign_trc(trc)))))
    as_trc = await border.knock(_form(bb.sign_client(bb.client_claims(hpa, bb.sign_hpa(bb.hpa_claims())))))
    as_client = await border.knock(_form(hpa))

    refused(as_hpa, 400, "hpa-invalid")
    refused(as_trc, 400, "trc-invalid")
    refused(as_client, 401, "client-assertion")


@pytest.mark.threat("T17")
async def test_expired_and_long_lived_statements_are_refused(border: PracticeBorder) -> None:
    old = border.bb.request()
    border.clock.forward(seconds=91)
    expired = await border.knock(old)
    long_lived = border.bb.hpa_claims()
    long_lived["exp"] += 301

    refused(expired, 401, "client-assertion")
    refused(await border.knock(border.bb.request(long_lived)), 400, "hpa-invalid")


@pytest.mark.threat("T18")
@pytest.mark.threat("T21")
async def test_statements_meant_for_or_made_by_another_country_are_refused(border: PracticeBorder) -> None:
    bb, cc = border.peers["BB"], border.peers["CC"]
    elsewhere = bb.hpa_claims() | {"aud": cc.ncp_id}
    passed_on = cc.sign_client(cc.client_claims(bb.sign_hpa(bb.hpa_claims())))

    refused(await border.knock(bb.request(elsewhere)), 400, "hpa-invalid")
    refused(await border.knock(_form(passed_on), cc), 400, "hpa-invalid")
    refused(await border.knock(bb.request(), cc), 401, "client-assertion")


@pytest.mark.threat("T19")
async def test_a_statement_used_twice_is_refused(border: PracticeBorder) -> None:
    body, hpa = border.bb.request(), border.bb.hpa_claims()
    first = await border.knock(body)
    with_hpa = await border.knock(border.bb.request(hpa))

    again = await border.knock(body)
    hpa_again = await border.knock(border.bb.request(hpa))

    assert (first.status, with_hpa.status) == (200, 200)
    refused(again, 401, "replay")
    refused(hpa_again, 400, "replay")


@pytest.mark.threat("T42")
@pytest.mark.threat("T91")
@pytest.mark.parametrize(
    "swap",
    [
        {"patient": {"handle": "0" * 32, "identifier": {"system": SEEN.identifier.system, "value": SEEN.identifier.value}}},
        {"sid": "another-session"},
        {"purpose": "ETREAT"},
        {"relationship": {"encounter": "e", "confirmed_at": 1, "point_of_care": {"id": "x", "name": "x", "country": "BB"}}},
        {"information_notice": {"version": "1", "language": "en", "given": False}},
    ],
)  # fmt: skip
async def test_a_relationship_that_does_not_fit_is_refused(border: PracticeBorder, swap: dict[str, Any]) -> None:
    refused(await border.knock(border.bb.request(trc=await care_request(border, **swap))), 400, "trc-invalid")


@pytest.mark.requirement("PID-13")
@pytest.mark.threat("T41")
async def test_a_handle_given_to_a_colleague_or_another_country_opens_nothing(border: PracticeBorder) -> None:
    trc = await care_request(border)
    colleague = replace(DOCTOR, sub="doctor-2")
    cc = border.peers["CC"]
    handle = trc["extensions"]["ehdsi"]["trc"]["patient"]["handle"]
    theirs = cc.trc_claims(replace(SEEN, handle=handle))

    by_colleague = await border.knock(border.bb.request(border.bb.hpa_claims(colleague), trc))
    as_colleague = await border.knock(border.bb.request(border.bb.hpa_claims(colleague), trc | {"sub": "doctor-2"}))
    by_country = await border.knock(cc.request(trc=theirs), cc)

    for reply in (by_colleague, as_colleague, by_country):
        refused(reply, 400, "trc-invalid")


@pytest.mark.threat("T42")
async def test_a_relationship_with_another_person_than_the_handles_is_refused(border: PracticeBorder) -> None:
    identifier = {"system": TWIN.identifier.system, "value": TWIN.identifier.value}
    handle = await border.find(SEEN, await border.token())
    trc = await care_request(border, patient={"handle": handle, "identifier": identifier})

    refused(await border.knock(border.bb.request(trc=trc)), 400, "trc-invalid")


@pytest.mark.threat("T48")
@pytest.mark.parametrize(("who", "stage"), [(CLERK, "identify"), (replace(DOCTOR, role="2262"), "care")])
async def test_a_role_that_may_not_is_refused(border: PracticeBorder, who: HealthProfessional, stage: str) -> None:
    trc = None
    if stage == "care":
        handle = await border.find(SEEN, await border.token(who))
        trc = border.bb.trc_claims(replace(SEEN, handle=handle), who)

    refused(await border.knock(border.bb.request(border.bb.hpa_claims(who), trc)), 403, "role")


async def test_what_a_patient_asks_for_is_not_answered_across_the_border(border: PracticeBorder) -> None:
    refused(await border.knock(border.bb.request(border.bb.hpa_claims(purpose=Purpose.PATRQT))), 403, "purpose")


@pytest.mark.threat("T28")
@pytest.mark.parametrize(
    "change",
    [{"acr": "http://eidas.europa.eu/LoA/low"}, {"acr": "high"}, {"acr": "http://example.org/LoA/high"}, {"auth_time": 1_700_000_000}],
)  # fmt: skip
async def test_a_weak_or_old_sign_in_is_refused(border: PracticeBorder, change: dict[str, Any]) -> None:
    reply = await border.knock(border.bb.request(border.bb.hpa_claims() | change))

    refused(reply, 403, "loa")
    assert 'acr_values="http://eidas.europa.eu/LoA/substantial"' in reply.headers["www-authenticate"]


@pytest.mark.parametrize("method", ["unable", "eudiw-pid", "guess"])
async def test_a_way_of_recognising_that_is_not_accepted_is_refused(border: PracticeBorder, method: str) -> None:
    proof = {"method": method, "document_country": "AA", "verified_at": int(border.clock().timestamp())}

    reply = await border.knock(border.bb.request(trc=await care_request(border, identification=proof)))

    refused(reply, 403, "presence")


async def test_what_is_not_built_refuses_with_its_own_word(border: PracticeBorder) -> None:
    bb = border.bb
    claims = bb.client_claims(bb.sign_hpa(bb.hpa_claims()), access_code="something")

    refused(await border.knock(_form(bb.sign_client(claims))), 403, "access-code")


@pytest.mark.threat("T16")
async def test_a_token_request_that_is_not_well_formed_is_refused(border: PracticeBorder) -> None:
    assertion = dict(parse_qsl(border.bb.request().decode()))["client_assertion"]

    twice = await border.knock(_form(assertion) + b"&grant_type=client_credentials")
    other = await border.knock(_form(assertion, grant_type="password"))
    wide = await border.knock(_form(assertion, scope="dicomweb.retrieve"))
    large = await border.knock(_form("x" * 33_000))
    as_json = await border.ask("/oauth/token", method="POST", body=b"{}", headers={"content-type": "application/json"})

    assert [reply.status for reply in (twice, other, wide, large, as_json)] == [400, 400, 400, 413, 415]
    assert other.json()["error"] == "unsupported_grant_type"
    assert wide.json()["error"] == "invalid_scope"


async def test_what_is_refused_before_it_is_read_is_refused_as_a_token_endpoint_does(border: PracticeBorder) -> None:
    put = await border.ask("/oauth/token", method="PUT")
    packed = await border.ask("/oauth/token", method="POST", headers={"content-encoding": "gzip"})
    endless = await border.ask("/oauth/token", method="POST", body=b"x" * (1 << 21))
    elsewhere = await border.ask("/fhir/Patient", method="PUT")

    assert [reply.status for reply in (put, packed, endless, elsewhere)] == [405, 415, 413, 405]
    assert [reply.json()["error"] for reply in (put, packed, endless)] == ["invalid_request"] * 3
    assert elsewhere.json()["resourceType"] == "OperationOutcome"


# the token


@pytest.mark.requirement("SEC-06")
@pytest.mark.threat("T20")
async def test_a_token_on_another_certificate_is_refused(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    query = {"patient": f"Patient/{handle}"}

    stolen = await border.ask(
        "/fhir/DocumentReference", token=token, query=query, certificate=border.peers["CC"].certificate
    )

    refused(stolen, 401, "token")


@pytest.mark.requirement("SEC-02")
@pytest.mark.threat("T13")
async def test_missing_forged_and_expired_tokens_are_refused(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    query = {"patient": f"Patient/{handle}"}

    for bad in (None, changed, "eyJhbGciOiJub25lIn0.e30.", "x" * 40, border.bb.sign_hpa(border.bb.hpa_claims())):
        reply = await border.ask("/fhir/DocumentReference", token=bad, query=query)
        refused(reply, 401, "token")
        assert reply.headers["www-authenticate"].startswith("Bearer")
    border.clock.forward(seconds=331)
    expired = await border.ask("/fhir/DocumentReference", token=token, query=query)

    refused(expired, 401, "token")
    assert expired.json()["issue"][0]["code"] == "expired"


@pytest.mark.requirement("SEC-02")
@pytest.mark.threat("T27")
async def test_a_token_does_not_reach_beyond_its_scope(border: PracticeBorder) -> None:
    identify = await border.token()
    care, _ = await border.care(SEEN, NURSE)

    for path in (
        "/fhir/DocumentReference",
        "/fhir/Bundle/x",
        "/fhir/Binary/x",
        f"/dicom-web/studies/{CT}",
        "/fhir/Patient/x",
    ):
        refused(await border.ask(path, token=identify), 403, "scope")
    refused(await border.ask(f"/dicom-web/studies/{CT}", token=care), 403, "scope")


# whose


@pytest.mark.requirement("SEC-04")
@pytest.mark.threat("T31")
async def test_another_patients_handle_is_refused(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)
    _, other = await border.care(TWIN)

    refused(
        await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{other}"}),
        403,
        "patient-mismatch",
    )


@pytest.mark.threat("T30")
async def test_anothers_study_and_series_give_nothing(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    for path in (
        f"studies/{THEIRS}",
        f"studies/{CT}/series/{THEIRS}.1",
        f"studies/{CT}/series/{CT}.1/instances/{THEIRS}.1.1",
    ):
        reply = await border.ask(f"/dicom-web/{path}", token=token, headers={"accept": "*/*"})
        assert (reply.status, b"DICM" in reply.body) == (404, False)


# the request


@pytest.mark.threat("T67")
@pytest.mark.parametrize(
    "trick",
    ["..", "%2e%2e%2f", f"{CT}%00", f"{CT}/../{CT}x", "1.2.3'--", "1..2", "9" * 65, "*", f"{CT};x=1", "\\..", "not-a-uid", "1.2/frames", "1.2..3/series"],
)  # fmt: skip
async def test_tricks_in_uids_are_refused(border: PracticeBorder, trick: str) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask(f"/dicom-web/studies/{trick}", token=token, headers={"accept": "*/*"})

    assert reply.status in (400, 404)
    assert trick not in reply.body.decode()


@pytest.mark.threat("T31")
@pytest.mark.threat("T39")
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"shoe-size": "43"}, 400, "param"),
        ({"_revinclude": "Provenance:target"}, 400, "param"),
        ({"_filter": "x"}, 400, "param"),
        ({"patient:missing": "true"}, 400, "param"),
        ({"date": "ge2026-13-45"}, 400, "malformed"),
        ({"study-instance-uid": "../etc"}, 400, "malformed"),
        ({"_cursor": "x"}, 400, "malformed"),
        ({"status": ""}, 400, "malformed"),
    ],
)
async def test_a_parameter_that_is_not_ours_is_refused(
    border: PracticeBorder, query: dict[str, str], status: int, code: str
) -> None:
    token, handle = await border.care(SEEN)

    reply = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}", **query})

    refused(reply, status, code)


async def test_a_search_without_a_patient_is_refused(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    refused(await border.ask("/fhir/DocumentReference", token=token, query={"status": "current"}), 400, "malformed")


@pytest.mark.threat("T39")
@pytest.mark.parametrize(
    "change",
    [{"identifier": ""}, {"family": ""}, {"birthdate": ""}, {"family:contains": "Prac"}, {"sex": "female"}, {"_id": "x"},
     {"identifier": "a,b"}, {"birthdate": "ge1900"}, {"given": "*,Paula"}],
)  # fmt: skip
async def test_a_mask_that_is_not_filled_is_refused(border: PracticeBorder, change: dict[str, str]) -> None:
    asked = {name: value for name, value in {**traits(SEEN), **change}.items() if value}

    reply = await border.ask("/fhir/Patient/_search", token=await border.token(), form=asked)

    assert (reply.status, "find_patients" in border.register.asked) == (400, False)


async def test_writing_and_unknown_paths_are_refused(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    for method, path in (
        ("PUT", "Patient/x"),
        ("DELETE", "Bundle/x"),
        ("PATCH", "Bundle/x"),
        ("POST", "DocumentReference"),
    ):
        reply = await border.ask(f"/fhir/{path}", method=method, token=token, body=b"{}")
        assert 400 <= reply.status < 500
    for path in (
        "/fhir/Observation",
        "/fhir/DiagnosticReport",
        "/dicom-web/patients",
        f"/dicom-web/studies/{CT}/metadata",
    ):
        refused(await border.ask(path, token=token), 404, "not-found")
        refused(await border.ask(path), 401, "token")
    refused(await border.ask("/ncp/receipts"), 404, "not-found")


async def test_a_form_that_cannot_be_met_is_406_and_a_body_that_is_none_415(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    query = {"patient": f"Patient/{handle}"}

    for accept in ("application/fhir+xml", "application/fhir+json; fhirVersion=5.0", "text/html"):
        refused(await border.ask("/fhir/metadata", headers={"accept": accept}), 406, "media")
        refused(
            await border.ask("/fhir/DocumentReference", token=token, query=query, headers={"accept": accept}),
            406,
            "media",
        )
    for accept in ("application/dicom", "text/html"):
        refused(await border.ask(f"/dicom-web/studies/{CT}", token=token, headers={"accept": accept}), 406, "media")
    body = await border.ask(
        "/fhir/DocumentReference/_search", method="POST", token=token, body=b"a,b", headers={"content-type": "text/csv"}
    )
    refused(body, 415, "media")


# the country


@pytest.mark.requirement("SEC-01")
@pytest.mark.threat("T02")
async def test_a_certificate_the_list_does_not_name_is_refused(border: PracticeBorder) -> None:
    stranger = new_certificate()

    refused(await border.ask("/fhir/metadata", certificate=stranger), 403, "peer-not-trusted")
    refused(await border.ask("/fhir/metadata", certificate=None), 403, "peer-not-trusted")


def new_certificate() -> bytes:
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding

    from isthmus.trust.issue import issue_authority

    return issue_authority(generate_private_key(SECP256R1()), datetime.now(UTC)).public_bytes(Encoding.DER)


@pytest.mark.threat("T03")
async def test_a_suspended_country_is_refused_at_the_next_request(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    border.suspend("BB")

    reply = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})

    refused(reply, 403, "peer-not-trusted")


@pytest.mark.threat("T10")
async def test_another_host_is_misdirected(border: PracticeBorder) -> None:
    for host in ("attacker.example", "127.0.0.1:1", "localhost:8711"):
        refused(await border.ask("/fhir/metadata", headers={"host": host}), 421, "misdirected")
