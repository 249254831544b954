"""What every part of a node, and every command, stands on: state, keys, trust list, trail.

`asking` is Country B for a command. Nothing here listens: that is `app.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from isthmus.audit.trail import Trail
from isthmus.config import Settings
from isthmus.consent.emergency import Emergencies
from isthmus.country_b.client import Client
from isthmus.country_b.receipts import Receipts
from isthmus.errors import SettingsProblem, TrustListStale
from isthmus.model.people import HealthProfessional
from isthmus.operations.watching import floor_of
from isthmus.sandbox import Sandbox
from isthmus.signin.opening import accounts_of
from isthmus.storage.database import Database, open_state
from isthmus.storage.sealed import MasterKey
from isthmus.transport.outbound import Outbound
from isthmus.trust.certificates import client_context
from isthmus.trust.directory import Directory, Floor
from isthmus.trust.turnover.own import Own, state_of


def now() -> datetime:
    """The node's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Ground:
    """What every part of a node stands on."""

    settings: Settings
    state: Database
    master: MasterKey
    directory: Directory
    trail: Trail
    floor: Floor | None  # the newest trust list that the trail knows of

    @classmethod
    def open(cls, settings: Settings) -> Ground:
        state = open_state(settings)
        master = MasterKey.load(settings.path(settings.keys.env))
        floor = floor_of(state, master)
        directory = Directory(settings, state, now, floor)
        directory.refresh()
        return cls(settings, state, master, directory, Trail(state, master, now, settings.folder), floor)

    def client(self, outbound: Outbound, sandbox: Sandbox) -> Client:
        """Country B's way out, with this node's keys."""
        return Client(
            self.settings, self.directory, self.trail, outbound, own=Own(self.settings), clock=now, sandbox=sandbox,
            emergencies=Emergencies(self.state, self.master, now),
        )  # fmt: skip

    def outbound(self) -> Outbound:
        """The way to other countries; in production to addresses of the open internet alone. Source: trust.md §2.8."""
        return Outbound(self.steady(client_context), public_only=self.settings.env == "prod")

    def steady(self, make: Callable[[Settings, Directory], ssl.SSLContext]) -> Callable[[], ssl.SSLContext]:
        """One TLS context while the list's authorities and our certificate are the same; connections are pooled by it.

        When the list has run out the last context still shakes hands: what follows is refused in words, by the gate. So it does
        while a certificate that was replaced does not fit its key: the other file is about to be replaced too.
        """
        keys = self.settings.keys
        files = [self.settings.path(name) for name in (keys.tls_certificate, keys.tls_key)]
        held: dict[tuple[object, ...], ssl.SSLContext] = {}

        def context() -> ssl.SSLContext:
            try:
                authorities = self.directory.current.tls_ca
            except TrustListStale:
                if not held:
                    raise
                return next(iter(held.values()))
            state = (authorities, *(state_of(file) for file in files))
            if state not in held:
                try:
                    made = make(self.settings, self.directory)
                except SettingsProblem:
                    if not held or next(iter(held))[0] != authorities:
                        raise
                    return next(iter(held.values()))
                held.clear()
                held[state] = made
            return held[state]

        return context


def speak_for(settings: Settings, login: str) -> HealthProfessional:
    """The professional behind `--as`: a stand-in for sign-in. Raises InsufficientRights, SettingsProblem outside demo and test."""
    return accounts_of(settings).speak_for(login, now())


@contextlib.asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[Client]:
    """Country B for a command: its keys, its trail, its way out. The node itself need not run."""
    ground = Ground.open(settings)
    outbound, sandbox = ground.outbound(), Sandbox()
    watching = asyncio.create_task(ground.directory.watch())  # a study takes its time; who it comes from may change
    try:
        ground.trail.start()
        client = ground.client(outbound, sandbox)
        yield client
        await Receipts(client, ground.state, ground.master).settle()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await outbound.close()
        await asyncio.to_thread(sandbox.close)
        await asyncio.to_thread(ground.trail.stop)
        ground.state.close()
