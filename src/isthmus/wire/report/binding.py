"""Binding: what the chapters share. A `Binder` collects the entries of one Bundle, `Opened` finds them again.

Source: R4 documents; wire.md §2.2, §2.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import NAMESPACE_OID, uuid5

from isthmus.errors import CountryMisanswered
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node, coding, concept
from isthmus.fhir.narrative import cleaned, inside, items, narrative, paragraphs, words_in
from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import Study
from isthmus.model.people import Organisation
from isthmus.model.report.devices import Device
from isthmus.model.report.document import ImagingReport, Section
from isthmus.model.report.header import Insurance, Person
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Statement
from isthmus.wire.described import accession_identifier, read_codings, write_codings
from isthmus.wire.packs.pack import Pack
from isthmus.wire.people import (
    read_addresses,
    read_names,
    read_organisation,
    read_telecoms,
    write_addresses,
    write_name,
    write_organisation,
    write_telecoms,
)
from isthmus.wire.report.words import words_of

MANDATORY = ("imaging_study", "order", "history", "procedure")


class Binder:
    """Collects entries; a name stands for each, and its `urn:uuid:` follows from the report's identifier and version."""

    def __init__(self, report: ImagingReport, pack: Pack) -> None:
        self.report, self.pack = report, pack
        header = report.header
        self.words = words_of(header.language)
        self._root = f"{header.identifier.system}|{header.identifier.value}|{header.version}"
        self.entries: list[Node] = []
        self._named: set[str] = set()

    def url(self, name: str) -> str:
        return f"urn:uuid:{uuid5(NAMESPACE_OID, f'{self._root}/{name}')}"

    def ref(self, name: str) -> Node:
        return {"reference": self.url(name)}

    def add(self, name: str, resource: Node) -> Node:
        """Put an entry in, once, and give a reference to it."""
        if name not in self._named:
            self._named.add(name)
            self.entries.append({"fullUrl": self.url(name), "resource": el.without_nothing(resource)})
        return self.ref(name)

    def hold(self, resource: Node) -> Node:
        """Put in an entry that is named after its content, so that it stands there once however often it is meant."""
        resource = el.without_nothing(resource)
        return self.add(f"{resource['resourceType']}/{el.write_object(resource).decode()}", resource)

    def person(self, person: Person, *, in_role: bool = False) -> Node:
        """A practitioner; behind a role where there is more to tell than who it is, or where only a role may stand."""
        practitioner = self.hold(
            {
                "resourceType": "Practitioner",
                "identifier": [write_identifier(person.identifier)] if person.identifier else None,
                "name": [write_name(person.name)],
                "telecom": write_telecoms(person.telecoms),
                "address": write_addresses(person.addresses),
            }
        )
        if not (in_role or person.role or person.specialty or person.organisation):
            return practitioner
        return self.hold(
            {
                "resourceType": "PractitionerRole",
                "practitioner": practitioner,
                "organization": self.organisation(person.organisation) if person.organisation else None,
                "code": [write_code(person.role)] if person.role else None,
                "specialty": [write_code(person.specialty)] if person.specialty else None,
            }
        )

    def organisation(self, organisation: Organisation) -> Node:
        return self.hold(write_organisation(organisation))

    def device(self, device: Device, **more: object) -> Node:
        """A device; `more` are members that its place asks for. Source: DeviceEuImaging."""
        return self.hold(
            {
                "resourceType": "Device",
                "identifier": [write_identifier(device.identifier)] if device.identifier else None,
                "udiCarrier": [{"deviceIdentifier": device.udi}] if device.udi else None,
                "manufacturer": device.manufacturer,
                "serialNumber": device.serial_number,
                "deviceName": [{"name": device.name, "type": "user-friendly-name"}] if device.name else None,
                "modelNumber": device.model,
                "type": write_code(device.type) if device.type else None,
                "version": [{"value": device.version}] if device.version else None,
                "note": [{"text": device.note}] if device.note else None,
            }
            | more
        )

    def imaging_device(self, device: Device) -> Node:
        """A device that makes images. Source: DeviceEuImaging."""
        equipment = write_code(Code(self.pack.systems["snomed"], self.pack.codes["imaging_equipment"]))
        kind = {"url": self.pack.extensions["device_category"], "valueCodeableConcept": equipment}
        return self.device(device, extension=[kind], status="active")

    def insurance(self, insurance: Insurance) -> Node:
        """A Coverage; who pays must be there, and is not always told. Source: data set A.1.3; REP-21."""
        number, insurer = insurance.number, insurance.insurer
        return self.hold(
            {
                "resourceType": "Coverage",
                "identifier": [write_identifier(number)] if number else None,
                "status": "active",
                "subscriberId": number.value if number else None,
                "beneficiary": self.ref("patient"),
                "payor": [self.organisation(insurer) if insurer else absent(self)],
            }
        )

    def based_on(self, study: Study | None = None) -> list[Node]:
        """References to the orders, each with its accession number; of a study that has its own, to these alone.

        Source: wire.md §2.4.
        """
        numbers = self.report.order.accession_numbers
        own = tuple(number for number in numbers if study is not None and number in study.accession_numbers)
        return [
            {
                **self.ref(order_name(number)),
                "type": "ServiceRequest",
                "identifier": accession_identifier(number, self.pack),
            }
            for number in own or numbers
        ]

    def studies(self) -> list[Node]:
        """References to the studies the report is about."""
        return [self.ref(f"study-{uid}") for uid in self.report.study_instance_uids]

    def section(
        self, key: str, lines: Iterable[str], entries: list[Node], *, listed: bool = False, note: str | None = None
    ) -> Node:
        """A section with its narrative; one without entries and note says why. Source: eu-imaging-composition-1 and -2."""
        shown = [line for line in (*lines, note) if line]
        written = self._as_written(key, shown)
        told_empty = next((one.empty_reason for one in self._theirs(key) if one.empty_reason), None)
        note = note or (words_in(written) if written and not entries and told_empty is None else None)
        empty = not entries and not note
        told = [{"url": self.pack.extensions["note"], "valueAnnotation": {"text": note}}] if note else None
        words = (items if listed else paragraphs)(shown or [self.words["unavailable"]])
        reason = write_empty(told_empty, self.pack) if empty else None
        return el.without_nothing(
            {
                "extension": told,
                "title": self.words[key],
                "code": concept(coding(self.pack.systems["loinc"], self.pack.sections[key])),
                "text": narrative(written or words, self.report.header.language),
                "entry": entries,
                "emptyReason": reason,
            }
        )

    def is_written(self, key: str) -> bool:
        """Whether the report brings words of its own for this section."""
        return any(one.narrative for one in self._theirs(key))

    def _theirs(self, key: str) -> list[Section]:
        """The sections of this code that the report brings."""
        code = self.pack.sections[key]
        return [one for one in self.report.sections if one.code is not None and one.code.code == code]

    def _as_written(self, key: str, shown: list[str]) -> str:
        """The narrative of the section as its author wrote it, cleaned, and below it what these lines say beyond it. Source: REP-10."""
        theirs, language = [one for one in self._theirs(key) if one.narrative], self.report.header.language
        written = "".join(inside(cleaned(one.narrative), language) for one in theirs if one.narrative)
        said = words_in(written)
        return written + paragraphs(line for line in shown if " ".join(line.split()) not in said) if theirs else ""


