"""The rows of Country B as its faces ask them: so that a face can be looked at without a second country."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from isthmus.country_b import documents, images, patients
from isthmus.country_b.arrivals import Arrived
from isthmus.country_b.client import Client
from isthmus.country_b.images import Shelf
from isthmus.country_b.visit import Visit
from isthmus.model.documents import Document
from isthmus.model.imaging import Manifest
from isthmus.model.people import Patient
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.model.report.document import ImagingReport
from isthmus.wire.packs.pack import Pack


@dataclass(frozen=True)
class Verbs:
    """The rows of Country B, each with its client in hand. `pack` gives the drafts in which we and a country speak;
    `looked_again` has a country told that somebody looks at a study that was fetched before."""

    find_patients: Callable[[Visit, str, PatientQuery], Awaitable[Patient]]
    find_documents: Callable[[Visit, str, DocumentQuery], Awaitable[Sequence[Document]]]
    get_report: Callable[[Visit, str, str], Awaitable[tuple[ImagingReport, bytes]]]
    get_manifest: Callable[[Visit, str, Document], Awaitable[tuple[Manifest, bytes]]]
    get_binary: Callable[[Visit, str, Document], Awaitable[bytes]]
    get_images: Callable[[Visit, str, ImagesQuery, Shelf], AsyncIterator[Arrived]]
    pack: Callable[[str], Pack]
    looked_again: Callable[[Visit, str, str], None] = lambda visit, country, study: None

    @classmethod
    def of(cls, client: Client) -> Verbs:
        return cls(
            partial(patients.find_patients, client),
            partial(documents.find_documents, client),
            partial(documents.get_report, client),
            partial(documents.get_described, client),
            partial(documents.get_binary, client),
            partial(images.get_images, client),
            client.pack,
        )
