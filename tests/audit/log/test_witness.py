"""The witness sees every log grow, and remembers; what a log signed and what does not fit is proof against it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.audit.test_merkle import root, subtree
from tests.audit.test_trail import database

from isthmus.audit.log.witness import Said, Witness, seen
from isthmus.audit.merkle import consistency
from isthmus.storage.schema.audit_log import audit_offence
from isthmus.wire.notes import Checkpoint, LogKey, Note, NoteKey, Submission, read_lines

AA, BB = NoteKey.of_seed("ncp.aa.test/audit", bytes(32)), NoteKey.of_seed("ncp.bb.test/audit", bytes(range(32)))
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
Ask = Callable[[Submission], Said]


def end(size: int, of: bytes | None = None) -> Note:
    return AA.sign(Checkpoint(AA.name, size, of or root(size)))


def brought(old: int, size: int) -> Submission:
    return Submission(old, tuple(consistency(old, size, subtree)), end(size))


def listed(origin: str) -> LogKey | None:
    return AA.public if origin == AA.name else None


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    witness = Witness(database(tmp_path), BB, lambda: NOW)
    return lambda submission: asyncio.run(witness.add(submission.write(), listed))


def test_what_continues_is_cosigned_and_kept_before_the_answer(ask: Ask, tmp_path: Path) -> None:
    first = ask(brought(0, 5))
    again = ask(brought(5, 5))
    further = ask(brought(5, 12))

    kept = database(tmp_path).read_now(lambda c: seen(c, AA.name))
    assert [said.status for said in (first, again, further)] == [200, 200, 200]
    assert kept is not None
    assert kept.checkpoint.size == 12
    assert BB.public.cosigned_at(end(12).with_lines(read_lines(further.body))) == int(NOW.timestamp())


def test_an_old_size_that_is_not_the_last_one_seen_is_told_that_one(ask: Ask) -> None:
    ask(brought(0, 5))

    said = ask(brought(4, 12))

    assert (said.status, said.body, said.media_type) == (409, "5\n", "text/x.tlog.size")


@pytest.mark.threat("T60")
@pytest.mark.threat("T78")
@pytest.mark.parametrize(
    ("submission", "status"),
    [
        (Submission(5, (), end(5, root(4))), 409),  # the same size, another root
        (Submission(5, tuple(consistency(5, 12, subtree)), end(12, root(11))), 422),
        (replace(brought(5, 12), proof=brought(5, 12).proof[:-1]), 422),
        (Submission(5, (), end(4)), 400),
    ],
)
def test_a_fork_is_not_cosigned_and_its_note_is_kept(
    ask: Ask, tmp_path: Path, submission: Submission, status: int
) -> None:
    ask(brought(0, 5))

    said = ask(submission)

    offences = database(tmp_path).read_now(lambda c: c.execute(select(audit_offence.c.note)).scalars().all())
    kept = database(tmp_path).read_now(lambda c: seen(c, AA.name))
    assert said.status == status
    assert kept is not None
    assert kept.checkpoint.size == 5
    assert list(offences) == ([submission.note.write()] if status != 400 else [])


@pytest.mark.threat("T60")
def test_what_is_unknown_unsigned_or_no_submission_is_refused(ask: Ask, tmp_path: Path) -> None:
    witness = Witness(database(tmp_path), BB, lambda: NOW)
    forged = Note(end(5).body, BB.sign(Checkpoint(AA.name, 5, root(5))).signatures)

    unknown = ask(Submission(0, (), BB.sign(Checkpoint("elsewhere", 5, root(5)))))
    unsigned = ask(Submission(0, (), forged))
    nonsense = asyncio.run(witness.add(b"\xff\xfe", listed))

    assert [unknown.status, unsigned.status, nonsense.status] == [404, 403, 400]
    assert database(tmp_path).read_now(lambda c: c.execute(select(audit_offence)).first()) is None


@pytest.mark.threat("T60")
def test_a_flood_of_offences_is_bounded(ask: Ask, tmp_path: Path) -> None:
    ask(brought(0, 5))

    for number in range(120):
        ask(Submission(5, (), end(5, bytes([number]) * 32)))

    assert database(tmp_path).read_now(lambda c: len(c.execute(select(audit_offence)).all())) == 100
