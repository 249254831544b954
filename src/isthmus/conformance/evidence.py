"""Evidence: what a requirement is held against, where a single resource does not say enough.

An exchange is a question with its answer; exchanges in their order are a conversation; all that is told of one study is an
examination; a trail is what both sides wrote down. Each can be recorded by either side, or made by hand for a mutant. Nothing of
it shows in a repr: it holds patient data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from isthmus.dicom.content import Item
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import read_header
from isthmus.dicom.windows import BytesSource
from isthmus.errors import IsthmusError
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import plain_uid
from isthmus.wire.images import PartEnd, PartReader, PartStart, boundary_of
from isthmus.wire.kos_reading import read_document
from isthmus.wire.packs.pack import Pack

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart answer; a single part is one too."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Exchange:
    """A question to a border and its answer. Header names are lower case; no status means that HTTP never began.

    Live traffic hands in what went by without its body: an empty answer was not held, and what only it could say is not judged.
    """

    method: str = "GET"
    path: str  # below the listener: /fhir/DocumentReference
    origin: str = ""  # who was asked: https://ncpeh.aa.example
    query: tuple[tuple[str, str], ...] = ()
    sent: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: bytes = b""
    whole: bool = True  # the answer came to its end
    peer: str = "known"  # thumbprint of the certificate at the other end; "" where there was none
    trusted: bool = True  # the trust list knows that certificate
    at: datetime | None = None
    decoded: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoded", _decoded(self))

    def __repr__(self) -> str:  # never in a log
        return f"Exchange({self.method} {self.status})"

    @property
    def node(self) -> Node:
        """The JSON object of the answer; empty when it is none."""
        return self.decoded if isinstance(self.decoded, dict) else {}

    @property
    def asked(self) -> tuple[tuple[str, str], ...]:
        """What was asked for, in the address and in a form."""
        posted = self.method == "POST" and self.sent.get("content-type", "").startswith(FORM)
        return self.query + (tuple(parse_qsl(self.body.decode("utf-8", "replace"), True)) if posted else ())

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """What narrows a search: not the patient, the status or the form of the answer."""
        return tuple((name, value) for name, value in self.asked if name not in _NO_FILTER)

    @property
    def issues(self) -> list[Node]:
        """The issues of an OperationOutcome, whether it is the answer or an entry of it."""
        inside = [el.child(entry, "resource") for entry in el.children(self.node, "entry")]
        told = [r for r in (self.node, *inside) if r.get("resourceType") == "OperationOutcome"]
        return [issue for outcome in told for issue in el.children(outcome, "issue")]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The DICOM files that came whole."""
        return _parts(self)

    def values(self, name: str) -> list[str]:
        return [value for asked, value in self.asked if asked == name]

    def searches(self, kind: str) -> bool:
        return self.path in (f"/fhir/{kind}", f"/fhir/{kind}/_search")

    def entries(self, kind: str) -> list[Node]:
        """The resources of this type that a search gave."""
        resources = (el.child(entry, "resource") for entry in el.children(self.node, "entry"))
        return [resource for resource in resources if resource.get("resourceType") == kind]

    @property
    def is_search(self) -> bool:
        return any(self.searches(kind) for kind in ("Patient", "DocumentReference", "ImagingStudy"))

    @property
    def retrieves(self) -> tuple[str, ...]:
        """The UIDs of a retrieval of images: study, series, instance; empty for anything else."""
        head, _, rest = self.path.partition("/dicom-web/studies/")
        names = rest.split("/")
        plain = not head and bool(rest) and names[1::2] == ["series", "instances"][: len(names) // 2]
        return tuple(names[::2]) if plain and len(names) % 2 else ()


_NO_FILTER = {"patient", "patient.identifier", "status", "_count", "_sort", "_cursor", "_format", "_summary"}
Conversation = tuple[Exchange, ...]


def _decoded(exchange: Exchange) -> Any:
    if exchange.answer[:1] not in (b"{", b"["):
        return None
    try:
        return orjson.loads(exchange.answer)
    except orjson.JSONDecodeError:
        return None


def _parts(exchange: Exchange) -> tuple[Part, ...]:
    try:
        boundary = boundary_of(exchange.headers.get("content-type"))
    except IsthmusError:
        return ()
    if boundary is None:
        return (Part(exchange.headers, exchange.answer),)
    found, headers, held = list[Part](), dict[str, str](), bytearray()
    for event in PartReader(boundary).feed(exchange.answer):
        if isinstance(event, PartStart):
            headers, held = dict(event.headers), bytearray()
        elif isinstance(event, PartEnd):
            found.append(Part(headers, bytes(held)))
        else:
            held += event
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Examination:
    """All that is told of one study, as far as it is known: an empty member was not seen, and is not judged."""

    study_instance_uid: str = ""
    entries: tuple[Node, ...] = ()  # DocumentReferences that name it
    manifest: Node = field(default_factory=dict)
    kos: Node = field(default_factory=dict)
    reports: tuple[Node, ...] = ()  # the earliest version first
    delivered: frozenset[str] | None = None  # SOP Instance UIDs that came
    accession_number: tuple[str, str] | None = None  # issuer and number in the images


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """A value of the model and the document that tells it."""

    value: Any
    document: Node


@dataclass(frozen=True, slots=True, repr=False)
class Delivery:
    """One instance as Country A keeps it and as it came."""

    stored: bytes
    arrived: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Arrival:
    """What Country B made of something that came.

    `value` is what was read from it, None when it was refused; `told` is what the professional sees; `sent` is what was asked of
    Country A because of it.
    """

    document: Node | bytes
    value: Any = None
    refused: str | None = None  # reason, of the table of errors
    forgiven: frozenset[str] = frozenset()  # tolerances, by their words
    counted: frozenset[str] = frozenset()  # tolerances that the figures name
    told: str = ""
    patient: tuple[str, str] | None = None  # system and value of the identifier of the visit
    sent: Conversation = ()


@dataclass(frozen=True, slots=True, repr=False)
class Trails:
    """A conversation and what both sides wrote down of it.

    An event is the intent of the trail with its `exchange_id`, and what became of it under `ended`.
    """

    conversation: Conversation = ()
    asking: tuple[Node, ...] = ()
    answering: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """How a viewer of the house is opened: what the settings say, the identifiers, and the address made of both."""

    template: str
    values: Mapping[str, str]
    address: str


def kos_node(data: bytes) -> Node:
    """The data set of a key object selection, as requirements read it: values by tag as eight hexadecimal digits, items as lists.

    Raises MalformedRequest, UnsupportedRequest.
    """
    syntax, root = read_document(data)
    return {"syntax": syntax} | _node(root)


def kos_of(data: bytes) -> Node:
    """The same, of what may be none: nothing is read from it, and every requirement misses something."""
    try:
        return kos_node(data)
    except IsthmusError:
        return {}


def _node(item: Item) -> Node:
    return {
        f"{tag:08X}": [_node(one) for one in item.items(tag)] if isinstance(value, list) else item.text(tag)
        for tag, value in item.values.items()
    }


def studies_of(entry: Node, pack: Pack) -> set[str]:
    """The studies that a DocumentReference names."""
    related = (el.child(one, "identifier") for one in el.children(el.child(entry, "context"), "related"))
    wanted = pack.codes["study_instance_uid"]
    named = (i for i in related if any(c.get("code") == wanted for c in el.codings(i, "type")))
    return {plain_uid(el.text(identifier, "value") or "") for identifier in named}


def gather(conversation: Conversation, pack: Pack) -> list[Examination]:
    """What a conversation tells of each study: its entries, its documents that were read, its images that came."""
    entries = {str(e.get("id")): e for one in conversation for e in one.entries("DocumentReference")}
    read = {one.path: one for one in conversation if one.method == "GET" and one.status == 200 and one.whole}
    studies = sorted({uid for entry in entries.values() for uid in studies_of(entry, pack)})
    return [_gathered(uid, [e for e in entries.values() if uid in studies_of(e, pack)], read) for uid in studies]


def _gathered(uid: str, entries: list[Node], read: Mapping[str, Exchange]) -> Examination:
    bodies = {"manifest": list[Node](), "kos": list[Node](), "report": list[Node]()}
    for entry in sorted(entries, key=lambda e: (e.get("status") == "current", str(e.get("date")))):
        address = el.text(entry, "content", "attachment", "url") or ""
        answer = read.get(f"/fhir/{'/'.join(address.split('/')[-2:])}")
        if entry.get("status") != "current" and el.child(entry, "content", "format"):
            continue  # an earlier manifest tells an earlier study
        if answer is not None and answer.node.get("type") == "document":
            told = {el.text(e, "resource", "resourceType") for e in el.children(answer.node, "entry")}
            bodies["report" if "DiagnosticReport" in told else "manifest"].append(answer.node)
        elif answer is not None and answer.headers.get("content-type") == "application/dicom":
            bodies["kos"].append(kos_of(answer.answer))
    images = read.get(f"/dicom-web/studies/{uid}")
    return Examination(
        study_instance_uid=uid,
        entries=tuple(entries),
        manifest=(bodies["manifest"] or [{}])[-1],
        kos=(bodies["kos"] or [{}])[-1],
        reports=tuple(bodies["report"]),
        delivered=None if images is None else frozenset(sop_instance_uid(part.body) for part in images.parts),
    )


def sop_instance_uid(file: bytes) -> str:
    """The SOP Instance UID of a Part 10 file; nothing for what is none."""
    try:
        return read_header(BytesSource(file)).sop_instance_uid
    except DicomFault:
        return ""
