"""Where everything meets: settings → adapters → listeners and what runs beside them. `run_node` is a whole node; what it stands on,
and a command too, is `ground.py`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from isthmus.config import Settings
from isthmus.country_b.receipts import Receipts
from isthmus.country_b.spool import Spool
from isthmus.country_b.visit import Visits
from isthmus.errors import AuditUnavailable, IsthmusError, SettingsProblem
from isthmus.ground import Ground, now
from isthmus.operations.emergencies import Duties
from isthmus.operations.watching import Watch
from isthmus.sandbox import Sandbox
from isthmus.storage.database import Database, open_index
from isthmus.telemetry import set_up
from isthmus.transport.inbound import Inbound, origin_of
from isthmus.transport.listeners import Listener, Listening
from isthmus.trust.certificates import server_context

if TYPE_CHECKING:
    from isthmus.country_a.log import Log
    from isthmus.country_b.flights import Flights
    from isthmus.country_b.recent import Recent

LOG = logging.getLogger("isthmus")
SWEEP_S = 30
MIB = 1 << 20


class Node:
    """A node while it runs: its listeners, and what goes on beside them."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.sandbox = Sandbox()  # one for the whole node: no child before something is to be decoded
        self.listeners: list[Listening] = []
        self._round = ground.outbound()
        watch = Watch(ground.settings, ground.directory, ground.trail, self._round, now, ground.floor)
        self._watch = watch
        duties = Duties.of(ground.settings, ground.state, ground.master, ground.trail, now)
        self.beside: list[Callable[[], Awaitable[None]]] = [ground.directory.watch, watch.keep, duties.keep]
        self._closing: list[Callable[[], Awaitable[None]]] = [self._round.close]
        self._index: Database | None = None
        self.log: Log | None = None

    def mount(self) -> None:
        """Make the listeners that the settings ask for. Raises SettingsProblem when there is none, or one is not allowed."""
        settings = self.ground.settings
        if settings.border is not None:
            self._mount_border()
        if settings.portal is not None:
            self._mount_portal()
        if settings.intake is not None:
            self._mount_intake()
        if not self.listeners:
            raise SettingsProblem("the settings have neither [border] nor [portal]: nothing to serve", key="border")
        self._hand_on()
        if settings.operations is not None:
            self._mount_operations()

    @property
    def index(self) -> Database:
        """The archive's index, opened by whoever needs it first."""
        if self._index is None:
            self._index = open_index(self.ground.settings)
        return self._index

    def _mount_border(self) -> None:
        from isthmus.consent.directives import Directives
        from isthmus.country_a.api import border_app

        settings, ground = self.ground.settings, self.ground
        assert settings.border is not None  # asked before
        national = None
        if settings.answers:
            from isthmus.archive.corrections.ledger import keep_up
            from isthmus.national.opening import open_sources

            national = open_sources(settings, self.index, now)
            self.beside.append(partial(keep_up, self.index, ground.trail, settings.ncp_id))
            self._closing.append(national.close)
            if (citizen := settings.citizen) is not None:
                from isthmus.country_a.citizen.opening import open_citizen

                own = open_citizen(settings, ground.directory, ground.trail, ground.state, ground.master, national, now)
                self.listeners.append(Listener("citizen", own, citizen.host, citizen.port, tls=None))
        app = border_app(
            settings=settings,
            directory=ground.directory,
            trail=ground.trail,
            state=ground.state,
            master=ground.master,
            directives=Directives.of_settings(settings, ground.state, now),
            sandbox=self.sandbox,
            national=national,
            clock=now,
            log=self._open_log(),
        )
        border = settings.border
        tls, stays = ground.steady(server_context), ground.directory.may_stay
        self.listeners.append(Listener("border", app, border.host, border.port, tls=tls, may_stay=stays))

    def _open_log(self) -> Log | None:
        """The log's desk, and the rounds that show it to the peers."""
        from isthmus.country_a.log import Log

        ground = self.ground
        self.log = Log.open(ground.settings, ground.state, ground.master, ground.trail, ground.directory, now)
        if self.log is not None:
            rounds = self.log.rounds(self._round)
            self.beside.append(rounds.watch)
            self._watch.more.append(rounds.alarming)
        return self.log

    def _mount_portal(self) -> None:
        from isthmus.country_b.flights import Flights
        from isthmus.country_b.local.access import Access
        from isthmus.country_b.local.app import Doors, local_app
        from isthmus.country_b.local.asked import Local
        from isthmus.country_b.local.holdings import Holdings
        from isthmus.country_b.local.ohif import ohif_app
        from isthmus.country_b.portal.app import portal_app
        from isthmus.country_b.recent import Recent
        from isthmus.country_b.verbs import Verbs
        from isthmus.signin.away import Away
        from isthmus.signin.opening import open_providers, sessions_of
        from isthmus.signin.sessions import cookie_name
        from isthmus.terminology.designations import Dictionary

        settings, ground = self.ground.settings, self.ground
        assert settings.portal is not None  # asked before
        providers = open_providers(settings, ground.state, ground.master, now)
        outbound, dictionary = ground.outbound(), Dictionary(settings)
        self._closing += [outbound.close, dictionary.close, *(each.close for each in providers.values())]
        visits = Visits(ground.state, ground.master, now)
        spool = Spool(
            settings.path(settings.spool.folder), ground.state, ground.master, now, settings.spool.limit_mib * MIB
        )
        client, sessions = ground.client(outbound, self.sandbox), sessions_of(settings, ground.state, now)
        if self.log is not None:
            client.shown = self.log.shown
        receipts, recent = Receipts(client, ground.state, ground.master), Recent(now)
        verbs = replace(Verbs.of(client), looked_again=receipts.looked_again)
        flights = Flights(verbs, spool, settings.limits.parallel_images)
        ohif = settings.ohif

        def local(public: str, cookie: str | None) -> Inbound:
            """The service for other programs at one address."""
            viewer = origin_of(ohif.public) if ohif is not None else None
            access = Access(ground.state, sessions, visits, ground.trail, now, public=public, cookie=cookie)
            holdings = Holdings(verbs, flights, recent)
            return local_app(Local(access, holdings, ground.directory, spool, self.sandbox, public, now, viewer))

        portal = settings.portal
        cookie = cookie_name(settings.country, portal.public)
        pages = portal_app(
            settings, client, verbs, sessions, providers, Away(ground.master, cookie, now), visits, spool, flights, recent,
            sandbox=self.sandbox, credits=_credits(settings), dictionary=dictionary, clock=now,
        )  # fmt: skip
        app = Doors(local(origin_of(portal.public), cookie), pages)
        self.listeners.append(Listener("portal", app, portal.host, portal.port, tls=None))
        if ohif is not None:
            viewer = Doors(local(origin_of(ohif.public), None), ohif_app(settings.path(ohif.folder), ohif.public))
            self.listeners.append(Listener("ohif", viewer, ohif.host, ohif.port, tls=None))
        self.beside += [partial(_sweep, visits, flights, recent, spool), receipts.watch]

    def _mount_intake(self) -> None:
        from isthmus.archive.doors.opening import open_doors

        opened = open_doors(self.ground.settings, self.index, self.sandbox, now)
        self.listeners += opened.listeners
        self.beside += opened.beside
        self._closing.append(opened.close)

    def _hand_on(self) -> None:
        """The trail to the national repositories of the settings, and what it held of people to nobody once its term is over."""
        from isthmus.audit.forward import open_outboxes
        from isthmus.audit.retention import Retention

        ground = self.ground
        self.beside.append(Retention(ground.state, ground.trail, ground.master, ground.settings.audit, now).run)
        for outbox, repository in open_outboxes(ground.settings, ground.state, ground.master, ground.directory, now):
            self.beside.append(partial(outbox.run, ground.settings.folder))
            self._watch.more.append(outbox.alarms)
            self._closing.append(repository.close)

    def _mount_operations(self) -> None:
        from isthmus.operations.health import operations_app

        operations = self.ground.settings.operations
        assert operations is not None  # asked before
        hosts = frozenset({f"{operations.host}:{operations.port}", operations.host, f"localhost:{operations.port}"})
        app = operations_app(hosts, {"database": self._database, "trust-list": self._trust, "audit": self._audit})
        self.listeners.append(Listener("operations", app, operations.host, operations.port, tls=None))

    async def _database(self) -> None:
        await self.ground.state.read(lambda c: c.exec_driver_sql("SELECT 1").scalar())

    async def _trust(self) -> None:
        _ = self.ground.directory.current

    async def _audit(self) -> None:
        if not self.ground.trail.healthy:
            raise AuditUnavailable("the trail cannot be written")
        if self.log is not None:
            self.log.check()

    async def run(self, stop: asyncio.Event, said: Callable[[str], object] = LOG.info) -> None:
        """Serve until told to stop; then let what runs end, within seconds. `said` is told of each listener that is ready."""
        self.ground.trail.start()
        tasks: list[asyncio.Task[None]] = []
        try:
            for listener in self.listeners:
                port = await listener.start()
                said(f"{listener.name} listens on port {port}")
            tasks = [asyncio.create_task(_kept_running(work)) for work in self.beside]
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*(listener.stop() for listener in self.listeners), return_exceptions=True)
            await asyncio.gather(*tasks, return_exceptions=True)
            for close in self._closing:
                await close()
            await asyncio.to_thread(self.sandbox.close)
            await asyncio.to_thread(self.ground.trail.stop)
            self.ground.state.close()
            if self._index is not None:
                self._index.close()


