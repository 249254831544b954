"""Who asks, for what purpose, for whom: roles, emergency, representatives, and statements that do not belong together."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from isthmus.config import Consent
from isthmus.country_a.api import ROUTES
from isthmus.country_a.routes import Route
from isthmus.model.context import Purpose
from isthmus.model.people import HealthProfessional, Patient, Principal
from isthmus.testing.border import DOCTOR, Peer, PracticeBorder, Reply, traits
from isthmus.testing.register import CT, SEEN, TWIN, fill
from isthmus.trust.jws import sign
from isthmus.wire.tokens import CARE_SCOPES, write_token_request

pytestmark = pytest.mark.anyio
CLERK = replace(DOCTOR, sub="clerk-1", role="4412")
POLICY = {"min_loa": "substantial", "patient_presence": ["id-document", "unable"], "patients_per_day": 200}


def refused(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.code) == (status, code), reply.body


async def handle_of(border: PracticeBorder, who: HealthProfessional = DOCTOR, patient: Patient = SEEN) -> Patient:
    handle = await border.find(patient, await border.token(who))
    return replace(patient, handle=handle)


def scope_of(reply: Reply) -> set[str]:
    assert reply.status == 200, reply.body
    return set(reply.json()["scope"].split())


# roles


@pytest.mark.threat("T48")
@pytest.mark.parametrize("principal", [None, Principal("nurse-1", "2221"), Principal("clerk-2", "4412")])
async def test_a_clerk_without_a_physician_behind_is_refused(
    border: PracticeBorder, principal: Principal | None
) -> None:
    hpa = border.bb.hpa_claims(replace(CLERK, on_behalf_of=principal))

    refused(await border.knock(border.bb.request(hpa)), 403, "role")


@pytest.mark.threat("T48")
async def test_a_clerk_on_behalf_of_a_physician_finds_the_patient_and_no_more(border: PracticeBorder) -> None:
    clerk = replace(CLERK, on_behalf_of=Principal("doctor-1", "2212"))
    patient = await handle_of(border, clerk)

    reply = await border.knock(border.bb.request(border.bb.hpa_claims(clerk), border.bb.trc_claims(patient, clerk)))

    refused(reply, 403, "role")


@pytest.mark.threat("T48")
async def test_for_whom_a_clerk_reads_the_list_stands_in_the_record_of_the_care_stage(tmp_path: Path) -> None:
    own = tmp_path / "roles.toml"
    own.write_text(
        '[[roles]]\ncodes = ["22"]\nname = "physicians"\nacts = ["identify"]\nphysician = true\n'
        '[[roles]]\ncodes = ["4412"]\nname = "clerks"\nacts = ["identify", "list"]\non_behalf_of = true\n'
    )
    clerk = replace(CLERK, on_behalf_of=Principal("doctor-1", "2212"))
    async with PracticeBorder(tmp_path / "practice", law=Consent(roles=str(own))) as border:
        fill(border.register, tmp_path)
        patient = await handle_of(border, clerk)

        scope_of(
            await border.knock(border.bb.request(border.bb.hpa_claims(clerk), border.bb.trc_claims(patient, clerk)))
        )

        said = recorded(border, "stage")
    assert (said["stage"], said["on-behalf-of"]) == ("care", "doctor-1 2212")


@pytest.mark.threat("T48")
@pytest.mark.parametrize("half", [{"sub": "doctor-1"}, {"role": "2212"}, "doctor-1", None])
async def test_on_whose_behalf_is_said_whole_or_not_at_all(border: PracticeBorder, half: Any) -> None:
    hpa = border.bb.hpa_claims(CLERK)
    hpa["extensions"]["ehdsi"]["hp"]["on_behalf_of"] = half

    refused(await border.knock(border.bb.request(hpa)), 400, "hpa-invalid")


@pytest.mark.threat("T48")
async def test_two_roles_are_one_too_many(border: PracticeBorder) -> None:
    hpa = border.bb.hpa_claims()
    roles = hpa["extensions"]["ihe_iua"]["subject_role"]
    hpa["extensions"]["ihe_iua"]["subject_role"] = [*roles, {**roles[0], "code": "2221"}]

    refused(await border.knock(border.bb.request(hpa)), 403, "role")


@pytest.mark.threat("T48")
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Specialist medical practitioners", 200),
        ("medical doctors", 200),
        ("Fachärztin", 200),
        ("Nursing professionals", 403),
        ("Pharmacists", 403),
    ],
)
async def test_a_code_beside_the_words_of_another_role_is_two_roles(
    border: PracticeBorder, words: str, status: int
) -> None:
    hpa = border.bb.hpa_claims()
    hpa["extensions"]["ihe_iua"]["subject_role"][0]["display"] = words

    reply = await border.knock(border.bb.request(hpa))

    assert reply.status == status, reply.body


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    """A country with roles of its own, in which a guardian's word counts."""
    own = tmp_path / "roles.toml"
    own.write_text(
        '[[roles]]\ncodes = ["2212"]\nname = "specialists"\nacts = ["identify", "list", "report", "manifest"]\n'
    )
    law = Consent(roles=str(own), representatives=("guardian",))
    async with PracticeBorder(tmp_path / "practice", law=law) as made:
        fill(made.register, tmp_path)
        yield made


