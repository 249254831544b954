"""A country of the list that answers as it is told: with its true key, over real TLS, and nothing else that can be relied on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from tests.wire.made import MANIFEST, MANIFEST_ENTRY

from isthmus.audit.account import Exchange
from isthmus.country_b.visit import new_visit
from isthmus.demo.nodes import Demo, Ports
from isthmus.ground import Ground, speak_for
from isthmus.model.context import PointOfCare, Purpose
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import DocumentQuery, Page
from isthmus.sandbox import Sandbox
from isthmus.signin.accounts import practice_entries, write_accounts
from isthmus.testing.studies import CT_IMAGE, SyntheticStudy
from isthmus.testing.two_countries import Asking, CountryB
from isthmus.transport.outbound import Deadlines, Outbound
from isthmus.trust import pki
from isthmus.trust.certificates import client_context
from isthmus.trust.settings_text import CountryPorts
from isthmus.wire.documents import write_found
from isthmus.wire.manifests import write_manifest
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.patients import write_found as write_person
from isthmus.wire.tokens import CARE_SCOPES, write_token

PACK = load_pack()
SHE = Patient(PatientIdentifier("urn:oid:2.999.1.2.1", "1234567890"), (HumanName("Practice", ("Paula",)),), "1970-02-03", "female")  # fmt: skip
ANOTHER = Patient(PatientIdentifier("urn:oid:2.999.1.2.1", "9999999999"), (HumanName("Stranger", ("Sam",)),), "1930-12-24", "male")  # fmt: skip
STUDY = SyntheticStudy(seed=7, patient=SHE, instances=3, rows=8, columns=8)
HANDLE, BOUNDARY = "handle-1", "0123456789abcdef"
SHORT = Deadlines(connect_s=1.0, first_byte_s=0.5, idle_s=0.5)

Writing = Callable[[asyncio.StreamWriter], Awaitable[None]]
Told = bytes | Writing


def http(
    body: bytes, media_type: str = "application/fhir+json", *, status: int = 200, headers: Mapping[str, str] | None = None
) -> bytes:  # fmt: skip
    told = {"Content-Type": media_type, "Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body


def part(content: bytes, *, digest: bytes | None = None, more: str = "") -> bytes:
    """One part of a multipart body, with its delimiter before it."""
    said = b64encode(digest or hashlib.sha256(content).digest()).decode()
    return f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\nContent-Digest: sha-256=:{said}:\r\n{more}\r\n".encode() + content  # fmt: skip


def multipart(*parts: bytes, closing: bool = True) -> bytes:
    body = b"".join(parts) + (f"\r\n--{BOUNDARY}--\r\n".encode() if closing else b"")
    return http(body, f'multipart/related; type="application/dicom"; boundary={BOUNDARY}')


def instance(number: int, study: SyntheticStudy = STUDY) -> bytes:
    return b"".join(study.pieces(number))


def manifest_of(study: SyntheticStudy, patient: Patient = SHE, **changes: Any) -> Manifest:
    instances = tuple(Instance(study.sop_instance_uid(n), CT_IMAGE, n + 1) for n in range(study.instances))
    described = Study(study.study_instance_uid, patient, (Series(study.series_instance_uid(0), "CT", instances, 1),))
    return replace(MANIFEST, study=described, endpoint_address=None, **changes)


@dataclass
class EvilCountry:
    """Country AA, in this process. `says` is what it answers, by question; all of it right until a test changes it."""

    folder: Path
    base: str = ""
    says: dict[str, Told] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)  # request lines
    cookies: list[str] = field(default_factory=list)
    heard_bytes: int = 0

    def right(self) -> None:
        """Answer as a good country would."""
        care = write_token("token-of-evil", 300, " ".join(CARE_SCOPES), HANDLE)
        person = replace(SHE, handle=HANDLE)
        link = f"{self.base}/fhir/Patient"
        self.says = {
            "token": http(care, "application/json"),
            "patients": http(write_person(person, several=False, self_link=link, base=f"{self.base}/fhir", pack=PACK)),
            "list": http(orjson.dumps(self.listed())),
            "document": http(write_manifest(manifest_of(STUDY), PACK)),
            "images": multipart(*(part(instance(number)) for number in range(STUDY.instances))),
        }

    def listed(self) -> dict[str, Any]:
        """A list of the one manifest, to be changed before it is sent."""
        entry = replace(MANIFEST_ENTRY, study_instance_uids=(STUDY.study_instance_uid,), url=f"{self.base}/fhir/Bundle/b-manifest", twin=None)  # fmt: skip
        found: dict[str, Any] = orjson.loads(
            write_found(Page((entry,), 1), DocumentQuery(), base=f"{self.base}/fhir", handle=HANDLE, pack=PACK)
        )
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(20):
                await self._answer(reader, writer)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = await reader.readexactly(1)
            self.heard_bytes += 1
            head += byte
        lines = head.decode("latin-1").split("\r\n")
        self.heard.append(lines[0])
        self.cookies += [line for line in lines if line.lower().startswith("cookie:")]
        length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
        await reader.readexactly(length)
        told = self.says[_question(lines[0].split(" ")[1])]
        if isinstance(told, bytes):
            writer.write(told)
        else:
            await told(writer)
        await writer.drain()


def _question(path: str) -> str:
    for start, name in (
        ("/oauth/token", "token"),
        ("/fhir/Patient", "patients"),
        ("/fhir/DocumentReference", "list"),
        ("/fhir/Bundle/", "document"),
        ("/fhir/Binary/", "document"),
        ("/dicom-web/", "images"),
    ):
        if path.startswith(start):
            return name
    raise AssertionError(f"B asked for something else: {path}")


@dataclass
class Bait:
    """A listener that nobody must ever reach."""

    port: int = 0
    connections: int = 0

    def touched(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


class Stage:
    """Country BB as it is, and an evil Country AA."""

    def __init__(self, folder: Path, evil: EvilCountry, bait: Bait) -> None:
        self.folder, self.evil, self.bait = folder, evil, bait
        demo = Demo(folder, Ports(0, {}), lambda words: None)
        self.b = CountryB("BB", demo)

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[Asking]:
        """Country B with short deadlines, its professional at work."""
        ground = Ground.open(self.b.settings)
        outbound, sandbox = Outbound(ground.steady(client_context), deadlines=SHORT), Sandbox()
        ground.trail.start()
        try:
            professional = replace(speak_for(self.b.settings, "radiologist"), session="s")
            client = ground.client(outbound, sandbox)
            yield Asking(
                client, new_visit(professional, PointOfCare("p", "Hospital", "BB"), Purpose.TREAT, client.clock())
            )
        finally:
            await outbound.close()
            await asyncio.to_thread(sandbox.close)
            await asyncio.to_thread(ground.trail.stop)
            ground.state.close()

    @contextlib.asynccontextmanager
    async def visit(self) -> AsyncIterator[Asking]:
        async with self.asking() as visit:
            await visit.find(SHE)
            visit.confirm()
            yield visit

    def last(self) -> Exchange:
        """The newest record of Country B."""
        return self.b.exchanges(1)[0]


@contextlib.asynccontextmanager
async def staged(
    folder: Path, *, certificate: Callable[[Path], tuple[Path, Path]] | None = None
) -> AsyncIterator[Stage]:
    """`certificate` gives another certificate and key than AA's own."""
    evil, bait = EvilCountry(folder), Bait()
    server = await asyncio.start_server(evil.serve, "127.0.0.1", 0, start_serving=False)
    port = server.sockets[0].getsockname()[1]
    ports = {"AA": CountryPorts(port, port), "BB": CountryPorts(1, 1)}
    pki.init(folder, countries=("AA", "BB"), ports=ports, now=datetime.now(UTC))
    write_accounts(folder / "bb" / "accounts.toml", practice_entries()[:1])
    pem, key = (certificate or _own)(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(pem, key)
    sockets = [sock.dup() for sock in server.sockets]
    server.close()
    secured = await asyncio.start_server(evil.serve, sock=sockets[0], ssl=context)
    evil.base = f"https://127.0.0.1:{port}"
    evil.right()
    lure = await asyncio.start_server(bait.touched, "127.0.0.1", 0)
    bait.port = lure.sockets[0].getsockname()[1]
    try:
        yield Stage(folder, evil, bait)
    finally:
        for each in (secured, lure):
            each.close()


def _own(folder: Path) -> tuple[Path, Path]:
    return folder / "aa" / "keys" / "tls.pem", folder / "aa" / "keys" / "tls.key"
