"""The faces as they run, in this process and with real credentials; what is asked of them over `requests` goes to the ASGI app."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from tests.archive.conftest import NOW
from tests.archive.doors.conftest import TOKENS, with_intake
from tests.country_b.local.conftest import Hospital, hospital_in
from tests.country_b.portal.fakes import PUBLIC, Browser
from urllib3 import HTTPResponse

from isthmus.archive.doors.api import Doors
from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.opening import hosts_of
from isthmus.archive.doors.senders import Senders
from isthmus.country_b.local.ohif import ohif_app
from isthmus.demo.reports import reports
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.queries import ImagesQuery
from isthmus.operations.health import operations_app
from isthmus.sandbox import Sandbox
from isthmus.storage.database import open_index
from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import CT, SEEN, Register, fill
from isthmus.wire.packs.pack import load_pack

T = TypeVar("T")
DEADLINE_S = 10.0
SERVICES = ("imaging-report", "imaging-manifest", "imaging-pixels", "imaging-metadata")
REPORT = "ct-eleni"


@dataclass
class Face:
    """One app; `words` is what stands for the words of its description, `credentials` what its asker holds."""

    app: Any
    loop: asyncio.AbstractEventLoop
    at: str
    words: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    bare: Mapping[str, str] = field(default_factory=dict)  # what also an asker without credentials sends
    extensions: Mapping[str, Any] = field(default_factory=dict)
    untold: tuple[str, ...] = ()  # what no refusal may say
    spent: Callable[[str, int], Awaitable[Mapping[str, str]] | None] = lambda path, status: (
        None
    )  # the credentials, by what was asked
    close: Callable[[], Awaitable[None]] | None = None

    def run(self, asked: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asked)

    def session(self, *, trusted: bool) -> requests.Session:
        """A session whose requests are asked of the face, with its credentials or without."""
        made = requests.Session()
        made.trust_env = False
        made.headers.clear()
        made.mount("http://", _Wire(self, trusted=trusted))
        return made


class _Wire(HTTPAdapter):
    """A line that leads to an ASGI app."""

    def __init__(self, face: Face, *, trusted: bool) -> None:
        super().__init__()
        self.face, self.trusted = face, trusted

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        face = self.face
        request.url = self._said(request.url or "")
        parts = urlsplit(request.url)
        body: Any = request.body or b""
        posted = self._said(body if isinstance(body, str) else body.decode("latin-1")).encode("latin-1")
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers |= {"host": urlsplit(face.at).netloc, "content-length": str(len(posted))} | dict(face.bare)
        headers |= dict(face.credentials) if self.trusted else {}
        path = parts.path or "/"
        scope = {
            "type": "http", "http_version": "1.1", "scheme": "http", "method": request.method, "path": path, "raw_path": path.encode(),
            "query_string": parts.query.encode(), "client": ("127.0.0.1", 1), "extensions": face.extensions,
            "headers": [(name.encode(), value if isinstance(value, bytes) else value.encode("latin-1")) for name, value in headers.items()],
        }  # fmt: skip
        reply = face.run(asyncio.wait_for(_spoken(face.app, scope, posted), DEADLINE_S))
        if self.trusted and (renewed := face.spent(path, reply.status)) is not None:
            face.credentials = face.run(renewed)
        raw = HTTPResponse(io.BytesIO(reply.body), reply.headers, reply.status, preload_content=False)
        return self.build_response(request, raw)

    def _said(self, text: str) -> str:
        for word, value in self.face.words.items():
            if word in text:
                text = text.replace(word, quote(value(), safe=""))
        return text


async def _spoken(app: Any, scope: dict[str, Any], body: bytes) -> Reply:
    """One exchange; an app that raises lets it through."""
    asked, said = [{"type": "http.request", "body": body, "more_body": False}], list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        if asked:
            return asked.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode("latin-1") for name, value in said[0]["headers"]}
    return Reply(said[0]["status"], headers, b"".join(bytes(m.get("body", b"")) for m in said[1:]))


def _untold(patient: Patient) -> tuple[str, ...]:
    """What a refusal does not say of somebody, as bytes would have it."""
    return (patient.identifier.value, patient.name.family, patient.name.given[0], patient.birth_date)


class _Describing(Register):
    """A register that has metadata ready."""

    async def get_metadata(self, patient: PatientIdentifier, query: ImagesQuery) -> bytes:
        instances = await self.get_images(patient, query)
        return gzip.compress(
            orjson.dumps([{"00080018": {"vr": "UI", "Value": [i.sop_instance_uid]}} for i in instances])
        )


async def border_face(folder: Path) -> Face:
    """The border, asked by a country that holds a token for a patient."""
    border = await PracticeBorder(folder / "practice", requests_per_s=100_000, register=_Describing()).__aenter__()
    fill(border.register, folder)
    border.offer(*SERVICES)
    token, handle = await border.care(SEEN)
    listed = await border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})
    urls = [entry["content"][0]["attachment"]["url"] for entry in listed.entries]
    report, binary = (next(u.rpartition("/")[2] for u in urls if f"/{kind}/" in u) for kind in ("Bundle", "Binary"))
    studies = await border.ask("/fhir/ImagingStudy", token=token, query={"patient": handle})

    def assertion() -> str:
        return parse_qs(border.bb.request().decode())["client_assertion"][0]

    constant = {
        "the-person": handle, "the-study": CT, "the-series": f"{CT}.1", "the-instance": f"{CT}.1.1", "the-report": report,
        "the-issued": binary, "the-manifest": urls[-1].rpartition("/")[2], "the-listed": studies.entries[0]["id"],
    }  # fmt: skip
    words: dict[str, Callable[[], str]] = {name: partial(str, value) for name, value in constant.items()}
    chain = {"tls": {"client_cert_chain": [DER_cert_to_PEM_cert(border.bb.certificate)]}}
    return Face(
        border.app, asyncio.get_running_loop(), "http://127.0.0.1:8711", words | {"the-assertion": assertion},
        {"authorization": f"Bearer {token}"}, {}, chain, _untold(SEEN), close=border.__aexit__,
    )  # fmt: skip


async def _visited(folder: Path) -> tuple[Hospital, dict[str, str]]:
    """A hospital whose country has a study and a report of one person; and what stands for the words of the description."""
    hospital = hospital_in(folder)
    country, patient = hospital.portal.country, reports()[REPORT].patient
    country.with_report(REPORT)
    issued = country.with_report(REPORT, id="issued", kind=DocumentKind.REPORT_PDF, media_type="application/pdf")
    study = country.with_study(patient)
    return hospital, {
        "the-study": study.study_instance_uid, "the-series": study.series_instance_uid(0), "the-instance": study.sop_instance_uid(0),
        "the-report": REPORT, "the-manifest": "manifest-0", "the-issued": issued.id,
        "the-listed": study.study_instance_uid, "the-person": patient.identifier.value,
        "the-birth-date": patient.birth_date,
        "the-family": patient.name.family,
    }  # fmt: skip


class _Person:
    """A professional at the screen, who signs in again when the session or the visit ended."""

    def __init__(self, hospital: Hospital, words: Mapping[str, str]) -> None:
        self.hospital = hospital
        self.known = dict(words)
        self.browser: Browser = hospital.browser()

    async def visit(self) -> Mapping[str, str]:
        self.browser, visit = await self.hospital.visit(reports()[REPORT].patient)
        token = re.search(
            r'name="page-token" value="([0-9a-f]*)"', (await self.browser.get(f"{visit}/examinations")).text
        )
        self.known |= {"the-visit": visit.rpartition("/")[2], "the-page-token": token[1] if token else ""}
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items())}

    def spent(self, path: str, status: int) -> Awaitable[Mapping[str, str]] | None:
        ended = path in ("/sign-in", "/sign-out") or path.endswith("/close")
        return self.visit() if ended and status == 303 else None

    def words(self) -> dict[str, Callable[[], str]]:
        return {name: partial(self.known.__getitem__, name) for name in self.known}


async def portal_face(folder: Path) -> Face:
    """The pages, before somebody signed in and in a visit."""
    hospital, words = await _visited(folder)
    person = _Person(hospital, words)
    cookies = await person.visit()
    return Face(
        hospital.app, asyncio.get_running_loop(), PUBLIC, person.words(), cookies, {"origin": PUBLIC, "accept-language": "en"},
        untold=_untold(reports()[REPORT].patient), spent=person.spent, close=_closing(hospital),
    )  # fmt: skip


async def visit_face(folder: Path) -> Face:
    """The service of a visit, asked with the token of a program."""
    hospital, words = await _visited(folder)
    person = _Person(hospital, words)
    await person.visit()
    asked = await hospital.token(person.browser, f"/visits/{person.known['the-visit']}")
    token = orjson.loads(asked.body)["access_token"]
    held = {
        "authorization": f"Bearer {token}",
        "cookie": "; ".join(f"{n}={v}" for n, v in person.browser.cookies.items()),
    }
    return Face(
        hospital.app, asyncio.get_running_loop(), PUBLIC, person.words(), held, {"origin": PUBLIC},
        untold=_untold(reports()[REPORT].patient), close=_closing(hospital),
    )  # fmt: skip


def _closing(hospital: Hospital) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        hospital.portal.desk.sandbox.close()
        hospital.close()

    return close


async def ohif_face(folder: Path) -> Face:
    """The files of a viewer; there are no credentials."""
    for name, content in (
        ("index.html", "<!doctype html><title>OHIF</title>"),
        ("app.js", "1"),
        ("app-config.js", "2"),
    ):
        (folder / name).write_text(content)
    return Face(ohif_app(folder, "http://127.0.0.1:8702"), asyncio.get_running_loop(), "http://127.0.0.1:8702")


async def operations_face(folder: Path) -> Face:
    async def holds() -> None:
        return None

    app = operations_app(frozenset({"127.0.0.1:8701"}), {"database": holds})
    return Face(app, asyncio.get_running_loop(), "http://127.0.0.1:8701")


async def intake_face(folder: Path) -> Face:
    """The listener at which a source's own systems bring what is new."""
    settings = with_intake(folder)
    database, at, sandbox = open_index(settings), "http://127.0.0.1:8721", Sandbox()
    assert settings.intake is not None
    desk = Desk(settings, database, lambda: NOW, load_pack(), sandbox)
    doors = Doors(Senders(settings.intake.senders), desk, f"{at}/fhir")

    async def close() -> None:
        await doors.close()
        sandbox.close()
        database.close()

    held = {"authorization": f"Bearer {TOKENS['ct']}"}
    words = {"the-study": partial(str, "2.25.10")}
    return Face(doors.app(hosts_of(at)), asyncio.get_running_loop(), at, words, held, close=close)


OPENED: Mapping[str, Callable[[Path], Awaitable[Face]]] = {
    "border": border_face, "intake": intake_face, "portal": portal_face, "visit": visit_face, "ohif": ohif_face, "operations": operations_face,
}  # fmt: skip


@contextlib.contextmanager
def running(folder_of: Callable[[str], Path]) -> Iterator[Callable[[str], Face]]:
    """The faces by name, opened when first asked."""
    loop, opened = asyncio.new_event_loop(), dict[str, Face]()

    def face(name: str) -> Face:
        if name not in opened:
            opened[name] = loop.run_until_complete(OPENED[name](folder_of(name)))
        return opened[name]

    try:
        yield face
    finally:
        for one in opened.values():
            if one.close is not None:
                loop.run_until_complete(one.close())
        loop.close()
