"""A sound conversation fails nothing; spoilt in one place it fails exactly what it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from tests.conformance.spoken import (
    AS_STORED,
    EARLIER_BODY,
    EXPLICIT,
    FIRST,
    IMPLICIT,
    INSTANCES,
    LOINC,
    NOW,
    ORIGIN,
    PACK,
    SINGLE,
    STUDY_UID,
    Named,
    dicom,
    images,
    jwt,
    listed,
    looked_for,
    multipart,
    refused,
    said,
    sound,
)  # fmt: skip
from tests.wire.made import BASE, HANDLE

from isthmus import errors
from isthmus.conformance.evidence import Exchange
from isthmus.conformance.requirement import REQUIREMENTS, Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import load_pack

assert groups.GROUPS
Change = Callable[[Named], Any]
FORGED = dicom(FIRST, syntax=IMPLICIT)


def answered(name: str, edit: Callable[[Any], Any], **members: Any) -> Change:
    """Change the JSON of an answer in place."""

    def change(named: Named) -> None:
        node = orjson.loads(named[name].answer)
        edit(node)
        named[name] = replace(named[name], answer=orjson.dumps(node), **members)

    return change


def changed(name: str, **members: Any) -> Change:
    return lambda named: named.update({name: replace(named[name], **members)})


def also(**added: Exchange) -> Change:
    return lambda named: named.update(added)


def headers(name: str, **told: str | None) -> Change:
    def change(named: Named) -> None:
        kept = {**named[name].headers, **{key.replace("_", "-"): value for key, value in told.items()}}
        named[name] = replace(named[name], headers={key: value for key, value in kept.items() if value is not None})

    return change


def fewer(name: str) -> Change:
    """One match less, and the total says so."""

    def edit(node: Node) -> None:
        node["entry"].pop()
        node["total"] -= 1
        if not node["entry"]:
            del node["entry"]

    return answered(name, edit)


def strayed(name: str) -> Change:
    """Something that was not asked for is among what was found."""

    def change(named: Named) -> None:
        node, whole = orjson.loads(named[name].answer), orjson.loads(named["whole"].answer)
        held = {entry["fullUrl"] for entry in node.get("entry", [])}
        node.setdefault("entry", []).append(next(entry for entry in whole["entry"] if entry["fullUrl"] not in held))
        node["total"] += 1
        named[name] = replace(named[name], answer=orjson.dumps(node))

    return change


def _resource(number: int, *path: Any, value: Any) -> Callable[[Any], None]:
    def edit(node: Any) -> None:
        node = node["entry"][number]["resource"]
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value

    return edit


def paged(second: Exchange, **first: Any) -> Change:
    """A search in two pages."""

    def change(named: Named) -> None:
        node = orjson.loads(named["whole"].answer)
        node["link"].append(
            {"relation": "next", "url": f"{BASE}/DocumentReference?patient=Patient%2F{HANDLE}&status=current&_cursor=c"}
        )
        named["first page"] = replace(
            named["whole"], answer=orjson.dumps(node | first), query=(*named["whole"].query, ("_count", "9"))
        )
        named["second page"] = second

    return change


WHOLE = listed()
SECOND = replace(WHOLE, query=(*WHOLE.query, ("_cursor", "c")))
EMPTY_SECOND = replace(SECOND, answer=orjson.dumps({**orjson.loads(SECOND.answer), "entry": []}))
HIS = (("identifier", "urn:oid:2.999.4.1|1234567"), ("birthdate", "1970-01-01"))
MISSING = errors.DocumentNotFound("x")
ALL = f"/dicom-web/studies/{STUDY_UID}"
CHANGED_MANIFEST = sound()["manifest"].answer.replace(b"CT head", b"CT neck")

OTHERWISE = {"authorization": "Bearer x"}
NOTHING = sound()["nothing"]
ONE_FILE = images(f"{STUDY_UID}/series/1.2", INSTANCES[FIRST], accept="application/dicom", media=SINGLE)
AS_EXPLICIT = AS_STORED.replace("*", EXPLICIT)
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_SERIES = images(f"{STUDY_UID}/series/1.2", multipart(dicom("1.2.3", syntax=JPEG), syntax=JPEG))
ALIAS = images(STUDY_UID, b"")
ALIAS = replace(ALIAS, path=f"/homeCommunityId/1.2/RetrieveLocationUID/1.3/study/{STUDY_UID}")
ENDED, OF_ANOTHER = jwt({"exp": int(NOW.timestamp()) - 1}), jwt({"patient": "h-43"})
LOUD = {
    "resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]},
    "search": {"mode": "outcome"},
}
PROBABLE = orjson.dumps({
    "resourceType": "Bundle",
    "entry": [{"search": {"mode": "match", "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/match-grade", "valueCode": "probable"}]}}],
})  # fmt: skip


def _undeclared(node: Any) -> None:
    for resource in node["rest"][0]["resource"]:
        resource["searchParam"] = [one for one in resource.get("searchParam", []) if one["name"] != "contenttype"]


def _undefined(node: Any) -> None:
    next(r for r in node["rest"][0]["resource"] if r.get("searchParam"))["searchParam"][0].pop("definition")


def _renumbered(node: Any) -> None:
    orders = [e["resource"] for e in node["entry"] if e["resource"]["resourceType"] == "ServiceRequest"]
    for number in (number for order in orders for number in order["identifier"]):
        number["value"] = "other"


def _cut(named: Named) -> None:
    """The study breaks off after its first instance; then it is asked for again as a whole."""
    whole = named.pop("one image")
    named["cut"] = replace(named["all images"], answer=named["all images"].answer[:-200], whole=False)
    named["again"] = replace(whole, at=NOW)


def _lured(named: Named) -> None:
    named["manifest"] = replace(
        named["manifest"], answer=named["manifest"].answer.replace(ORIGIN.encode(), b"https://evil.example")
    )
    named["manifest again"] = named["manifest"]
    named["lured"] = replace(named["rows"], origin="https://evil.example")


MUTANTS: dict[str, tuple[set[str], Change]] = {
    "a parameter that is accepted and not declared": ({"CAP-03"}, answered("metadata", _undeclared)),
    "a parameter without definition": ({"CAP-03"}, answered("metadata", _undefined)),
    "FHIR 5.0": ({"CAP-06"}, changed("metadata", sent={"accept": "application/fhir+json; fhirVersion=5.0"})),
    "a refusal in HTML": ({"CAP-07"}, headers("no date", content_type="text/html")),
    "a refusal without our coding": ({"CAP-07"}, answered("no date", lambda n: n["issue"][0].pop("details"))),
    "an answer to be stored": ({"CAP-09"}, headers("manifest", cache_control="private")),
    "an unknown parameter is passed over": ({"CAP-03", "CAP-10"}, also(lax=replace(WHOLE, query=(*WHOLE.query, ("colour", "red")), sent=OTHERWISE))),
    "POST gives less": ({"CAP-11"}, fewer("whole by POST")),
    "no total": ({"CAP-12"}, answered("changed since", lambda n: n.pop("total"))),
    "nothing found is 404": ({"CAP-13"}, also(none=refused("/fhir/DocumentReference", MISSING, query=(("patient", HANDLE),)))),
    "an empty list of entries": ({"CAP-13"}, answered("nothing", lambda n: n.update(entry=[]))),
    "pages that repeat": ({"CAP-14"}, paged(SECOND)),
    "a total that changes": ({"CAP-14"}, paged(EMPTY_SECOND, total=9)),
    "a page elsewhere": ({"CAP-15"}, paged(replace(EMPTY_SECOND, origin="https://evil.example"))),
    "one who is known is not found": ({"PID-01", "PID-14"}, answered("patient", lambda n: (n.update(total=0), n.pop("entry")))),
    "found without identifier": ({"PID-02"}, also(lax=replace(looked_for(), query=(("birthdate", "1970-01-01"),)))),
    "no identifier, another issue": ({"PID-02"}, answered("no identifier", lambda n: n["issue"][0].update(code="invalid"))),
    "one of two identifiers": ({"PID-03"}, also(lax=looked_for(("identifier", "urn:oid:2.999.9|9")))),
    "no gender": ({"PID-04"}, answered("patient", lambda n: n["entry"][0]["resource"].pop("gender"))),
    "a birth date that is not theirs": ({"PID-07"}, also(lax=looked_for(birthdate="1971-01-01"))),
    "an unknown domain is an error": ({"PID-09"}, answered("another birth date", lambda n: n.update(entry=[LOUD]))),
    "sex": ({"CAP-03", "CAP-10", "PID-10"}, also(lax=looked_for(("sex", "male")))),
    "a match that is not certain": ({"PID-11"}, also(match=said("/fhir/Patient/$match", PROBABLE, method="POST"))),
    "another country uses a handle": ({"PID-13"}, also(theirs=replace(WHOLE, peer="thumbprint-of-cc", sent=OTHERWISE))),
    "a handle of the day before yesterday": ({"PID-13"}, also(late=replace(WHOLE, at=NOW + timedelta(hours=25), sent=OTHERWISE))),
    "capitals find nobody": ({"PID-01", "PID-14"}, answered("patient in capitals", lambda n: (n.update(total=0), n.pop("entry")))),
    "nobody asked for": ({"DRS-01"}, also(lax=replace(listed(), query=(("status", "current"),), answer=listed(("modality", "NM")).answer))),
    "by identifier less": ({"DRS-02"}, fewer("whole by identifier")),
    "no status": ({"DRS-03"}, also(lax=replace(listed(), query=(("patient", HANDLE),), sent=OTHERWISE))),
    "what is superseded among what is current": ({"DRS-03"}, also(lax=replace(listed(("status", "superseded")), query=WHOLE.query, sent=OTHERWISE))),
    "a type gives another": ({"DRS-04"}, strayed("type")),
    "a type gives less": ({"DRS-04"}, fewer("type")),
    "a list of types gives less": ({"DRS-06"}, fewer("types")),
    "a category gives less": ({"DRS-07"}, fewer("category")),
    "a media type gives another": ({"DRS-08"}, strayed("contenttype")),
    "a date gives another": ({"DRS-09"}, strayed("date")),
    "a creation gives less": ({"DRS-10"}, fewer("creation")),
    "a period gives another": ({"DRS-11"}, strayed("period")),
    "or instead of and": ({"DRS-12"}, strayed("together")),
    "a modality gives less": ({"DRS-13"}, fewer("modality")),
    "a region under one name alone": ({"DRS-14"}, fewer("anatomical-region")),
    "a study with its prefix gives less": ({"DRS-15", "DRS-16"}, fewer("study with prefix")),
    "a study gives another": ({"DRS-15", "DRS-16"}, strayed("study")),
    "an accession number of anybody": ({"DRS-17"}, strayed("accession")),
    "related gives less": ({"DRS-18"}, fewer("related")),
    "a format gives another": ({"DRS-19"}, strayed("format")),
    "an identifier gives another": ({"DRS-20"}, strayed("identifier")),
    "an author gives another": ({"DRS-20"}, strayed("author")),
    "changed since gives another": ({"DRS-21"}, strayed("changed since")),
    "no date is passed over": ({"DRS-23"}, also(lax=replace(listed(), query=(*listed().query, ("date", "soon")), sent=OTHERWISE))),
    "an address that changes": ({"DRC-19"}, answered("identifier", _resource(0, "content", 0, "attachment", "creation", value="2026-01-01"))),
    "a Bundle in a Binary": ({"RET-01"}, changed("earlier report", answer=b'{"resourceType":"Binary"}')),
    "a PDF as something": ({"RET-02", "RET-06"}, headers("pdf", content_type="application/octet-stream")),
    "base64 that is none": ({"RET-03"}, answered("pdf wrapped", lambda n: n.update(data="JVB*"))),
    "410": ({"RET-06"}, changed("unknown", status=410)),
    "another form than was accepted": ({"RET-02", "RET-06"}, changed("kos", sent={"accept": "application/pdf", "authorization": "Bearer x"})),
    "another's differs from unknown": ({"RET-07"}, answered("another's", lambda n: n["issue"][0].update(diagnostics="hidden"))),
    "a size that is not": ({"RET-08"}, changed("report", answer=sound()["report"].answer + b" ")),
    "a digest that is not": ({"RET-08"}, headers("pdf", content_digest="sha-256=:AAAA:")),
    "twice is not the same": ({"RET-09", "MKO-21"}, changed("manifest again", answer=sound()["manifest"].answer + b" ")),
    "another manifest under the same UID": ({"MKO-21", "RET-09"}, changed("manifest again", answer=CHANGED_MANIFEST)),
    "an instance that is not delivered": ({"MFH-25", "WAD-13"}, changed("all images", answer=multipart(*list(INSTANCES.values())[1:]))),
    "another accession number": ({"REP-12", "RET-08"}, answered("report", _renumbered)),
    "a version that does not count": ({"REP-22"}, changed("report", answer=EARLIER_BODY)),
    "images as text": ({"MFH-25", "WAD-01", "WAD-13"}, headers("all images", content_type="text/plain")),
    "a part that is no file": ({"WAD-02"}, changed("one image", answer=bytes(200))),
    "a part under another syntax": ({"WAD-02"}, changed("all images", answer=multipart(*INSTANCES.values(), syntax="1.2.840.10008.1.2.4.50"))),
    "no syntax named, and JPEG": ({"WAD-03"}, also(jpeg=replace(JPEG_SERIES, sent={**JPEG_SERIES.sent, "accept": ""}))),
    "Implicit VR": ({"WAD-04"}, also(implicit=images(f"{STUDY_UID}/series/1.2", multipart(FORGED, syntax=IMPLICIT)))),
    "a syntax that was not accepted": ({"WAD-05"}, also(jpeg=replace(JPEG_SERIES, sent={**JPEG_SERIES.sent, "accept": AS_EXPLICIT}))),
    "a study as a single part": ({"WAD-06", "WAD-01"}, also(single=ONE_FILE)),
    "no UID is not found": ({"WAD-07"}, changed("no uid", status=404)),
    "what came comes again after a cut": ({"WAD-12"}, _cut),
    "metadata as text": ({"WAD-14"}, also(text=images(f"{STUDY_UID}/metadata", b"[]", media="text/plain"))),
    "an address out of a manifest": ({"WAD-15"}, _lured),
    "the other form of an address gives less": ({"WAD-17"}, also(alias=replace(ALIAS, answer=multipart(*list(INSTANCES.values())[1:])))),
    "none is 200": ({"WAD-19"}, changed("no rows", status=200)),
    "a row without its study": ({"WAD-19"}, answered("rows", lambda n: n[0]["0020000D"].pop("Value"))),
    "no certificate": ({"SEC-01"}, changed("metadata", peer="")),
    "a certificate nobody knows": ({"SEC-01"}, changed("smart", trusted=False)),
    "no token": ({"SEC-02"}, changed("studies", sent={})),
    "a token that has ended": ({"SEC-02"}, changed("studies", sent={"authorization": f"Bearer {ENDED}"})),
    "401 without a way": ({"SEC-02"}, headers("no token", www_authenticate=None)),
    "RS256": ({"SEC-03"}, changed("token", query=(("client_assertion", jwt({}, alg="RS256")),))),
    "another patient than the token's": ({"SEC-04"}, changed("studies", sent={"authorization": f"Bearer {OF_ANOTHER}"})),
    "a token without its number": ({"SEC-05"}, changed("token", answer=orjson.dumps({"access_token": jwt({"iss": "x"})}))),
    "a token on another certificate": ({"PID-13", "SEC-06"}, changed("studies", peer="thumbprint-of-cc")),
    "restricted images differ": ({"SEC-08"}, answered("restricted images", lambda n: n["issue"][0].update(diagnostics="hidden"))),
    "nothing looks otherwise": ({"SEC-08"}, also(odd=replace(NOTHING, answer=orjson.dumps({**NOTHING.node, "id": "1"})))),
}  # fmt: skip


@pytest.mark.parametrize("name", sound())
def test_a_sound_exchange_fails_nothing(name: str) -> None:
    assert examine(Kind.EXCHANGE, sound()[name], PACK) == []


def test_a_sound_conversation_fails_nothing() -> None:
    assert examine(Kind.CONVERSATION, tuple(sound().values()), PACK) == []


@pytest.mark.parametrize("name", [name for name, one in sound().items() if one.status == 200])
def test_what_went_by_is_judged_without_its_body(name: str) -> None:
    went_by = replace(sound()[name], answer=b"")

    assert examine(Kind.EXCHANGE, went_by, PACK, cheap=True) == []


def test_the_form_of_an_address_of_xc_wado_may_give_the_same() -> None:
    alias = replace(ALIAS, answer=sound()["all images"].answer)

    assert examine(Kind.CONVERSATION, (*sound().values(), alias), PACK) == []


@pytest.mark.parametrize("how", MUTANTS)
def test_what_is_spoilt_fails_exactly_what_it_must(how: str) -> None:
    expected, change = MUTANTS[how]
    named = sound()

    change(named)

    assert {finding.requirement for finding in examine(Kind.CONVERSATION, tuple(named.values()), PACK)} == expected


def test_in_the_classic_pack_a_manifest_among_reports_is_found() -> None:
    classic = load_pack("ehdsi-9.1")
    search = replace(listed(("type", f"{LOINC}|85430-7")), query=(*WHOLE.query, ("type", f"{LOINC}|18748-4")))
    mixed = replace(search, answer=WHOLE.answer)

    assert "DRS-05" in {finding.requirement for finding in examine(Kind.CONVERSATION, (mixed,), classic)}


def test_every_requirement_of_what_is_said_is_failed_by_something() -> None:
    said_ = {id for id, row in REQUIREMENTS.items() if {Kind.EXCHANGE, Kind.CONVERSATION} & set(row.kinds)}

    assert said_ - {id for expected, _ in MUTANTS.values() for id in expected} == {"DRS-05"}
