"""The trail handed to national repositories, on real sockets: in order, until they have it, whatever breaks in between."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import select
from tests.audit.receivers import FhirReceiver, SyslogReceiver, free_port, wait_for
from tests.engines.hapi.server import hapi

from isthmus.audit.atna.event import Site
from isthmus.audit.events import Intent, Note, Outcome
from isthmus.audit.forward import forwarded_to, open_outbox
from isthmus.audit.trail import Trail
from isthmus.config import Settings, read_settings
from isthmus.errors import SettingsProblem, Unavailable
from isthmus.model.identifiers import PatientIdentifier
from isthmus.sections import Forward
from isthmus.storage.database import Database, open_state
from isthmus.storage.schema.audit_forward import audit_aside, audit_position
from isthmus.storage.sealed import MasterKey

MASTER = MasterKey(bytes(range(32)))
SITE = Site("AA", "urn:ehealth:aa:ncp-idp", "ncp.aa.example", {"BB": "urn:ehealth:bb:ncp-idp"})
AMARA = PatientIdentifier("urn:oid:2.999.2.1", "0123456789")


def now() -> datetime:
    return datetime.now(UTC)


class Node:
    """A node that was stopped, or never ran: its settings, state and trail."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        file = folder / "isthmus.toml"
        file.write_text('env = "test"\ncountry = "AA"\nncp_id = "urn:ehealth:aa:ncp-idp"\n')
        self.settings: Settings = read_settings(file, {})
        self.state: Database = open_state(self.settings)
        self.trail = Trail(self.state, MASTER, now, folder)
        self.trail.start()

    def exchanges(self, *names: str) -> None:
        for name in names:
            intent = Intent(
                side="A", transaction="ITI-68", exchange_id=name, peer="BB", person="hp-7 Dr Demo", purpose="TREAT", patient=AMARA,
                details={"of": "abc"}, address="192.0.2.7",
            )  # fmt: skip
            self.trail.record_now(intent, Outcome(outcome="complete", bytes=5))

    @contextlib.contextmanager
    def forwarding(self, forward: Forward) -> Iterator[None]:
        """As a node process does it beside its listeners, in a loop of its own; ended as abruptly."""
        loop = asyncio.new_event_loop()
        outbox, repository = open_outbox(forward, self.settings, self.state, MASTER, lambda: SITE, now)
        task = loop.create_task(outbox.run(self.settings.folder))

        def going() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)

        thread = threading.Thread(target=going, daemon=True)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()
            loop.run_until_complete(repository.close())
            loop.close()

    def step(self, forward: Forward) -> None:
        """One try, by hand."""

        async def once() -> None:
            outbox, repository = open_outbox(forward, self.settings, self.state, MASTER, lambda: SITE, now)
            try:
                while await outbox.step():
                    pass
            finally:
                await repository.close()

        asyncio.run(once())

    def position(self) -> int:
        return self.state.read_now(lambda c: c.execute(select(audit_position.c.number)).scalar()) or 0

    def close(self) -> None:
        self.trail.stop()
        self.state.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "aa")
    yield made
    made.close()


@pytest.fixture
def fhir() -> FhirReceiver:
    return FhirReceiver(free_port())


@pytest.fixture
def syslog(tmp_path: Path) -> SyslogReceiver:
    return SyslogReceiver(free_port(), tmp_path)


def to(receiver: FhirReceiver | SyslogReceiver) -> Forward:
    if isinstance(receiver, SyslogReceiver):
        return Forward(name="national", kind="syslog", url=receiver.url, authority=str(receiver.authority))
    return Forward(name="national", kind="fhir", url=receiver.url)


def names(events: list[dict[str, Any]]) -> list[str]:
    """Which exchanges were told, in the order they came."""
    return [
        e["what"]["identifier"]["value"]
        for event in events
        for e in event["entity"]
        if e["type"]["code"] == "XrequestId"
    ]


def named(messages: list[bytes]) -> list[str]:
    return [
        found[1].decode() for message in messages if (found := re.search(rb'ParticipantObjectID="(x-[0-9]+)"', message))
    ]


def test_events_come_in_order_once_their_exchange_has_ended(node: Node, fhir: FhirReceiver) -> None:
    node.exchanges("x-1", "x-2")
    node.trail.open_now(Intent(side="A", transaction="ITI-67", exchange_id="x-3", peer="BB"))
    node.trail.note_now(Note(kind="start", side="A"))

    with fhir.there():
        node.step(to(fhir))

    assert names(fhir.taken) == ["x-1", "x-2"]
    assert [event["type"]["code"] for event in fhir.taken] == ["rest", "rest", "110100"]


