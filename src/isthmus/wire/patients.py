"""Patients: the search for one person, and its answer, both directions.

Nothing found, several found and opted out look alike but for one outcome that tells nobody's data.

Source: ITI-78; ITI-119; NCP (patient identification); trust.md §2.6 M3; PID-01 to PID-14.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlencode

import re2

from isthmus.dicom.names import fold
from isthmus.errors import CountryMisanswered, MalformedRequest, PatientAmbiguous, PatientNotFound, UnsupportedRequest
from isthmus.fhir import bundles, search
from isthmus.fhir import elements as el
from isthmus.model.identifiers import PatientIdentifier, checked_id
from isthmus.model.masks import SearchMask
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import PatientQuery
from isthmus.wire.packs.pack import Pack
from isthmus.wire.people import GENDERS, read_patient_resource, write_patient_resource

SEARCH_PARAMETERS = {
    "identifier": "token", "name": "string", "family": "string", "given": "string", "birthdate": "date",
    "gender": "token",
}  # fmt: skip
_EXACT = {f"{name}:exact": name for name in ("name", "family", "given")}
_HINTS = ("_elements", "_count")
_MATCHING = ("resource", "onlyCertainMatches", "count")
_CERTAIN = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/match-grade", "valueCode": "certain"}],
    "score": 1,
}
_ANY_NUMBER = ("identifier", "given", "name")
_BIRTH_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
NAME_MAX = 128


def write_search(query: PatientQuery, pack: Pack) -> bytes:
    """Write the form body of a search; never an address, so that no identifier stands in a log."""
    pairs = [("identifier", search.write_token(i.system, i.value)) for i in query.identifiers]
    pairs += [("given", search.escape(given)) for given in query.given]
    one = (("family", query.family), ("birthdate", query.birth_date), ("gender", query.gender))
    pairs += [(name, search.escape(value)) for name, value in one if value is not None]
    return urlencode(pairs).encode()


def read_search(pairs: Iterable[tuple[str, str]], mask: SearchMask, pack: Pack) -> PatientQuery:
    """Read a search and hold it against the country's mask.

    Two identifiers must both fit. `_elements` and `_count` are hints: the answer is one person in five elements anyway.
    `:exact` folds nothing; no form finds a part of a name.
    Raises MalformedRequest (search-mask when the mask is not filled), UnsupportedRequest for any other parameter.
    """
    query, seen = PatientQuery(identifiers=()), set[str]()
    for name, value in pairs:
        search.plain_name(name, (*SEARCH_PARAMETERS, *_EXACT, *_HINTS))
        if name in _HINTS:
            continue
        if not value or len(search.split(value, ",")) > 1 or len(value) > 2 * NAME_MAX:
            raise MalformedRequest(f"{name} takes one value", reason="value", path=name)
        trait = _EXACT.get(name, name)
        if trait in seen and trait not in _ANY_NUMBER:
            raise MalformedRequest(f"{trait} is given twice", reason="value", path=name)
        seen.add(trait)
        query = _with(query, trait, value)
        if trait != name:
            query = replace(query, exact=(*query.exact, (trait, search.unescape(value))))
    return _checked(query, mask)


def read_match(body: bytes) -> tuple[tuple[str, str], ...]:
    """Read the question of `$match` as the pairs of a search: of the one person in it, what a search can name.

    Certain matches alone are given, whether that is asked for or not; who asks for others too is refused. `count` is a hint.
    Raises MalformedRequest, UnsupportedRequest. Source: ITI-119; PID-11.
    """
    told: dict[str, el.Node] = {}
    for one in el.children(el.read_resource(body, "Parameters", MalformedRequest), "parameter"):
        asked = search.plain_name(el.text(one, "name") or "", _MATCHING)
        if asked in told:
            raise MalformedRequest(f"{asked} is given twice", reason="value", path=asked)
        told[asked] = one
    if told.get("onlyCertainMatches", {"valueBoolean": True}).get("valueBoolean") is not True:
        words = "certain matches alone are given: onlyCertainMatches is true"
        raise UnsupportedRequest(words, reason="param", path="onlyCertainMatches")
    patient = el.child(told.get("resource", {}), "resource")
    if patient.get("resourceType") != "Patient":
        raise MalformedRequest("the person to be matched is a Patient", reason="value", path="resource")
    return tuple(_traits_of(patient))


def _traits_of(patient: el.Node) -> Iterator[tuple[str, str]]:
    for one in el.children(patient, "identifier"):
        yield "identifier", search.write_token(el.text(one, "system") or "", el.text(one, "value") or "")
    name = el.child(patient, "name")
    given = name.get("given")
    for first in given if isinstance(given, list) else ():
        if isinstance(first, str):
            yield "given", search.escape(first)
    said = {
        "family": el.text(name, "family"),
        "birthdate": el.text(patient, "birthDate"),
        "gender": el.text(patient, "gender"),
    }
    yield from ((trait, search.escape(value)) for trait, value in said.items() if value)


def _with(query: PatientQuery, name: str, value: str) -> PatientQuery:
    if name == "identifier":
        system, code = search.read_token(value)
        return replace(query, identifiers=(*query.identifiers, PatientIdentifier(system or "", code)))
    plain = search.unescape(value)
    if name == "name":
        return replace(query, whole_names=(*query.whole_names, plain))
    if name == "given":
        return replace(query, given=(*query.given, plain))
    if name == "family":
        return replace(query, family=plain)
    if name == "gender":
        code = search.read_token(value)[1]
        if code not in GENDERS:
            raise MalformedRequest("a gender that FHIR does not know", reason="value", path=name)
        return replace(query, gender=code)
    plain = plain.removeprefix("eq")
    if _BIRTH_DATE.fullmatch(plain) is None:
        raise MalformedRequest("a birth date is written YYYY-MM-DD and compared as a whole", reason="value", path=name)
    return replace(query, birth_date=plain)


def _checked(query: PatientQuery, mask: SearchMask) -> PatientQuery:
    """The query, when the mask is filled; `name` fills it for family and given name, and has to be them then."""
    if not query.identifiers:
        raise MalformedRequest("an identifier is required", reason="search-mask", path="identifier")
    given = {"family": query.family, "given": query.given, "birthdate": query.birth_date, "gender": query.gender}
    lacking = [trait for trait, value in given.items() if mask.required(trait) and not value]
    for trait in lacking:
        if not query.whole_names or trait not in ("family", "given"):
            raise MalformedRequest(f"{trait} is required", reason="search-mask", path=trait)
    patterns = {kind.system: kind.pattern for kind in mask.identifiers if kind.pattern}
    for identifier in query.identifiers:
        pattern = patterns.get(identifier.system)
        if pattern is not None and re2.fullmatch(pattern, identifier.value) is None:
            raise MalformedRequest("not a number of this country", reason="search-mask-value", path="identifier")
    return replace(query, told_by_names=tuple(lacking))


def fits(patient: Patient, query: PatientQuery) -> bool:
    """Whether a person found has the names asked: what a connector need not know of. Never a part of one.

    Source: PID-14; R4 search, string; field-faults F06.
    """
    return any(_named(name, query) for name in patient.names)


def _named(name: HumanName, query: PatientQuery) -> bool:
    whole = [" ".join((*name.given, name.family)), " ".join((name.family, *name.given))]
    held = {"family": [name.family], "given": [*name.given, " ".join(name.given)]}
    held["name"] = [*held["family"], *held["given"], *whole]
    folded = {trait: {fold(value) for value in (*values, *whole)} for trait, values in held.items()}
    asked = [fold(value) for value in query.whole_names]
    return (
        all(value in held[trait] for trait, value in query.exact)
        and all(value in folded["name"] for value in asked)
        and all(any(value in folded[trait] for value in asked) for trait in query.told_by_names)
    )


def write_found(
    patient: Patient | None, *, several: bool, self_link: str, base: str, pack: Pack, graded: bool = False
) -> bytes:
    """Write the one person, or nobody; that several fit is told without telling who. `graded` says how sure it is: certain."""
    entries: list[el.Node] = []
    if several:
        issue = {"severity": "information", "code": "multiple-matches"}
        entries.append(bundles.outcome({"resourceType": "OperationOutcome", "issue": [issue]}))
    elif patient is not None:
        entry = bundles.match(f"{base.rstrip('/')}/Patient/{patient.handle}", _resource(patient, pack))
        entries.append(entry | ({"search": entry["search"] | _CERTAIN} if graded else {}))
    total = int(patient is not None and not several)
    return el.write_object(bundles.searchset(entries, total=total, self_link=self_link))


def write_patient(patient: Patient, pack: Pack) -> bytes:
    """Write a person under the handle, as `Patient/{handle}` gives it."""
    return el.write_object(_resource(patient, pack))


def _resource(patient: Patient, pack: Pack) -> el.Node:
    node = write_patient_resource(patient, pack)
    profiles = [pack.profiles["patient_minimal"], pack.profiles["patient"]]
    return {"resourceType": "Patient", "id": patient.handle} | node | {"meta": {"profile": profiles}}


def read_found(body: bytes, pack: Pack, *, asked: Sequence[PatientIdentifier] = ()) -> Patient:
    """Read the one person found. Raises PatientNotFound, PatientAmbiguous, CountryMisanswered.

    Several persons in an answer count as ambiguous; none of them is read. `asked` chooses among a person's identifiers.
    """
    bundle = el.read_resource(body, "Bundle")
    if bundle.get("type") != "searchset":
        raise CountryMisanswered("not an answer to a search", path="Bundle.type")
    resources = [el.child(entry, "resource") for entry in el.children(bundle, "entry")]
    patients = [resource for resource in resources if resource.get("resourceType") == "Patient"]
    told = {el.text(issue, "code") for resource in resources for issue in el.children(resource, "issue")}
    if len(patients) > 1 or "multiple-matches" in told:
        raise PatientAmbiguous("several persons fit")
    if not patients:
        raise PatientNotFound("no person with these traits")
    patient = read_patient_resource(patients[0], asked)
    try:
        checked_id(patient.handle or "", "Patient.id")
    except MalformedRequest:
        raise CountryMisanswered("a person without a handle", path="Patient.id") from None
    return patient
