"""What is declared is what is there, in both directions: resources, interactions, parameters, scopes."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.country_a.api import ROUTES
from isthmus.fhir.parameters import CONTROLS, PATIENT_PARAMETERS
from isthmus.testing.border import PracticeBorder, Reply, traits
from isthmus.testing.register import CT, SEEN
from isthmus.wire import documents, patients
from isthmus.wire.studies import imaging_study, qido

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("CAP-03")]
SEARCHED = ("DocumentReference", "ImagingStudy")
OF_R4 = {
    "DocumentReference": ("authenticator", "custodian", "description", "encounter", "language", "location", "relatesto", "relation",
                          "relationship", "subject", "_text", "_content", "_tag", "_profile", "_security", "_source", "_has", "_list"),
    "ImagingStudy": ("basedon", "encounter", "endpoint", "interpreter", "performer", "referrer", "_lastUpdated", "_tag"),
    "Patient": ("_id", "active", "address", "address-city", "deceased", "email", "phone", "telecom", "general-practitioner", "link",
                "sex", "mothersMaidenName", "_lastUpdated", "phonetic"),
}  # fmt: skip
"""What a border could have and ours has not: it is not declared, and refused."""


def resources(statement: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {resource["type"]: resource for resource in statement["rest"][0]["resource"]}


async def told(border: PracticeBorder) -> dict[str, dict[str, Any]]:
    return resources((await border.ask("/fhir/metadata")).json())


class Asking:
    def __init__(self, border: PracticeBorder, token: str, handle: str, identify: str) -> None:
        self.border, self.token, self.handle, self.identify = border, token, handle, identify

    async def __call__(self, kind: str, name: str, value: str) -> Reply:
        if kind == "Patient":
            form = {name: value} if name in traits(SEEN) else {**traits(SEEN), name: value}
            return await self.border.ask("/fhir/Patient/_search", token=self.identify, form=form)
        query = {name: value} if "atient" in name or name == "subject" else {"patient": self.handle, name: value}
        return await self.border.ask(f"/fhir/{kind}", token=self.token, query=query)


@pytest.fixture
async def ask(border: PracticeBorder) -> Asking:
    return Asking(border, *await border.care(SEEN), await border.token())


async def test_every_declared_parameter_works(border: PracticeBorder, ask: Asking) -> None:
    value = {"date": "ge2024", "token": "x", "string": "x", "reference": "x"}
    own = {"status": "current", "study-instance-uid": CT, "gender": "female", "birthdate": "1911-02-03"}

    for kind, resource in (await told(border)).items():
        for parameter in resource.get("searchParam", ()):
            name = parameter["name"]
            reply = await ask(kind, name, own.get(name, value[parameter["type"]]))
            assert parameter["definition"].startswith("http"), name
            assert reply.status == 200 or reply.code in ("patient-mismatch", "search-mask", "malformed"), (kind, name)
            assert b'"param"' not in reply.body


async def test_every_parameter_that_is_read_is_declared(border: PracticeBorder) -> None:
    declared = {kind: {p["name"] for p in r.get("searchParam", ())} for kind, r in (await told(border)).items()}

    read = {
        "DocumentReference": {*documents.DEFINITIONS, *PATIENT_PARAMETERS},
        "ImagingStudy": {*imaging_study.DEFINITIONS, *imaging_study.PATIENT_NAMES},
        "Patient": set(patients.SEARCH_PARAMETERS),
    }
    for kind, names in read.items():
        assert {name.partition(":")[0] for name in names} == declared[kind]


async def test_what_is_not_declared_is_refused_by_name(border: PracticeBorder, ask: Asking) -> None:
    declared = {kind: {p["name"] for p in r.get("searchParam", ())} for kind, r in (await told(border)).items()}

    for kind, names in OF_R4.items():
        for name in names:
            reply = await ask(kind, name, "x")
            assert name not in declared[kind]
            assert (reply.status, reply.code) == (400, "param"), (kind, name)
            assert name in reply.json()["issue"][0]["diagnostics"]


async def test_every_route_is_declared_and_every_declaration_has_its_route(border: PracticeBorder) -> None:
    declared = {(kind, i["code"]) for kind, r in (await told(border)).items() for i in r["interaction"]}

    there = set()
    for route in ROUTES:
        _, root, *rest = route.path.split("/")
        if root == "fhir" and rest[0][:1].isupper():
            there.add((rest[0], "read" if rest[1:] == ["{id}"] else "search-type"))
    assert there == declared


@pytest.mark.requirement("CAP-10")
@pytest.mark.parametrize("kind", SEARCHED)
async def test_the_controls_of_a_search_work(ask: Asking, kind: str) -> None:
    by = "date" if kind == "DocumentReference" else "started"
    values = {"_count": "1", "_sort": f"-{by}", "_summary": "count"}

    for name in CONTROLS:
        reply = await ask(kind, name, values.get(name, "x"))
        assert reply.status == (400 if name == "_cursor" else 200)
    counted = await ask(kind, "_summary", "count")
    strict = await ask(kind, "shoe-size", "43")

    assert counted.json()["total"] > 0
    assert "entry" not in counted.json()
    assert "_summary=count" in counted.json()["link"][0]["url"]
    assert strict.status == 400


async def test_what_a_country_does_not_offer_it_does_not_declare(border: PracticeBorder) -> None:
    border.offer("imaging-report")
    reports = (await border.ask("/fhir/metadata")).json()
    border.offer("imaging-pixels")
    pixels = (await border.ask("/fhir/metadata")).json()

    assert set(resources(reports)) == {"Patient", "DocumentReference", "Bundle", "Binary"}
    assert "QIDO" not in reports["rest"][0]["documentation"]
    assert set(resources(pixels)) == {"Patient"}
    assert "WADO-RS" in pixels["rest"][0]["documentation"]


async def test_the_keys_of_qido_are_told_and_work(border: PracticeBorder, ask: Asking) -> None:
    words = (await border.ask("/fhir/metadata")).json()["rest"][0]["documentation"]

    for level, path in zip(qido.LEVELS, ("studies", "series", "instances"), strict=True):
        assert f"{level}: {', '.join(qido.keys_of(level))}" in words
        for key in qido.keys_of(level):
            reply = await border.ask(f"/dicom-web/{path}", token=ask.token, query={key: ""}, headers={"accept": "*/*"})
            assert reply.status == 200


@pytest.mark.requirement("CAP-05")
async def test_the_scopes_that_are_told_are_those_that_routes_ask_for(border: PracticeBorder) -> None:
    smart = (await border.ask("/.well-known/smart-configuration")).json()

    asked = {scope for route in ROUTES for scope in route.needs.scopes}
    assert set(smart["scopes_supported"]) == asked | {"patient/DiagnosticReport.rs"}


@pytest.mark.requirement("CAP-06")
@pytest.mark.parametrize("accept", ["application/fhir+json;fhirVersion=5.0", "application/fhir+xml", "text/html"])
async def test_another_version_or_form_is_406(border: PracticeBorder, accept: str) -> None:
    assert (await border.ask("/fhir/metadata", headers={"accept": accept})).status == 406


@pytest.mark.requirement("CAP-04")
async def test_one_authorisation_service_is_declared(border: PracticeBorder) -> None:
    statement = (await border.ask("/fhir/metadata")).json()

    (service,) = statement["rest"][0]["security"]["service"]
    assert [coding["code"] for coding in service["coding"]] == ["SMART-on-FHIR"]
