"""What is fetched next: a study as its manifest lists it, whole, in part, or only what is missing.

Source: interfaces.md §4; wire.md §1.8 (resume at series, then instance level).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.country_b import documents
from isthmus.country_b.client import Client
from isthmus.country_b.visit import Visit
from isthmus.errors import ImagesNotFound
from isthmus.model.documents import DocumentKind
from isthmus.model.queries import DocumentQuery, ImagesQuery


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance that is to be had, and where it stands in the study."""

    series_instance_uid: str
    sop_instance_uid: str


async def wanted_of(client: Client, visit: Visit, country: str, study: str) -> tuple[Wanted, ...]:
    """What the study's manifest lists, the one in FHIR before the one in DICOM. Raises ImagesNotFound when the patient has no such study to be seen."""
    listed = await documents.find_documents(client, visit, country, DocumentQuery(study_instance_uids=(study,)))
    current = {d.kind: d for d in reversed(listed) if d.status == "current"}
    if fhir := current.get(DocumentKind.MANIFEST_FHIR):
        manifest, _ = await documents.get_manifest(client, visit, country, fhir.id)
    elif kos := current.get(DocumentKind.MANIFEST_KOS):
        manifest, _ = await documents.get_kos(client, visit, country, kos.id)
    else:
        raise ImagesNotFound("this patient has no such study here; `visit list` shows what there is", country=country)
    if manifest.study.study_instance_uid != study:
        raise ImagesNotFound("the manifest is of another study", country=country)
    return tuple(Wanted(s.series_instance_uid, i.sop_instance_uid) for s in manifest.study.series for i in s.instances)


def plan(study: str, everything: Sequence[Wanted], missing: Sequence[Wanted]) -> list[ImagesQuery]:
    """The fewest requests that bring what is missing: the study whole, a series whole, else instance by instance."""
    if not missing:
        return []
    if len(missing) == len(everything):
        return [ImagesQuery(study)]
    queries: list[ImagesQuery] = []
    for series in dict.fromkeys(w.series_instance_uid for w in missing):
        lacking = [w for w in missing if w.series_instance_uid == series]
        if len(lacking) == sum(w.series_instance_uid == series for w in everything):
            queries.append(ImagesQuery(study, series))
        else:
            queries += [ImagesQuery(study, series, w.sop_instance_uid) for w in lacking]
    return queries