async def test_a_countrys_own_roles_hold_at_its_border_and_in_its_scopes(strict: PracticeBorder) -> None:
    nurse = replace(DOCTOR, sub="nurse", role="2221")
    patient = await handle_of(strict)

    knocked = await strict.knock(strict.bb.request(strict.bb.hpa_claims(nurse)))
    scope = scope_of(await strict.knock(strict.bb.request(trc=strict.bb.trc_claims(patient))))

    refused(knocked, 403, "role")
    assert "patient/Bundle.r" in scope
    assert "dicomweb.retrieve" not in scope


# purposes


async def test_emergency_treatment_is_answered_also_for_who_cannot_be_recognised(border: PracticeBorder) -> None:
    bb = border.bb
    hpa = bb.hpa_claims(purpose=Purpose.ETREAT)
    patient = await handle_of(border)

    unable = bb.trc_claims(patient, purpose=Purpose.ETREAT, method="unable")
    reply = await border.knock(bb.request(hpa, unable))

    assert "patient/Bundle.r" in scope_of(reply)
    refused(await border.knock(bb.request(trc=bb.trc_claims(patient, method="unable"))), 403, "presence")


@pytest.mark.threat("T49")
async def test_what_a_patient_asks_for_never_crosses(border: PracticeBorder) -> None:
    border.change(0, policy={**POLICY, "btg": True})

    refused(await border.knock(border.bb.request(border.bb.hpa_claims(purpose=Purpose.PATRQT))), 403, "purpose")


# who speaks for the patient


@pytest.mark.threat("T47")
@pytest.mark.parametrize("basis", ["guardian", "proxy", "next-of-kin"])
async def test_a_representative_is_verified_and_recorded_and_gains_nothing(border: PracticeBorder, basis: str) -> None:
    bb, patient = border.bb, await handle_of(border)

    without = await border.knock(bb.request(trc=bb.trc_claims(patient)))
    with_one = await border.knock(
        bb.request(trc=bb.trc_claims(patient), nok=bb.nok_claims(patient.handle or "", basis))
    )
    unable = await border.knock(
        bb.request(trc=bb.trc_claims(patient, method="unable"), nok=bb.nok_claims(patient.handle or "", basis))
    )

    assert scope_of(without) == scope_of(with_one)
    refused(unable, 403, "presence")
    assert {"representative": "representative-1", "basis": basis}.items() <= recorded(border).items()


def recorded(border: PracticeBorder, which: str = "basis") -> Mapping[str, str]:
    """The details of the last token request that was granted, of those that say `which`."""
    from isthmus.audit.page import MonthKeys, rows
    from isthmus.audit.verify import opened

    keys = MonthKeys(border.master)

    def details(connection: Any) -> dict[str, str]:
        unseal = keys.unsealer(connection)
        said = [opened(row, unseal)[0] for row in rows(connection) if row.kind == "intent"]
        return dict([each["details"] for each in said if each and which in each["details"]][-1])

    return border.state.read_now(details)


@pytest.mark.threat("T47")
async def test_where_the_countrys_law_says_so_a_guardian_stands_in_for_a_document(strict: PracticeBorder) -> None:
    bb, patient = strict.bb, await handle_of(strict)
    handle = patient.handle or ""

    def unable(basis: str) -> bytes:
        return bb.request(trc=bb.trc_claims(patient, method="unable"), nok=bb.nok_claims(handle, basis))

    guardian, kin = await strict.knock(unable("guardian")), await strict.knock(unable("next-of-kin"))

    assert "patient/Bundle.r" in scope_of(guardian)
    refused(kin, 403, "presence")


