"""What a document says, and whose it is: read once when it is first seen, and again whenever it leaves.

Of several forms the best that can be read is the document. A FHIR document and a CDA name their patient: one that names another than the
repository lists it for is given to nobody. A PDF names nobody; whose it is, the entry says. XML is parsed in a child.

Source: wire.md §1.4.3; trust.md §2.9, T52; RET-10.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from isthmus.archive import register
from isthmus.errors import IsthmusError, MalformedRequest
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier, is_uid, plain_uid
from isthmus.national.fhir.client import DOCUMENT_MAX_BYTES, Client, Elsewhere, TooLargeThere
from isthmus.national.fhir.patients import Person, identifiers_of
from isthmus.national.fhir.settled import settled
from isthmus.national.fhir.told import Content, Told
from isthmus.originals.cda.child import told_header
from isthmus.sandbox import Sandbox
from isthmus.wire.packs.pack import Pack
from isthmus.wire.report.document import ReportIndex, report_index

LOG = logging.getLogger("isthmus.national")
MEDIA_TYPES: Final = {
    DocumentKind.REPORT_FHIR: "application/fhir+json",
    DocumentKind.REPORT_CDA: "text/xml",
    DocumentKind.REPORT_PDF: "application/pdf",
}
_CDA_HEADER_BYTES: Final = 4 << 20


class NotOffered(Exception):
    """A document that is given to nobody; `reason` is a word for the log, and it stays so while the document stays the same."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Said:
    """A document as its bytes tell it, completed by its entry; without id."""

    document: Document
    body: bytes = field(repr=False)
    sha256: str


class Reader:
    """Fetches and reads the documents of one repository."""

    def __init__(self, client: Client, sandbox: Sandbox, pack: Pack) -> None:
        self._client, self._sandbox, self._pack = client, sandbox, pack

    async def read(self, told: Told, person: Person) -> Said | None:
        """The document in its best form; None when no bytes of it are there any more. Raises NotOffered."""
        why = ""
        for content in told.contents:
            try:
                body = await self._body(content)
                if body is not None:
                    document = await self._document(body, told, person)
                    studies = document.study_instance_uids or await self._studies(told)
                    digest = await asyncio.to_thread(sha256, body)
                    return Said(replace(document, study_instance_uids=studies), body, digest.hexdigest())
            except NotOffered as refused:
                if refused.reason == "another-patient":
                    raise
                why = why or refused.reason
        if why:
            raise NotOffered(why)
        return None

    async def _body(self, content: Content) -> bytes | None:
        if content.data is not None:
            return content.data
        if content.size_bytes is not None and content.size_bytes > DOCUMENT_MAX_BYTES:
            raise NotOffered("too-large")
        try:
            body = await self._client.content(content.url or "", content.media_type or "application/pdf")
            return await asyncio.to_thread(settled, body) if content.made and body is not None else body
        except MalformedRequest:
            raise NotOffered("not-a-report") from None
        except Elsewhere:
            raise NotOffered("elsewhere") from None
        except TooLargeThere:
            raise NotOffered("too-large") from None

    async def _document(self, body: bytes, told: Told, person: Person) -> Document:
        """Read by what the bytes are, whatever they are called. Raises NotOffered."""
        if len(body) > DOCUMENT_MAX_BYTES:
            raise NotOffered("too-large")
        begin = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
        if b"%PDF-" in body[:1024]:
            return replace(told.document, kind=DocumentKind.REPORT_PDF, sensitivity=())
        if begin.startswith(b"{"):
            return await asyncio.to_thread(self._fhir, body, told, person)
        return await self._cda(body, told, person)

    def _fhir(self, body: bytes, told: Told, person: Person) -> Document:
        try:
            said, bundle = report_index(body, self._pack), el.read_object(body)
        except IsthmusError:
            raise NotOffered("not-a-report") from None
        closed = Closed(bundle)
        if bundle.get("type") != "document" or not closed.of_type("DiagnosticReport"):
            raise NotOffered("not-a-report")  # a manifest is a document about a study too
        for resource in (*closed.of_type("Composition"), *closed.of_type("DiagnosticReport")):
            subject = closed.find(el.child(resource, "subject"), resource)
            _check(person, identifiers_of(subject or {}), said)
        own = el.child(bundle, "identifier")
        unique = Identifier(el.text(own, "system"), el.text(own, "value") or "")
        return _indexed(told, DocumentKind.REPORT_FHIR, said, unique if unique.value else said.unique_id)

    async def _cda(self, body: bytes, told: Told, person: Person) -> Document:
        try:
            given = await self._sandbox.run(
                "cda-header", body, error=MalformedRequest, output_limit_bytes=_CDA_HEADER_BYTES
            )
            cda = told_header(given)
        except IsthmusError:
            cda = None
        if cda is None:
            raise NotOffered("not-a-report")
        _check(person, cda.patients, cda.index)
        ours = self._client.source.accession_system
        numbers = cda.index.accession_numbers or tuple(n for n in cda.order_numbers if n.system == ours)
        return _indexed(told, DocumentKind.REPORT_CDA, replace(cda.index, accession_numbers=numbers), cda.unique_id)

    async def _studies(self, told: Told) -> tuple[str, ...]:
        """The studies that the entry names as resources of the repository instead of by UID."""
        found: list[str] = []
        for id_ in told.studies:
            study: Node = await self._client.read("ImagingStudy", id_) or {}
            for one in el.children(study, "identifier"):
                if one.get("system") == "urn:dicom:uid":
                    found.append(plain_uid(el.text(one, "value") or ""))
        return tuple(dict.fromkeys(uid for uid in found if is_uid(uid)))


def _check(person: Person, named: Iterable[PatientIdentifier], said: ReportIndex) -> None:
    """Raises NotOffered when a document names nobody this person is, or another by an issuer of theirs."""
    theirs = set(named)
    issuer = person.patient.identifier.system
    others = {one for one in theirs - person.identifiers if one.system == issuer}
    traits = register.Traits(said.names, said.birth_date, said.gender)
    if not theirs & person.identifiers or others or register.contradicts(person.patient, traits):
        raise NotOffered("another-patient")


_TOLD_BY_BOTH: Final = (
    "title", "created", "study_instance_uids", "accession_numbers", "order_numbers", "language", "authors", "custodian", "modalities",
    "regions", "period_start",
)  # fmt: skip


def _indexed(told: Told, kind: DocumentKind, said: ReportIndex, unique: Identifier) -> Document:
    """The document as it tells itself; its entry completes what it leaves out."""
    entry = told.document
    own = {name: getattr(said, name) or getattr(entry, name) for name in _TOLD_BY_BOTH}
    status, version = said.status or entry.report_status, said.version or entry.report_version
    own["sensitivity"] = said.sensitivity  # the entry's are asked each time
    return replace(entry, kind=kind, unique_id=unique, report_status=status, report_version=version, **own)


def log_refusal(name: str, reference: str, reason: str) -> None:
    """One line for the operator; nothing of the patient."""
    kind, _, id_ = reference.partition("/")
    level = logging.ERROR if reason == "another-patient" else logging.WARNING
    LOG.log(level, "%s: %s %s is not offered: %s", name, kind, id_, reason)
