"""The one door of the archive for report documents, with the same four verdicts as images.

A FHIR document Bundle and a CDA document say themselves whose they are; a PDF says nothing, so the operator does. XML is parsed in a child
process. Each is kept and offered as it was issued. A new version replaces the one before; an older one that comes late is refused.

Source: interfaces.md §11; wire.md §1.4.4 (relations between entries), §2.4; trust.md §2.9.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, update

from isthmus.archive import index, queries, register, versions
from isthmus.archive.containers import Container, Slice
from isthmus.archive.studies import custodian
from isthmus.archive.verdicts import ACCEPTED, QUARANTINED, REFUSED, UNCHANGED, Verdict, held
from isthmus.errors import IsthmusError, MalformedRequest
from isthmus.fhir import elements as el
from isthmus.model.confidentiality import beyond_normal, highest
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import Patient
from isthmus.originals.cda.child import told_header
from isthmus.sandbox import Sandbox
from isthmus.sources import Source
from isthmus.storage.database import Database
from isthmus.storage.schema.archive import documents
from isthmus.wire.packs.pack import Pack
from isthmus.wire.report.document import ReportIndex, report_index

MAX_DOCUMENT_BYTES: Final = 64 << 20
FHIR, PDF, CDA = (k.value for k in (DocumentKind.REPORT_FHIR, DocumentKind.REPORT_PDF, DocumentKind.REPORT_CDA))
MEDIA_TYPES: Final = {FHIR: "application/fhir+json", PDF: "application/pdf", CDA: "text/xml"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is said of a document by whoever brings it. Of a PDF nothing else is known; of the others it must not contradict.

    `replaces`: the identifier of an earlier document of the same patient, or its number here. Of `confidentiality` and what the document
    says itself the higher holds.
    """

    patient: PatientIdentifier | None = None
    studies: tuple[str, ...] = ()
    accession_numbers: tuple[Identifier, ...] = ()
    unique_id: Identifier | None = None
    title: str | None = None
    created: str | None = None
    language: str | None = None
    replaces: Identifier | int | None = None
    confidentiality: str | None = None


NO_ISSUER: Final = (
    "The accession number has no issuer, and the source names none: give it as SYSTEM|VALUE, or the study."
)
NO_STUDY: Final = (
    "No study of this patient carries the accession number now: the report is listed under the number alone."
)
SEVERAL_STUDIES: Final = "Several studies of this patient carry the accession number: give the study; until then it is listed under the number alone."
NOTHING_SAID: Final = Envelope()


