"""Key object selections: a manifest written as DICOM document, with an image library or plain.

Written from the model element by element, so that a study of ten thousand instances takes no longer than its JSON. The same
manifest is the same bytes. Start at `write_kos`; `kos_reading.py` is the way back.

Source: MADO; CP-2595; wire.md §1.7, MKO-01 to MKO-24.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from struct import Struct
from typing import Final
from uuid import UUID

from isthmus.dicom import tags
from isthmus.dicom.content import code, content, data_set, element, item, sequence
from isthmus.dicom.header import KEY_OBJECT_SELECTION
from isthmus.dicom.header import Code as Coded
from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.dicom.uids import derived_uid
from isthmus.errors import MalformedRequest
from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier, is_uid, plain_uid
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.people import Patient
from isthmus.wire import kos_values as values
from isthmus.wire.kos_values import Moment
from isthmus.wire.packs.pack import Pack

UNITS: Final = {"{series}": "series", "{instances}": "instances", "{frames}": "frames"}
AE_CHARS: Final = 16
_MADE_NUMBERS: Final = derived_uid("isthmus:accession-numbers", "made")

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_WAVEFORM: Final = re.compile(r"9\..*")
_NO_IMAGE: Final = re.compile(
    r"(?:4\.2|11\..*|66(?:\.[12356])?|67|68\..*|7[89]\..*|8[01]\..*|88\..*|90\..*|104\..*|481\.(?:[3-9]|1\d))"
)
"""Below the storage classes: spectroscopy, presentation, raw data, registration, measurements, SR, documents, plans."""

MODALITIES: Final = {
    f"1.2.840.10008.5.1.4.1.1.{branch}": modality
    for branches, modality in (
        ("2 2.1 2.2", "CT"),
        ("4 4.1 4.2 4.3", "MR"),
        ("6.1 6.2 3.1", "US"),
        ("1", "CR"),
        ("1.1 1.1.1", "DX"),
        ("1.2 1.2.1 13.1.3", "MG"),
        ("12.1 12.1.1", "XA"),
        ("12.2 12.2.1", "RF"),
        ("20", "NM"),
        ("128 130", "PT"),
        ("66.4", "SEG"),
        ("11.1 11.2", "PR"),
        ("88.59", "KO"),
        ("88.11 88.22 88.33 88.34 88.67", "SR"),
    )
    for branch in branches.split()
}
"""The modality that a SOP class alone tells, for a manifest without image library. Source: PS3.3 §A."""

_LENGTH: Final = Struct("<L").pack
_ITEM_HEAD: Final = b"\xfe\xff\x00\xe0"


def with_accession_number(manifest: Manifest) -> Manifest:
    """The same manifest, with an accession number of ours when the study has none: one for each Study Instance UID.

    For the creator of a manifest, before it writes either form, so that both forms and the report carry the same.

    Source: MKO-23; MADO.
    """
    study = manifest.study
    if study.accession_numbers:
        return manifest
    digest = hashlib.sha256(study.study_instance_uid.encode()).digest()
    number = Identifier(f"urn:oid:{_MADE_NUMBERS}", base64.b32encode(digest[:10]).decode())
    return replace(manifest, study=replace(study, accession_numbers=(number,)))


def sop_instance_uid(uid: str) -> str:
    """The manifest's UID as DICOM can say it: a UUID as its UID, anything else as a UID that follows from it."""
    if is_uid(plain_uid(uid)):
        return plain_uid(uid)
    try:
        return f"2.25.{UUID(uid.removeprefix('urn:uuid:')).int}"
    except ValueError:
        return derived_uid("isthmus:manifest", uid)


def write_kos(manifest: Manifest, pack: Pack) -> bytes:
    """Write the manifest with its image library, or without one where the pack says so.

    Raises MalformedRequest for what DICOM cannot say.
    """
    title = "plain_title" if pack.plain_kos else "title"
    return _Writer(manifest, pack, sop_instance_uid(manifest.uid)).file(title, library=not pack.plain_kos)


