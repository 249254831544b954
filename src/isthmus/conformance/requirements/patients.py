"""Answers to a patient search (PID)."""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.wire.packs.pack import Pack


def _patients(node: Node) -> list[Node]:
    resources = (el.child(entry, "resource") for entry in el.children(node, "entry"))
    return [resource for resource in resources if resource.get("resourceType") == "Patient"]


@requirement("PID-04", Kind.PATIENTS, "identifier, family and given name, gender, birth date", source="NCP")
def pid_04(node: Node, pack: Pack) -> Iterator[str]:
    for patient in _patients(node):
        yield from (f"Patient.{n}" for n in ("identifier", "name", "gender", "birthDate") if not patient.get(n))
        first = el.child(patient, "name")
        yield from (f"Patient.name.{n}" for n in ("family", "given") if not first.get(n))


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