@pytest.mark.threat("T47")
@pytest.mark.parametrize(
    "fault", ["over", "another patient", "no basis", "no evidence", "no digest", "no relationship", "key"]
)
async def test_a_representative_who_does_not_hold_is_refused(border: PracticeBorder, fault: str) -> None:
    bb, patient = border.bb, await handle_of(border)
    over: datetime | None = border.clock() - timedelta(days=1) if fault == "over" else None
    handle = (await handle_of(border, patient=TWIN)).handle if fault == "another patient" else patient.handle
    nok = bb.nok_claims(handle or "", until=over)
    part = nok["extensions"]["ehdsi"]["nok"]
    part |= {"no basis": {"basis": "friend"}, "no digest": {"evidence_sha256": "seen"}}.get(fault, {})
    if fault == "no evidence":
        del part["evidence_sha256"]
    request = bb.request(trc=None if fault == "no relationship" else bb.trc_claims(patient), nok=nok)
    if fault == "key":  # signed with the key that makes professionals
        inner = {"nok": sign(nok, bb.hpa_key, "nok+jwt")}
        outer = bb.client_claims(bb.sign_hpa(bb.hpa_claims()), bb.sign_trc(bb.trc_claims(patient)), **inner)
        request = write_token_request(bb.sign_client(outer))

    refused(await border.knock(request), 400, "nok-invalid")


# statements of one type in the place of another, and of two visits


SLOTS = {"hpa": ("hpa-invalid", 400), "trc": ("trc-invalid", 400), "nok": ("nok-invalid", 400)}
KINDS = ("client", "hpa", "trc", "nok", "at", "receipt")


@pytest.mark.threat("T15")
@pytest.mark.parametrize(("slot", "kind"), [(s, k) for s, k in itertools.product(("client", *SLOTS), KINDS) if s != k])
async def test_a_statement_of_another_type_opens_no_slot(border: PracticeBorder, slot: str, kind: str) -> None:
    """Each is whole, signed by the right country, fresh; only it is something else."""
    bb, patient = border.bb, await handle_of(border)
    handle = patient.handle or ""
    hpa, trc, nok = bb.hpa_claims(), bb.trc_claims(patient), bb.nok_claims(handle)
    client = bb.client_claims(bb.sign_hpa(bb.hpa_claims()))
    made = {
        "client": bb.sign_client(client), "hpa": bb.sign_hpa(hpa), "trc": bb.sign_trc(trc), "nok": bb.sign_nok(nok),
        "at": await border.token(), "receipt": sign(client, bb.sig, "ncp-receipt+jwt"),
    }  # fmt: skip
    inner = {"hpa": bb.sign_hpa(bb.hpa_claims()), "trc": bb.sign_trc(trc)}
    outer = made[kind] if slot == "client" else bb.sign_client(bb.client_claims(**{**inner, slot: made[kind]}))

    reply = await border.knock(write_token_request(outer))

    code, status = SLOTS.get(slot, ("client-assertion", 401))
    refused(reply, status, code)


@pytest.mark.threat("T15")
@pytest.mark.parametrize("kind", ["client", "hpa", "trc", "nok"])
async def test_no_statement_is_an_access_token(border: PracticeBorder, kind: str) -> None:
    bb, patient = border.bb, await handle_of(border)
    made = {
        "client": bb.sign_client(bb.client_claims(bb.sign_hpa(bb.hpa_claims()))), "hpa": bb.sign_hpa(bb.hpa_claims()),
        "trc": bb.sign_trc(bb.trc_claims(patient)), "nok": bb.sign_nok(bb.nok_claims(patient.handle or "")),
    }  # fmt: skip

    reply = await border.ask("/fhir/DocumentReference", token=made[kind], query={"patient": patient.handle or ""})

    refused(reply, 401, "token")


def all_three(peer: Peer, patient: Patient) -> dict[str, str]:
    return {
        "hpa": peer.sign_hpa(peer.hpa_claims()),
        "trc": peer.sign_trc(peer.trc_claims(patient)),
        "nok": peer.sign_nok(peer.nok_claims(patient.handle or "")),
    }


@pytest.mark.threat("T91")
@pytest.mark.threat("T21")
@pytest.mark.parametrize("whose", ["hpa", "trc", "nok"])
async def test_statements_of_two_countries_do_not_make_one_request(border: PracticeBorder, whose: str) -> None:
    """CC received BB's statements rightly, or signs its own into BB's."""
    bb, cc, patient = border.bb, border.peers["CC"], await handle_of(border)
    signed, theirs = (all_three(peer, patient) for peer in (bb, cc))

    mixed = await border.knock(
        write_token_request(bb.sign_client(bb.client_claims(**{**signed, whose: theirs[whose]})))
    )
    stolen = await border.ask(
        "/oauth/token", body=write_token_request(cc.sign_client(cc.client_claims(**{**theirs, whose: signed[whose]}))),
        headers={"content-type": "application/x-www-form-urlencoded"}, method="POST", certificate=cc.certificate,
    )  # fmt: skip

    refused(mixed, 400, SLOTS[whose][0])
    assert stolen.status in (400, 403)
    assert stolen.code in {code for code, _ in SLOTS.values()}