def write_plain_kos(manifest: Manifest, pack: Pack) -> bytes:
    """Write the manifest without image library, under a UID of its own, for readers that refuse one. Source: XDS-I.b."""
    uid = derived_uid("isthmus:plain-manifest", sop_instance_uid(manifest.uid))
    return _Writer(manifest, pack, uid).file("plain_title", library=False)


@lru_cache(maxsize=64)
def value_type(sop_class_uid: str) -> str:
    """What a content item that refers to an instance of this class is; a class nobody published is no image to us."""
    branch = sop_class_uid.removeprefix(_STORAGE)
    if branch == sop_class_uid or _NO_IMAGE.fullmatch(branch):
        return "COMPOSITE"
    return "WAVEFORM" if _WAVEFORM.fullmatch(branch) else "IMAGE"


@lru_cache(maxsize=1024)
def _reference_head(sop_class_uid: str, uid_bytes: int) -> bytes:
    """An item that names an instance, up to the UID of so many bytes that ends it."""
    uid = element(tags.REFERENCED_SOP_INSTANCE_UID, "UI", bytes(uid_bytes))
    return item(element(tags.REFERENCED_SOP_CLASS_UID, "UI", sop_class_uid), uid)[: -uid_bytes or None]


def _reference(instance: Instance) -> bytes:
    """An item that names an instance, as evidence and content tree both hold it."""
    uid = instance.sop_instance_uid.encode()
    if len(uid) & 1:
        uid += b"\0"
    return _reference_head(instance.sop_class_uid, len(uid)) + uid


@lru_cache(maxsize=1024)
def _around(kind: str, reference_bytes: int, below_bytes: int) -> tuple[bytes, bytes]:
    """What stands before and behind a reference of so many bytes in its content item."""
    before = sequence(tags.REFERENCED_SOP_SEQUENCE, bytes(reference_bytes))[:-reference_bytes]
    behind = element(tags.RELATIONSHIP_TYPE, "CS", "CONTAINS") + element(tags.VALUE_TYPE, "CS", kind)
    below = sequence(tags.CONTENT_SEQUENCE, bytes(below_bytes))[:-below_bytes] if below_bytes else b""
    whole = len(before) + reference_bytes + len(behind) + len(below) + below_bytes
    return _ITEM_HEAD + _LENGTH(whole) + before, behind + below


def _referring(instance: Instance, reference: bytes, below: bytes = b"") -> bytes:
    """A content item that refers to an instance, with the items below it."""
    before, behind = _around(value_type(instance.sop_class_uid), len(reference), len(below))
    return before + reference + behind + below


def base_of(address: str) -> str:
    """The base of an address, without a study behind it. Source: MKO-04."""
    return address.partition("/studies/")[0].removesuffix("/studies")


def _orders(study: Study) -> list[tuple[Identifier | None, Identifier | None]]:
    """Each accession number with its placer numbers: one by one when there are as many, else all with the first."""
    accessions, placers = study.accession_numbers, study.placer_order_numbers
    if len(accessions) > 1 and len(accessions) == len(placers):
        return list(zip(accessions, placers, strict=True))
    first: tuple[Identifier | None, ...] = accessions[:1] or (None,)
    return [*((first[0], placer) for placer in placers or (None,)), *((one, None) for one in accessions[1:])]


