"""A portal without a second country: real sessions, visits, spool and pages; a Country AA made of values; a small browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from isthmus.audit.events import Note
from isthmus.config import Portal, Settings
from isthmus.country_b.arrivals import Arrival, Arrived
from isthmus.country_b.flights import Flights
from isthmus.country_b.images import Shelf
from isthmus.country_b.portal.app import app_of
from isthmus.country_b.portal.desk import Desk
from isthmus.country_b.recent import Recent
from isthmus.country_b.spool import Spool
from isthmus.country_b.verbs import Verbs
from isthmus.country_b.visit import Visit, Visits
from isthmus.demo.people import HOSPITAL, PATIENT_SYSTEM, PEOPLE
from isthmus.demo.reports import reports
from isthmus.dicom import tags
from isthmus.dicom.content import code, content, data_set, element, item, sequence
from isthmus.dicom.header import KEY_OBJECT_SELECTION, Code
from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.errors import (
    DocumentNotFound,
    ImagesNotFound,
    InsufficientRights,
    IsthmusError,
    PatientNotFound,
    UntrustedCountry,
)
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.masks import MaskIdentifier, SearchMask
from isthmus.model.people import HealthProfessional, Organisation, Patient
from isthmus.model.queries import REGIONS, DocumentQuery, ImagesQuery, PatientQuery
from isthmus.model.report.document import ImagingReport
from isthmus.sandbox import Sandbox
from isthmus.signin.away import Away
from isthmus.signin.provider import Attempt, Elsewhere, Wish
from isthmus.signin.sessions import Sessions, cookie_name
from isthmus.storage.database import open_state
from isthmus.storage.sealed import MasterKey
from isthmus.testing.studies import CT_IMAGE, SyntheticStudy
from isthmus.trust.trustlist import Endpoints, Participant, Policy
from isthmus.wire.kos import write_kos
from isthmus.wire.packs.pack import Pack, load_pack
from isthmus.wire.report.document import read_report, report_index

PUBLIC = "http://127.0.0.1:8700"
LOGIN, PASSWORD = "radiologist", "right"
DOCTOR = HealthProfessional(
    "radiologist", "Dr. Runa Solvang", "2212", Organisation("Boreal University Hospital", "BB-H-001")
)
MASK = SearchMask(
    (MaskIdentifier(PATIENT_SYSTEM, r"\d{10}", {"en": "National identifier", "el": "Εθνικός αριθμός"}),),
    {"family": "required", "birthdate": "required", "given": "optional", "gender": "optional"},
)
OF_INTEREST, DESCRIPTION = Code("113000", "DCM", "Of Interest"), Code("113012", "DCM", "Key Object Description")
SERVICES = frozenset({"imaging-report", "imaging-manifest", "imaging-pixels"})


def participant(country: str = "AA", services: frozenset[str] = SERVICES) -> Participant:
    """An entry of the trust list, as far as pages look at it."""
    base = f"https://{country.lower()}.example"
    return Participant(
        ncp_id=f"urn:ehealth:{country.lower()}:ncp-idp",
        country=country,
        status="active",
        roles=frozenset("A"),
        name={"en": f"Country {country}"},
        phone="+000 000 000",
        pack="eu-2026-09",
        endpoints=Endpoints(base, base, base, base),
        tls=(),
        keys=(),
        policy=Policy(btg=True),
        mask=MASK,
        services=services,
    )


@dataclass
class FakeDirectory:
    """The countries that answer."""

    participants: list[Participant] = field(default_factory=lambda: [participant()])

    @property
    def countries(self) -> tuple[Participant, ...]:
        return tuple(self.participants)

    def country(self, code: str) -> Participant:
        for entry in self.participants:
            if entry.country == code:
                return entry
        raise UntrustedCountry("not a country that answers", country=code)


class FakeAccounts:
    """A radiologist and a nurse, with the same password."""

    name, label = "accounts", ""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def begin(self, wish: Wish) -> Elsewhere | None:
        return None

    async def finish(self, said: Mapping[str, str], wish: Wish, attempt: Attempt | None) -> HealthProfessional:
        login = said.get("login", "")
        if login not in (LOGIN, "nurse") or said.get("password") != PASSWORD or wish.again not in ("", login):
            raise InsufficientRights("wrong", reason="sign-in")
        role = DOCTOR.role if login == LOGIN else "2221"
        return replace(DOCTOR, sub=login, role=role, auth_time=int(self._clock().timestamp()))

    async def close(self) -> None:
        return None


@dataclass
class FakeCountry:
    """Country AA as its answers: people, documents, bodies and studies; `problem` is raised by the next question."""

    people: list[Patient] = field(default_factory=lambda: list(PEOPLE.values()))
    documents: dict[str, list[Document]] = field(default_factory=dict)  # by identifier
    bodies: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    studies: dict[str, SyntheticStudy] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # other instances, by SOP Instance UID
    problem: IsthmusError | None = None
    problem_of: str = ""  # the question it is for; "" the next one, whichever
    problem_stays: bool = False
    asked: list[str] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)  # in which documents were asked for
    slow: asyncio.Event | None = None
    speaks: str = "eu-2026-09"  # the pack agreed with it

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.problem is not None and what.startswith(self.problem_of):
            problem, self.problem = self.problem, self.problem if self.problem_stays else None
            raise problem

    def pack(self, country: str) -> Pack:
        return load_pack(self.speaks)

    async def find_patients(self, visit: Visit, country: str, query: PatientQuery) -> Patient:
        self._ask("patients")
        for patient in self.people:
            if patient.identifier in query.identifiers and patient.birth_date == query.birth_date:
                return replace(patient, handle=f"h-{patient.identifier.value}")
        raise PatientNotFound("nobody", country=country)

    async def find_documents(self, visit: Visit, country: str, query: DocumentQuery) -> Sequence[Document]:
        wanted = {code for demand in query.demands if demand.name == "_id" for _, code in demand.tokens}
        self._ask("one document" if wanted else "documents")
        self.visits.append(visit)
        listed = self.documents.get(visit.patient_in(country).identifier.value, ())
        return tuple(document for document in listed if not wanted or document.id in wanted)

    async def get_report(self, visit: Visit, country: str, document_id: str) -> tuple[ImagingReport, bytes]:
        self._ask("report")
        body = self.bodies.get(document_id)
        if body is None:
            raise DocumentNotFound("no such document", country=country)
        return read_report(body, load_pack()), body

    async def get_manifest(self, visit: Visit, country: str, document: Document) -> tuple[Manifest, bytes]:
        self._ask("manifest")
        manifest = self.manifests[document.id]
        if document.kind is DocumentKind.MANIFEST_KOS:
            return manifest, write_kos(manifest, self.pack(country))
        return manifest, b"{}"

    async def get_binary(self, visit: Visit, country: str, document: Document) -> bytes:
        self._ask("binary")
        return self.bodies[document.id]

    async def get_images(self, visit: Visit, country: str, query: ImagesQuery, shelf: Shelf) -> AsyncIterator[Arrived]:
        self._ask(f"images {'instance' if query.sop_instance_uid else 'series'}")
        study = self.studies.get(query.study_instance_uid)
        if study is None or not self._has_series(query):
            raise ImagesNotFound("no such study", country=country)
        bodies = {study.sop_instance_uid(n): list(study.pieces(n)) for n in range(study.instances)}
        if query.sop_instance_uid in self.objects:
            bodies = {query.sop_instance_uid: [self.objects[query.sop_instance_uid]]}
        for uid, body in bodies.items():
            if self.slow is not None:
                await self.slow.wait()
            if query.sop_instance_uid not in (None, uid):
                continue
            arrival = Arrival(visit.patient_in(country), query, {}, country)
            shelf.begin()
            for piece in body:
                try:
                    arrival.feed(piece)
                except IsthmusError:
                    shelf.drop()
                    raise
                shelf.write(piece)
            try:
                arrived = arrival.close()
            except IsthmusError:
                shelf.drop()
                raise
            await shelf.keep(arrived)
            yield arrived

    def _has_series(self, query: ImagesQuery) -> bool:
        made = (m.study for m in self.manifests.values())
        known = {
            s.series_instance_uid
            for one in made
            if one.study_instance_uid == query.study_instance_uid
            for s in one.series
        }
        return query.series_instance_uid in (None, *known)

    def with_report(self, report_id: str, **changes: Any) -> Document:
        """A demo report on its person's list."""
        demo = reports()[report_id]
        body = demo.bundle.read_bytes()
        index = report_index(body)
        document = Document(
            id=report_id,
            kind=DocumentKind.REPORT_FHIR,
            patient=None,
            unique_id=index.unique_id,
            title=index.title,
            indexed=index.created,
            created=index.created,
            media_type="application/fhir+json",
            study_instance_uids=index.study_instance_uids,
            accession_numbers=index.accession_numbers,
            language=index.language,
            authors=index.authors,
            custodian=index.custodian,
            modalities=index.modalities,
            regions=index.regions,
            period_start=index.period_start,
            report_status=index.status,
            report_version=index.version,
        )
        document = replace(document, **changes)
        self.documents.setdefault(demo.patient.identifier.value, []).append(document)
        self.bodies[document.id] = body
        return document

    def with_study(
        self, patient: Patient, uid: str | None = None, started: str = "2026-09-22T10:33:19+03:00", **changes: Any
    ) -> SyntheticStudy:
        """A study on a person's list: small noise, three instances."""
        study = SyntheticStudy(seed=len(self.studies), patient=patient, instances=3, rows=16, columns=16)
        uid = uid or study.study_instance_uid
        series = Series(
            study.series_instance_uid(0),
            "CT",
            tuple(Instance(study.sop_instance_uid(n), "1.2.840.10008.5.1.4.1.1.2", n + 1) for n in range(3)),
            1,
            "Axial",
        )
        made = Study(uid, patient, (series,), started, "CT of the chest", custodian=HOSPITAL)
        name = f"manifest-{len(self.studies)}"
        document = Document(
            id=name,
            kind=DocumentKind.MANIFEST_FHIR,
            patient=None,
            unique_id=Identifier("urn:dicom:uid", f"2.25.{len(self.studies) + 1}"),
            title="Imaging study manifest",
            indexed=started,
            created=started,
            media_type="application/fhir+json",
            study_instance_uids=(uid,),
            custodian=HOSPITAL,
            modalities=("CT",),
            regions=(REGIONS["67734004"],),
            period_start=started,
            series_count=1,
            instance_count=3,
            study_bytes=12_300_000,
            description="CT of the chest",
        )
        document = replace(document, **changes)
        self.documents.setdefault(patient.identifier.value, []).append(document)
        self.manifests[name] = Manifest("2.25.9", made, started, "2.25.8", HOSPITAL)
        self.studies[uid] = study
        return study

    def with_selection(
        self, study: SyntheticStudy, *marked: tuple[str, str], title: Code = OF_INTEREST, why: str = "", size: int = 0
    ) -> str:
        """A key object selection in a study; it marks images, each by its UID and frame numbers. Gives its UID."""
        series, uid = f"2.25.77{len(self.objects)}", f"2.25.78{len(self.objects)}"
        patient = study.patient
        assert patient is not None
        references = [_reference(*one) for one in marked]
        everything = [study.sop_instance_uid(n) for n in range(study.instances)]
        elements = (
            element(tags.SOP_CLASS_UID, "UI", KEY_OBJECT_SELECTION),
            element(tags.SOP_INSTANCE_UID, "UI", uid),
            element(tags.STUDY_INSTANCE_UID, "UI", study.study_instance_uid),
            element(tags.SERIES_INSTANCE_UID, "UI", series),
            element(tags.MODALITY, "CS", "KO"),
            element(tags.SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192"),
            element(tags.PATIENT_NAME, "PN", f"{patient.name.family}^{' '.join(patient.name.given)}"),
            element(tags.PATIENT_ID, "LO", patient.identifier.value),
            element(tags.PATIENT_BIRTH_DATE, "DA", patient.birth_date.replace("-", "")),
            element(tags.VALUE_TYPE, "CS", "CONTAINER"),
            code(tags.CONCEPT_NAME_CODE_SEQUENCE, title),
            sequence(
                tags.EVIDENCE_SEQUENCE,
                item(
                    sequence(
                        tags.REFERENCED_SERIES_SEQUENCE,
                        item(sequence(tags.REFERENCED_SOP_SEQUENCE, *(item(*_uids(one)) for one in everything))),
                    )
                ),
            ),
            sequence(
                tags.CONTENT_SEQUENCE,
                *([content("CONTAINS", "TEXT", DESCRIPTION, element(tags.TEXT_VALUE, "UT", why))] if why else []),
                *(content("CONTAINS", "IMAGE", DESCRIPTION, reference) for reference in references),
            ),
            *([element(0x00091000 + 0x10, "OB", bytes(size))] if size else []),
        )
        body = file_meta(KEY_OBJECT_SELECTION, uid, EXPLICIT_LE) + data_set(elements)
        self.with_object(study, Series(series, "KO", (Instance(uid, KEY_OBJECT_SELECTION, 1),), 900), body)
        return uid

    def with_object(self, study: SyntheticStudy, series: Series, body: bytes) -> None:
        """A series of one object more in a study."""
        self.objects[series.instances[0].sop_instance_uid] = body
        for name, manifest in self.manifests.items():
            if manifest.study.study_instance_uid == study.study_instance_uid:
                made = replace(manifest.study, series=(*manifest.study.series, series))
                self.manifests[name] = replace(manifest, study=made)
                for listed in self.documents.values():
                    listed[:] = [
                        replace(d, series_count=len(made.series), instance_count=made.instance_count)
                        if d.id == name
                        else d
                        for d in listed
                    ]


def _uids(uid: str) -> tuple[bytes, bytes]:
    return (
        element(tags.REFERENCED_SOP_CLASS_UID, "UI", CT_IMAGE),
        element(tags.REFERENCED_SOP_INSTANCE_UID, "UI", uid),
    )


def _reference(uid: str, frames: str) -> bytes:
    more = (element(tags.REFERENCED_FRAME_NUMBER, "IS", frames),) if frames else ()
    return sequence(tags.REFERENCED_SOP_SEQUENCE, item(*_uids(uid), *more))


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class FakePortal:
    """The portal under test, with what is behind it in hand."""

    desk: Desk
    country: FakeCountry
    directory: FakeDirectory
    clock: Clock
    notes: list[Note]

    def browser(self, language: str = "en-GB") -> Browser:
        return Browser(app_of(self.desk), language)


def portal_in(folder: Path) -> FakePortal:
    """A portal on a fresh database in a folder."""
    settings = Settings(
        folder=folder,
        file=folder / "isthmus.toml",
        env="test",
        country="BB",
        ncp_id="urn:ehealth:bb:ncp-idp",
        portal=Portal(public=PUBLIC),
    )
    clock, country, directory = Clock(), FakeCountry(), FakeDirectory()
    db, master = open_state(settings), MasterKey(bytes(32))
    notes: list[Note] = []

    async def note(entry: Note) -> None:
        notes.append(entry)

    verbs = Verbs(
        country.find_patients,
        country.find_documents,
        country.get_report,
        country.get_manifest,
        country.get_binary,
        country.get_images,
        country.pack,
    )
    spool = Spool(folder / "spool", db, master, clock, 1 << 30)
    desk = Desk(
        settings,
        verbs,
        directory,
        note,
        Sessions(db, clock),
        {"accounts": FakeAccounts(clock)},
        Away(master, cookie_name("BB", PUBLIC), clock),
        Visits(db, master, clock),
        spool,
        Flights(verbs, spool, settings.limits.parallel_images),
        Recent(clock),
        Sandbox(),
        clock,
        credits=("Images by somebody, CC0.",),
    )
    return FakePortal(desk, country, directory, clock, notes)


@dataclass
class Page:
    """An answer as a browser sees it."""

    status: int
    headers: dict[str, str]
    body: bytes
    path: str

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class Browser:
    """Asks the app in process: keeps cookies, follows after a post, finds the page's token."""

    def __init__(self, app: Any, language: str) -> None:
        self.app, self.language = app, language
        self.cookies: dict[str, str] = {}
        self.page = Page(0, {}, b"", "/")

    async def get(self, path: str, **headers: str) -> Page:
        return await self._ask("GET", path, b"", headers)

    async def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> Page:
        token = re.search(r'name="page-token" value="([0-9a-f]*)"', self.page.text) if self.page.body else None
        form = {"page-token": token[1] if token else ""} | (fields or {})
        headers = {"origin": PUBLIC, "content_type": "application/x-www-form-urlencoded"} | headers
        return await self._ask("POST", path, urlencode(form).encode(), headers)

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Page:
        page = await self.once(method, path, body, headers)
        if page.status == 303:
            return await self._ask("GET", page.headers["location"], b"", {})
        self.page = page
        return page

    async def once(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Page:
        """One exchange, following nothing. A header given as `None`-like empty text is left out."""
        sent = {"host": urlsplit(PUBLIC).netloc, "accept_language": self.language, "accept": "text/html"}
        sent |= {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())} if self.cookies else {}
        sent |= {"content_length": str(len(body))} if body else {}
        sent |= headers or {}
        parts = urlsplit(path)
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in sent.items() if v],
            "client": ("127.0.0.1", 5),
            "extensions": {},
        }
        asked, said = [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive() -> dict[str, Any]:
            if asked:
                return asked.pop()
            await asyncio.Event().wait()
            raise AssertionError("never")

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        await self.app(scope, receive, send)
        start = said[0]
        got = [(n.decode(), v.decode("latin-1")) for n, v in start["headers"]]
        for name, value in got:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
                if "Max-Age=0" in rest:
                    del self.cookies[key]
        content = b"".join(m.get("body", b"") for m in said[1:])
        return Page(start["status"], dict(got), content, path)

    async def sign_in(self, login: str = LOGIN) -> Page:
        await self.get("/sign-in")
        return await self.post("/sign-in", {"login": login, "password": PASSWORD})

    async def find(self, patient: Patient, **fields: str) -> Page:
        await self.get("/find")
        form = {
            "country": "AA",
            "mask": "AA",
            "identifier": patient.identifier.value,
            "family": patient.name.family,
            "birth-date": patient.birth_date,
        }
        return await self.post("/find", form | fields)

    async def confirm(self) -> Page:
        return await self.post(self.page.path, {"relationship": "yes", "purpose": "TREAT"})

    async def visit(self, patient: Patient) -> Page:
        """From sign-in to the list."""
        await self.sign_in()
        await self.find(patient)
        return await self.confirm()
