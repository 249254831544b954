"""The ways in that the settings ask for, as a node runs them: listeners, what goes on beside them, and how they end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from isthmus.archive.cstore import CStore
from isthmus.archive.doors.api import Doors
from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.drop import watchers
from isthmus.archive.doors.senders import Senders
from isthmus.config import Settings
from isthmus.sandbox import Sandbox
from isthmus.sections import Intake
from isthmus.storage.database import Database
from isthmus.transport.listeners import Listener, Listening
from isthmus.trust.certificates import intake_context
from isthmus.wire.packs.pack import load_pack


@dataclass(frozen=True)
class Opened:
    """What `app.py` runs."""

    listeners: list[Listening]
    beside: list[Callable[[], Awaitable[None]]]
    close: Callable[[], Awaitable[None]]


def open_doors(settings: Settings, index: Database, sandbox: Sandbox, clock: Callable[[], datetime]) -> Opened:
    """Raises SettingsProblem when the settings have no [intake], or a certificate or a folder of it is not there."""
    intake = settings.intake or Intake()
    desk = Desk(settings, index, clock, load_pack(), sandbox)
    listeners: list[Listening] = []
    doors: Doors | None = None
    if intake.port:
        public = intake.public or f"{'https' if intake.tls else 'http'}://{intake.host}:{intake.port}"
        doors = Doors(Senders(intake.senders), desk, f"{public.rstrip('/')}/fhir")
        tls = _context(settings, intake) if intake.tls else None
        listeners.append(Listener("intake", doors.app(hosts_of(public)), intake.host, intake.port, tls=tls))
    if intake.dimse.port:
        listeners.append(_Dimse(CStore(settings, desk)))

    async def close() -> None:
        if doors is not None:
            await doors.close()
        await asyncio.to_thread(desk.close)

    return Opened(listeners, [desk.offers.keep_up, *(watcher.watch for watcher in watchers(settings, desk))], close)


class _Dimse:
    """The DIMSE port among the listeners."""

    name = "intake (DIMSE)"

    def __init__(self, cstore: CStore) -> None:
        self._cstore = cstore

    async def start(self) -> int:
        return await asyncio.to_thread(self._cstore.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._cstore.stop)


def _context(settings: Settings, intake: Intake) -> Callable[[], ssl.SSLContext]:
    """One TLS context for as long as its files are the same; new ones serve every new handshake."""
    certificate, key, authority = (
        settings.path(name) for name in (intake.tls_certificate, intake.tls_key, intake.tls_authority)
    )
    held: dict[tuple[int, ...], ssl.SSLContext] = {}

    def context() -> ssl.SSLContext:
        state = tuple(_changed(file) for file in (certificate, key, authority))
        if state not in held:
            made = intake_context(certificate, key, authority, settings.env)
            held.clear()
            held[state] = made
        return held[state]

    return context


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def hosts_of(public: str) -> frozenset[str]:
    """What a Host header may say: with the port and, where that is the scheme's own, without."""
    parts = urlsplit(public)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    names = {parts.hostname or "", *(("localhost",) if parts.hostname == "127.0.0.1" else ())}
    return frozenset(host for name in names for host in (f"{name}:{port}", name))
