"""The port to what lies behind Country A: four verbs. A country's own class passes `isthmus.testing.connector_contract`.

Everything here speaks in national identifiers and the source's own document ids; `country_a/handles.py` turns both into what crosses.
A connector decides nothing about consent: it tells what there is, of one patient and of no other.

Source: interfaces.md §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Protocol, runtime_checkable

from isthmus.model.documents import Document, DocumentContent
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.pieces import StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery


@runtime_checkable
class NationalConnector(Protocol):
    """What Country A asks its national infrastructure. What does not answer raises NationalInfrastructureUnavailable."""

    @property
    def zone(self) -> tzinfo:
        """The zone in which dates without offset are meant."""

    async def find_patients(self, query: PatientQuery) -> Sequence[Patient]:
        """Every person who fits: all identifiers exactly, all traits after folding. None, one or several."""

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        """The documents of `query.patient`, manifests made where they are missing, oldest first; earlier versions too.

        Members of the query other than the patient may be ignored: Country A filters again. An unknown patient has none.
        """

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        """The document of that id among this patient's, its bytes as they were made once. Raises DocumentNotFound."""

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        """What would cross of a study, a series or an instance of this patient, in stable order. Raises ImagesNotFound.

        A stranger's study is not found, in the same words as one that does not exist.
        """


@runtime_checkable
class KnowsCorrections(Protocol):
    """What a connector may do beside the four verbs: know that people were merged, and that something was taken away."""

    async def former_identifiers(self, patient: PatientIdentifier) -> Sequence[PatientIdentifier] | None:
        """The identifiers that were merged into this patient's. None: this one was itself merged into another's."""

    async def corrections_of(self, study_instance_uid: str) -> int:
        """How often something of a study was taken away so far. Cheap: asked while a transfer runs."""


@runtime_checkable
class KnowsIdentifiers(Protocol):
    """What a connector may do beside the four verbs: know that one person has several identifiers, each of which finds them."""

    async def other_identifiers(self, patient: PatientIdentifier) -> Sequence[PatientIdentifier]:
        """The further identifiers of whoever has this one, in stable order: what was said under them restricts here too."""


@runtime_checkable
class GivesIssued(Protocol):
    """What a connector may do beside the four verbs: give a report as it was issued, where what it lists was made of that."""

    async def get_issued(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        """The document whose entry has `issued`, in that media type. Raises DocumentNotFound."""


@runtime_checkable
class DescribesImages(Protocol):
    """What a connector may do beside the four verbs: have metadata of images ready. Without it this border offers none."""

    async def get_metadata(self, patient: PatientIdentifier, query: ImagesQuery) -> bytes:
        """DICOM JSON of every instance that `get_images` would give, in its order: one array, compressed by gzip.

        Bulk values are left out. Raises ImagesNotFound as `get_images` does.
        """
