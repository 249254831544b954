"""The border's route table: path, pass needed, verb. Each verb is mounted as a small app: admitted, awaited, sent, recorded.

Source: interfaces.md §5; architecture.md §7.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Connection

from isthmus.audit.trail import Trail
from isthmus.config import Settings
from isthmus.conformance.overheard import Our, Overheard, asker_of
from isthmus.conformance.watch import Watch
from isthmus.consent.directives import Directives
from isthmus.consent.emergency import Emergencies
from isthmus.consent.notices import Notices
from isthmus.consent.records import SUBJECTS
from isthmus.consent.roles import roles_of
from isthmus.country_a import capability, documents, images, patients, tokens
from isthmus.country_a.counting import Counting
from isthmus.country_a.gate import Gate, Visit
from isthmus.country_a.handles import Handles
from isthmus.country_a.holdings import Deciding, may_give
from isthmus.country_a.log import Log
from isthmus.country_a.passes import Admitted, Introduced, Known, Needs
from isthmus.country_a.receipts import Receipts
from isthmus.country_a.routes import Route
from isthmus.country_a.studies import imaging_study, metadata, qido
from isthmus.errors import IsthmusError, SettingsProblem, UnsupportedRequest
from isthmus.model.identifiers import checked_id
from isthmus.national.connector import NationalConnector
from isthmus.sandbox import Sandbox
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.transport.answers import Answer, Receive, Send, json_answer
from isthmus.transport.grid import Grid
from isthmus.transport.inbound import Inbound, Request
from isthmus.trust.directory import Directory
from isthmus.trust.turnover.own import Signing, signing_key
from isthmus.wire.outcomes import outcome_headers, write_outcome
from isthmus.wire.receipts import BODY_MAX_BYTES, write_body
from isthmus.wire.studies.qido import Level
from isthmus.wire.tokens import DICOMWEB_SCOPE, IDENTIFY_SCOPES, write_token_error

TOKEN_PATH = "/oauth/token"  # noqa: S105  # an address
SMART_PATH = "/.well-known/smart-configuration"
RECEIPTS_PATH = "/ncp/receipts"
REPORTS, MANIFESTS, PIXELS = "imaging-report", "imaging-manifest", "imaging-pixels"


@dataclass
class Border:
    """What the verbs of this border are given."""

    gate: Gate
    directory: Directory
    handles: Handles
    counting: Counting
    national: NationalConnector | None
    signing: Signing | None
    sandbox: Sandbox
    base: str  # of FHIR, absolute
    dicomweb: str
    arriving: Path  # what is written anew on its way
    emergencies: Emergencies
    log: Log | None
    receipts: Receipts

    @property
    def log_desk(self) -> Log:
        if self.log is None:
            raise UnsupportedRequest("this node has no key for its log", reason="no-route")
        return self.log

    @property
    def source(self) -> NationalConnector:
        if self.national is None:
            raise UnsupportedRequest("this node does not answer for a country", reason="no-route")
        return self.national


async def _metadata(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(capability.get_capability(visit.known, request, border.directory.ours, border.base))


async def _smart(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(capability.get_smart_configuration(visit.known, request, border.directory.ours))


async def _token(border: Border, visit: Visit, request: Request, rest: str) -> None:
    known, ours = visit.known, border.directory.ours
    if border.signing is None:
        raise UnsupportedRequest("this node gives no tokens", reason="no-route")
    asked = await tokens.read_request(
        known, request, ours, border.directory, border.handles, border.gate.deciding.rules
    )
    if asked.is_care:
        await border.gate.decide_first(known, asked.asker)
    await tokens.declare(asked.asker, known.peer.country, known.exchange_id, border.emergencies, border.gate.trail)
    did = secrets.token_urlsafe(16)
    remember, treating = tokens.remembering(asked, known), border.counting.treating(asked.asker, known)

    def also(connection: Connection) -> None:
        remember(connection)
        treating(connection)
        border.handles.keep(connection, did, asked.asker, asked.latest)

    answer, followed = tokens.write_answer(asked, known, ours, border.signing.now(), did), border.directory.seq_header
    await visit.open(tokens.intent_of(asked, known, answer, did, followed), also)
    await visit.send(answer)


async def _find_patients(border: Border, visit: Visit, request: Request, rest: str) -> None:
    introduced = visit.introduced
    query = patients.read_search(introduced, request, border.directory.ours.mask)
    await visit.open(visit.intent, border.counting.search(introduced, query))
    nobody = partial(border.counting.nobody, introduced)
    answer = await patients.find_patients(
        introduced,
        query,
        border.source,
        border.handles,
        border.base,
        nobody,
        visit.on_the_grid,
        graded=patients.is_match(request),
    )
    await visit.send(answer)


async def _get_patient(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(await patients.get_patient(visit.admitted, request, checked_id(rest), border.source))


async def _find_documents(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(
        await documents.find_documents(
            visit.admitted, request, border.source, border.handles, border.base, visit.on_the_grid
        )
    )


async def _get_entry(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(
        await documents.get_entry(visit.admitted, request, checked_id(rest), border.source, border.handles, border.base)
    )


async def _find_studies(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(
        await imaging_study.find_studies(
            visit.admitted, request, border.source, border.handles, border.base, visit.on_the_grid
        )
    )


async def _get_study(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(
        await imaging_study.get_study(visit.admitted, request, checked_id(rest), border.source, border.handles)
    )


async def _find_rows(level: Level, border: Border, visit: Visit, request: Request, rest: str) -> None:
    above = tuple(rest.split("/")) if rest else ()
    await visit.send(
        await qido.find_rows(visit.admitted, request, level, above, border.source, border.dicomweb, visit.on_the_grid)
    )


async def _get_document(kind: str, border: Border, visit: Visit, request: Request, rest: str) -> None:
    answer = await documents.get_document(
        visit.admitted, request, kind, checked_id(rest), border.source, border.handles
    )
    await visit.send(answer)


async def _get_images(border: Border, visit: Visit, request: Request, rest: str) -> None:
    admitted = visit.admitted
    with border.counting.transfer(admitted):
        given = await images.get_images(
            admitted, request, rest.split("/"), border.source, border.sandbox, border.arriving
        )
        await visit.send(
            given.answer,
            lambda decision: may_give(admitted, decision, given.query, border.source),
            given.missing,
            given.unchanged,
            study=given.query.study_instance_uid,
        )


async def _get_metadata(border: Border, visit: Visit, request: Request, rest: str) -> None:
    admitted, services = visit.admitted, border.directory.ours.services
    with border.counting.transfer(admitted):
        answer, _ = await metadata.get_metadata(admitted, request, rest.split("/"), border.source, services)
        await visit.send(answer)


async def _receipt(border: Border, visit: Visit, request: Request, rest: str) -> None:
    asked = border.receipts.read(visit.known, request)
    sent = await border.receipts.sent(visit.known, asked.receipt)
    opened = await visit.open(border.receipts.intent(visit.known, asked, sent))
    answer = await border.receipts.settle(visit.known, asked, sent, opened.number)
    await visit.send(json_answer(200, write_body(answer), "application/json"), parts={"ours": answer.encode()})


async def _view(border: Border, visit: Visit, request: Request, rest: str) -> None:
    look = await border.receipts.view(visit.known, request)
    if border.receipts.is_again(look):
        visit.needs = replace(visit.needs, recorded=False)  # it is written down already
    else:
        await visit.open(look)
        border.receipts.remember(look)
    await visit.send(Answer(202))


async def _add_checkpoint(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(await border.log_desk.add_checkpoint(visit.known, request))


async def _get_proof(border: Border, visit: Visit, request: Request, rest: str) -> None:
    await visit.send(await border.log_desk.get_proof(request))


async def _nothing(border: Border, visit: Visit, request: Request, rest: str) -> None:
    raise UnsupportedRequest("this border has no such path", reason="no-route")


_TOKEN = Needs(transaction="ITI-71", stage=Known, opens=False)
_TOLD = Needs(transaction="capability", stage=Known)
_SEARCH = Needs(
    transaction="ITI-78", stage=Introduced, opens=False, searches=True,
    scopes=frozenset({*IDENTIFY_SCOPES, "patient/Patient.rs"}),
)  # fmt: skip
_MATCH = replace(_SEARCH, transaction="ITI-119")
_PATIENT = Needs(transaction="ITI-78", scopes=frozenset({"patient/Patient.rs"}))
_IMAGING = ("imaging-study", "imaging-report")
_DOCUMENTS = frozenset({REPORTS, MANIFESTS})
_LIST = Needs(
    transaction="ITI-67", services=_DOCUMENTS, scopes=frozenset({"patient/DocumentReference.rs"}), categories=_IMAGING,
    searches=True,
)  # fmt: skip
_ENTRY = replace(_LIST, searches=False)
_BUNDLE = Needs(transaction="ITI-68", services=_DOCUMENTS, scopes=frozenset({"patient/Bundle.r"}), categories=_IMAGING)
_BINARY = Needs(transaction="ITI-68", services=_DOCUMENTS, scopes=frozenset({"patient/Binary.r"}), categories=_IMAGING)
_STUDIES = frozenset({"patient/ImagingStudy.rs"})
_STUDY = Needs(transaction="ImagingStudy", services=frozenset({MANIFESTS}), scopes=_STUDIES, categories=_IMAGING[:1])
_FOUND = replace(_STUDY, searches=True)
_ROWS = replace(_FOUND, transaction="RAD-129")
_IMAGES = Needs(
    transaction="RAD-107",
    services=frozenset({PIXELS}),
    scopes=frozenset({DICOMWEB_SCOPE}),
    categories=("imaging-study",),
)
_DESCRIBED = replace(_IMAGES, details={"what": "metadata"})
_RECEIPT = Needs(transaction="receipt", stage=Known, opens=False, categories=("imaging-study",))
_VIEW = replace(_RECEIPT, transaction="view")
_LOG = Needs(transaction="log", stage=Known, opens=False, recorded=False)
_UNKNOWN = Needs(transaction="capability", stage=Introduced, opens=False)
_ANY = ("GET", "POST")

ROUTES: tuple[Route, ...] = (
    Route(TOKEN_PATH, ("POST",), _TOKEN, _token),
    Route("/fhir/metadata", ("GET",), _TOLD, _metadata),
    Route(SMART_PATH, ("GET",), _TOLD, _smart),
    Route(f"/fhir{SMART_PATH}", ("GET",), _TOLD, _smart),
    Route("/fhir/Patient", ("GET",), _SEARCH, _find_patients),
    Route("/fhir/Patient/_search", ("POST",), _SEARCH, _find_patients),
    Route("/fhir/Patient/$match", ("POST",), _MATCH, _find_patients),
    Route("/fhir/Patient/{id}", ("GET",), _PATIENT, _get_patient),
    Route("/fhir/DocumentReference", ("GET",), _LIST, _find_documents),
    Route("/fhir/DocumentReference/_search", ("POST",), _LIST, _find_documents),
    Route("/fhir/DocumentReference/{id}", ("GET",), _ENTRY, _get_entry),
    Route("/fhir/ImagingStudy", ("GET",), _FOUND, _find_studies),
    Route("/fhir/ImagingStudy/_search", ("POST",), _FOUND, _find_studies),
    Route("/fhir/ImagingStudy/{id}", ("GET",), _STUDY, _get_study),
    Route("/fhir/Bundle/{id}", ("GET",), _BUNDLE, partial(_get_document, "Bundle")),
    Route("/fhir/Binary/{id}", ("GET",), _BINARY, partial(_get_document, "Binary")),
    Route("/dicom-web/studies", ("GET",), _ROWS, partial(_find_rows, "study")),
    Route("/dicom-web/series", ("GET",), _ROWS, partial(_find_rows, "series")),
    Route("/dicom-web/instances", ("GET",), _ROWS, partial(_find_rows, "instance")),
    Route("/dicom-web/studies/{study}/series", ("GET",), _ROWS, partial(_find_rows, "series")),
    Route("/dicom-web/studies/{study}/instances", ("GET",), _ROWS, partial(_find_rows, "instance")),
    Route("/dicom-web/studies/{study}/series/{series}/instances", ("GET",), _ROWS, partial(_find_rows, "instance")),
    Route("/dicom-web/studies/{study}/metadata", ("GET",), _DESCRIBED, _get_metadata),
    Route("/dicom-web/studies/{study}/series/{series}/metadata", ("GET",), _DESCRIBED, _get_metadata),
    Route(
        "/dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata", ("GET",), _DESCRIBED, _get_metadata
    ),
    Route("/dicom-web/{path}", ("GET",), _IMAGES, _get_images),
    Route(RECEIPTS_PATH, ("POST",), _RECEIPT, _receipt),
    Route("/ncp/views", ("POST",), _VIEW, _view),
    Route("/ncp/witness/add-checkpoint", ("POST",), _LOG, _add_checkpoint),
    Route("/ncp/log/proof", ("GET",), _LOG, _get_proof),
    Route("/fhir/{path}", _ANY, _UNKNOWN, _nothing),
    Route("/dicom-web/{path}", _ANY, _UNKNOWN, _nothing),
)
_ELSEWHERE = Route("/{path}", _ANY, Needs(transaction="capability", stage=Known, opens=False), _nothing)


def border_app(
    settings: Settings,
    *,
    directory: Directory,
    trail: Trail,
    state: Database,
    master: MasterKey,
    national: NationalConnector | None,
    directives: Directives,
    sandbox: Sandbox,
    clock: Callable[[], datetime],
    grid: Grid = Grid(),
    log: Log | None = None,
) -> Overheard:
    """The ASGI app of the border's listener. A node without sources (`national` None) answers its capability alone.

    A share of what it says is held against the requirements, as `[conformance]` says.
    """
    if settings.border is None:
        raise SettingsProblem("the settings have no [border]", key="border")
    if settings.env == "prod" and national is not None and not settings.consent.keys:
        raise SettingsProblem("a country that answers names the public keys of its consent service", key="consent.keys")
    if unknown := set(settings.consent.absolute).difference(SUBJECTS):
        raise SettingsProblem(f"no restriction is about {', '.join(sorted(unknown))}", key="consent.absolute")
    parts = urlsplit(public := settings.border.public.rstrip("/"))
    prefix, origin = parts.path, f"{parts.scheme}://{parts.netloc}"
    signing = signing_key(settings, settings.keys.at) if national is not None else None
    handles = Handles(state, master, clock)
    counting = Counting(state, master, settings.limits, settings.env, clock)
    receipts = Receipts(state, master, trail, directory, signing_key(settings, settings.keys.sig).now, clock)
    can_tell = settings.env != "prod" or Notices(settings).ways
    law, roles = settings.consent, roles_of(settings)
    deciding = Deciding(directives, national, law, lambda: directory.ours, clock, can_tell=can_tell, roles=roles)
    gate = Gate(
        directory=directory, trail=trail, handles=handles, deciding=deciding, counting=counting, clock=clock, grid=grid,
        log=log,
    )  # fmt: skip
    border = Border(
        gate, directory, handles, counting, national, signing, sandbox, f"{public}/fhir", f"{public}/dicom-web",
        settings.folder / "arriving", Emergencies(state, master, clock), log, receipts,
    )  # fmt: skip

    def below(path: str) -> str:
        return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else "/"

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        request, path = images.by_location(request, below(request.path), directory)
        route, rest = _route(path, request.method)
        needs = route.needs
        if rest and needs.stage is Admitted:  # of which study or document: who saw what was wrong has to be found
            needs = replace(needs, details={**needs.details, "of": rest})
        async with gate.admit(request, needs, send, receive) as visit:
            await route.verb(border, visit, request, rest)

    larger = {prefix + RECEIPTS_PATH: BODY_MAX_BYTES}
    render = partial(_rendered, prefix + TOKEN_PATH, gate)
    inbound = Inbound(handle, hosts=_hosts(public), render=render, larger=larger)
    our = Our(settings.country, origin, below, _transaction, partial(asker_of, directory), clock)
    return Overheard(inbound, Watch(settings.conformance), our)


def _rendered(token_path: str, gate: Gate, error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
    """An error as an answer, in the form of the address that was asked."""
    if request is not None and request.path == token_path:
        body, headers = write_token_error(error)
        return json_answer(error.meaning.status, body, "application/json", (*headers, *gate.trust_header()))
    headers = (*outcome_headers(error), *gate.trust_header())
    return json_answer(error.meaning.status, write_outcome(error), "application/fhir+json; charset=utf-8", headers)


def _transaction(path: str, method: str) -> str:
    return _route(path, method)[0].needs.transaction


def _route(path: str, method: str) -> tuple[Route, str]:
    for route in ROUTES:
        rest = route.rest(path, method)
        if rest is not None:
            return route, rest
    return _ELSEWHERE, ""


def _hosts(public: str) -> frozenset[str]:
    """What a Host header may say: our name with its port, and without."""
    parts = urlsplit(public)
    name = parts.hostname or ""
    return frozenset({f"{name}:{parts.port or 443}", name})