class Reports:
    """Takes documents in, one by one: each verdict is durable when it is given.

    `sandbox` is where XML is parsed, in a child that is started with the first one; whoever brings it closes it. `through` is the source
    of a sender outside: it replaces only what came through the same, or from the operator.
    """

    def __init__(
        self,
        database: Database,
        container: Container,
        clock: Callable[[], datetime],
        pack: Pack,
        sandbox: Sandbox,
        source: Source | None = None,
        through: str = "",
    ) -> None:
        self.database, self.container, self.clock, self.pack = database, container, clock, pack
        self.sandbox, self.source, self.through = sandbox, source or Source(), through
        self.touched: set[int] = set()  # patients of whose reports the European document is to be made

    def take(self, body: bytes, form: str, path: str, envelope: Envelope = NOTHING_SAID) -> Verdict:
        """Take one document in; `form` is what its first bytes say: json, pdf or xml."""
        if len(body) > MAX_DOCUMENT_BYTES:
            return held(REFUSED, path, "too-large", f"documents have at most {MAX_DOCUMENT_BYTES >> 20} MiB")
        if form == "json":
            return self._fhir(body, path, envelope)
        if form == "pdf":
            return self._pdf(body, path, envelope)
        if form == "xml":
            return self._cda(body, path, envelope)
        return held(REFUSED, path, "unknown-form")

    def _fhir(self, body: bytes, path: str, envelope: Envelope) -> Verdict:
        try:
            said, bundle = report_index(body, self.pack), el.read_object(body)
        except IsthmusError as error:
            return held(REFUSED, path, "not-a-report", error.message)
        kinds = {el.text(entry, "resource", "resourceType") for entry in el.children(bundle, "entry")}
        if "DiagnosticReport" not in kinds:  # a manifest is a document about a study too
            return held(REFUSED, path, "not-a-report", "no DiagnosticReport in it")
        if envelope.patient not in (None, said.patient):
            return held(REFUSED, path, "contradicts-assignment")
        place = self._kept(body)
        own = el.child(bundle, "identifier")
        unique = Identifier(el.text(own, "system"), el.text(own, "value") or "")
        unique = unique if unique.value else said.unique_id
        said = _labelled(said, envelope)
        what = _Document(FHIR, said, unique, place, path, envelope.replaces)
        return self._told(self.database.write_now(lambda connection: self._decide(connection, what)), place)

    def _cda(self, body: bytes, path: str, envelope: Envelope) -> Verdict:
        try:
            cda = told_header(self.sandbox.run_now("cda-header", body, error=MalformedRequest))
        except IsthmusError as error:
            return held(REFUSED, path, "not-a-report", error.message)
        if cda is None:
            return held(REFUSED, path, "unknown-form")
        patient = envelope.patient
        if patient is not None and patient not in cda.patients:
            return held(REFUSED, path, "contradicts-assignment")
        named = (patient,) if patient else tuple(one for one in cda.patients if self._may_name(one)) or cda.patients
        ours = f"urn:oid:{self.source.accession_issuer}"
        numbers = cda.index.accession_numbers or tuple(n for n in cda.order_numbers if n.system == ours)
        place, labelled = self._kept(body), _labelled(cda.index, envelope)

        def decided(connection: Connection) -> Verdict:
            people = {row[0]: one for one in reversed(named) if (row := register.person_row(connection, one))}
            known = list(people.values())
            if len(known) > 1:  # two people of the register, or one twice: which of them is not for us to say
                return held(REFUSED, path, "several-patients")
            said = replace(labelled, patient=(known or named)[0], accession_numbers=numbers)
            return self._decide(connection, _Document(CDA, said, cda.unique_id, place, path, envelope.replaces))

        return self._told(self.database.write_now(decided), place)

    def _decide(self, connection: Connection, what: _Document) -> Verdict:
        kind, said, place, path = what.kind, what.said, what.place, what.path
        known = register.person_row(connection, said.patient)
        traits = register.Traits(said.names, said.birth_date, said.gender)
        if not self._may_name(said.patient):
            return held(REFUSED, path, "other-issuer")
        if known is None and not traits.suffice:
            return held(REFUSED, path, "unknown-patient")
        same = versions.same_bytes(connection, place.sha256, known[0] if known else None)
        if same is not None:
            versions.raise_label(connection, same, highest(said.sensitivity))
            return _again(same, path, kind, said.study_instance_uids)
        if known is not None and register.contradicts(known[1], traits):
            columns = self._columns(kind, said, what.unique, place) | {
                "state": "quarantined",
                "reason": "contradicts-register",
            }
            if not versions.in_quarantine(connection, place.sha256):
                index.insert_document(connection, columns)
            return held(QUARANTINED, path, "contradicts-register")
        replaced = versions.replaced(connection, what.replaces, known[0] if known else None)
        if isinstance(replaced, str) or (replaced is not None and self._of_another(replaced)):
            return held(REFUSED, path, replaced if isinstance(replaced, str) else "other-source")
        replaced = replaced if replaced is not None else self._said_to_replace(connection, said, known)
        number = known[0] if known else register.register(connection, said.patient, traits)
        family = f"{number}/{said.unique_id.system}|{said.unique_id.value}"
        before = versions.latest(connection, kind, number, family)
        if (
            before is not None
            and (refusal := versions.not_newer(before, said))
            and not versions.issued_anew(before, refusal)
        ):
            return held(REFUSED, path, refusal)
        if before is not None and self._of_another(before):
            return held(REFUSED, path, "other-source")
        columns = self._columns(kind, said, versions.never_used(connection, what.unique, said.version), place)
        columns |= {"patient_id": number, "family": family}
        return self._inserted(connection, columns, before, replaced, path)

    def _said_to_replace(
        self, connection: Connection, said: ReportIndex, known: tuple[int, Patient] | None
    ) -> Row[Any] | None:
        """The document that this one says itself that it replaces, where it is here, the current one, and its sender's to replace."""
        found = versions.replaced(connection, said.replaces, known[0]) if known is not None else None
        return None if found is None or isinstance(found, str) or self._of_another(found) else found

    def _may_name(self, patient: PatientIdentifier) -> bool:
        """A sender outside speaks for the issuer of its source alone. Source: trust.md T99."""
        return not (self.through and self.source.patient_issuer) or patient.system == self.source.patient_system

    def _of_another(self, before: Row[Any]) -> bool:
        """Whether a document came through another source than this one, neither being the operator's own hand."""
        through = orjson.loads(before.facts).get("through", "")
        return bool(self.through and through and through != self.through)

    def _inserted(
        self,
        connection: Connection,
        columns: dict[str, Any],
        before: Row[Any] | None,
        replaced: Row[Any] | None,
        path: str,
    ) -> Verdict:
        """Keep a document in the place of its earlier version, and of the one that its sender says it replaces."""
        follows = replaced if replaced is not None else before
        columns = columns | {"replaces": follows.number if follows is not None else None}
        document = index.insert_document(connection, columns)
        if columns["kind"] != FHIR:
            self.touched.add(columns["patient_id"])
        if columns.get("family"):
            index.supersede(connection, columns["kind"], columns["family"], document)
        if replaced is not None:
            old = documents.c.number == replaced.number
            connection.execute(update(documents).where(old).values(status="superseded"))
        studies = orjson.loads(columns["facts"]).get("study_instance_uids", ())
        return _verdict(ACCEPTED, path, columns["kind"], document, studies)

    def _columns(self, kind: str, said: ReportIndex, unique: Identifier, place: Slice) -> dict[str, Any]:
        columns: dict[str, Any] = {"unique_system": unique.system or "", "unique_value": unique.value}
        columns |= {"title": said.title, "created": said.created or self._now(), "language": said.language}
        columns["facts"] = index.document_facts(said, said.status, said.version, through=self.through)
        return self._common(kind, place) | columns

    def _common(self, kind: str, place: Slice) -> dict[str, Any]:
        return {
            "kind": kind,
            "state": "served",
            "status": "current",
            "indexed": self._now(),
            "media_type": MEDIA_TYPES[kind],
            "size": place.size,
            "sha256": place.sha256,
            "container": place.container,
            "offset": place.offset,
        }

    def _pdf(self, body: bytes, path: str, envelope: Envelope) -> Verdict:
        patient = envelope.patient
        if patient is None or not self._may_name(patient):
            return held(REFUSED, path, "no-patient" if patient is None else "other-issuer")
        place = self._kept(body)

        def decided(connection: Connection) -> Verdict:
            known = register.patient_row(connection, patient)
            if known is None:
                return held(REFUSED, path, "unknown-patient")
            if any(queries.study_patient(connection, uid) not in (None, known[0]) for uid in envelope.studies):
                return held(REFUSED, path, "contradicts-study")
            same = versions.same_bytes(connection, place.sha256, known[0])
            if same is not None:
                versions.raise_label(connection, same, envelope.confidentiality)
                return _again(same, path, PDF, envelope.studies)
            if envelope.unique_id is not None and versions.taken(connection, envelope.unique_id):
                return held(REFUSED, path, "other-document")
            replaced = versions.replaced(connection, envelope.replaces, known[0])
            if isinstance(replaced, str) or (replaced is not None and self._of_another(replaced)):
                return held(REFUSED, path, replaced if isinstance(replaced, str) else "other-source")
            said, warnings = self._tied(connection, known[0], envelope)
            verdict = self._inserted(connection, self._pdf_columns(known[0], place, said), None, replaced, path)
            return replace(verdict, warnings=warnings)

        return self._told(self.database.write_now(decided), place)

    def _tied(self, connection: Connection, patient: int, envelope: Envelope) -> tuple[Envelope, tuple[str, ...]]:
        """What is said of a PDF, with the study that its accession numbers name where none was named; or why there is none."""
        issuer = f"urn:oid:{self.source.accession_issuer}" if self.source.accession_issuer else None
        numbers = tuple(replace(one, system=one.system or issuer) for one in envelope.accession_numbers)
        if envelope.studies:
            return replace(envelope, accession_numbers=numbers), ()
        found: list[str] = []
        warnings: list[str] = []
        for number in numbers:
            named = queries.studies_of_accession(connection, patient, number) if number.system else ()
            if len(named) == 1:
                found += named
            else:
                warnings.append(NO_ISSUER if number.system is None else SEVERAL_STUDIES if named else NO_STUDY)
        said = replace(envelope, accession_numbers=numbers, studies=tuple(dict.fromkeys(found)))
        return said, tuple(dict.fromkeys(warnings))

    def _pdf_columns(self, patient: int, place: Slice, envelope: Envelope) -> dict[str, Any]:
        unique, ours = envelope.unique_id, custodian(None, self.source)
        if unique is None:
            derived = uuid.uuid5(uuid.NAMESPACE_OID, f"{patient}/{place.sha256}")
            unique = Identifier("urn:ietf:rfc:3986", f"urn:uuid:{derived}")
        facts: dict[str, Any] = {
            "study_instance_uids": list(envelope.studies),
            "accession_numbers": [[number.system, number.value] for number in envelope.accession_numbers],
            "custodian": [ours.name, ours.identifier, ours.system] if ours else None,
            "through": self.through,
            "sensitivity": list(beyond_normal(envelope.confidentiality)),
        }
        columns: dict[str, Any] = {"unique_system": unique.system or "", "unique_value": unique.value}
        columns |= {"title": envelope.title or "Imaging report", "language": envelope.language}
        columns |= {"created": envelope.created or self._now(), "facts": index.facts(facts), "patient_id": patient}
        return self._common(PDF, place) | columns

    def _kept(self, body: bytes) -> Slice:
        place = self.container.append([body])
        self.container.flush()
        return place

    def _told(self, verdict: Verdict, place: Slice) -> Verdict:
        if verdict.outcome in (UNCHANGED, REFUSED):
            self.container.take_back(place.offset)
        return verdict

    def _now(self) -> str:
        return self.clock().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class _Document:
    """A document that says of itself what it is, kept and not yet decided."""

    kind: str
    said: ReportIndex
    unique: Identifier
    place: Slice
    path: str
    replaces: Identifier | int | None


def _labelled(said: ReportIndex, envelope: Envelope) -> ReportIndex:
    return replace(said, sensitivity=beyond_normal(highest((*said.sensitivity, envelope.confidentiality))))


def _verdict(outcome: str, path: str, kind: str, number: int, studies: Sequence[str]) -> Verdict:
    study = studies[0] if studies else None
    return Verdict(outcome, path, kind=kind, state="served", study_instance_uid=study, document=number)


def _again(row: Row[Any], path: str, kind: str, studies: Sequence[str]) -> Verdict:
    """The same bytes once more. What was retracted or deleted does not come back by it."""
    if row.state in ("retracted", "deleted"):
        return held(REFUSED, path, row.state)
    return _verdict(UNCHANGED, path, kind, row.number, studies)
