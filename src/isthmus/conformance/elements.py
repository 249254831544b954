"""The elements of the data set, A.1 to A.8 and B: number, name, what MyHealth@EU asks of them, and when one of ours tells it.

Obligations: M mandatory, R required when known, O optional, `in` in scope with a level that is not public, `-` not seen in scope.

Source: data set A.1 to A.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from isthmus.model.identifiers import UNIDENTIFIED
from isthmus.model.imaging import Manifest, Series
from isthmus.model.people import Address, Organisation, Telecom
from isthmus.model.report.devices import Device
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.header import Person
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.safety import Medication, Reaction
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Finding


@dataclass(frozen=True, slots=True)
class Element:
    """One element; `told` says whether a report, or a manifest, has it."""

    id: str
    name: str
    obligation: str
    told: Callable[[Any], object]


def _any(things: Iterable[Any], of: Callable[[Any], object]) -> bool:
    return any(of(one) for one in things)


def _organisation(one: Person | Organisation) -> object:
    return one if isinstance(one, Organisation) else one.organisation


def _addresses(one: Person | Organisation) -> tuple[Address, ...]:
    return one.addresses


def _telecoms(one: Person | Organisation) -> tuple[Telecom, ...]:
    return one.telecoms


def _attester(r: ImagingReport) -> list[Person]:
    return [r.header.attester.person] if r.header.attester else []


def _validators(r: ImagingReport) -> list[Person]:
    return [one.person for one in r.header.validators if one.person]


def _asker(r: ImagingReport) -> list[Person]:
    return [r.order.requester] if r.order.requester else []


def _performers(r: ImagingReport) -> list[Person]:
    done = [one.performers for one in r.examination.procedures] + [one.performers for one in _series(r)]
    return [person for people in done for person in people]


def _of_images(r: ImagingReport) -> list[KeyImage]:
    return [*r.key_images, *(image for finding in _seen(r) for image in finding.images)]


def _shooters(r: ImagingReport) -> list[Person]:
    return [image.performer for image in _of_images(r) if image.performer]


def _seen(r: ImagingReport) -> tuple[Finding, ...]:
    return (*r.examination.findings, *r.examination.impressions)


def _given(r: ImagingReport) -> tuple[Medication, ...]:
    return (*r.examination.medications, *r.order.medications)


def _suffered(r: ImagingReport) -> tuple[Reaction, ...]:
    return (*r.examination.reactions, *r.order.allergies)


def _series(r: ImagingReport) -> list[Series]:
    return [series for study in r.examination.studies for series in study.series]


def _sites(r: ImagingReport) -> list[Site]:
    done = r.examination
    return [*(site for one in done.procedures for site in one.sites), *(one.site for one in _seen(r) if one.site)]


def _devices(r: ImagingReport) -> list[Device]:
    used = [one.devices for one in r.examination.procedures] + [one.devices for one in _series(r)]
    return [device for devices in used for device in devices]


def _dated(r: ImagingReport) -> bool:
    return _any(r.examination.findings, lambda f: f.observed or r.examination.performed)


def _name(person: Person) -> bool:
    return bool(person.shown)


def _number(person: Person) -> object:
    return person.identifier


def _has(get: Callable[[ImagingReport], Iterable[Any]], of: Callable[[Any], object]) -> Callable[[ImagingReport], bool]:
    return lambda r: _any(get(r), of)


REPORT: Final[tuple[Element, ...]] = (
    Element("A.1.1.1", "Family name", "M", lambda r: r.header.patient.name.family),
    Element("A.1.1.2", "Given name", "M", lambda r: r.header.patient.name.given),
    Element("A.1.1.3", "Date of birth", "M", lambda r: r.header.patient.birth_date),
    Element("A.1.1.4", "Personal identifier", "R", lambda r: r.header.patient.identifier != UNIDENTIFIED),
    Element("A.1.1.5", "Gender", "R", lambda r: r.header.patient.gender != "unknown"),
    Element("A.1.2.1", "Address", "O", lambda r: r.header.patient.addresses or _any(r.header.patient.contacts, lambda c: c.addresses)),
    Element("A.1.2.2", "Telecom", "O", lambda r: r.header.patient.telecoms or _any(r.header.patient.contacts, lambda c: c.telecoms)),
    Element("A.1.3.1.1", "Insurance provider code", "-", lambda r: _any(r.header.insurances, lambda i: i.insurer and i.insurer.identifier)),
    Element("A.1.3.1.2", "Insurance provider name", "-", lambda r: _any(r.header.insurances, lambda i: i.insurer and i.insurer.name)),
    Element("A.1.3.1.3", "Insurance policy number", "-", lambda r: _any(r.header.insurances, lambda i: i.number)),
    Element("A.1.4.1", "Recipient identifier", "in", _has(lambda r: r.header.recipients, lambda p: p.identifier)),
    Element("A.1.4.2", "Recipient name", "in", _has(lambda r: r.header.recipients, lambda p: p.name)),
    Element("A.1.4.3", "Recipient organisation", "in", _has(lambda r: r.header.recipients, _organisation)),
    Element("A.1.4.4", "Recipient address", "-", _has(lambda r: r.header.recipients, _addresses)),
    Element("A.1.4.5", "Recipient country", "-", lambda r: _any(r.header.recipients, lambda p: _any(p.addresses, lambda a: a.country))),
    Element("A.1.4.6", "Recipient telecom", "-", _has(lambda r: r.header.recipients, _telecoms)),
    Element("A.1.5.1", "Author identifier", "M", lambda r: _any((*r.header.authors, *r.header.devices), lambda a: a.identifier)),
    Element("A.1.5.2", "Author name", "M", lambda r: _any((*r.header.authors, *r.header.devices), lambda a: a.shown)),
    Element("A.1.5.3", "Author organisation", "in", lambda r: r.header.organisation or _any(r.header.authors, _organisation)),
    Element("A.1.5.4", "Authoring date and time", "R", lambda r: r.header.date),
    Element("A.1.6.1", "Authenticator identifier", "in", _has(_attester, _number)),
    Element("A.1.6.2", "Authenticator name", "in", _has(_attester, _name)),
    Element("A.1.6.3", "Authenticator organisation", "in", _has(_attester, _organisation)),
    Element("A.1.6.4", "Authentication date and time", "in", lambda r: r.header.attester and r.header.attester.time),
    Element("A.1.7.1", "Validator identifier", "in", _has(_validators, _number)),
    Element("A.1.7.2", "Validator name", "in", lambda r: _any(r.header.validators, lambda v: v.person or v.device)),
    Element("A.1.7.3", "Validator organisation", "in", _has(_validators, _organisation)),
    Element("A.1.7.4", "Validation date and time", "in", lambda r: _any(r.header.validators, lambda v: v.time)),
    Element("A.1.8.0", "Document identifier", "M", lambda r: r.header.identifier.value),
    Element("A.1.8.1", "Document type", "M", lambda r: r.header.type),
    Element("A.1.8.2", "Document status", "M", lambda r: r.header.status not in ("", "unknown")),
    Element("A.1.8.3", "Report date and time", "R", lambda r: r.header.issued or r.header.date),
    Element("A.1.8.4", "Document title", "in", lambda r: r.header.title),
    Element("A.1.8.5", "Imaging procedure", "in", lambda r: _any(r.examination.procedures, lambda p: p.name)),
    Element("A.1.8.6", "Report custodian", "in", lambda r: r.header.custodian),
    Element("A.1.8.7", "Confidentiality", "-", lambda r: r.header.confidentiality),
    Element("A.1.8.8", "Language", "M", lambda r: r.header.language),
    Element("A.1.8.9", "Version", "in", lambda r: r.header.version),
    Element("A.1.8.10", "Study Instance UID", "in", lambda r: r.study_instance_uids),
    Element("A.1.8.11", "Accession number", "in", lambda r: r.order.accession_numbers),
    Element("A.2.1", "Order identifier", "in", lambda r: r.order.placer_order_numbers or r.order.filler_order_numbers),
    Element("A.2.2", "Order date and time", "-", lambda r: r.order.placed),
    Element("A.2.3", "Order placer identifier", "in", _has(_asker, _number)),
    Element("A.2.4", "Order placer name", "in", _has(_asker, _name)),
    Element("A.2.5", "Order placer specialty", "-", _has(_asker, lambda p: p.specialty)),
    Element("A.2.6", "Order placer contact", "-", _has(_asker, lambda p: p.telecoms or p.addresses)),
    Element("A.2.7", "Order placer organisation", "in", lambda r: r.order.organisation or _any(_asker(r), _organisation)),
    Element("A.3.1", "Reason", "in", lambda r: r.order.reasons),
    Element("A.3.2", "Problem, diagnosis, condition", "-", lambda r: r.order.history),
    Element("A.3.3", "Clinical question", "-", lambda r: r.order.question or r.order.reasons),
    Element("A.4.1", "Specimen identifier", "-", _has(lambda r: r.specimens, lambda s: s.identifiers)),
    Element("A.4.2", "Specimen material", "-", _has(lambda r: r.specimens, lambda s: s.material)),
    Element("A.4.3", "Collection period", "-", _has(lambda r: r.specimens, lambda s: s.collected or s.collected_until)),
    Element("A.4.4", "Anatomic location", "-", _has(lambda r: r.specimens, lambda s: s.site)),
    Element("A.4.5", "Morphology", "-", _has(lambda r: r.specimens, lambda s: s.site and s.site.morphology)),
    Element("A.4.6", "Source device", "-", _has(lambda r: r.specimens, lambda s: s.device)),
    Element("A.4.7", "Collection method", "-", _has(lambda r: r.specimens, lambda s: s.method)),
    Element("A.4.8", "Received date", "-", _has(lambda r: r.specimens, lambda s: s.received)),
    Element("A.5.1.1", "Modality", "in", lambda r: _any(r.examination.studies, lambda s: s.modalities)),
    Element("A.5.1.2", "Procedure date", "in", lambda r: r.examination.performed or _any(r.examination.procedures, lambda p: p.performed)),
    Element("A.5.1.3", "Procedure text", "-", lambda r: _any(r.examination.procedures, lambda p: p.technique)),
    Element("A.5.1.4", "Procedure code", "in", lambda r: _any(r.examination.procedures, lambda p: p.name and p.name.code)),
    Element("A.5.1.5", "Procedure name", "in", lambda r: _any(r.examination.procedures, lambda p: p.name and p.name.text)),
    Element("A.5.1.6.1", "Body location", "in", lambda r: _sites(r) or r.examination.regions or _any(_series(r), lambda s: s.body_site)),
    Element("A.5.1.6.2", "Laterality", "in", lambda r: _any((*_sites(r), *_series(r)), lambda s: s.laterality)),
    Element("A.5.1.7", "Device identifier", "-", _has(_devices, lambda d: d.identifier or d.udi)),
    Element("A.5.1.8.1", "Performer identifier", "-", _has(_performers, _number)),
    Element("A.5.1.8.2", "Performer name", "-", _has(_performers, _name)),
    Element("A.5.1.8.3", "Performer organisation", "-", _has(_performers, _organisation)),
    Element("A.5.1.9", "Additional details", "-", lambda r: _any(r.examination.procedures, lambda p: p.details)),
    Element("A.5.2.1", "Medication brand name", "-", _has(_given, lambda m: m.brand)),
    Element("A.5.2.2", "Medication code", "in", _has(_given, lambda m: m.code)),
    Element("A.5.2.3", "Active ingredients", "-", _has(_given, lambda m: m.ingredients)),
    Element("A.5.2.4", "Strength", "-", lambda r: _any(_given(r), lambda m: _any(m.ingredients, lambda i: i.strength))),
    Element("A.5.2.5", "Dose form", "-", _has(_given, lambda m: m.form)),
    Element("A.5.2.6", "Route of administration", "-", _has(_given, lambda m: m.route)),
    Element("A.5.2.7", "Medication date and time", "in", _has(_given, lambda m: m.given)),
    Element("A.5.3.1", "Reaction description", "-", _has(_suffered, lambda x: x.text)),
    Element("A.5.3.2", "Type of propensity", "-", _has(_suffered, lambda x: x.kind)),
    Element("A.5.3.3", "Manifestation", "in", _has(_suffered, lambda x: x.manifestations)),
    Element("A.5.3.4", "Severity", "-", _has(_suffered, lambda x: x.severity)),
    Element("A.5.3.5", "Criticality", "in", _has(_suffered, lambda x: x.criticality)),
    Element("A.5.3.6", "Onset date", "-", _has(_suffered, lambda x: x.onset)),
    Element("A.5.3.7", "Certainty", "-", _has(_suffered, lambda x: x.certainty)),
    Element("A.5.3.8", "Agent or allergen", "in", _has(_suffered, lambda x: x.agent)),
    Element("A.5.4.1", "Result date", "-", _dated),
    Element("A.5.4.2", "Result text", "in", lambda r: _any(r.examination.findings, lambda f: f.shown)),
    Element("A.5.4.3.1", "Observation code", "-", lambda r: _any(r.examination.findings, lambda f: f.code)),
    Element("A.5.4.3.2", "Observation name", "-", lambda r: _any(r.examination.findings, lambda f: f.name or (f.code and f.code.display))),
    Element("A.5.4.3.3", "Observation method", "-", lambda r: _any(r.examination.findings, lambda f: f.method)),
    Element("A.5.4.3.4", "Observation result", "-", lambda r: _any(r.examination.findings, lambda f: f.value or f.parts or f.text)),
    Element("A.5.5.1", "Impression", "in", lambda r: r.examination.conclusion or r.examination.impressions),
    Element("A.5.5.2.1", "Condition or finding", "in", lambda r: _any(r.examination.impressions, lambda f: f.code)),
    Element("A.5.5.2.2", "Staging or grading", "-", lambda r: _any(r.examination.impressions, lambda f: f.stages)),
    Element("A.5.6.1", "Recommendation", "in", lambda r: r.examination.recommendations),
    Element("A.5.6.2", "Care plan", "-", lambda r: _any(r.examination.recommendations, lambda a: a.plan)),
    Element("A.5 dose", "Radiation dose", "-", lambda r: r.doses),
    Element("A.6.1", "View", "-", _has(_of_images, lambda i: i.title)),
    Element("A.6.2", "Body location of a key image", "-", _has(_of_images, lambda i: i.site)),
    Element("A.6.3", "Media type", "-", _of_images),
    Element("A.6.4", "Modality of a key image", "-", _has(_of_images, lambda i: i.modality)),
    Element("A.6.5", "Device of a key image", "-", _has(_of_images, lambda i: i.device)),
    Element("A.6.6", "Format", "-", _has(_of_images, lambda i: i.width_px or i.frames)),
    Element("A.6.7", "Duration", "-", _has(_of_images, lambda i: i.duration_s)),
    Element("A.6.8.1", "Key image performer identifier", "-", _has(_shooters, _number)),
    Element("A.6.8.2", "Key image performer name", "-", _has(_shooters, _name)),
    Element("A.6.8.3", "Key image performer type", "-", _has(_shooters, lambda p: p.role)),
    Element("A.6.8.4", "Key image performer specialty", "-", _has(_shooters, lambda p: p.specialty)),
    Element("A.6.8.5", "Key image performer organisation", "-", _has(_shooters, _organisation)),
    Element("A.6.8.6", "Key image performer contact", "-", _has(_shooters, lambda p: p.telecoms or p.addresses)),
    Element("A.6.9", "Comment", "-", _has(_of_images, lambda i: i.comment)),
    Element("A.6.10", "Content", "-", _of_images),
    Element("A.7.1", "Comparison study documentation", "-", lambda r: r.comparison and (r.comparison.text or r.comparison.studies or r.comparison.reports)),
    Element("A.8.1", "Presented form", "in", lambda r: r.presented_forms),
)  # fmt: skip


def _in_series(of: Callable[[Series], object]) -> Callable[[Manifest], bool]:
    return lambda m: _any(m.study.series, of)


def _instances(of: Callable[[Any], object]) -> Callable[[Manifest], bool]:
    return lambda m: _any(m.study.series, lambda s: _any(s.instances, of))


MANIFEST: Final[tuple[Element, ...]] = (
    Element("B.1.1", "Study instance UID", "in", lambda m: m.study.study_instance_uid),
    Element("B.1.2", "Study description", "-", lambda m: m.study.description),
    Element("B.1.3.1", "Custodian name", "-", lambda m: m.study.custodian and m.study.custodian.name),
    Element("B.1.3.2", "Custodian address", "-", lambda m: m.study.custodian and m.study.custodian.addresses),
    Element("B.1.3.3", "Custodian contact", "-", lambda m: m.study.custodian and m.study.custodian.telecoms),
    Element("B.1.4.1", "Series description", "in", _in_series(lambda s: s.description)),
    Element("B.1.4.2", "Series UID", "in", _in_series(lambda s: s.series_instance_uid)),
    Element("B.1.4.3", "Modality", "in", _in_series(lambda s: s.modality)),
    Element("B.1.4.4", "Radiation dose", "-", lambda m: None),
    Element("B.1.4.5", "Series number and the like", "in", _in_series(lambda s: s.number is not None or s.started or s.body_site)),
    Element("B.1.4.6", "Series endpoint", "in", lambda m: m.location_uid or m.endpoint_address),
    Element("B.1.4.7.1", "Instance UID", "in", _instances(lambda i: i.sop_instance_uid)),
    Element("B.1.4.7.2", "Instance class UID", "in", _instances(lambda i: i.sop_class_uid)),
    Element("B.1.4.7.3", "Instance number", "in", _instances(lambda i: i.number is not None)),
)  # fmt: skip
