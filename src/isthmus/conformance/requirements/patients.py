"""Answers to a patient search (PID)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from isthmus.conformance.evidence import Conversation, Exchange
from isthmus.conformance.requirement import Kind, requirement
from isthmus.dicom.names import fold
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import Pack

HANDLE_LIFE = timedelta(hours=24)
_NAMED = ("name", "family", "given")
_TRAITS = {"birthdate": "birthDate", "gender": "gender"}


def _patients(node: Node) -> list[Node]:
    resources = (el.child(entry, "resource") for entry in el.children(node, "entry"))
    return [resource for resource in resources if resource.get("resourceType") == "Patient"]


@requirement("PID-04", Kind.PATIENTS, "identifier, family and given name, gender, birth date", source="NCP")
def pid_04(node: Node, pack: Pack) -> Iterator[str]:
    for patient in _patients(node):
        yield from (f"Patient.{n}" for n in ("identifier", "name", "gender", "birthDate") if not patient.get(n))
        names = el.children(patient, "name")
        yield from (f"Patient.name.{n}" for name in names for n in ("family", "given") if not name.get(n))
        if not all(el.text(i, "system") and el.text(i, "value") for i in el.children(patient, "identifier")):
            yield "Patient.identifier"


@requirement("PID-05", Kind.PATIENTS, "nothing beyond the five elements", source="NCP")
def pid_05(node: Node, pack: Pack) -> Iterator[str]:
    told = {"resourceType", "id", "meta", "identifier", "active", "name", "birthDate", "gender"}
    for patient in _patients(node):
        yield from (f"Patient.{name}" for name in sorted(set(patient) - told))


@requirement("PID-06", Kind.PATIENTS, "eu-pat-1: a name with family, given or text", source="API, EUM")
def pid_06(node: Node, pack: Pack) -> Iterator[str]:
    for patient in _patients(node):
        if not any(name.get(n) for name in el.children(patient, "name") for n in ("family", "given", "text")):
            yield "Patient.name"


@requirement("PID-08", Kind.PATIENTS, "several candidates: total 0 and nobody's data", source="PDQ, 03")
def pid_08(node: Node, pack: Pack) -> Iterator[str]:
    issues = [i for e in el.children(node, "entry") for i in el.children(el.child(e, "resource"), "issue")]
    if any(i.get("code") == "multiple-matches" for i in issues) and (node.get("total") != 0 or _patients(node)):
        yield "Bundle.entry"


@requirement("PID-12", Kind.PATIENTS, "never more than one person, and total says so", source="R")
def pid_12(node: Node, pack: Pack) -> Iterator[str]:
    if len(_patients(node)) > 1 or node.get("total") != len(_patients(node)):
        yield "Bundle.total"


def _searches(conversation: Conversation, status: int = 200) -> list[Exchange]:
    return [one for one in conversation if one.searches("Patient") and one.status == status]


def _identifiers(patient: Node) -> set[str]:
    return {f"{i.get('system') or ''}|{i.get('value')}" for i in el.children(patient, "identifier")}


def _names(patient: Node) -> set[str]:
    """Family name, each given name, and all of them, folded."""
    told = set[str]()
    for name in el.children(patient, "name"):
        family, given = el.text(name, "family") or "", el.texts(name, "given")
        told |= {family, *given, " ".join(given), " ".join((*given, family)), " ".join((family, *given))}
    return {fold(one) for one in told if one}


@requirement(
    "PID-01", Kind.CONVERSATION, "a person is found again by identifier, name, birth date, gender", source="NCP"
)
def pid_01(conversation: Conversation, pack: Pack) -> Iterator[str]:
    known = [patient for one in _searches(conversation) for patient in _patients(one.node)]
    for one in _searches(conversation):
        for patient in known:
            named = {fold(value) for name, value in one.asked if name in ("name", "family")} - _given(patient)
            whole = {"identifier", *_TRAITS} <= {name for name, _ in one.asked} and named
            if whole and not any(_contradictions(one, patient)) and not _patients(one.node):
                yield "Bundle.entry"


def _given(patient: Node) -> set[str]:
    """Given names alone, which tell nobody."""
    names = el.children(patient, "name")
    return {fold(one) for name in names for one in (*el.texts(name, "given"), " ".join(el.texts(name, "given")))}


def _contradictions(exchange: Exchange, patient: Node) -> Iterator[str]:
    """What was asked for that a person is not."""
    for name, value in exchange.asked:
        trait = name.partition(":")[0]
        if trait == "identifier":
            fits = value in _identifiers(patient)
        elif trait in _TRAITS:
            fits = patient.get(_TRAITS[trait]) in (None, value.removeprefix("eq"))
        else:
            fits = trait not in _NAMED or fold(value) in _names(patient)
        if not fits:
            yield trait


@requirement("PID-02", Kind.EXCHANGE, "without an identifier: 400 required", source="ONCP, NCP", cheap=True)
def pid_02(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.searches("Patient") and not exchange.values("identifier"):
        if exchange.status == 200:
            yield "status"
        elif exchange.status == 400 and all(i.get("code") != "required" for i in exchange.issues):
            yield "OperationOutcome.issue.code"


@requirement("PID-03", Kind.EXCHANGE, "of several identifiers a person found has every one", source="NCP", cheap=True)
def pid_03(exchange: Exchange, pack: Pack) -> Iterator[str]:
    asked = set(exchange.values("identifier"))
    if exchange.searches("Patient") and len(asked) > 1:
        yield from ("Patient.identifier" for one in _patients(exchange.node) if asked - _identifiers(one))


@requirement("PID-07", Kind.EXCHANGE, "who contradicts a trait that was asked is not found", source="PDQ", cheap=True)
def pid_07(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.searches("Patient") and len(exchange.values("identifier")) < 2:
        for patient in _patients(exchange.node):
            yield from (f"Patient.{trait}" for trait in _contradictions(exchange, patient))


@requirement(
    "PID-09", Kind.EXCHANGE, "an unknown domain: nobody, with at most a warning, or 404", source="PDQ", cheap=True
)
def pid_09(exchange: Exchange, pack: Pack) -> Iterator[str]:
    codes = {el.text(issue, "code") for issue in exchange.issues}
    if exchange.searches("Patient") and exchange.status == 404 and codes != {"not-found"}:
        yield "OperationOutcome.issue.code"
    if exchange.searches("Patient") and exchange.status == 200:
        loud = [issue for issue in exchange.issues if issue.get("severity") not in ("warning", "information")]
        if loud or codes - {"not-found", "multiple-matches"}:
            yield "OperationOutcome.issue"


@requirement("PID-10", Kind.EXCHANGE, "`sex` is no parameter: 400", source="NCP erratum", cheap=True)
def pid_10(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.searches("Patient") and exchange.values("sex") and exchange.status == 200:
        yield "status"


@requirement("PID-11", Kind.EXCHANGE, "$match gives the one certain person or nobody", source="API, PDQ", cheap=True)
def pid_11(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.path != "/fhir/Patient/$match" or exchange.status != 200:
        return
    matches = [e for e in el.children(exchange.node, "entry") if el.text(e, "search", "mode") == "match"]
    grades = [el.text(one, "valueCode") for e in matches for one in el.extensions(el.child(e, "search"), _GRADE)]
    if len(matches) > 1 or grades != ["certain"] * len(matches):
        yield "Bundle.entry"


_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


@requirement("PID-13", Kind.CONVERSATION, "a handle opens for whom it was given to, and for a day", source="03")
def pid_13(conversation: Conversation, pack: Pack) -> Iterator[str]:
    given: dict[tuple[str, str], Exchange] = {}
    for one in conversation:
        for patient in _patients(one.node) if one.searches("Patient") else ():
            given[one.peer, str(patient.get("id"))] = one
        handles = {value.rpartition("/")[2] for value in one.values("patient")}
        for handle in handles if one.status == 200 else ():
            first = given.get((one.peer, handle))
            if first is None and any(handle == known for _, known in given):
                yield "patient: of another country"
            elif first is not None and first.at and one.at and one.at - first.at > HANDLE_LIFE:
                yield "patient: too old"


@requirement("PID-14", Kind.CONVERSATION, "case and diacritics make no difference to who is found", source="R")
def pid_14(conversation: Conversation, pack: Pack) -> Iterator[str]:
    given: dict[tuple[object, ...], object] = {}
    for one in _searches(conversation):
        asked = tuple(sorted((name, fold(value) if name in _NAMED else value) for name, value in one.asked))
        exact = any(name.endswith(":exact") for name, _ in asked)
        if not exact and given.setdefault(asked, one.node.get("total")) != one.node.get("total"):
            yield "Bundle.total"
