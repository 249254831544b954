"""Who somebody is in a FHIR repository: everyone who carries an identifier, and whoever took a merged record over.

An identifier is compared again here, exactly: whom a repository answers with is believed only when they carry it.

Source: R4 Patient; field-faults F01, F04, F07; trust.md T100.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.errors import MalformedRequest
from isthmus.fhir import elements as el
from isthmus.fhir import search
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.national.fhir.client import Client
from isthmus.wire.people import GENDERS, read_names

LOG = logging.getLogger("isthmus.national")
MERGES_MAX, REPLACED_MAX = 5, 20
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_USES = {"official": 0, "usual": 1, None: 2}  # of names; all others after them


@dataclass(frozen=True, slots=True)
class Person:
    """A person of the repository, and the resources that stand for them: their own, and those merged into it."""

    patient: Patient
    identifiers: frozenset[PatientIdentifier]
    ids: frozenset[str]
    replaced: frozenset[str] = frozenset()  # records that theirs says it replaces

    def __repr__(self) -> str:
        return "Person(…)"


async def find_people(client: Client, identifier: PatientIdentifier) -> tuple[Person, ...]:
    """Everyone who carries the identifier and is not out of use; a merged record counts as the one that took it over."""
    token = search.write_token(identifier.system, identifier.value)
    answered = await client.search("Patient", [("identifier", token)])
    holders = {str(node["id"]): node for node in answered if identifier in identifiers_of(node)}
    if len(holders) < len(answered):
        LOG.warning(
            "%s answered with %d people of another identifier", client.source.name, len(answered) - len(holders)
        )
    people = []
    for id_, node in holders.items():
        survivor = await _survivor(client, node, holders)
        if survivor is not None and identifier in identifiers_of(survivor):
            identifiers = identifiers_of(survivor) | identifiers_of(node)
            ids = frozenset({str(survivor["id"]), id_})
            people.append(Person(read_patient(survivor, identifier), identifiers, ids, _replaced(client, survivor)))
    return _joined(people)


def _joined(people: Sequence[Person]) -> tuple[Person, ...]:
    """Records that tell the same person the same way are one person."""
    joined: dict[Patient, Person] = {}
    for one in people:
        held = joined.get(one.patient, one)
        joined[one.patient] = Person(
            one.patient, held.identifiers | one.identifiers, held.ids | one.ids, held.replaced | one.replaced
        )
    return tuple(joined.values())


async def other_identifiers(client: Client, identifier: PatientIdentifier) -> frozenset[PatientIdentifier]:
    """Every further identifier of whoever carries this one, those of records that were merged into theirs among them."""
    people = await find_people(client, identifier)
    found = {one for person in people for one in person.identifiers}
    for id_ in sorted({id_ for person in people for id_ in person.replaced - person.ids})[:REPLACED_MAX]:
        node = await client.read("Patient", id_)
        found |= identifiers_of(node) if node is not None else set()
    return frozenset(found - {identifier})


def _replaced(client: Client, node: Node) -> frozenset[str]:
    links = [link for link in el.children(node, "link") if link.get("type") == "replaces"]
    ids = (client.own_reference(el.text(link, "other", "reference"), "Patient") for link in links)
    return frozenset(id_ for id_ in ids if id_ is not None)


async def _survivor(client: Client, node: Node, known: dict[str, Node]) -> Node | None:
    """Whoever stands for a record now; None for one out of use, and where merges lead nowhere or round in a circle."""
    for _ in range(MERGES_MAX):
        replaced = [link for link in el.children(node, "link") if link.get("type") == "replaced-by"]
        if not replaced:
            return node if node.get("active") is not False else None
        id_ = client.own_reference(el.text(replaced[0], "other", "reference"), "Patient")
        following = known.get(id_) or await client.read("Patient", id_) if id_ is not None else None
        if following is None:
            return None
        node = following
    return None


def identifiers_of(node: Node) -> frozenset[PatientIdentifier]:
    """Every identifier that names its issuer. One of a wrong shape is none."""
    found = set()
    for one in el.children(node, "identifier"):
        try:
            found.add(PatientIdentifier(el.text(one, "system") or "", el.text(one, "value") or ""))
        except MalformedRequest:
            continue
    return frozenset(found)


def read_patient(node: Node, identifier: PatientIdentifier) -> Patient:
    """A person under the identifier asked for: every name, the one in Latin script first."""
    known = [(name, one.get("use")) for one in el.children(node, "name") for name in read_names({"name": [one]})]
    ordered = sorted(known, key=lambda pair: (not _latin(pair[0]), _USES.get(pair[1], len(_USES))))
    names = tuple(
        name if name.language or _latin(name) else HumanName(name.family, name.given, "und") for name, _ in ordered
    )
    birth_date, gender = el.text(node, "birthDate") or "", el.text(node, "gender")
    return Patient(
        identifier,
        tuple(dict.fromkeys(names)) or (HumanName(""),),
        birth_date if _DATE.fullmatch(birth_date) else "",
        gender if gender in GENDERS else "unknown",
    )


def _latin(name: HumanName) -> bool:
    letters = [letter for letter in " ".join((name.family, *name.given)) if letter.isalpha()]
    return all("LATIN" in unicodedata.name(letter, "") for letter in letters)
