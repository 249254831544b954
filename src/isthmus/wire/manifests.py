"""Manifests: a study described for the border, as MADO FHIR document, both directions.

Made once from the model, under a UID that follows from the content; references are `urn:uuid:` made from that UID, so that
the same manifest is the same bytes. Addresses read from a manifest are handed on to be compared, never followed.

Source: MADO; EU imaging manifest; wire.md §1.6, MFH-01 to MFH-30.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final
from uuid import NAMESPACE_OID, UUID, uuid5

from isthmus.errors import CountryMisanswered
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node, coding, concept
from isthmus.fhir.narrative import facts, narrative
from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier, is_uid, plain_uid
from isthmus.model.imaging import Manifest, Study
from isthmus.model.people import HumanName
from isthmus.wire.described import (
    accession_identifier,
    order_identifier,
    read_study,
    study_identifier,
    write_procedure,
    write_series,
)
from isthmus.wire.packs.pack import Pack
from isthmus.wire.people import read_organisation, read_patient_resource, write_organisation, write_patient_resource

NO_ADDRESS = "http://notspecified"
_NAMESPACE = UUID("6d7f0e0c-3f0c-5a38-9a39-5a4c3f1b2d10")


HOLDS: Final = {
    "B.1.1": "ImagingStudy.identifier",
    "B.1.2": "ImagingStudy.description",
    "B.1.3.1": "Composition.custodian → Organization.name",
    "B.1.3.2": "Composition.custodian → Organization.address",
    "B.1.3.3": "Composition.custodian → Organization.telecom",
    "B.1.4.1": "ImagingStudy.series.description",
    "B.1.4.2": "ImagingStudy.series.uid",
    "B.1.4.3": "ImagingStudy.series.modality",
    "B.1.4.5": "ImagingStudy.series.number, .started, .bodySite, .laterality, .numberOfInstances",
    "B.1.4.6": "ImagingStudy.series.endpoint → Endpoint",
    "B.1.4.7.1": "ImagingStudy.series.instance.uid",
    "B.1.4.7.2": "ImagingStudy.series.instance.sopClass",
    "B.1.4.7.3": "ImagingStudy.series.instance.number",
}  # fmt: skip
"""Where a manifest in FHIR holds each element of the data set."""


def manifest_uid(study: Study, pack: Pack, told: str = "") -> str:
    """The UID of the study's manifest: it changes when the content does, and only then.

    `told` is the fingerprint of what a source behind us tells: there descriptions change though instances do not.

    Source: interfaces.md §10.
    """
    series = sorted(one.series_instance_uid for one in study.series)
    instances = sorted(instance.sop_instance_uid for one in study.series for instance in one.instances)
    content = "\n".join((study.study_instance_uid, *series, *instances, pack.name, *([told] if told else [])))
    return f"2.25.{uuid5(_NAMESPACE, content).int}"


def write_manifest(manifest: Manifest, pack: Pack) -> bytes:
    """Write the manifest as document Bundle."""
    return el.write_object(_Writer(manifest, pack).bundle())


@dataclass(frozen=True, slots=True)
class _Order:
    accession: Identifier | None
    placers: tuple[Identifier, ...]


def _orders(study: Study) -> list[_Order]:
    """One order for each accession number; placer numbers beside them when there are as many, else all with the first."""
    accessions, placers = study.accession_numbers, study.placer_order_numbers
    if not accessions and not placers:
        return []
    if len(accessions) > 1 and len(accessions) == len(placers):
        return [_Order(a, (p,)) for a, p in zip(accessions, placers, strict=True)]
    first = accessions[:1] or (None,)
    return [_Order(first[0], placers), *(_Order(a, ()) for a in accessions[1:])]


class _Writer:
    """Writes one manifest's entries; a name stands for each, and its address follows from it."""

    def __init__(self, manifest: Manifest, pack: Pack) -> None:
        self.manifest, self.study, self.pack = manifest, manifest.study, pack
        self.orders = _orders(manifest.study)

    def url(self, name: str) -> str:
        return f"urn:uuid:{uuid5(NAMESPACE_OID, f'{self.manifest.uid}/{name}')}"

    def ref(self, name: str) -> Node:
        return {"reference": self.url(name)}

    def identifier(self) -> Node:
        return {"system": self.pack.systems["uid"], "value": f"urn:oid:{self.manifest.uid}"}

    def bundle(self) -> Node:
        return {
            "resourceType": "Bundle",
            "meta": {"profile": [self.pack.profiles["manifest"]]},
            "identifier": self.identifier(),
            "type": "document",
            "timestamp": self.manifest.created,
            "entry": [{"fullUrl": self.url(name), "resource": resource} for name, resource in self.entries()],
        }

    def entries(self) -> Iterator[tuple[str, Node]]:
        yield "composition", self.composition()
        yield "study", self.imaging_study()
        yield "patient", write_patient_resource(self.study.patient, self.pack)
        yield "organisation", write_organisation(self.manifest.source)
        if self.apart():
            yield "custodian", write_organisation(self.study.custodian or self.manifest.source)
        yield "endpoint", self.endpoint()
        yield "device", self.device()
        for number, order in enumerate(self.orders):
            yield f"order-{number}", self.service_request(order)

    def apart(self) -> bool:
        """True when the custodian is another organisation than the one that made the manifest."""
        return self.study.custodian not in (None, self.manifest.source)

    def composition(self) -> Node:
        custodian = self.ref("custodian" if self.apart() else "organisation") if self.study.custodian else None
        return el.without_nothing(
            {
                "resourceType": "Composition",
                "language": "en",
                "text": narrative(facts(self.facts()), "en"),
                "identifier": self.identifier(),
                "status": "final",
                "type": concept(coding(self.pack.systems["loinc"], self.pack.codes["composition_manifest"])),
                "category": [concept(coding(self.pack.systems["category"], self.pack.codes["category"]))],
                "subject": self.ref("patient"),
                "date": self.manifest.created,
                "author": [self.ref("device"), self.ref("organisation")],
                "title": "Imaging study manifest",
                "custodian": custodian,
                "event": [{"detail": [self.ref("study")]}],
            }
        )

    def facts(self) -> Iterator[tuple[str, str | None]]:
        """The eleven facts of the narrative. Source: MFH-05."""
        study = self.study
        yield "Subject", _shown(study.patient.name)
        yield "Author", f"{self.manifest.source.name}; {self.manifest.device_manufacturer}"
        yield "Study Instance UID", study.study_instance_uid
        yield "Created", self.manifest.created
        yield "Type", f"Imaging study manifest; {self.pack.codes['category']}"
        yield "Study started", study.started or "not known"
        yield "Description", study.description or study.procedure or "none"
        yield "Modalities", ", ".join(study.modalities)
        yield "Anatomical regions", ", ".join(r.display or r.code for r in study.regions) or "not known"
        yield "Accession numbers", ", ".join(number.value for number in study.accession_numbers) or "none"
        yield "Number of series", str(len(study.series))

    def imaging_study(self) -> Node:
        study, pack = self.study, self.pack
        shown = study.procedure or study.description or ", ".join(study.modalities)
        endpoint = [self.ref("endpoint")]
        return el.without_nothing(
            {
                "resourceType": "ImagingStudy",
                "extension": [self.region(region) for region in study.regions],
                "identifier": [study_identifier(study.study_instance_uid, pack)],
                "status": "available",
                "modality": [coding(pack.systems["dcm"], modality) for modality in study.modalities],
                "subject": self.ref("patient"),
                "started": study.started,
                "basedOn": [self.based_on(number, order) for number, order in enumerate(self.orders)],
                "numberOfSeries": len(study.series),
                "numberOfInstances": study.instance_count,
                "procedureCode": [write_procedure(study, shown)],
                "description": study.description,
                "series": [
                    write_series(one, pack, frames="frames_manifest", endpoint=endpoint) for one in study.series
                ],
            }
        )

    def region(self, region: Code) -> Node:
        code = self.pack.codes["spine_manifest"] if region.code in self.pack.aliases["spine"] else region.code
        value = concept(coding(region.system, code, region.display))
        return {"url": self.pack.extensions["region_manifest"], "valueCodeableConcept": value}

    def based_on(self, number: int, order: _Order) -> Node:
        reference = {**self.ref(f"order-{number}"), "type": "ServiceRequest"}
        if order.accession is not None:
            reference["identifier"] = accession_identifier(order.accession, self.pack)
        return reference

    def endpoint(self) -> Node:
        """Where images are fetched: our own border, or the location alone. Source: MFH-15, MFH-16."""
        systems = self.pack.systems
        node: Node = {
            "resourceType": "Endpoint",
            "extension": [{"url": self.pack.extensions["location_uid"], "valueString": self.manifest.location_uid}],
            "status": "active",
            "connectionType": coding(systems["connection_type"], "dicom-wado-rs"),
            "payloadType": [concept(coding(systems["payload_type"], "none"), words="DICOM WADO-RS")],
            "address": self.manifest.endpoint_address or NO_ADDRESS,
        }
        if self.manifest.endpoint_address is None:
            node["_address"] = {"extension": [{"url": self.pack.extensions["absent"], "valueCode": "unknown"}]}
        return node

    def device(self) -> Node:
        return {
            "resourceType": "Device",
            "manufacturer": self.manifest.device_manufacturer,
            "type": concept(coding(self.pack.systems["device_type"], "mado-creator")),
            "owner": self.ref("organisation"),
        }

    def service_request(self, order: _Order) -> Node:
        numbers = [order_identifier(number, self.pack) for number in order.placers]
        if order.accession is not None:
            numbers.insert(0, accession_identifier(order.accession, self.pack))
        shown = self.study.procedure or self.study.description
        return el.without_nothing(
            {
                "resourceType": "ServiceRequest",
                "identifier": numbers,
                "status": "completed",
                "intent": "order",
                "category": [concept(coding(self.pack.systems["snomed"], self.pack.codes["imaging_order"]))],
                "code": {"text": shown} if shown else None,
                "subject": self.ref("patient"),
            }
        )