def test_what_happens_while_the_repository_is_away_comes_when_it_is_back(node: Node, fhir: FhirReceiver) -> None:
    with node.forwarding(to(fhir)):
        with fhir.there():
            node.exchanges("x-1")
            wait_for(lambda: fhir.taken)
        node.exchanges("x-2", "x-3")
        with fhir.there():
            wait_for(lambda: len(fhir.taken) >= 3)

    assert list(dict.fromkeys(names(fhir.taken))) == ["x-1", "x-2", "x-3"]


def test_a_node_that_starts_again_goes_on_where_it_was(tmp_path: Path, fhir: FhirReceiver) -> None:
    first = Node(tmp_path / "aa")
    first.exchanges("x-1", "x-2")
    with fhir.there():
        first.step(to(fhir))
        first.close()
        second = Node(tmp_path / "aa")
        second.exchanges("x-3")
        second.step(to(fhir))
        second.close()

    assert names(fhir.taken) == ["x-1", "x-2", "x-3"]


def test_one_that_breaks_in_the_middle_of_a_batch_is_given_the_rest_and_nothing_is_skipped(
    node: Node, fhir: FhirReceiver
) -> None:
    node.exchanges(*(f"x-{number}" for number in range(6)))
    fhir.answer = lambda event: 503 if len(fhir.taken) == 3 else 201

    with fhir.there():
        with pytest.raises(Unavailable):
            node.step(to(fhir))
        held = node.position()
        fhir.answer = lambda event: 201
        node.step(to(fhir))

    assert 0 < held < node.position()
    assert names(fhir.taken) == [f"x-{number}" for number in range(6)]


def test_what_is_refused_for_good_is_put_aside_said_and_given_again_while_the_rest_goes_on(
    node: Node, fhir: FhirReceiver
) -> None:
    node.exchanges("x-1", "x-2", "x-3")
    fhir.answer = lambda event: 422 if names([event]) == ["x-2"] else 201

    async def again() -> None:
        outbox, repository = open_outbox(to(fhir), node.settings, node.state, MASTER, lambda: SITE, now)
        await outbox.aside()
        await repository.close()

    with fhir.there():
        node.step(to(fhir))
        aside = node.state.read_now(lambda c: c.execute(select(audit_aside.c.number, audit_aside.c.status)).all())
        waiting = node.state.read_now(lambda c: forwarded_to(c, ("national",)))
        fhir.answer = lambda event: 201
        asyncio.run(again())

    assert [tuple(row) for row in aside] == [(3, 422)]
    assert waiting == 3
    assert names(fhir.taken) == ["x-1", "x-3", "x-2"]
    assert node.state.read_now(lambda c: c.execute(select(audit_aside)).all()) == []


