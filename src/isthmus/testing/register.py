"""An in-memory register with a few people: what a connector would find, for trying the border.

`SEEN` has two studies and reports about them, `TWIN` has others, `RESTRICTED`, `OPTED_OUT` and `EMPTY` must look alike. Manifests are
real ones; what else is read is only called a report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from isthmus.dicom.part10 import file_meta
from isthmus.errors import DocumentNotFound, ImagesNotFound
from isthmus.model.codes import SNOMED, Code
from isthmus.model.documents import Document, DocumentContent, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.people import HumanName, Organisation, Patient
from isthmus.model.pieces import FileRange, StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.testing.studies import CT_IMAGE
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import manifest_uid, write_manifest
from isthmus.wire.packs.pack import load_pack

ISSUER = "urn:oid:2.999.1.2.1"
EXPLICIT_LE = "1.2.840.10008.1.2.1"


def person(number: int, family: str, given: str) -> Patient:
    """An invented person with a number of Country AA's form."""
    value = f"{number:010d}"
    return Patient(PatientIdentifier(ISSUER, value), (HumanName(family, (given,)),), f"19{number + 10}-02-03", "female")


SEEN, TWIN = person(1, "Practice", "Paula"), person(2, "Exercise", "Erika")
RESTRICTED, OPTED_OUT, EMPTY = person(3, "Hidden", "Hanna"), person(4, "Closed", "Clara"), person(5, "Nothing", "Nora")
CT, MR, THEIRS, HIDDEN, CLOSED = (f"2.25.{n}" for n in (1001, 1002, 2001, 3001, 4001))


@dataclass
class Register:
    """What lies behind Country A, in memory. `fails` is raised instead of an answer; `asked` names the verbs asked."""

    people: list[Patient] = field(default_factory=list)
    documents: dict[PatientIdentifier, list[Document]] = field(default_factory=dict)
    contents: dict[str, DocumentContent] = field(default_factory=dict)
    instances: dict[PatientIdentifier, list[StoredInstance]] = field(default_factory=dict)
    fails: Exception | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def zone(self) -> tzinfo:
        return ZoneInfo("Europe/Athens")

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]:
        self._ask("find_patients")
        return [person for person in self.people if _fits(person, query)]

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        self._ask("find_documents")
        return list(self.documents.get(query.patient, ())) if query.patient else []

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        self._ask("get_document")
        if all(document.id != id for document in self.documents.get(patient, ())):
            raise DocumentNotFound("no such document")
        return self.contents[id]

    async def get_issued(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        """What a report was issued as, under `ID/issued` of the contents."""
        await self.get_document(patient, id)
        if f"{id}/issued" not in self.contents:
            raise DocumentNotFound("no such document")
        return self.contents[f"{id}/issued"]

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        self._ask("get_images")
        found = [i for i in self.instances.get(patient, ()) if _within(i, query)]
        if not found:
            raise ImagesNotFound("no such study")
        return found

    def _ask(self, verb: str) -> None:
        self.asked.append(verb)
        if self.fails is not None:
            raise self.fails


def _fits(person: Patient, query: PatientQuery) -> bool:
    return (
        all(identifier == person.identifier for identifier in query.identifiers)
        and query.family in (None, person.name.family)
        and query.birth_date in (None, person.birth_date)
        and query.gender in (None, person.gender)
        and set(query.given) <= set(person.name.given)
    )


def _within(instance: StoredInstance, query: ImagesQuery) -> bool:
    return (
        instance.study_instance_uid == query.study_instance_uid
        and query.series_instance_uid in (None, instance.series_instance_uid)
        and query.sop_instance_uid in (None, instance.sop_instance_uid)
    )


def fill(register: Register, folder: Path) -> None:
    """Put the people of this page into a register; instances lie in files of the folder."""
    register.people += [SEEN, TWIN, RESTRICTED, OPTED_OUT, EMPTY]
    for patient, studies in ((SEEN, (CT, MR)), (TWIN, (THEIRS,)), (RESTRICTED, (HIDDEN,)), (OPTED_OUT, (CLOSED,))):
        for study in studies:
            modality = "MR" if study == MR else "CT"
            add(register, patient, study, DocumentKind.MANIFEST_FHIR, modality)
            add(register, patient, study, DocumentKind.REPORT_FHIR, modality)
            for number in (1, 2, 3):
                add_instance(register, patient, study, number, folder)
    add(register, SEEN, CT, DocumentKind.REPORT_PDF, "CT")


def add(register: Register, patient: Patient, study: str, kind: DocumentKind, modality: str) -> Document:
    """A document about a study, with a body."""
    row = str(len(register.contents) + 1)
    day = f"2024-01-{int(row):02d}"
    document = Document(
        row, kind, patient.identifier, Identifier("urn:ietf:rfc:3986", f"urn:uuid:{row}"), f"document {row}",
        f"{day}T12:00:00Z", f"{day}T12:00:00Z", _MEDIA.get(kind, "application/fhir+json"), (study,),
        (Identifier("urn:oid:2.999.1.2.2", f"A{study[-4:]}"),), language="en",
        custodian=Organisation("Hospital", "AA-H-001", "urn:oid:2.999.1.2.4"), modalities=(modality,),
        regions=(Code(SNOMED, "774007"),), period_start=f"{day}T09:00:00+02:00", authors=("Dr A",),
    )  # fmt: skip
    if kind.is_manifest:
        document = replace(document, series_count=1, instance_count=3, description=f"{modality} of the head")
    register.documents.setdefault(patient.identifier, []).append(document)
    register.contents[row] = DocumentContent(document, document.media_type, _body(document, patient))
    return document


_MEDIA = {DocumentKind.REPORT_PDF: "application/pdf", DocumentKind.MANIFEST_KOS: "application/dicom"}


def _body(document: Document, patient: Patient) -> bytes:
    if document.kind is DocumentKind.REPORT_PDF:
        return b"%PDF-1.7 " + document.id.encode()
    if not document.kind.is_manifest:
        return b'{"resourceType":"Bundle","id":"%s"}' % document.id.encode()
    write = write_kos if document.kind is DocumentKind.MANIFEST_KOS else write_manifest
    return write(manifest_of(document, patient), load_pack())


def manifest_of(document: Document, patient: Patient) -> Manifest:
    """What the manifest of a study of this page describes: one series of three instances."""
    (uid,) = document.study_instance_uids
    instances = tuple(Instance(f"{uid}.1.{number}", CT_IMAGE, number) for number in (1, 2, 3))
    series = Series(f"{uid}.1", document.modalities[0], instances, number=1, description="Axial")
    study = Study(
        uid, patient, (series,), document.period_start, document.description, document.accession_numbers,
        regions=document.regions, custodian=document.custodian,
    )  # fmt: skip
    source = document.custodian or Organisation("Hospital")
    return Manifest(manifest_uid(study, load_pack()), study, document.created, "2.999.1.2.9", source)


def add_instance(register: Register, patient: Patient, study: str, number: int, folder: Path) -> StoredInstance:
    """An instance of a study's only series: bytes in a file."""
    sop = f"{study}.1.{number}"
    content = file_meta(CT_IMAGE, sop, EXPLICIT_LE) + f"DICM {study} {number} ".encode() * 100
    file = folder / f"{sop}.dcm"
    file.write_bytes(content)
    instance = StoredInstance(
        study, f"{study}.1", sop, EXPLICIT_LE, FileRange(str(file), 0, len(content)), len(content),
        hashlib.sha256(content).hexdigest(),
    )  # fmt: skip
    register.instances.setdefault(patient.identifier, []).append(instance)
    return instance