def absent(binder: Binder) -> Node:
    """In place of a value that must be there and is not known. Source: REP-21."""
    return {"extension": [{"url": binder.pack.extensions["absent"], "valueCode": "unknown"}]}


def write_empty(told: Statement | None, pack: Pack) -> Node:
    """Why a section has nothing: what its author said, else that it is not available."""
    if told is None:
        return concept(coding(pack.systems["empty_reason"], "unavailable"))
    if told.code is None or told.text not in (told.code.display, told.code.code):
        return write_statement(told)
    return write_code(told.code)


def write_identifier(identifier: Identifier) -> Node:
    return el.without_nothing({"system": identifier.system, "value": identifier.value})


def read_identifier(node: Node) -> Identifier | None:
    value = el.text(node, "value")
    return Identifier(el.text(node, "system"), value) if value is not None else None


def read_identifiers(node: Node) -> tuple[Identifier, ...]:
    read = (read_identifier(one) for one in el.children(node, "identifier"))
    return tuple(one for one in read if one is not None)


def write_code(code: Code, words: str | None = None) -> Node:
    """A code as concept, the one at home beside it."""
    return concept(*write_codings(code), words=words)


def write_statement(statement: Statement) -> Node:
    """Words, and the code where there is one, as concept."""
    return write_code(statement.code, statement.text) if statement.code else {"text": statement.text}


def order_name(number: Identifier) -> str:
    """What the order of an accession number is called while a Bundle is bound."""
    return f"order/{number.system}/{number.value}"