def test_a_repository_that_takes_nothing_or_refuses_something_is_an_alarm_until_it_does(
    node: Node, fhir: FhirReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.audit.forward.ALARM_S", 0.2)
    monkeypatch.setattr("isthmus.audit.forward.AGAIN_S", 0.05)
    node.exchanges("x-1")
    outbox, repository = open_outbox(to(fhir), node.settings, node.state, MASTER, lambda: SITE, now)

    async def watched() -> list[list[str]]:
        async def words(wanted: set[str]) -> list[str]:
            while {word for word, _ in outbox.alarms()} != wanted:
                await asyncio.sleep(0.02)
            return sorted(outbox.alarms().values())

        task = asyncio.create_task(outbox.run(node.settings.folder))
        told = [await words({"audit-forward"})]
        fhir.answer = lambda event: 422
        with fhir.there():
            told.append(await words({"audit-refused"}))
        task.cancel()
        await repository.close()
        return told

    assert asyncio.run(asyncio.wait_for(watched(), 20)) == [
        ["the audit repository national has taken nothing for ten minutes"],
        ["the audit repository national refuses 1 event"],
    ]


def test_a_wrong_address_or_key_loses_nothing_and_puts_nothing_aside(node: Node, fhir: FhirReceiver) -> None:
    node.exchanges("x-1")
    with fhir.there():
        for status in (401, 403, 404, 429, 500):
            fhir.answer = lambda event, status=status: status  # type: ignore[misc]  # bound at once
            with pytest.raises(Unavailable):
                node.step(to(fhir))

    assert node.position() == 0
    assert node.state.read_now(lambda c: c.execute(select(audit_aside)).all()) == []


def test_syslog_over_tls_carries_dicom_audit_messages_in_order(node: Node, syslog: SyslogReceiver) -> None:
    node.exchanges("x-1", "x-2", "x-3")

    with syslog.there():
        node.step(to(syslog))
        wait_for(lambda: len(syslog.taken) == 3)

    assert named(syslog.taken) == ["x-1", "x-2", "x-3"]
    header, _, body = syslog.taken[0].partition(b"\xef\xbb\xbf")
    assert re.fullmatch(rb"<85>1 \S+Z ncp\.aa\.example isthmus \d+ IHE\+RFC-3881 - ", header)
    message = ElementTree.fromstring(body)
    assert message.tag == "AuditMessage"
    assert [part.tag for part in message][:2] == ["EventIdentification", "ActiveParticipant"]
    patient = message.find("ParticipantObjectIdentification[@ParticipantObjectTypeCodeRole='1']")
    assert patient is not None
    assert patient.get("ParticipantObjectID") == "0123456789^^^&2.999.2.1&ISO"


def test_a_receiver_that_dies_over_a_batch_gets_it_again(node: Node, syslog: SyslogReceiver) -> None:
    node.exchanges("x-1", "x-2")
    syslog.deaf = True

    with syslog.there():
        with pytest.raises(Unavailable):
            node.step(to(syslog))
        held = node.position()
        syslog.deaf = False
        node.step(to(syslog))
        wait_for(lambda: len(syslog.taken) == 2)

    assert held == 0
    assert named(syslog.taken) == ["x-1", "x-2"]


def test_nothing_is_said_to_a_receiver_whose_certificate_is_of_somebody_else(
    node: Node, syslog: SyslogReceiver, tmp_path: Path
) -> None:
    node.exchanges("x-1")
    (tmp_path / "others").mkdir()
    stranger = SyslogReceiver(syslog.port, tmp_path / "others")

    with stranger.there(), pytest.raises(Unavailable, match="certificate is not accepted"):
        node.step(to(syslog))

    assert stranger.taken == []


def test_of_two_processes_one_forwards(node: Node, fhir: FhirReceiver) -> None:
    with fhir.there(), node.forwarding(to(fhir)), node.forwarding(to(fhir)):
        node.exchanges(*(f"x-{number}" for number in range(20)))
        wait_for(lambda: len(fhir.taken) >= 20)

    assert names(fhir.taken) == [f"x-{number}" for number in range(20)]


def test_a_record_that_does_not_open_stops_nobody(node: Node, fhir: FhirReceiver) -> None:
    node.exchanges("x-1", "x-2")
    with node.state._writing.begin() as connection:  # as an intruder would
        connection.exec_driver_sql("DROP TRIGGER audit_trail_no_update")
        connection.exec_driver_sql("UPDATE audit_trail SET sealed = x'00' WHERE number = 1")

    with fhir.there():
        node.step(to(fhir))

    assert names(fhir.taken) == ["x-2"]


@pytest.mark.parametrize(
    ("kind", "url", "env", "key"),
    [
        ("fhir", "tls://host:1", "test", "audit.forward.url"),
        ("syslog", "https://host", "test", "audit.forward.url"),
        ("fhir", "http://host/fhir", "prod", "audit.forward.url"),
    ],
)
def test_no_node_starts_with_a_way_that_is_none(tmp_path: Path, kind: str, url: str, env: str, key: str) -> None:
    file = tmp_path / "isthmus.toml"
    country = "PT" if env == "prod" else "AA"
    file.write_text(
        f'env = "{env}"\ncountry = "{country}"\nncp_id = "urn:x"\n[[audit.forward]]\nname = "n"\nkind = "{kind}"\nurl = "{url}"\n'
    )

    with pytest.raises(SettingsProblem) as problem:
        read_settings(file, {})

    assert problem.value.facts["key"] == key


def test_a_foreign_repository_takes_every_event_and_finds_it_again(node: Node, tmp_path: Path) -> None:
    node.exchanges("x-1")
    for transaction, query in (("ITI-67", b"GET /fhir/DocumentReference?patient=x"), ("RAD-107", b""), ("ITI-71", b"")):
        intent = Intent(
            side="A", transaction=transaction, exchange_id="x-2", peer="BB", purpose="TREAT", patient=AMARA, query=query, address="192.0.2.7",
        )  # fmt: skip
        node.trail.record_now(intent, Outcome(outcome="refused", reason="scope"))
    with hapi(tmp_path) as repository:
        forward = Forward(name="national", kind="fhir", url=repository.url)

        node.step(forward)

    assert node.position() == 8
    assert node.state.read_now(lambda c: c.execute(select(audit_aside)).all()) == []
