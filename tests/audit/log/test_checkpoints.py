"""Where the trail ends, signed once and never unsaid."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from sqlalchemy import func, select
from tests.audit.test_trail import COMPLETE, MASTER, database, intent, trail_in

from isthmus.audit.events import Note
from isthmus.audit.log.checkpoints import MEMORY, Checkpoints, Signer
from isthmus.audit.log.nodes import Nodes, fill
from isthmus.audit.merkle import continues, root_from
from isthmus.audit.trail import head_key
from isthmus.errors import AuditUnavailable
from isthmus.storage.schema.audit_log import audit_checkpoint, audit_node
from isthmus.wire.notes import Checkpoint, NoteKey

KEY = NoteKey.of_seed("ncp.aa.test/audit", bytes(32))
HEAD = head_key(MASTER)


def written(folder: Path, exchanges: int) -> None:
    """So many exchanges more, of two records each."""
    trail = trail_in(folder)
    trail.start()
    for number in range(exchanges):
        trail.record_now(intent(f"x-{number}"), COMPLETE)
    trail.stop()


def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(database(folder), HEAD, Signer(KEY, folder))


def test_what_grew_is_signed_and_continues_what_was_signed_before(tmp_path: Path) -> None:
    written(tmp_path, 3)
    log = checkpoints(tmp_path)

    first = log.tick_now()
    written(tmp_path, 4)
    second = log.tick_now()

    assert first is not None
    assert second is not None
    assert (first.checkpoint.size, second.checkpoint.size) == (6, 14)
    assert KEY.public.signed(second)
    with_proof = database(tmp_path).read_now(lambda c: Nodes(c, HEAD).continued(6, 14))
    assert continues(6, first.checkpoint.root, 14, second.checkpoint.root, with_proof)


def test_what_did_not_grow_is_the_same_note(tmp_path: Path) -> None:
    written(tmp_path, 1)
    log = checkpoints(tmp_path)

    assert log.tick_now() is log.tick_now()
    assert checkpoints(tmp_path).tick_now() == log.newest


@pytest.mark.threat("T77")
@pytest.mark.threat("T78")
def test_a_database_that_was_put_back_gets_no_signature_even_with_all_that_lies_beside_it(tmp_path: Path) -> None:
    node, older = tmp_path / "node", tmp_path / "older"
    node.mkdir()
    written(node, 2)
    shutil.copytree(node, older)
    written(node, 2)
    log = checkpoints(node)
    assert log.tick_now() is not None
    shutil.copy(node / MEMORY, older / MEMORY)

    shorter = checkpoints(older)
    assert shorter.tick_now() is None
    assert "was put back or cut" in str(shorter.problem)
    written(older, 5)

    assert shorter.tick_now() is None
    assert "put back, cut or forked" in str(shorter.problem)
    assert not (Signer(KEY, older).last() or log.newest.checkpoint).size > 8  # type: ignore[union-attr]  # signed above


@pytest.mark.threat("T78")
def test_the_signer_refuses_to_shrink_to_fork_and_to_forget(tmp_path: Path) -> None:
    signer = Signer(KEY, tmp_path)
    end = Checkpoint(KEY.name, 8, bytes(32))
    signer.sign(end, [])

    for other in (
        Checkpoint(KEY.name, 7, bytes(32)),
        Checkpoint(KEY.name, 8, bytes([1] * 32)),
        Checkpoint(KEY.name, 9, bytes(32)),
    ):
        with pytest.raises(AuditUnavailable):
            signer.sign(other, [])

    assert signer.last() == end
    (tmp_path / MEMORY).write_text("not a note")
    with pytest.raises(AuditUnavailable):
        signer.sign(end, [])


@pytest.mark.threat("T78")
def test_a_signer_whose_memory_was_taken_does_not_begin_anew(tmp_path: Path) -> None:
    written(tmp_path, 1)
    log = checkpoints(tmp_path)
    note = log.tick_now()
    assert note is not None
    with closing(connect(tmp_path / "state.sqlite")) as connection, connection:
        connection.execute("INSERT INTO audit_checkpoint VALUES (2, ?, '2026-01-01')", (note.write(),))
    (tmp_path / MEMORY).unlink()

    again = checkpoints(tmp_path)

    assert again.tick_now() is None
    assert "is missing" in str(again.problem)
    assert (
        database(tmp_path).read_now(lambda c: c.execute(select(func.count()).select_from(audit_checkpoint)).scalar())
        == 1
    )


def test_proofs_hold_with_and_without_kept_subtrees(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    trail.start()
    for number in range(650):
        trail.note_now(_note(number))
    trail.stop()
    db = database(tmp_path)

    def proven() -> list[tuple[list[bytes], list[bytes]]]:
        def work(connection: object) -> list[tuple[list[bytes], list[bytes]]]:
            nodes = Nodes(connection, HEAD)  # type: ignore[arg-type]  # a connection
            for number in (0, 255, 256, 400, 511, 512, 649):
                proof = nodes.included(number, 650)
                assert root_from(nodes.leaf(number), number, 650, proof) == nodes.tree.root
            return [
                (nodes.included(300, 600), nodes.continued(300, 650)),
                (nodes.included(0, 257), nodes.continued(256, 512)),
            ]

        return db.read_now(work)

    before = proven()
    db.write_now(lambda connection: fill(connection, HEAD))
    kept = db.read_now(lambda c: c.execute(select(func.count()).select_from(audit_node)).scalar())

    assert kept == 2
    assert proven() == before


@pytest.mark.threat("T77")
def test_a_changed_leaf_gets_no_proof(tmp_path: Path) -> None:
    written(tmp_path, 3)
    with closing(connect(tmp_path / "state.sqlite")) as connection, connection:
        connection.execute("DROP TRIGGER audit_trail_no_update")
        connection.execute("UPDATE audit_trail SET leaf = zeroblob(32) WHERE number = 2")

    with pytest.raises(AuditUnavailable):
        database(tmp_path).read_now(lambda c: Nodes(c, HEAD).included(2, 6))


def _note(number: int) -> Note:
    return Note(kind="trust-list", side="A", details={"seq": str(number)})