def _shown(name: HumanName) -> str:
    return " ".join((*name.given, name.family)).strip()


@dataclass(frozen=True, slots=True)
class ManifestRead:
    """A manifest as read, and what was forgiven."""

    manifest: Manifest
    tolerances: tuple[str, ...] = ()


def read_manifest(body: bytes, pack: Pack) -> ManifestRead:
    """Read a manifest, ours or another's. Raises CountryMisanswered when study, patient or a UID is missing.

    `endpoint_address` is what was written, to be compared with the trust list; None when it says that it is none.
    """
    bundle = el.read_resource(body, "Bundle")
    closed, forgiven = Closed(bundle), set[str]()
    composition = next(iter(closed.of_type("Composition")), {})
    node = _find_study(composition, closed, forgiven)
    subject = closed.find(el.child(node, "subject"), node) or closed.find(el.child(composition, "subject"), composition)
    if subject is None:
        raise CountryMisanswered("a manifest without its patient", path="ImagingStudy.subject")
    patient = replace(read_patient_resource(subject), handle=None)
    custodian = closed.find(el.child(composition, "custodian"), composition)
    study = read_study(
        node,
        closed,
        patient,
        pack,
        custodian=read_organisation(custodian) if custodian else None,
        forgive=forgiven.add,
    )
    authors = list(closed.follow(composition, "author"))
    device = next((a for a in authors if a.get("resourceType") == "Device"), {})
    source = next((a for a in authors if a.get("resourceType") == "Organization"), {})
    location, address = _read_endpoint(node, closed, pack, forgiven)
    manifest = Manifest(
        uid=_read_identifier(bundle, forgiven),
        study=study,
        created=el.text(composition, "date") or el.text(bundle, "timestamp") or "",
        location_uid=location,
        source=read_organisation(source),
        device_manufacturer=el.text(device, "manufacturer") or "",
        endpoint_address=address,
    )
    return ManifestRead(manifest, tuple(sorted(forgiven)))