class Opened:
    """A report Bundle opened for reading: its Composition, its DiagnosticReport, and what they refer to. `forgiven` names what was."""

    def __init__(self, body: bytes, pack: Pack) -> None:
        bundle = el.read_resource(body, "Bundle", digits=True)
        if bundle.get("type") not in ("document", "collection"):
            raise CountryMisanswered("not a document", path="Bundle.type")
        self.bundle, self.pack, self.closed = bundle, pack, Closed(bundle)
        self.forgiven: set[str] = set()
        self.images: dict[int, tuple[KeyImage, ...]] = {}  # that a resource names, once read
        self.composition = next(iter(self.closed.of_type("Composition")), {})
        reports = self.closed.of_type("DiagnosticReport")
        self.diagnostic = next(self._linked(reports), reports[0] if reports else {})
        if not self.composition and not self.diagnostic:
            raise CountryMisanswered("neither Composition nor DiagnosticReport", path="Bundle.entry")

    def _linked(self, reports: list[Node]) -> Iterator[Node]:
        yield from (found for found in self.linked(self.composition, "diagnostic_report") if found in reports)

    def find(self, source: Node, *names: str) -> Node | None:
        """The resource that the Reference at the end of this path points to."""
        return self.closed.find(el.child(source, *names), source)

    def sections(self, key: str) -> Iterator[Node]:
        for section in el.children(self.composition, "section"):
            if any(c.get("code") == self.pack.sections[key] for c in el.codings(section, "code")):
                yield section

    def entries(self, key: str, *kinds: str) -> list[Node]:
        """The resources of these types that the entries of this section point to."""
        return [
            found
            for section in self.sections(key)
            for reference in el.children(section, "entry")
            if (found := self.closed.find(reference, self.composition)) is not None
            and found.get("resourceType") in kinds
        ]

    def others(self, key: str, *kinds: str) -> list[Node]:
        """The resources that the entries of this section point to, but those of these types."""
        found = (
            self.closed.find(reference, self.composition)
            for section in self.sections(key)
            for reference in el.children(section, "entry")
        )
        return [one for one in found if one is not None and one.get("resourceType") not in kinds]

    def note(self, key: str) -> str | None:
        """The notes of this section, in words."""
        told = (
            el.text(extension, "valueAnnotation", "text")
            for section in self.sections(key)
            for extension in el.extensions(section, self.pack.extensions["note"])
        )
        return "\n".join(filter(None, told)) or None

    @property
    def first(self) -> Node:
        """The Composition; of a report without, the DiagnosticReport."""
        return self.composition or self.diagnostic

    def linked(self, source: Node, name: str) -> list[Node]:
        """The resources that the extensions of this name of `source` refer to."""
        told = el.extensions(source, self.pack.extensions[name])
        found = (self.closed.find(el.child(extension, "valueReference"), source) for extension in told)
        return [one for one in found if one is not None]

    def person(self, node: Node | None) -> Person | None:
        """A practitioner, also behind a role."""
        role: Node = {}
        if node is not None and node.get("resourceType") == "PractitionerRole":
            role, node = node, self.find(node, "practitioner")
        if node is None or node.get("resourceType") != "Practitioner":
            return None
        names = read_names(node)
        if not names:
            return None
        return Person(
            name=names[0],
            identifier=next(iter(read_identifiers(node)), None),
            role=read_codings(el.codings(role, "code")),
            specialty=read_codings(el.codings(role, "specialty")),
            organisation=self.organisation(self.find(role, "organization")),
            addresses=read_addresses(node),
            telecoms=read_telecoms(node) + read_telecoms(role),
        )

    def organisation(self, node: Node | None) -> Organisation | None:
        """An organisation, also behind a role in which nobody is named."""
        if node is not None and node.get("resourceType") == "PractitionerRole":
            node = self.find(node, "organization") if self.find(node, "practitioner") is None else None
        if node is None or node.get("resourceType") != "Organization":
            return None
        return read_organisation(node)

    def device(self, node: Node | None) -> Device | None:
        """A device, under whichever name it has."""
        if node is None or node.get("resourceType") != "Device":
            return None
        return Device(
            name=el.text(node, "deviceName", "name") or el.text(node, "type", "text") or "",
            identifier=next(iter(read_identifiers(node)), None),
            type=read_codings(el.codings(node, "type")),
            manufacturer=el.text(node, "manufacturer"),
            model=el.text(node, "modelNumber"),
            serial_number=el.text(node, "serialNumber"),
            version=el.text(node, "version", "value"),
            udi=el.text(node, "udiCarrier", "deviceIdentifier"),
            note=el.text(node, "note", "text"),
        )


def read_statement(node: Node) -> Statement | None:
    """What a resource says: its value, else its code, else its description; None when it says nothing."""
    said = el.text(node, "valueString") or el.text(node, "description") or el.text(node, "code", "text")
    code = read_codings(el.codings(node, "code"))
    if said is None and code is None:
        return None
    return Statement(said or (code.display or code.code if code else ""), code)


def read_concept(node: Node, name: str) -> Statement | None:
    """A concept as words and code."""
    code: Code | None = read_codings(el.codings(node, name))
    words = el.text(node, name, "text") or (code.display or code.code if code else None)
    return Statement(words, code) if words else None
