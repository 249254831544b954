"""What is fetched next: a study as its manifest lists it, whole, in part, or only what is missing.

Source: interfaces.md §4; wire.md §1.8 (resume at series, then instance level).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.country_b import documents, images
from isthmus.country_b.arrivals import Arrived
from isthmus.country_b.client import Client
from isthmus.country_b.marks import marks_in
from isthmus.country_b.visit import Visit
from isthmus.dicom.header import KEY_OBJECT_SELECTION
from isthmus.errors import CountryMisanswered, ImagesNotFound, RequestProblem
from isthmus.model.documents import DocumentKind
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.wire.kos_reading import read_document

SELECTION_MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance that is to be had, and where it stands in the study."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""


async def wanted_of(client: Client, visit: Visit, country: str, study: str) -> tuple[Wanted, ...]:
    """What the study's manifest lists, the one in FHIR before the one in DICOM. Raises ImagesNotFound when the patient has no such study to be seen."""
    listed = await documents.find_documents(client, visit, country, DocumentQuery(study_instance_uids=(study,)))
    current = {d.kind: d for d in reversed(listed) if d.status == "current"}
    entry = current.get(DocumentKind.MANIFEST_FHIR) or current.get(DocumentKind.MANIFEST_KOS)
    if entry is None:
        raise ImagesNotFound("this patient has no such study here; `visit list` shows what there is", country=country)
    manifest, _ = await documents.get_described(client, visit, country, entry)
    if manifest.study.study_instance_uid != study:
        raise ImagesNotFound("the manifest is of another study", country=country)
    return tuple(
        Wanted(s.series_instance_uid, i.sop_instance_uid, i.sop_class_uid)
        for s in manifest.study.series
        for i in s.instances
    )


class Memory:
    """A shelf for one small object at a time."""

    def __init__(self) -> None:
        self.held = bytearray()

    def begin(self) -> None:
        self.held = bytearray()

    def write(self, view: bytes | memoryview) -> None:
        if len(self.held) + len(view) > SELECTION_MAX_BYTES:
            raise CountryMisanswered("a key object selection is too large to be one", reason="peer-limit")
        self.held += view

    async def keep(self, arrived: Arrived) -> None:
        """It is read where it lies."""

    def drop(self) -> None:
        self.held = bytearray()


async def marked_of(
    client: Client, visit: Visit, country: str, study: str, everything: Sequence[Wanted]
) -> tuple[Wanted, ...]:
    """The images that the study's key object selections mark. Raises ImagesNotFound when none is marked."""
    series_of, pack = {w.sop_instance_uid: w.series_instance_uid for w in everything}, client.pack(country)
    marked: set[str] = set()
    shelf = Memory()
    for one in everything:
        if one.sop_class_uid != KEY_OBJECT_SELECTION:
            continue
        query = ImagesQuery(study, one.series_instance_uid, one.sop_instance_uid)
        async with contextlib.aclosing(images.get_images(client, visit, country, query, shelf)) as arriving:
            async for _ in arriving:
                with contextlib.suppress(RequestProblem):  # not as the standard writes it: it marks nothing
                    root = read_document(bytes(shelf.held))[1]
                    marked |= {mark.sop_instance_uid for mark in marks_in(root, series_of, pack)}
    found = tuple(w for w in everything if w.sop_instance_uid in marked)
    if not found:
        raise ImagesNotFound("no image of this study is marked as a key image", country=country)
    return found


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
