"""Two worlds that differ in one thing: in the one a patient hid a study, in the other it was never there. Behind each kind of source.

The border, its keys and the patient's own numbers are the same in both; what of an answer is made new each time is blotted out.

Source: trust.md D9, T32–T35.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.archive.conftest import NOW, SANDBOX, Node, dicom, settings_in
from tests.national.fhir.behind import entry, patient_node, studies
from tests.national.lying import LyingPacs
from tests.national.odd_dicomweb import odd_dicomweb

from isthmus.archive import register
from isthmus.archive.register import Traits
from isthmus.archive.reports import Envelope, Reports
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.national.opening import open_sources
from isthmus.sources import Source, Sources
from isthmus.storage.database import open_index
from isthmus.testing.border import FINE, PracticeBorder, Reply
from isthmus.testing.engines.counterparts import HOST
from isthmus.testing.engines.fhir_repository import fhir_repository
from isthmus.transport.grid import Grid
from isthmus.wire.packs.pack import load_pack

PAULA = Patient(
    PatientIdentifier("urn:oid:2.999.1.2.1", "0000000011"), (HumanName("Twin", ("Paula",)),), "1970-01-01", "female"
)
SHOWN, HIDDEN = "2.25.10", "2.25.20"
SERIES = {SHOWN: "2.25.11", HIDDEN: "2.25.21"}
PDF = b"%PDF-1.7\n%%EOF\n"
KINDS = ("files", "dicomweb", "dimse", "fhir")
NOWHERE = "a" * 40
STORED = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
JSON = {"accept": "application/dicom+json"}
NEW_EACH_TIME = frozenset({"x-request-id", "date", "ncp-log", "ncp-checkpoint"})


def instances(study: str) -> list[bytes]:
    first = 1 if study == SHOWN else 11
    who = {"PatientID": PAULA.identifier.value, "PatientName": "Twin^Paula", "PatientBirthDate": "19700101"}
    return [
        dicom(first + n, study=study, series=SERIES[study], AccessionNumber=f"A-{study[-2:]}", **who) for n in range(3)
    ]


def sop(study: str) -> str:
    return f"2.25.1{1 if study == SHOWN else 11:05}"


@dataclass
class World:
    """A border with one patient behind it, admitted."""

    border: PracticeBorder
    token: str = ""
    handle: str = ""
    hidden: dict[str, str] = field(default_factory=dict)  # what is hidden now: its path, by what it is

    async def ask(self, path: str, query: Any = (), **more: Any) -> Reply:
        return await self.border.ask(path, token=self.token, query=query, **more)

    async def admitted(self) -> None:
        self.token, self.handle = await self.border.care(PAULA)

    async def listed(self) -> list[tuple[str, dict[str, Any]]]:
        found = await self.ask("/fhir/DocumentReference", {"patient": f"Patient/{self.handle}"})
        return [(urlsplit(e["content"][0]["attachment"]["url"]).path, e) for e in found.entries]


@contextlib.asynccontextmanager
async def world(folder: Path, kind: str, *held: str, grid: Grid = FINE) -> AsyncIterator[World]:
    """A country with these studies, and a report for each and one about both, behind this kind of source."""
    folder.mkdir()
    with contextlib.ExitStack() as left:
        settings = settings_in(folder)
        ours = replace(settings.sources.images[0], patient_issuer="2.999.1.2.1")
        files = [body for study in held for body in instances(study)]
        sources = Sources(patients=(ours,), reports=(ours,), images=(ours,))
        if kind == "dicomweb":
            pacs = left.enter_context(odd_dicomweb(*files))
            sources = replace(sources, images=(replace(ours, kind="dicomweb", name="pacs", url=pacs.url),))
        elif kind == "dimse":
            liar = LyingPacs(*files)
            left.callback(liar.stop)
            called = replace(ours, kind="dimse", name="pacs", host=HOST, port=liar.port, peer_ae_title="LIAR")
            sources = replace(sources, images=(called,))
        elif kind == "fhir":
            repository = left.enter_context(fhir_repository())
            repository.put(patient_node("p1", PAULA))
            for number, about in enumerate(reports_of(held)):
                named = {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:5f0c1e10-0000-4000-8000-{number:012}"}
                repository.put(
                    entry(f"r{number}", ("application/pdf", PDF), context=studies(*about), masterIdentifier=named)
                )
            fhir = Source(kind="fhir", name="hospital", url=repository.url, page_size=50)
            sources = Sources(patients=(fhir,), reports=(fhir,), images=sources.images)
        settings = replace(settings, sources=sources)
        index = open_index(settings)
        left.callback(index.close)
        node = Node(settings, index)
        if kind in ("files", "fhir"):
            node.bring(*files)
        if kind != "fhir":
            registered(node, ours, held)
        connector = open_sources(settings, index, lambda: NOW)
        try:
            async with PracticeBorder(folder / "border", register=connector, grid=grid) as border:  # type: ignore[arg-type]  # any connector
                made = World(border)
                await made.admitted()
                yield made
        finally:
            await connector.close()


def reports_of(held: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(study,) for study in held] + ([held] if len(held) > 1 else [])


def registered(node: Node, source: Source, held: tuple[str, ...]) -> None:
    """The patient, in the embedded register, and the reports in the embedded archive."""
    traits = Traits(PAULA.names, PAULA.birth_date, PAULA.gender)
    node.database.write_now(lambda c: register.register(c, PAULA.identifier, traits))
    intake = node.intake()
    taking = Reports(node.database, intake.container, lambda: NOW, load_pack(), SANDBOX, source)
    for number, about in enumerate(reports_of(held)):
        said = Envelope(PAULA.identifier, about, created="2026-03-01T09:00:00+02:00", title="CT report")
        taking.take(PDF + b"%" + str(number).encode(), "pdf", f"r{number}", said)
    intake.close()


async def hide(made: World, kind: str, scope: str = "") -> None:
    """The patient says so; what was listed before and is not now stays known by its address."""
    before = await made.listed()
    described = (await made.ask("/fhir/ImagingStudy", {"patient": f"Patient/{made.handle}"})).entries
    made.border.say(PAULA, kind, scope)
    after = {path for path, _ in await made.listed()}
    for path, listed in before:
        if path not in after:
            made.hidden.setdefault(path.split("/")[2], path)
            made.hidden.setdefault("DocumentReference", f"/fhir/DocumentReference/{listed['id']}")
    for study in described:
        if scope in ("", *(i["value"].removeprefix("urn:oid:") for i in study["identifier"])):
            made.hidden["ImagingStudy"] = f"/fhir/ImagingStudy/{study['id']}"


def calls(made: World) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Every way to ask, by name: path, query, and what more is said."""
    patient = {"patient": f"Patient/{made.handle}"}
    hidden = {
        name: made.hidden.get(name, f"/fhir/{name}/{NOWHERE}") for name in ("DocumentReference", "Bundle", "Binary")
    }
    hidden["ImagingStudy"] = made.hidden.get("ImagingStudy", f"/fhir/ImagingStudy/{NOWHERE[:32]}")
    study, series, instance = f"/dicom-web/studies/{HIDDEN}", f"/series/{SERIES[HIDDEN]}", f"/instances/{sop(HIDDEN)}"
    documents, studies_ = "/fhir/DocumentReference", "/fhir/ImagingStudy"
    json, stored = {"headers": JSON}, {"headers": STORED}
    return {
        "documents": (documents, patient, {}),
        "documents by form": (f"{documents}/_search", (), {"form": patient}),
        "documents, first page": (documents, {**patient, "_count": "1"}, {}),
        "documents, counted": (documents, {**patient, "_summary": "count"}, {}),
        "documents, newest first": (documents, {**patient, "_sort": "-date"}, {}),
        "documents, all versions": (documents, {**patient, "status": "current,superseded"}, {}),
        "documents of the study": (documents, {**patient, "related": f"urn:dicom:uid|urn:oid:{HIDDEN}"}, {}),
        "documents changed lately": (documents, {**patient, "_lastUpdated": "ge2020-01-01"}, {}),
        **{f"{name} hidden": (path, (), {}) for name, path in hidden.items()},
        **{f"{name} hidden, known before": (path, (), {"headers": {"if-none-match": '"x"'}}) for name, path in hidden.items()},
        **{f"{name} hidden, as text": (path, (), {"headers": {"accept": "text/plain"}}) for name, path in hidden.items()},
        **{f"{name} hidden, a part": (path, (), {"headers": {"range": "bytes=0-9"}}) for name, path in hidden.items()},
        "studies": (studies_, patient, {}),
        "studies by form": (f"{studies_}/_search", (), {"form": patient}),
        "studies, first page": (studies_, {**patient, "_count": "1"}, {}),
        "studies by uid": (studies_, {**patient, "identifier": f"urn:dicom:uid|urn:oid:{HIDDEN}"}, {}),
        "rows of studies": ("/dicom-web/studies", (), json),
        "rows of series": ("/dicom-web/series", (), json),
        "rows of instances": ("/dicom-web/instances", (), json),
        "rows of the study": ("/dicom-web/studies", {"StudyInstanceUID": HIDDEN}, json),
        "series of the study": (f"{study}/series", (), json),
        "instances of the study": (f"{study}/instances", (), json),
        "instances of the series": (f"{study}{series}/instances", (), json),
        "the study": (study, (), stored),
        "the series": (f"{study}{series}", (), stored),
        "the instance": (f"{study}{series}{instance}", (), stored),
        "the instance alone": (f"{study}{series}{instance}", (), {"headers": {"accept": "application/dicom"}}),
        "the study in a form that is not given": (study, (), {"headers": {"accept": "image/jpeg"}}),
        "a part of the study": (study, (), {"headers": {**STORED, "range": "bytes=0-9"}}),
        "metadata of the study": (f"{study}/metadata", (), json),
        "metadata of the series": (f"{study}{series}/metadata", (), json),
        "metadata of the instance": (f"{study}{series}{instance}/metadata", (), json),
        "frames": (f"{study}{series}{instance}/frames/1", (), {"headers": {"accept": "*/*"}}),
        "a series of it in the shown study": (f"/dicom-web/studies/{SHOWN}{series}", (), stored),
    }  # fmt: skip


