"""Says where our trail ends, signed: what was said once is kept outside the database, and never unsaid.

A checkpoint is signed only with the proof that it continues the one before. A database that was put back, cut or forked gets no
signature any more, whoever has the disk.

Source: trust.md §4.3, T77, T78; C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, func, select

from isthmus import telemetry
from isthmus.audit.log.nodes import Nodes, fill, lacking
from isthmus.audit.merkle import continues
from isthmus.errors import AuditUnavailable
from isthmus.storage.database import Database
from isthmus.storage.replaced import alone, replace_durably
from isthmus.storage.schema.audit_log import audit_checkpoint
from isthmus.wire.notes import Checkpoint, Note, NoteKey

MEMORY = "log.signed"


class Signer:
    """The log's key, and the last checkpoint that it signed: a file of its own, durable before the signature leaves."""

    def __init__(self, key: NoteKey, folder: Path) -> None:
        self.key, self._memory = key, folder / MEMORY

    def last(self) -> Checkpoint | None:
        """What was signed last. Raises AuditUnavailable when the memory is not one."""
        try:
            note = Note.read(self._memory.read_text(encoding="utf-8"))
            if not self.key.public.signed(note):
                raise ValueError("not signed by this log")
            return note.checkpoint
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise AuditUnavailable(f"what the log signed last cannot be read: {MEMORY}") from error

    def sign(self, checkpoint: Checkpoint, proof: Sequence[bytes]) -> Note:
        """Sign what continues the last one; the proof starts there. Raises AuditUnavailable for all else."""
        with alone(self._memory.with_suffix(".lock")):
            last = self.last()
            if last is not None and not continues(last.size, last.root, checkpoint.size, checkpoint.root, proof):
                raise AuditUnavailable(
                    f"the trail does not continue the {last.size} records that were signed: it was put back, cut or forked"
                )
            note = self.key.sign(checkpoint)
            if last != checkpoint:
                replace_durably(self._memory, note.write())
            return note


class Checkpoints:
    """The newest checkpoint of our trail. `problem` says why there is no newer one."""

    def __init__(self, db: Database, head_key: bytes, signer: Signer) -> None:
        self._db, self._head_key, self._signer = db, head_key, signer
        self.newest: Note | None = None
        self.problem: str | None = None

    @property
    def origin(self) -> str:
        return self._signer.key.name

    def tick_now(self) -> Note | None:
        """Sign where the trail ends now, if it grew. None when it must not be signed; `problem` then says why."""
        try:
            try:
                note = self._signed()
            except AuditUnavailable:  # another process may have signed meanwhile
                note = self._signed()
        except AuditUnavailable as error:
            if self.problem != str(error):
                telemetry.log().error("no checkpoint is signed", problem=str(error))
            self.problem, self.newest = str(error), None
            return None
        self.problem, self.newest = None, note
        return note

    def _signed(self) -> Note:
        last = self._signer.last()

        def looking(connection: Connection) -> tuple[Checkpoint, list[bytes], bool]:
            nodes = Nodes(connection, self._head_key)
            ours = audit_checkpoint.c.note.startswith(
                f"{self.origin}\n", autoescape=True
            )  # not those of an epoch before
            said = connection.execute(select(func.max(audit_checkpoint.c.size)).where(ours)).scalar()
            if last is None and said is not None:
                raise AuditUnavailable(f"what the log signed last is missing: {MEMORY}")
            if last is not None and last.size > nodes.tree.size:
                raise AuditUnavailable(
                    f"the trail has {nodes.tree.size} records, and {last.size} were signed: it was put back or cut"
                )
            checkpoint = Checkpoint(self.origin, nodes.tree.size, nodes.tree.root)
            if last == checkpoint and self.newest is not None:
                return checkpoint, [], False
            proof = nodes.continued(last.size, nodes.tree.size) if last is not None else []
            return checkpoint, proof, lacking(connection, self._head_key)

        checkpoint, proof, short = self._db.read_now(looking)
        if self.newest is not None and self.newest.checkpoint == checkpoint:
            return self.newest
        if short:
            self._db.write_now(lambda connection: fill(connection, self._head_key))
        return self._signer.sign(checkpoint, proof)
