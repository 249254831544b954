"""A node's intake as its senders see it: a real listener with two senders, each with a token and a source of its own."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.archive.conftest import ISSUER, NOW, SANDBOX, Node, settings_in

from isthmus.archive.doors.api import Doors
from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.opening import hosts_of
from isthmus.archive.doors.senders import Senders
from isthmus.archive.queries import list_instances
from isthmus.config import Settings
from isthmus.sections import Intake, Sender
from isthmus.sources import Sources
from isthmus.storage.database import Database, open_index
from isthmus.transport.listeners import Listener
from isthmus.wire.packs.pack import load_pack

TOKENS = {"ct": "token-of-the-ct", "ris": "token-of-the-ris", "lab": "token-of-the-lab"}
SYSTEM = f"urn:oid:{ISSUER}"


def sender(name: str, source: str, **said: Any) -> Sender:
    return Sender(name=name, source=source, token=hashlib.sha256(TOKENS[name].encode()).hexdigest(), **said)


def with_intake(folder: Path, *senders: Sender, **said: Any) -> Settings:
    """Two sources of images, of two issuers, and two of reports."""
    settings = settings_in(folder)
    first = settings.sources.images[0]
    other = replace(first, name="lab", patient_issuer="2.999.4.9")
    sources = Sources(patients=settings.sources.patients, reports=(first, other), images=(first, other))
    listed = senders or (sender("ct", "archive"), sender("ris", "archive"), sender("lab", "lab"))
    return replace(settings, sources=sources, intake=Intake(senders=listed, **said))


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def uids(self, sequence: str = "00081199") -> list[str]:
        return [item["00081155"]["Value"][0] for item in self.json.get(sequence, {}).get("Value", [])]

    def reasons(self) -> list[str]:
        """Our words, of whatever is not simply stored."""
        items = [
            item for tag in ("00081199", "00081198", "0008119A") for item in self.json.get(tag, {}).get("Value", [])
        ]
        return [item["00091001"]["Value"][0] for item in items if "00091001" in item]


@dataclass
class Intakes(Node):
    """The node, and ways to send to it."""

    port: int = 0
    desk: Any = None
    lines: list[dict[str, Any]] = field(default_factory=list)

    def post(
        self,
        path: str,
        body: Any,
        content_type: str,
        *,
        sender: str | None = "ct",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        said = {"Content-Type": content_type, **(headers or {})}
        if sender is not None:
            said["Authorization"] = f"Bearer {TOKENS.get(sender, sender)}"
        return self.ask("POST", path, body, said)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def store(self, *files: bytes, study: str | None = None, sender: str | None = "ct", **said: Any) -> Reply:
        body, content_type = multipart(*files)
        path = "/dicom-web/studies" + (f"/{study}" if study is not None else "")
        return self.post(path, body, content_type, sender=sender, **said)

    def kept(self) -> list[Any]:
        return self.database.read_now(lambda connection: list_instances(connection, None, 0, 100_000))


def multipart(*files: bytes, boundary: str = "b0undary", media: str = "application/dicom") -> tuple[bytes, str]:
    head = f"\r\n--{boundary}\r\nContent-Type: {media}\r\n\r\n".encode()
    body = b"".join(head + file for file in files) + f"\r\n--{boundary}--\r\n".encode()
    return body, f'multipart/related; type="{media}"; boundary={boundary}'


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def running(settings: Settings, database: Database, **tls: Any) -> Iterator[Intakes]:
    """A listener in a thread with a loop of its own, until it is let go of."""
    port = free_port()
    assert settings.intake is not None
    desk = Desk(settings, database, lambda: NOW, load_pack(), SANDBOX)
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        assert settings.intake is not None
        doors = Doors(Senders(settings.intake.senders), desk, f"http://127.0.0.1:{port}/fhir")
        listener = Listener("intake", doors.app(hosts_of(f"http://127.0.0.1:{port}")), "127.0.0.1", port, **tls)
        await listener.start()
        loops.append(asyncio.get_running_loop())
        started.set()
        await stop.wait()
        await listener.stop(grace_s=0.5)
        await doors.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield Intakes(settings, database, port=port, desk=desk)
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Intakes]:
    settings = with_intake(tmp_path)
    database = open_index(settings)
    yield from running(settings, database)
    database.close()
