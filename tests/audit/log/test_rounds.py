"""Two countries watch each other's log: what each says it logged is proven to the other, and who forks or falls silent is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.audit.log.conftest import Beside

from isthmus.audit.events import Intent, Outcome
from isthmus.audit.log.claims import proof_of
from isthmus.audit.log.witness import seen
from isthmus.audit.merkle import root_from
from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import opened
from isthmus.storage.database import Database
from isthmus.storage.schema.audit_log import audit_checkpoint, audit_claim, audit_offence
from isthmus.storage.sealed import MasterKey
from isthmus.testing.border import PracticeBorder
from isthmus.wire.notes import Checkpoint, Leaf, Note, Submission, read_shown

pytestmark = pytest.mark.anyio


def incidents(state: Database, master: MasterKey) -> list[str]:
    """What was written down that is no exchange, by kind."""

    def work(connection: Any) -> list[str]:
        unseal = MonthKeys(master).unsealer(connection)
        told = (opened(row, unseal)[0] for row in rows(connection) if row.kind == "event")
        return [str(record["event"]) for record in told if record]

    return state.read_now(work)


async def exchanged(border: PracticeBorder, bb: Beside, number: str = "x-1") -> None:
    """BB asks for AA's capability: each writes down where the other's record lies."""
    ours = await bb.trail.open(Intent(side="B", transaction="capability", exchange_id=number, peer="AA"))
    said = Leaf(bb.key.name, ours.number, ours.leaf).write()
    reply = await border.ask("/fhir/metadata", headers={"ncp-log": said, "x-request-id": number})
    theirs = Leaf.read(reply.headers["ncp-log"])
    await bb.trail.close(ours, Outcome(outcome="complete", status=reply.status, theirs=theirs))
    if "ncp-checkpoint" in reply.headers:
        bb.rounds.shown[theirs.origin] = read_shown(reply.headers["ncp-checkpoint"])


async def seen_by_bb(border: PracticeBorder, bb: Beside) -> None:
    """AA shows BB where its log ends."""
    assert border.log is not None
    note = border.log.checkpoints.tick_now()
    assert note is not None
    held = bb.state.read_now(lambda c: seen(c, note.checkpoint.origin))
    old = held.checkpoint.size if held else 0
    proof = border.state.read_now(lambda c: nodes(c, border).continued(old, note.checkpoint.size))
    said = await bb.witness.add(Submission(old, tuple(proof), note).write(), lambda _: bb.aa.log)
    assert said.status == 200


def nodes(connection: Any, border: PracticeBorder) -> Any:
    from isthmus.audit.log.nodes import Nodes

    assert border.log is not None
    return Nodes(connection, border.log.head_key)


async def test_a_country_is_told_that_its_log_was_seen(border: PracticeBorder, bb: Beside) -> None:
    await exchanged(border, bb)

    first = await bb.rounds.submit(bb.aa)
    await exchanged(border, bb, "x-2")
    second = await bb.rounds.submit(bb.aa)

    notes = bb.state.read_now(lambda c: c.execute(select(audit_checkpoint.c.note)).scalars().all())
    assert (first, second) == (True, True)
    assert [Note.read(note).checkpoint.size for note in notes] == [2, 4]
    assert all(bb.aa.log is not None and bb.aa.log.cosigned_at(Note.read(note)) for note in notes)
    assert bb.rounds.alarms == {}


async def test_a_node_that_forgot_what_its_peer_saw_is_told(border: PracticeBorder, bb: Beside) -> None:
    await exchanged(border, bb)
    await bb.rounds.submit(bb.aa)
    await exchanged(border, bb, "x-2")
    bb.rounds._told.clear()  # as after a restart

    assert await bb.rounds.submit(bb.aa)


async def test_what_the_other_says_it_logged_is_proven(border: PracticeBorder, bb: Beside) -> None:
    await exchanged(border, bb)
    await seen_by_bb(border, bb)

    await bb.rounds.prove(bb.aa)

    number = bb.state.read_now(lambda c: c.execute(select(audit_claim.c.number)).scalar_one())
    proof = bb.state.read_now(lambda c: proof_of(c, number))
    assert proof is not None
    assert bb.aa.log is not None
    assert bb.aa.log.signed(proof.note)
    assert root_from(proof.leaf.leaf, proof.leaf.seq, proof.size, proof.path) == proof.note.checkpoint.root
    theirs = border.state.read_now(lambda c: c.execute(select(audit_claim.c.origin, audit_claim.c.seq)).one())
    assert tuple(theirs) == (bb.key.name, 0)


@pytest.mark.threat("T78")
async def test_a_leaf_that_is_not_in_the_log_that_was_seen_is_an_incident(border: PracticeBorder, bb: Beside) -> None:
    await exchanged(border, bb)
    await seen_by_bb(border, bb)
    assert bb.aa.log is not None
    lie = Leaf(bb.aa.log.name, 0, bytes(32))
    opened_ = await bb.trail.open(Intent(side="B", transaction="capability", exchange_id="x-9", peer="AA"))
    await bb.trail.close(opened_, Outcome(outcome="complete", theirs=lie))

    await bb.rounds.prove(bb.aa)

    states = bb.state.read_now(
        lambda c: c.execute(select(audit_claim.c.state).order_by(audit_claim.c.number)).scalars().all()
    )
    assert list(states) == ["proven", "wrong"]
    assert incidents(bb.state, bb.master) == ["log-proof-wrong"]


@pytest.mark.threat("T78")
async def test_a_log_that_shows_another_end_with_its_answers_than_to_its_witness_is_caught(
    border: PracticeBorder, bb: Beside
) -> None:
    await exchanged(border, bb)
    await seen_by_bb(border, bb)
    assert border.log is not None
    key = border.log.checkpoints._signer.key  # AA's own, put to bad use
    bb.rounds.shown[key.name] = key.sign(Checkpoint(key.name, 2, bytes([7] * 32)))

    await bb.rounds.prove(bb.aa)

    offences = bb.state.read_now(lambda c: c.execute(select(audit_offence.c.what)).scalars().all())
    assert list(offences) == ["split view"]
    assert "log-split-view" in incidents(bb.state, bb.master)


async def test_what_an_honest_log_shows_with_its_answers_fits(border: PracticeBorder, bb: Beside) -> None:
    await exchanged(border, bb)
    await seen_by_bb(border, bb)
    for number in range(3):
        assert border.log is not None
        border.log.checkpoints.tick_now()
        await exchanged(border, bb, f"x-{number + 2}")

    await bb.rounds.prove(bb.aa)

    assert any("old=" in path for path in bb.line.asked)
    assert incidents(bb.state, bb.master) == []


async def test_a_proof_that_does_not_come_within_ten_minutes_is_an_incident_once(
    border: PracticeBorder, bb: Beside
) -> None:
    await exchanged(border, bb)
    await seen_by_bb(border, bb)
    bb.line.said["/log/proof"] = (503, b"")

    for _ in range(2):
        await bb.rounds.prove(bb.aa)
        border.clock.forward(minutes=6)
        await bb.rounds.overdue()
    missing = incidents(bb.state, bb.master)
    bb.line.said.clear()
    await bb.rounds.prove(bb.aa)

    assert missing == ["log-proof-missing"]
    assert bb.state.read_now(lambda c: c.execute(select(audit_claim.c.state)).scalars().all()) == ["proven"]


@pytest.mark.threat("T106")
async def test_a_silent_witness_is_an_alarm_and_the_service_goes_on(
    border: PracticeBorder, bb: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    bb.line.said["/witness/add-checkpoint"] = (503, b"")
    monkeypatch.setattr("isthmus.audit.log.rounds.SILENT_S", -1)

    await bb.rounds.submit(bb.aa)
    await bb.rounds._silence()
    await exchanged(border, bb)

    assert "witnesses" in bb.rounds.alarms
    assert incidents(bb.state, bb.master) == ["witness"]
    bb.line.said.clear()
    monkeypatch.undo()
    await bb.rounds.submit(bb.aa)
    await bb.rounds._silence()
    assert bb.rounds.alarms == {}


@pytest.mark.threat("T77")
async def test_a_node_that_is_behind_what_its_peer_saw_is_noticed(border: PracticeBorder, bb: Beside) -> None:
    await exchanged(border, bb)
    await bb.rounds.submit(bb.aa)
    bb.line.said["/witness/add-checkpoint"] = (409, b"4000\n")
    await exchanged(border, bb, "x-2")

    assert not await bb.rounds.submit(bb.aa)

    assert any(name.startswith("behind") for name in bb.rounds.alarms)


async def test_the_border_gives_proofs_and_refuses_what_is_no_question(border: PracticeBorder, bb: Beside) -> None:
    await exchanged(border, bb)
    before = border.events()

    proof = await border.ask("/ncp/log/proof", query={"seq": "0", "size": "2"})
    refused = [
        await border.ask("/ncp/log/proof", query=query)
        for query in ({"seq": "2", "size": "2"}, {"seq": "0", "size": "9"}, {"seq": "x", "size": "2"}, {"old": "1"}, {})
    ]
    stranger = await border.ask("/ncp/log/proof", query={"seq": "0", "size": "2"}, certificate=None)

    assert (proof.status, len(proof.json()["proof"])) == (200, 1)
    assert [reply.status for reply in refused] == [400] * 5
    assert stranger.status == 403
    assert border.events() == before


@pytest.mark.threat("T78")
async def test_the_border_answers_a_forked_checkpoint_as_the_protocol_says_and_writes_it_down(
    border: PracticeBorder, bb: Beside
) -> None:
    await exchanged(border, bb)
    await bb.rounds.submit(bb.aa)
    fork = Submission(2, (), bb.key.sign(Checkpoint(bb.key.name, 2, bytes(32))))

    reply = await border.ask("/ncp/witness/add-checkpoint", method="POST", body=fork.write())
    elsewhere = Submission(0, (), bb.key.sign(Checkpoint("ncp.dd.test/audit", 2, bytes(32))))
    unknown = await border.ask("/ncp/witness/add-checkpoint", method="POST", body=elsewhere.write())

    assert (reply.status, unknown.status) == (409, 404)
    assert incidents(border.state, border.master) == ["log-fork"]


def test_the_header_is_read_as_it_is_written(tmp_path: Path) -> None:
    leaf = Leaf("ncp.aa.test/audit", 93411, bytes(range(32)))

    assert Leaf.read(leaf.write()) == leaf
    assert json.dumps(leaf.write())
    for text in ("", leaf.write()[:-1], leaf.write().replace("93411", "-1"), leaf.write().replace('"', "")):
        with pytest.raises(ValueError, match="not a place"):
            Leaf.read(text)
