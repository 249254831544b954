"""The European document of a report that a repository holds as CDA or PDF: made whenever it is read, from the bytes of that moment.

Noted are its size and form, so that a list can tell them; the document itself is not kept, nor is anything else of the repository. The same
bytes, of the same person as the repository knows them, are the same document. Of what nothing can be made, the report crosses as it lies.

Decision 0016. Source: wire.md §1.5 (a PDF of a report); architecture.md §5.6.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Row

from isthmus.archive.formed import rows as formed
from isthmus.archive.formed.maker import Maker
from isthmus.archive.studies import custodian
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.confidentiality import highest
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.national.fhir import rows
from isthmus.national.fhir.contents import Said
from isthmus.national.fhir.patients import Person
from isthmus.national.fhir.told import Told
from isthmus.originals.beside import Beside
from isthmus.sources import Source
from isthmus.storage.database import Database

STATUSES: Final = frozenset({"partial", "preliminary", "final", "amended", "corrected", "appended"})
"""What a DiagnosticReport says of one that was issued. Source: R4 diagnostic-report-status."""


class Forms:
    """Forms the reports of one repository."""

    def __init__(self, maker: Maker, index: Database, source: Source) -> None:
        self._maker, self._index, self._source = maker, index, source

    def is_noted(self, row: Row[Any], person: Person) -> bool:
        """Whether it is known what becomes of a report, for this person as they are told now."""
        return row.kind not in formed.ISSUED or row.made_for == self._maker.made_for(person.patient)

    async def note(self, number: int, told: Told, said: Said, person: Person) -> bytes:
        """Make the document of a report, and note what it is; nothing for what was issued in FHIR, or where nothing can be made."""
        if said.document.kind.value not in formed.ISSUED:
            return b""
        row = await self._index.read(lambda c: rows.row_of(c, number))
        made_for = self._maker.made_for(person.patient)
        if row.made_for == made_for and row.made_size == 0:
            return b""
        made = await asyncio.to_thread(
            self._maker.make, said.body, self._beside(row, told, said, person), self._source, row.indexed
        )
        if (row.made_for, row.made) == (made_for, sha256(made.body).hexdigest()):
            return made.body
        if row.made_for == made_for and not made.body:
            raise NationalInfrastructureUnavailable("a report cannot be made into a document now, and could before")
        await self._index.write(lambda c: formed.keep(c, number, made, made_for, bytes_too=False))
        return made.body

    def _beside(self, row: Row[Any], told: Told, said: Said, person: Person) -> Beside:
        """What the repository tells of a report beside what it says. A CDA may name the person by any of their numbers."""
        document, bare = said.document, said.document.kind is DocumentKind.REPORT_PDF
        others = tuple(
            sorted(person.identifiers - {person.patient.identifier}, key=lambda one: (one.system, one.value))
        )
        return Beside(
            person.patient if bare else replace(person.patient, others=others),
            studies=document.study_instance_uids,
            accession_numbers=document.accession_numbers,
            accession_issuer=self._source.accession_issuer or None,
            identifier=Identifier(row.unique_system or None, row.unique_value) if bare else None,
            title=document.title,
            created=document.created or None,
            language=document.language,
            custodian=document.custodian or custodian(None, self._source),
            modalities=document.modalities,
            started=document.period_start,
            status=document.report_status if document.report_status in STATUSES else None,
            confidentiality=highest((*document.sensitivity, *told.document.sensitivity)),
        )
