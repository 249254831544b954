"""Entries: one document of a list as DocumentReference, and back.

Emission is strict, reception tolerant: what a reader forgave is a word beside the document, and is counted.

Source: ITI-67; MADO; EU imaging report; wire.md §1.4.2–1.4.4, TOL-01 to TOL-09.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.codes import Code
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, checked_id, is_uid, plain_uid
from isthmus.model.people import Organisation
from isthmus.model.queries import REGIONS
from isthmus.wire.described import accession_identifier, order_identifier, study_identifier
from isthmus.wire.packs.pack import Pack

_MEDIA = {
    "application/fhir+json": DocumentKind.REPORT_FHIR,
    "application/dicom": DocumentKind.MANIFEST_KOS,
    "application/pdf": DocumentKind.REPORT_PDF,
    "text/xml": DocumentKind.REPORT_CDA,
}
_PROFILE = {
    DocumentKind.REPORT_FHIR: "entry_report",
    DocumentKind.MANIFEST_FHIR: "entry_manifest_fhir",
    DocumentKind.MANIFEST_KOS: "entry_manifest_kos",
}
_FHIR_KINDS = (DocumentKind.REPORT_FHIR, DocumentKind.MANIFEST_FHIR)


def document_path(document: Document) -> str:
    """Where the document is read, below the base. Source: wire.md §1.5."""
    return f"{'Bundle' if document.kind in _FHIR_KINDS else 'Binary'}/{document.id}"


def write_entry(document: Document, *, base: str, handle: str, pack: Pack) -> Node:
    """Write one DocumentReference. The subject is the handle alone: the identifier crossed once, in the search."""
    master = {
        "use": "usual",
        "type": concept(coding(pack.systems["identifier_type"], "uniqueId")),
        "system": document.unique_id.system,
        "value": document.unique_id.value,
    }
    profile = _PROFILE.get(document.kind)
    kind = "type_manifest" if document.kind.is_manifest else "type_report"
    return el.without_nothing(
        {
            "resourceType": "DocumentReference",
            "id": document.id,
            "meta": el.without_nothing(
                {"lastUpdated": document.updated, "profile": [pack.profiles[profile]] if profile else None}
            ),
            "extension": [*_extensions(document, pack), *_own_extensions(document, pack)],
            "masterIdentifier": el.without_nothing(master),
            "identifier": [el.without_nothing(master)],
            "status": document.status,
            "type": concept(coding(pack.systems["loinc"], pack.codes[kind])),
            "category": [concept(coding(pack.systems["category"], pack.codes["category"]))],
            "subject": {"reference": f"Patient/{handle}"},
            "date": document.indexed,
            "author": [{"display": name} for name in document.authors],
            "custodian": _custodian(document.custodian),
            "relatesTo": _relations(document),
            "description": document.description or document.title,
            "content": [_content(document, base, pack)],
            "context": _context(document, pack),
        }
    )


def _extensions(document: Document, pack: Pack) -> Iterator[Node]:
    """Modality and body site in both families: the older once, with all codings; the newer one for each."""
    modalities = [coding(pack.systems["dcm"], modality) for modality in document.modalities]
    sites = [_region(region, document.kind, pack) for region in document.regions]
    if modalities:
        yield {"url": pack.extensions["modality_once"], "valueCodeableConcept": concept(*modalities)}
    if sites:
        inner = {"url": "concept", "valueCodeableConcept": concept(*sites)}
        yield {"url": pack.extensions["body_site_once"], "extension": [inner]}
    for modality in modalities:
        yield {"url": pack.extensions["modality"], "valueCodeableConcept": concept(modality)}
    for site in sites:
        yield {"url": pack.extensions["body_site"], "valueCodeableConcept": concept(site)}


def _region(region: Code, kind: DocumentKind, pack: Pack) -> Node:
    if region.code in pack.aliases["spine"]:
        spine = pack.codes["spine_manifest" if kind.is_manifest else "spine_report"]
        return coding(region.system, spine, region.display)
    return coding(region.system, region.code, region.display)


def _own_extensions(document: Document, pack: Pack) -> Iterator[Node]:
    """What a list is drawn from without opening each document. Source: wire.md §1.4.4."""
    extent = (
        ("series", "valueUnsignedInt", document.series_count),
        ("instances", "valueUnsignedInt", document.instance_count),
        ("bytes", "valueDecimal", document.study_bytes),
    )
    known = [{"url": name, kind: value} for name, kind, value in extent if value is not None]
    if known:
        yield {"url": pack.extensions["study_extent"], "extension": known}
    if document.report_status:
        yield {"url": pack.extensions["report_status"], "valueCode": document.report_status}
    if document.report_version:
        yield {"url": pack.extensions["report_version"], "valueString": document.report_version}


def _custodian(custodian: Organisation | None) -> Node | None:
    if custodian is None:
        return None
    identifier = {"system": custodian.system, "value": custodian.identifier}
    return el.without_nothing(
        {
            "type": "Organization",
            "identifier": el.without_nothing(identifier) if custodian.identifier else None,
            "display": custodian.name,
        }
    )


def _relations(document: Document) -> list[Node]:
    targets = (("replaces", document.replaces), ("transforms", document.twin))
    return [
        {"code": code, "target": {"reference": f"DocumentReference/{target}"}} for code, target in targets if target
    ]


def _content(document: Document, base: str, pack: Pack) -> Node:
    attachment = {
        "contentType": document.media_type,
        "language": document.language or ("en" if document.kind.is_manifest else None),
        "url": f"{base.rstrip('/')}/{document_path(document)}",
        "size": document.size_bytes,
        "title": document.title,
        "creation": document.created,
    }
    content: Node = {"attachment": el.without_nothing(attachment)}
    if document.kind is DocumentKind.REPORT_FHIR:
        profile = {
            "url": pack.extensions["content_profile_report"],
            "valueCanonical": pack.profiles[document.profile or "report"],
        }
        return {"extension": [profile]} | content
    if document.kind is DocumentKind.MANIFEST_FHIR:
        value = {"url": "value", "valueCanonical": pack.profiles["manifest_content"]}
        profile_of = {"url": pack.extensions["content_profile_manifest"], "extension": [value]}
        form = coding(pack.systems["format"], pack.codes["format_manifest_fhir"])
        return {"extension": [profile_of]} | content | {"format": form}
    if document.kind is DocumentKind.MANIFEST_KOS:
        return content | {"format": coding(pack.systems["dcmuid"], pack.codes["format_manifest_kos"])}
    return content


def _context(document: Document, pack: Pack) -> Node:
    snomed = pack.systems["snomed"]
    return el.without_nothing(
        {
            "period": {"start": document.period_start} if document.period_start else None,
            "facilityType": concept(coding(snomed, pack.codes["hospital"], "Hospital")),
            "practiceSetting": concept(coding(snomed, pack.codes["radiology"], "Radiology")),
            "related": [
                *(
                    {"type": "ImagingStudy", "identifier": study_identifier(uid, pack)}
                    for uid in document.study_instance_uids
                ),
                *(
                    {"type": "ServiceRequest", "identifier": accession_identifier(number, pack)}
                    for number in document.accession_numbers
                ),
                *(
                    {"type": "ServiceRequest", "identifier": order_identifier(number, pack)}
                    for number in document.order_numbers
                ),
            ],
        }
    )


def read_entry(node: Node, full_url: str, *, base: str, pack: Pack) -> tuple[list[Document], set[str]]:
    """Read one DocumentReference: a document for each content that can be opened, and what was forgiven.

    Raises CountryMisanswered for an address outside the country's own base.
    """
    forgiven: set[str] = set()
    reader, minimal = _Reader(node, pack, forgiven), pack.profiles["report_minimal"]
    contents = el.children(node, "content")
    if len(contents) > 1:
        forgiven.add("several-contents")
    documents = []
    for content in contents:
        attachment = el.child(content, "attachment")
        url = el.text(attachment, "url")
        kind = reader.kind(content)
        inline = el.binary(attachment, "data") if kind is DocumentKind.REPORT_PDF and url is None else None
        if kind is not None and inline is not None:
            documents.append(replace(reader.document(kind, attachment, None, full_url), inline=inline))
            continue
        if url is None or kind is None:
            forgiven.add("form-not-read" if url else "content-without-address")
            continue
        place = bundles.below(base, url)
        if place is None or place[1]:
            raise CountryMisanswered("a document lies outside the country's own address", path="attachment.url")
        if "://" not in url:
            forgiven.add("relative-address")
        document = reader.document(kind, attachment, f"{base.rstrip('/')}/{place[0]}", full_url)
        told = "report_minimal" if minimal in reader.profiles(content) else None
        documents.append(replace(document, profile=told))
    return documents, forgiven


class _Reader:
    """Reads one DocumentReference and notes what it forgives."""

    def __init__(self, node: Node, pack: Pack, forgiven: set[str]) -> None:
        self.node, self.pack, self.forgiven = node, pack, forgiven
        self.context = el.child(node, "context")

    def kind(self, content: Node) -> DocumentKind | None:
        """What the content is, by media type, format and profile, and type only at last. Source: wire.md §1.4.3."""
        media = (el.text(content, "attachment", "contentType") or "").partition(";")[0].strip().lower()
        form = el.child(content, "format")
        kind = _MEDIA.get("text/xml" if media == "application/xml" else media)
        if kind is DocumentKind.MANIFEST_KOS:
            if form.get("code") != self.pack.codes["format_manifest_kos"]:
                return None
            if form.get("system") != self.pack.systems["dcmuid"]:
                self.forgiven.add("dcmuid-system")
        if kind is DocumentKind.REPORT_FHIR and self._is_manifest(content, form):
            return DocumentKind.MANIFEST_FHIR
        return kind

    def _is_manifest(self, content: Node, form: Node) -> bool:
        if form.get("code") == self.pack.codes["format_manifest_fhir"]:
            return True
        known = {self.pack.profiles["manifest_content"], self.pack.profiles["manifest"]}
        reports = {self.pack.profiles[name] for name in ("report", "report_minimal")}
        if (told := self.profiles(content)) & (known | reports):
            return bool(told & known)
        self.forgiven.add("kind-by-type")
        return any(c.get("code") == self.pack.codes["type_manifest"] for c in el.codings(self.node, "type"))

    @staticmethod
    def profiles(content: Node) -> set[str]:
        return {
            str(value).partition("|")[0].partition("#")[0]
            for extension in el.children(content, "extension")
            for inner in (extension, *el.children(extension, "extension"))
            for name, value in inner.items()
            if name.startswith("value")
        }

    def document(self, kind: DocumentKind, attachment: Node, url: str | None, full_url: str) -> Document:
        self._category()
        identifier = el.text(self.node, "id") or full_url.rpartition("/")[2]
        try:
            checked_id(identifier)
        except MalformedRequest:
            raise CountryMisanswered("an entry without an id", path="DocumentReference.id") from None
        custodian = el.child(self.node, "custodian")
        extent = el.extensions(self.node, self.pack.extensions["study_extent"])
        title = el.text(attachment, "title") or el.text(self.node, "description") or ""
        indexed = el.text(self.node, "date") or ""
        return Document(
            id=identifier,
            kind=kind,
            patient=None,
            unique_id=self._unique_id(identifier),
            title=title,
            indexed=indexed,
            created=el.text(attachment, "creation") or indexed,
            media_type=(el.text(attachment, "contentType") or "").partition(";")[0].strip().lower(),
            study_instance_uids=self._studies(),
            accession_numbers=self._numbers(self.pack.codes["accession_number"], "ACSN"),
            order_numbers=self._numbers("PLAC"),
            status=el.text(self.node, "status") or "current",
            language=el.text(attachment, "language"),
            authors=tuple(name for a in el.children(self.node, "author") if (name := self._display(a))),
            custodian=self._organisation(custodian) if custodian else None,
            modalities=self._modalities(),
            regions=self._regions(),
            period_start=el.text(self.context, "period", "start"),
            size_bytes=el.number(attachment, "size"),
            series_count=_extent(extent, "series"),
            instance_count=_extent(extent, "instances"),
            study_bytes=_extent(extent, "bytes"),
            report_status=self._own("report_status", "valueCode"),
            report_version=self._own("report_version", "valueString"),
            replaces=self._related("replaces"),
            twin=self._related("transforms"),
            updated=el.text(self.node, "meta", "lastUpdated"),
            url=url,
            description=el.text(self.node, "description"),
        )

    def _category(self) -> None:
        for category in el.codings(self.node, "category"):
            system = category.get("system")
            if system in self.pack.aliases["category"] and system != self.pack.systems["category"]:
                self.forgiven.add("category-system")

    def _unique_id(self, identifier: str) -> Identifier:
        master = el.child(self.node, "masterIdentifier")
        if not master:
            self.forgiven.add("no-master-identifier")
            master = el.child(self.node, "identifier")
        return Identifier(el.text(master, "system"), el.text(master, "value") or identifier)

    def _studies(self) -> tuple[str, ...]:
        found: list[str] = []
        for identifier in self._identifiers(self.pack.codes["study_instance_uid"], self.pack.systems["uid"]):
            value = el.text(identifier, "value") or ""
            if not value.startswith("urn:oid:"):
                self.forgiven.add("uid-form")
            if is_uid(plain_uid(value)) and plain_uid(value) not in found:
                found.append(plain_uid(value))
        return tuple(found)

    def _numbers(self, code: str, other: str | None = None) -> tuple[Identifier, ...]:
        numbers = self._identifiers(code, None, other)
        return tuple(Identifier(el.text(n, "system"), value) for n in numbers if (value := el.text(n, "value")))

    def _identifiers(self, code: str, system: str | None, other: str | None = None) -> Iterator[Node]:
        for related in el.children(self.context, "related"):
            identifier = el.child(related, "identifier")
            codes = {c.get("code") for c in el.codings(identifier, "type")}
            if codes & {code, other} - {None} or (system is not None and identifier.get("system") == system):
                yield identifier

    def _display(self, reference: Node) -> str | None:
        return el.text(reference, "display") or el.text(reference, "identifier", "value")

    def _organisation(self, reference: Node) -> Organisation | None:
        name = self._display(reference)
        identifier = el.child(reference, "identifier")
        return Organisation(name, el.text(identifier, "value"), el.text(identifier, "system")) if name else None

    def _modalities(self) -> tuple[str, ...]:
        once, many = self.pack.extensions["modality_once"], self.pack.extensions["modality"]
        if len(el.extensions(self.node, once)) > 1:
            self.forgiven.add("modality-repeated")
        found = [
            code
            for extension in el.extensions(self.node, once, many)
            for c in el.codings(extension, "valueCodeableConcept")
            if (code := el.text(c, "code"))
        ]
        if not found:
            self.forgiven.add("no-modality")
        return tuple(dict.fromkeys(found))

    def _regions(self) -> tuple[Code, ...]:
        once, simple = self.pack.extensions["body_site_once"], self.pack.extensions["body_site"]
        found: dict[str, Code] = {}
        for extension in el.extensions(self.node, once, simple):
            inner = el.children(extension, "extension")
            if (extension.get("url") == simple) == bool(inner):
                self.forgiven.add("body-site-form")
            for holder in (extension, *inner):
                for c in el.codings(holder, "valueCodeableConcept"):
                    self._add_region(c, found)
        return tuple(found.values())

    def _add_region(self, c: Node, found: dict[str, Code]) -> None:
        code = el.text(c, "code")
        if code is None:
            return
        if code in self.pack.aliases["spine"]:
            code = self.pack.codes["spine_manifest"]
        system = el.text(c, "system") or ""
        if system != self.pack.systems["snomed"] and code in REGIONS:
            self.forgiven.add("region-system")
            system = self.pack.systems["snomed"]
        found.setdefault(code, Code(system, code, el.text(c, "display")))

    def _own(self, name: str, member: str) -> str | None:
        told = el.extensions(self.node, self.pack.extensions[name])
        return el.text(told[0], member) if told else None

    def _related(self, code: str) -> str | None:
        for relation in el.children(self.node, "relatesTo"):
            if relation.get("code") == code:
                return (el.text(relation, "target", "reference") or "").rpartition("/")[2] or None
        return None


def _extent(extensions: list[Node], name: str) -> int | None:
    for inner in el.children(extensions[0], "extension") if extensions else ():
        if inner.get("url") == name:
            return el.number(inner, "valueUnsignedInt") or el.number(inner, "valueDecimal")
    return None