def _find_study(composition: Node, closed: Closed, forgiven: set[str]) -> Node:
    studies = [found for event in el.children(composition, "event") for found in _details(event, composition, closed)]
    if len(studies) == 1:
        return studies[0]
    forgiven.add("study-by-type")
    studies = closed.of_type("ImagingStudy")
    if len(studies) != 1:
        raise CountryMisanswered("a manifest describes one study", path="Composition.event.detail")
    return studies[0]


def _details(event: Node, composition: Node, closed: Closed) -> Iterator[Node]:
    for reference in el.children(event, "detail"):
        found = closed.find(reference, composition)
        if found is not None and found.get("resourceType") == "ImagingStudy":
            yield found


def _read_identifier(bundle: Node, forgiven: set[str]) -> str:
    value = plain_uid(el.text(bundle, "identifier", "value") or "")
    if not is_uid(value):
        forgiven.add("identifier-form")
    return value


def _read_endpoint(node: Node, closed: Closed, pack: Pack, forgiven: set[str]) -> tuple[str, str | None]:
    """Location UID and address of the first WADO endpoint, of the series or the study."""
    for holder in (*el.children(node, "series"), node):
        for reference in el.children(holder, "endpoint"):
            endpoint = closed.find(reference, node) or {}
            if el.text(endpoint, "connectionType", "code") != "dicom-wado-rs":
                continue
            told = el.extensions(endpoint, pack.extensions["location_uid"])
            location = plain_uid((el.text(told[0], "valueString") if told else None) or "")
            if not is_uid(location):
                forgiven.add("location-not-uid")
            address = el.text(endpoint, "address")
            return location, None if address in pack.aliases["no_address"] else address
    forgiven.add("no-endpoint")
    return "", None
