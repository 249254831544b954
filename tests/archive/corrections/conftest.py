"""An archive with two people in it, corrections on it, and rejection notes made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import ISSUER, NOW, SANDBOX, Node, dicom, settings_in

from isthmus.archive import queries, register
from isthmus.archive.containers import Container
from isthmus.archive.corrections import held, people, reports, studies
from isthmus.archive.corrections.studies import What
from isthmus.archive.corrections.trace import Done
from isthmus.archive.prepared import Manifests
from isthmus.archive.register import Traits
from isthmus.archive.reports import Envelope, Reports
from isthmus.archive.verdicts import Verdict
from isthmus.errors import DocumentNotFound
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName
from isthmus.model.queries import ImagesQuery
from isthmus.storage.database import open_index
from isthmus.wire.packs.pack import load_pack

SYSTEM = f"urn:oid:{ISSUER}"
EVA, IDA, OLD_EVA = (PatientIdentifier(SYSTEM, value) for value in ("1234567", "7654321", "1111111"))
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
IDAS: dict[str, Any] = {"PatientID": IDA.value, "PatientName": "Anderssen^Ida", "PatientBirthDate": "19551231"}
OLD: dict[str, Any] = {"PatientID": OLD_EVA.value}


def note(*uids: str, number: int = 900, code: str = "113001", study: str = "2.25.10", **values: Any) -> bytes:
    """A key object selection that rejects instances."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    def item(**said: Any) -> Dataset:
        made = Dataset()
        for keyword, value in said.items():
            setattr(made, keyword, value)
        return made

    referred = [item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=uid) for uid in uids]
    series = item(SeriesInstanceUID="2.25.11", ReferencedSOPSequence=Sequence(referred))
    evidence = item(StudyInstanceUID=study, ReferencedSeriesSequence=Sequence([series]))
    title = item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning="Rejected")
    said = {
        "SOPClassUID": KEY_OBJECTS, "Modality": "KO", "ConceptNameCodeSequence": Sequence([title]), "ValueType": "CONTAINER",
        "CurrentRequestedProcedureEvidenceSequence": Sequence([evidence]), "SeriesNumber": 99, **values,
    }  # fmt: skip
    return dicom(number, study=study, series="2.25.99", **said)


@dataclass
class Kept:
    """The archive of a node, and what its operator does to it."""

    node: Node

    def bring(self, *files: bytes, assign: PatientIdentifier | None = None) -> list[Verdict]:
        return self.node.bring(*files, assign=assign)

    def register(self, patient: PatientIdentifier, family: str, given: str, birth_date: str) -> None:
        traits = Traits((HumanName(family, (given,)),), birth_date, "female")
        self.node.database.write_now(lambda c: register.put(c, patient, traits))

    def report(self, body: bytes, form: str = "json", patient: PatientIdentifier | None = None) -> Verdict:
        container = Container(self.blobs)
        taking = Reports(self.node.database, container, lambda: NOW, load_pack(), SANDBOX)
        try:
            return taking.take(body, form, "report", Envelope(patient))
        finally:
            container.close()

    @property
    def blobs(self) -> Path:
        return self.node.settings.path(self.node.settings.blobs)

    def merge(self, former: PatientIdentifier, into: PatientIdentifier) -> Done:
        return self.node.database.write_now(lambda c: people.merge(c, former, into))

    def split(self, former: PatientIdentifier) -> Done:
        return self.node.database.write_now(lambda c: people.split(c, former))

    def move(self, to: PatientIdentifier, **what: str) -> Done:
        wanted, database = What(**what), self.node.database
        fits = database.read_now(lambda c: studies.fitting(c, wanted, to, self.blobs))
        return database.write_now(lambda c: studies.move(c, wanted, to, fits))

    def move_reports(self, to: PatientIdentifier, *ids: str, says: tuple[PatientIdentifier, ...] = ()) -> Done:
        database = self.node.database
        fits = database.read_now(lambda c: reports.fitting(c, ids, to, lambda row: says))
        return database.write_now(lambda c: reports.move(c, ids, to, fits))

    def assign(self, to: PatientIdentifier, **what: str) -> Done:
        return self.node.database.write_now(lambda c: held.assign(c, What(**what), to, self.blobs))

    def delete(self, **what: str) -> Done:
        return self.node.database.write_now(lambda c: studies.delete_(c, What(**what)))

    def restore(self, **what: str) -> Done:
        return self.node.database.write_now(lambda c: studies.restore(c, What(**what)))

    def retract(self, id_: str) -> Done:
        return self.node.database.write_now(lambda c: reports.retract(c, id_))

    def states(self) -> dict[str, str]:
        """The state of every instance, by the last digits of its UID."""
        return {row.sop_instance_uid[-3:]: row.state for row in self.node.rows()}

    def served(self, patient: PatientIdentifier, study: str = "2.25.10") -> list[str]:
        """What would cross, by the last digits."""
        found = self.node.database.read_now(lambda c: queries.find_stored(c, self.blobs, patient, ImagesQuery(study)))
        return [one.sop_instance_uid[-3:] for one in found]

    def documents(self, patient: PatientIdentifier) -> list[Document]:
        """What the archive lists of a patient, manifests made where they are missing."""

        def number(c: Any) -> int | None:
            known = register.patient_row(c, patient)
            return known[0] if known else None

        row = self.node.database.read_now(number)
        if row is None:
            return []
        maker = Manifests(self.node.settings, self.node.database, lambda: NOW, load_pack())
        maker.make(self.node.database.read_now(lambda c: maker.missing(c, row)))
        return self.node.database.read_now(lambda c: queries.documents_of(c, row, load_pack().name))

    def manifests(self, patient: PatientIdentifier) -> list[Document]:
        """The current manifests of a patient, in FHIR."""
        every = self.documents(patient)
        return [d for d in every if d.kind.value == "manifest-fhir" and d.status == "current"]

    def open(self, patient: PatientIdentifier, id_: str) -> Document:
        row = self.node.database.read_now(lambda c: queries.find_document(c, patient, id_))
        if row is None:
            raise DocumentNotFound("no such document")
        return queries.document_of(row)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    settings = settings_in(tmp_path)
    database = open_index(settings)
    yield Kept(Node(settings, database))
    database.close()