def _credits(settings: Settings) -> list[str]:
    """The attributions that the portal shows."""
    portal = settings.portal
    return (
        settings.path(portal.credits).read_text("utf-8").splitlines() if portal is not None and portal.credits else []
    )


async def _sweep(visits: Visits, flights: Flights, recent: Recent, spool: Spool) -> None:
    """What was on its way, in memory or spooled for visits that ended goes."""
    while True:
        ended = await visits.ended()
        flights.forget(*ended)
        recent.forget(*ended)
        await spool.forget(*ended)
        await spool.sweep()
        await asyncio.sleep(SWEEP_S)


async def _kept_running(work: Callable[[], Awaitable[None]]) -> None:
    """What runs beside the listeners goes on after a fault; the fault is said."""
    while True:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            name = getattr(work, "__qualname__", "work")
            why = f": {fault}" if isinstance(fault, IsthmusError) else ""  # ours name no patient
            LOG.error("%s stopped with %s%s; it is started again", name, type(fault).__name__, why)
        await asyncio.sleep(1)


async def run_node(
    settings: Settings, *, until: Callable[[], Awaitable[None]] | None = None, said: Callable[[str], object] = LOG.info
) -> None:
    """Run a node until SIGINT or SIGTERM, or until `until` is done."""
    set_up()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, stop.set)
    node = Node(Ground.open(settings))
    node.mount()
    waiting = asyncio.ensure_future(until()) if until is not None else None
    if waiting is not None:
        waiting.add_done_callback(lambda _: stop.set())
    try:
        await node.run(stop, said)
    finally:
        if waiting is not None:
            waiting.cancel()
