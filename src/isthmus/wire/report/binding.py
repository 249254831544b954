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
from isthmus.fhir.narrative import cleaned, items, narrative, paragraphs, words_in
from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import Study
from isthmus.model.people import Organisation
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Person
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Finding, Statement
from isthmus.wire.described import accession_identifier, first_code
from isthmus.wire.packs.pack import Pack
from isthmus.wire.people import read_names, write_name, write_organisation
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

    def person(self, person: Person) -> Node:
        identifier = person.identifier
        number = el.without_nothing({"system": identifier.system, "value": identifier.value}) if identifier else None
        resource = {
            "resourceType": "Practitioner",
            "identifier": [number] if number else None,
            "name": [write_name(person.name)],
        }
        return self.add(f"person/{person.shown}/{identifier.value if identifier else ''}", resource)

    def organisation(self, organisation: Organisation) -> Node:
        name = f"organisation/{organisation.system}/{organisation.identifier}/{organisation.name}"
        return self.add(name, write_organisation(organisation))

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

    def section(self, key: str, lines: Iterable[str], entries: list[Node], *, listed: bool = False) -> Node:
        """A section with its narrative; one without entries says why. Source: eu-imaging-composition-1 and -2."""
        shown = [line for line in lines if line]
        empty = not entries
        words = (items if listed else paragraphs)(shown or [self.words["unavailable"]])
        reason = concept(coding(self.pack.systems["empty_reason"], "unavailable")) if empty else None
        return el.without_nothing(
            {
                "title": self.words[key],
                "code": concept(coding(self.pack.systems["loinc"], self.pack.sections[key])),
                "text": narrative(self._as_written(key, shown) or words, self.report.header.language),
                "entry": entries,
                "emptyReason": reason,
            }
        )

    def _as_written(self, key: str, shown: list[str]) -> str:
        """The narrative of the section as its author wrote it, cleaned, and below it what these lines say beyond it. Source: REP-10."""
        code = self.pack.sections[key]
        theirs = [
            one for one in self.report.sections if one.narrative and one.code is not None and one.code.code == code
        ]
        written = "".join(cleaned(one.narrative) for one in theirs if one.narrative)
        said = words_in(written)
        return written + paragraphs(line for line in shown if " ".join(line.split()) not in said) if theirs else ""

    def code(self, statement: Finding, otherwise: str) -> Node:
        code = statement.code
        return concept(coding(code.system, code.code, code.display)) if code else {"text": otherwise}


def order_name(number: Identifier) -> str:
    """What the order of an accession number is called while a Bundle is bound."""
    return f"order/{number.system}/{number.value}"


class Opened:
    """A report Bundle opened for reading: its Composition, its DiagnosticReport, and what they refer to. `forgiven` names what was."""

    def __init__(self, body: bytes, pack: Pack) -> None:
        bundle = el.read_resource(body, "Bundle")
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
        for extension in el.extensions(self.composition, self.pack.extensions["diagnostic_report"]):
            found = self.closed.find(el.child(extension, "valueReference"), self.composition)
            if found in reports and found is not None:
                yield found

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

    def person(self, node: Node | None) -> Person | None:
        """A practitioner, also behind a role."""
        if node is not None and node.get("resourceType") == "PractitionerRole":
            node = self.find(node, "practitioner")
        if node is None or node.get("resourceType") != "Practitioner":
            return None
        names, identifier = read_names(node), el.child(node, "identifier")
        value = el.text(identifier, "value")
        number = Identifier(el.text(identifier, "system"), value) if value else None
        return Person(names[0], number) if names else None


def read_statement(node: Node) -> Statement | None:
    """What a resource says: its value, else its code, else its description; None when it says nothing."""
    said = el.text(node, "valueString") or el.text(node, "description") or el.text(node, "code", "text")
    code = first_code(el.codings(node, "code"))
    if said is None and code is None:
        return None
    return Statement(said or (code.display or code.code if code else ""), code)


def read_concept(node: Node, name: str) -> Statement | None:
    """A concept as words and code."""
    code: Code | None = first_code(el.codings(node, name))
    words = el.text(node, name, "text") or (code.display or code.code if code else None)
    return Statement(words, code) if words else None