@pytest.mark.threat("T91")
@pytest.mark.parametrize(
    ("of", "change"),
    [
        ("sub", {"sub": "doctor-2"}),
        ("session", {"session": "session-2"}),
    ],
)
async def test_professional_and_relationship_of_two_sessions_do_not_make_one_request(
    border: PracticeBorder, of: str, change: dict[str, str]
) -> None:
    bb, patient = border.bb, await handle_of(border)
    other = replace(DOCTOR, **change)  # type: ignore[arg-type]  # texts, all of them

    refused(await border.knock(bb.request(bb.hpa_claims(other), bb.trc_claims(patient))), 400, "trc-invalid")


@pytest.mark.threat("T91")
async def test_two_purposes_or_two_points_of_care_do_not_make_one_request(border: PracticeBorder) -> None:
    bb, patient = border.bb, await handle_of(border)
    elsewhere = bb.hpa_claims()
    elsewhere["extensions"]["ehdsi"]["hp"]["point_of_care"] = {
        "id": "urn:oid:2.999.9",
        "name": "Other",
        "country": "BB",
    }
    twice = bb.hpa_claims()
    purposes = twice["extensions"]["ihe_iua"]["purpose_of_use"]
    twice["extensions"]["ihe_iua"]["purpose_of_use"] = [*purposes, {**purposes[0], "code": "ETREAT"}]

    in_emergency = await border.knock(bb.request(bb.hpa_claims(purpose=Purpose.ETREAT), bb.trc_claims(patient)))

    refused(in_emergency, 400, "trc-invalid")
    refused(await border.knock(bb.request(elsewhere, bb.trc_claims(patient))), 400, "trc-invalid")
    refused(await border.knock(bb.request(twice)), 400, "hpa-invalid")


# what a token reaches


PATHS = {"{id}": "0" * 40, "{study}": CT, "{series}": f"{CT}.1", "{instance}": f"{CT}.1.1", "{path}": f"studies/{CT}"}
GUARDED = [route for route in ROUTES if route.needs.scopes]


def an_address(route: Route) -> str:
    path = route.path
    for name, value in PATHS.items():
        path = path.replace(name, value)
    return path


@pytest.mark.threat("T27")
@pytest.mark.parametrize("scope", ["identify", *CARE_SCOPES])
async def test_a_token_reaches_what_its_scope_names_and_nothing_else(border: PracticeBorder, scope: str) -> None:
    """Every address that is guarded, with a token of each scope alone."""
    bb, patient = border.bb, await handle_of(border)
    token = await border.token()
    if scope != "identify":
        form = dict(parse_qsl(bb.request(trc=bb.trc_claims(patient)).decode())) | {"scope": scope}
        reply = await border.knock(urlencode(form).encode())
        assert reply.json()["scope"] == scope
        token = str(reply.json()["access_token"])
    held = {"system/Patient.s"} if scope == "identify" else {scope}

    reached = {}
    for route in GUARDED:
        method = route.methods[0]
        asked = traits(SEEN) if "/Patient" in route.path else {"patient": patient.handle or ""}
        posts, address = method == "POST", an_address(route)
        reply = await border.ask(
            address, token=token, method=method, query=() if posts else asked, form=asked if posts else None
        )
        reached[route.path] = (reply.status, reply.code if reply.status == 403 else "") != (403, "scope")

    assert reached == {route.path: bool(route.needs.scopes & held) for route in GUARDED}


@pytest.mark.threat("T27")
@pytest.mark.parametrize(
    "scope", ["system/*.*", "patient/*.rs", "patient/Observation.rs", "openid", "patient/Patient.cruds"]
)
async def test_a_scope_that_is_not_given_here_is_refused(border: PracticeBorder, scope: str) -> None:
    bb, patient = border.bb, await handle_of(border)
    form = dict(parse_qsl(bb.request(trc=bb.trc_claims(patient)).decode())) | {"scope": scope}

    refused(await border.knock(urlencode(form).encode()), 400, "grant")


@pytest.mark.threat("T27")
async def test_the_care_scope_is_not_given_at_the_first_stage(border: PracticeBorder) -> None:
    form = dict(parse_qsl(border.bb.request().decode())) | {"scope": "patient/Patient.rs"}

    refused(await border.knock(urlencode(form).encode()), 400, "grant")