def told(made: World, reply: Reply) -> tuple[Any, ...]:
    """An answer without what is made new each time: ids by their order, our handle, tags, boundaries; lengths stay as they were."""
    text = reply.body.decode("latin-1")
    headers = sorted((name, value) for name, value in reply.headers.items() if name not in NEW_EACH_TIME)
    kept = "\n".join([text, *(f"{name}: {value}" for name, value in headers)])
    names: dict[str, str] = {made.handle: "HANDLE"}
    kept = re.sub(r"[0-9a-f]{32}|(?<![A-Za-z0-9+_-])[a-z2-7]{32}(?:[a-z2-7]{8})?(?![A-Za-z0-9+_-])",
                  lambda m: names.setdefault(m[0], f"ID-{len(names)}"), kept)  # fmt: skip
    kept = re.sub(r"sha256=[A-Za-z0-9_-]{43}", "sha256=LIST", kept)  # each border made a trust list of its own
    kept = re.sub(r"_cursor=[A-Za-z0-9_-]+", lambda m: f"_cursor={len(m[0])}", kept)
    return reply.status, len(reply.body), kept


async def pages(made: World, path: str) -> list[tuple[Any, ...]]:
    """A list page by page, by its own links."""
    found, query = [], {"patient": f"Patient/{made.handle}", "_count": "1"}
    for _ in range(12):
        reply = await made.ask(path, query)
        found.append(told(made, reply))
        further = next((link["url"] for link in reply.json().get("link", ()) if link["relation"] == "next"), None)
        if further is None:
            return found
        query = dict(parse_qsl(urlsplit(further).query))
    raise AssertionError("the list does not end")