class _Writer:
    """Writes one manifest; what many instances share is made once."""

    def __init__(self, manifest: Manifest, pack: Pack, uid: str) -> None:
        self.manifest, self.study, self.pack, self.uid = manifest, manifest.study, pack, uid
        self.created = Moment.of_fhir(manifest.created)
        started, series = Moment.of_fhir(self.study.started), (Moment.of_fhir(s.started) for s in self.study.series)
        self.offset = next((m.offset for m in (started, *series, self.created) if m.offset), "+0000")
        self.started = started.at(self.offset)
        if not self.created.date:
            raise MalformedRequest("a manifest without the time at which it was made", path="Composition.date")
        self.references = [[_reference(one) for one in series.instances] for series in self.study.series]

    def file(self, title: str, *, library: bool) -> bytes:
        elements = [*self.header(), *self.patient(self.study.patient), *self.document(title, library=library)]
        return file_meta(KEY_OBJECT_SELECTION, self.uid, EXPLICIT_LE) + data_set(elements)

    def concept(self, name: str) -> Coded:
        return Coded(*self.pack.kos[name])

    def header(self) -> Iterator[bytes]:
        """Study, series, equipment and SOP common. The offset holds for every date and time of the document."""
        study, numbers = self.study, self.study.accession_numbers
        made = self.created.at(self.offset)
        yield element(tags.SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192")
        yield element(tags.SOP_CLASS_UID, "UI", KEY_OBJECT_SELECTION)
        yield element(tags.SOP_INSTANCE_UID, "UI", self.uid)
        yield element(tags.STUDY_DATE, "DA", self.started.day)
        yield element(tags.STUDY_TIME, "TM", self.started.time)
        yield element(tags.CONTENT_DATE, "DA", f"{made.date}0101"[:8])
        yield element(tags.CONTENT_TIME, "TM", made.time or "000000")
        yield element(tags.ACCESSION_NUMBER, "SH", values.number(numbers[0].value) if len(numbers) == 1 else "")
        if len(numbers) == 1:
            yield from values.issuer(tags.ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, numbers[0].system)
        yield element(tags.MODALITY, "CS", "KO")
        yield element(tags.MANUFACTURER, "LO", values.line(self.manifest.device_manufacturer))
        yield element(tags.INSTITUTION_NAME, "LO", values.organisation_name(self.manifest.source))
        yield element(tags.REFERRING_PHYSICIAN_NAME, "PN")
        yield element(tags.TIMEZONE_OFFSET_FROM_UTC, "SH", self.offset)
        if study.description:
            yield element(tags.STUDY_DESCRIPTION, "LO", values.line(study.description))
        yield element(tags.SERIES_DESCRIPTION, "LO", "Manifest")
        yield sequence(tags.REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE)
        yield element(tags.STUDY_INSTANCE_UID, "UI", study.study_instance_uid)
        yield element(tags.SERIES_INSTANCE_UID, "UI", derived_uid("isthmus:manifest-series", self.uid))
        yield element(tags.STUDY_ID, "SH")
        yield element(tags.SERIES_NUMBER, "IS", "1")
        yield element(tags.INSTANCE_NUMBER, "IS", "1")
        if study.custodian:
            name = element(tags.INSTITUTION_NAME, "LO", values.organisation_name(study.custodian))
            yield sequence(tags.CUSTODIAL_ORGANIZATION_SEQUENCE, item(name))

    def patient(self, patient: Patient) -> Iterator[bytes]:
        """The patient; the identifier stands there twice, as MADO asks. Source: MKO-05."""
        system = patient.identifier.system
        number = element(tags.PATIENT_ID, "LO", values.number(patient.identifier.value))
        known = system != values.unknown_issuer(self.study.study_instance_uid)
        issuer = tuple(values.patient_issuer(system)) if known else ()
        yield from (number, *issuer)
        yield sequence(
            tags.OTHER_PATIENT_IDS_SEQUENCE,
            item(data_set((number, element(tags.TYPE_OF_PATIENT_ID, "CS", "TEXT"), *issuer))),
        )
        yield element(tags.PATIENT_NAME, "PN", values.person(patient.name))
        yield element(tags.PATIENT_BIRTH_DATE, "DA", Moment.of_fhir(patient.birth_date).day)
        yield element(tags.PATIENT_SEX, "CS", values.SEXES.get(patient.gender, ""))
        if len(patient.names) > 1:
            others = "\\".join(values.person(name) for name in patient.names[1:])
            yield element(tags.OTHER_PATIENT_NAMES, "PN", others)

    def document(self, title: str, *, library: bool) -> Iterator[bytes]:
        """The key object document: requests, evidence and the content tree. Source: MKO-09, MKO-15."""
        study = element(tags.STUDY_INSTANCE_UID, "UI", self.study.study_instance_uid)
        evidence = item(sequence(tags.REFERENCED_SERIES_SEQUENCE, *self.evidence()), study)
        template = (element(tags.MAPPING_RESOURCE, "CS", "DCMR"), element(tags.TEMPLATE_IDENTIFIER, "CS", "2010"))
        listed = [
            _referring(instance, reference)
            for series, references in zip(self.study.series, self.references, strict=True)
            for instance, reference in zip(series.instances, references, strict=True)
        ]
        yield element(tags.OBSERVATION_DATE_TIME, "DT", self.created.date_time)
        yield element(tags.VALUE_TYPE, "CS", "CONTAINER")
        yield code(tags.CONCEPT_NAME_CODE_SEQUENCE, self.concept(title))
        yield element(tags.CONTINUITY_OF_CONTENT, "CS", "SEPARATE")
        yield sequence(tags.REFERENCED_REQUEST_SEQUENCE, *self.requests())
        yield sequence(tags.EVIDENCE_SEQUENCE, evidence)
        yield sequence(tags.CONTENT_TEMPLATE_SEQUENCE, item(*template))
        yield sequence(tags.CONTENT_SEQUENCE, *listed, *((self.library(),) if library else ()))

    def requests(self) -> Iterator[bytes]:
        """One item for each accession number with each placer number; a single one, empty, when there are none.

        Source: MKO-08.
        """
        for accession, placer in _orders(self.study):
            yield item(
                element(tags.ACCESSION_NUMBER, "SH", values.number(accession.value) if accession else ""),
                *values.issuer(tags.ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, accession.system if accession else None),
                sequence(tags.REFERENCED_STUDY_SEQUENCE),
                element(tags.STUDY_INSTANCE_UID, "UI", self.study.study_instance_uid),
                element(tags.REQUESTED_PROCEDURE_DESCRIPTION, "LO", values.line(self.study.procedure or "")),
                self.procedure(),
                *values.issuer(tags.ORDER_PLACER_IDENTIFIER_SEQUENCE, placer.system if placer else None),
                element(tags.REQUESTED_PROCEDURE_ID, "SH"),
                element(tags.PLACER_ORDER_NUMBER, "LO", values.number(placer.value) if placer else ""),
                element(tags.FILLER_ORDER_NUMBER, "LO"),
            )

    def procedure(self) -> bytes:
        """The requested procedure as a code, an empty sequence where DICOM has no name for its system."""
        named = self.study.procedure_code
        known = values.write_code(named)
        return (
            code(tags.REQUESTED_PROCEDURE_CODE_SEQUENCE, known, values.write_original(named))
            if known
            else sequence(tags.REQUESTED_PROCEDURE_CODE_SEQUENCE)
        )

    def evidence(self) -> Iterator[bytes]:
        """Each series, with where it is: a location that is no UID can only be named as a title. Source: MKO-02 to MKO-04."""
        location, address = plain_uid(self.manifest.location_uid), self.manifest.endpoint_address
        title = b"" if is_uid(location) else element(tags.RETRIEVE_AE_TITLE, "AE", values.line(location)[:AE_CHARS])
        url = element(tags.RETRIEVE_URL, "UR", base_of(address)) if address else b""
        place = element(tags.RETRIEVE_LOCATION_UID, "UI", location) if is_uid(location) else b""
        for series, references in zip(self.study.series, self.references, strict=True):
            uid = element(tags.SERIES_INSTANCE_UID, "UI", series.series_instance_uid)
            yield item(title, url, sequence(tags.REFERENCED_SOP_SEQUENCE, *references), uid, place)

    def library(self) -> bytes:
        """The image library: what the study is, and a group for each series. Source: MKO-10, MKO-24."""
        study = self.study
        about = [self.coded("modality", Coded(modality, "DCM", modality)) for modality in study.modalities]
        about += [self.coded("region", self.region(region)) for region in study.regions]
        about += [self.counted("study_series", len(study.series), "{series}")]
        groups = (self.group(one, references) for one, references in zip(study.series, self.references, strict=True))
        return self.container("library", [*about, *groups])

    def region(self, region: Code) -> Coded | None:
        if region.code in self.pack.aliases["spine"]:
            region = replace(region, code=self.pack.codes["spine_manifest"])
        return values.write_code(region)

    def group(self, series: Series, references: list[bytes]) -> bytes:
        """One series: its descriptors, then its instances. Source: MKO-11, MKO-12."""
        started, site = Moment.of_fhir(series.started).at(self.offset), series.body_site
        about = [self.coded("modality", Coded(series.modality, "DCM", series.modality))]
        if started.day:
            about.append(self.said("series_date", "DATE", element(tags.CONTENT_ITEM_DATE, "DA", started.day)))
        if started.time:
            about.append(self.said("series_time", "TIME", element(tags.CONTENT_ITEM_TIME, "TM", started.time)))
        if series.description:
            about.append(self.told("series_description", series.description))
        if series.number is not None:
            about.append(self.told("series_number", str(series.number)))
        uid = element(tags.CONTENT_ITEM_UID, "UI", series.series_instance_uid)
        about.append(self.said("series_uid", "UIDREF", uid))
        if site is not None:
            coded, same = values.write_code(site), values.write_original(site)
            about.append(self.coded("region", coded, same) if coded else self.told("region", site.display or site.code))
        about.append(self.coded("laterality", values.write_code(series.laterality)))
        about.append(self.counted("series_instances", len(series.instances), "{instances}"))
        return self.container("group", [*about, *self.listed(series.instances, references)])

    def listed(self, instances: Iterable[Instance], references: list[bytes]) -> Iterator[bytes]:
        """An entry for each instance, with what is said of it. Source: MKO-13, MKO-14."""
        heads: dict[int, bytes] = {}
        for instance, reference in zip(instances, references, strict=True):
            said = b""
            if instance.number_of_frames is not None:
                said = self.counted("frames", instance.number_of_frames, "{frames}")
            if instance.number is not None:
                text = str(instance.number)
                text += " " * (len(text) & 1)
                if len(text) not in heads:  # all before the digits is the same for as many digits
                    heads[len(text)] = self.told("instance_number", "0" * len(text))[: -len(text)]
                said += heads[len(text)] + text.encode()
            if instance.title is not None:
                said += self.coded("document_title", values.write_code(instance.title))
            if instance.description:
                said += self.told("description", instance.description)
            yield _referring(instance, reference, said)

    def container(self, name: str, below: list[bytes]) -> bytes:
        continuity = element(tags.CONTINUITY_OF_CONTENT, "CS", "SEPARATE")
        return content("CONTAINS", "CONTAINER", self.concept(name), continuity, children=below)

    def said(self, name: str, value_type: str, *elements: bytes) -> bytes:
        return content("HAS ACQ CONTEXT", value_type, self.concept(name), *elements)

    def told(self, name: str, text: str) -> bytes:
        return self.said(name, "TEXT", element(tags.TEXT_VALUE, "UT", values.paragraphs(text)))

    def coded(self, name: str, coded: Coded | None, same: Coded | None = None) -> bytes:
        """A coded descriptor; nothing for a code of a scheme that DICOM has no name for."""
        return self.said(name, "CODE", code(tags.CONCEPT_CODE_SEQUENCE, coded, same)) if coded else b""

    def counted(self, name: str, count: int, unit: str) -> bytes:
        """A number with its unit: NUM, as CP-2595 has it. Source: MKO-16."""
        units = code(tags.MEASUREMENT_UNITS_CODE_SEQUENCE, Coded(unit, "UCUM", UNITS[unit]))
        measured = item(units, element(tags.NUMERIC_VALUE, "DS", str(count)))
        return self.said(name, "NUM", sequence(tags.MEASURED_VALUE_SEQUENCE, measured))
