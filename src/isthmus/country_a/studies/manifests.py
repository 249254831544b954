"""One manifest of each study that may be given, and the study it describes.

Source: wire.md §1.8 (T6), §1.9 (T5).
"""

from __future__ import annotations

from anyio import to_thread

from isthmus.country_a.holdings import all_documents
from isthmus.country_a.passes import Admitted
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.imaging import Study
from isthmus.national.connector import NationalConnector
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest

_READERS = {DocumentKind.MANIFEST_FHIR: read_manifest, DocumentKind.MANIFEST_KOS: read_kos}


async def visible_manifests(admitted: Admitted, national: NationalConnector) -> list[Document]:
    """One manifest of each study that may be given, newest study first; of the two forms the FHIR one."""
    visible = admitted.releasable(await all_documents(admitted, national))
    chosen: dict[str, Document] = {}
    for document in sorted(visible, key=lambda d: (d.kind is DocumentKind.MANIFEST_FHIR, d.indexed)):
        if document.kind in _READERS and document.status == "current":
            chosen |= dict.fromkeys(document.study_instance_uids[:1], document)
    return sorted(chosen.values(), key=lambda d: (d.period_start or "", d.study_instance_uids), reverse=True)


async def read_study(manifest: Document, admitted: Admitted, national: NationalConnector) -> Study:
    content = await national.get_document(admitted.patient, manifest.id)
    read = await to_thread.run_sync(_READERS[manifest.kind], content.body, admitted.pack)
    return read.manifest.study
