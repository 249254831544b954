"""What a visit has: its list, what each manifest describes, documents as issued; asked for once in a while, then remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.country_b.fetch import Wanted
from isthmus.country_b.flights import Flights
from isthmus.country_b.local.access import Reader
from isthmus.country_b.recent import DOCUMENT_AGE, FRESH_AGE, Recent
from isthmus.country_b.verbs import Verbs
from isthmus.errors import DocumentNotFound, ImagesNotFound, Unavailable
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.imaging import Manifest, Study
from isthmus.model.queries import DocumentQuery

STATUSES = ("current", "superseded")
SILENT = "silent"


@dataclass
class Holdings:
    """The rows of Country B, and what they brought lately."""

    verbs: Verbs
    flights: Flights
    recent: Recent

    async def documents(self, reader: Reader) -> Sequence[Document]:
        """The list of the visit's person, some seconds old at most; a country that does not answer takes nothing away.

        Raises what asking raises.
        """
        visit = reader.visit.id
        held: Sequence[Document] | None = self.recent.get(visit, "list", FRESH_AGE)
        if held is not None:
            return held
        held = self.recent.get(visit, "list", DOCUMENT_AGE)
        if held is not None and self.recent.get(visit, SILENT, FRESH_AGE):
            return held
        try:
            found = await self.verbs.find_documents(reader.visit, reader.country, DocumentQuery(statuses=STATUSES))
        except Unavailable:
            if held is None:
                raise
            self.recent.put(visit, SILENT, True)
            return held
        self.recent.put(visit, "list", found)
        return found

    async def document(self, reader: Reader, id_: str) -> Document:
        """One entry of the list. Raises DocumentNotFound."""
        for document in await self.documents(reader):
            if document.id == id_:
                return document
        raise DocumentNotFound("no such document of this patient", country=reader.country)

    async def manifests(self, reader: Reader, study: str | None = None) -> list[Document]:
        """The entry of each study that can be seen, newest first; or of one. The form in FHIR goes before the one in DICOM."""
        chosen: dict[str, Document] = {}
        for document in sorted(
            await self.documents(reader), key=lambda d: (d.kind is DocumentKind.MANIFEST_FHIR, d.indexed)
        ):
            if document.kind.is_manifest and document.status == "current":
                chosen |= dict.fromkeys(document.study_instance_uids[:1], document)
        found = sorted(chosen.items(), key=lambda one: (one[1].period_start or "", one[0]), reverse=True)
        return [document for uid, document in found if study in (None, uid)]

    async def described(self, reader: Reader, entry: Document) -> Study:
        """The study as its manifest describes it. Raises ImagesNotFound when that is another one."""
        return (await self.manifest(reader, entry)).study

    async def manifest(self, reader: Reader, entry: Document) -> Manifest:
        """What a manifest says. Raises ImagesNotFound when it is about another study than its entry."""
        name = f"manifest {entry.id}"
        held: Manifest | None = self.recent.get(reader.visit.id, name, DOCUMENT_AGE)
        if held is None:
            held, body = await self.verbs.get_manifest(reader.visit, reader.country, entry)
            self.recent.put(reader.visit.id, name, held, 4 * len(body))
        if held.study.study_instance_uid != entry.study_instance_uids[0]:
            raise ImagesNotFound("the manifest is of another study", country=reader.country)
        return held

    async def study(self, reader: Reader, uid: str) -> Study:
        """One study. What is here of one that the list has no more, or under another manifest, goes. Raises ImagesNotFound."""
        for entry in await self.manifests(reader, uid):
            await self.flights.stands(reader.visit, uid, entry.id)
            return await self.described(reader, entry)
        await self.flights.put_away(reader.visit, uid)
        raise ImagesNotFound("this patient has no such study here", country=reader.country)

    async def content(self, reader: Reader, entry: Document) -> bytes:
        """A document as issued; checked like what the pages show. Raises ArrivalRefused, DocumentNotFound."""
        name = f"content {entry.id}"
        held: bytes | None = self.recent.get(reader.visit.id, name, DOCUMENT_AGE)
        if held is None:
            held = await self._content(reader, entry)
            self.recent.put(reader.visit.id, name, held, len(held))
        return held

    async def _content(self, reader: Reader, entry: Document) -> bytes:
        visit, country = reader.visit, reader.country
        if entry.kind.is_manifest:
            return (await self.verbs.get_manifest(visit, country, entry))[1]
        if entry.kind is DocumentKind.REPORT_FHIR:
            return (await self.verbs.get_report(visit, country, entry.id))[1]
        return await self.verbs.get_binary(visit, country, entry)


def listed(study: Study) -> tuple[Wanted, ...]:
    """What a manifest lists."""
    return tuple(Wanted(s.series_instance_uid, i.sop_instance_uid) for s in study.series for i in s.instances)
