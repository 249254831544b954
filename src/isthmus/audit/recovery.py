"""After a restore: what the trail lost is written down, signed, and only then the trail goes on.

A trail that was changed, not merely cut short, is none that this mends. The log begins a new epoch: a key and a name of its own, since the
old one has signed records that are gone; the list's operator publishes it.

Source: trust.md §4.3, §6.5; T77.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection, select

from isthmus.audit.events import Note, moment
from isthmus.audit.log.checkpoints import MEMORY, Signer
from isthmus.audit.log.nodes import Nodes
from isthmus.audit.page import MonthKeys, Page, head_row, parts_of, rows, tree_of
from isthmus.audit.trail import head_key
from isthmus.audit.verify import KEY_GONE, Head, Problem, verify
from isthmus.audit.writers import Writers
from isthmus.config import Settings
from isthmus.errors import AuditUnavailable, ContentMismatch, SettingsProblem
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_writer
from isthmus.storage.sealed import MasterKey
from isthmus.trust.jws import sign
from isthmus.trust.keys import load_log_key, load_signing_key, new_log_key, write_signing_key
from isthmus.trust.replay import close_window

GAP_TYPE = "ncp-gap+jwt"
GAP = "gap"
FOLDER = "gaps"
WRITER = "recovery"
ONE_USE_S = 600


@dataclass(frozen=True, slots=True)
class Recovered:
    """The trail goes on after `records`; up to `known` are known to have been there, the rest of them lost. `statement` is the file with
    the signed statement, `epoch` the log's new name and key for the trust list, if there is a log."""

    records: int
    known: int | None
    statement: str
    epoch: dict[str, str] | None


class Recovery:
    """Of one node, which does not run."""

    def __init__(self, settings: Settings, state: Database, clock: Callable[[], datetime]) -> None:
        self._settings, self._state, self._clock = settings, state, clock
        self._master = MasterKey.load(settings.path(settings.keys.env))
        self._writers, self._head_key = Writers(settings.folder), head_key(self._master)

    def recover_now(self, by: str, reason: str) -> Recovered:
        """Write the loss down and let the trail go on. Raises SettingsProblem when nothing is lost or something writes; ContentMismatch
        when records at hand were changed: that is for `audit verify` and for people."""
        if self._writers.at_work():
            raise SettingsProblem("something writes this node's trail: stop the node and its commands first", reason="usage")  # fmt: skip
        ended, known = self._state.read_now(self._sound), self._known()
        if known is not None and known[0] <= ended.size and self._same(known):
            raise SettingsProblem("the trail has everything that its head saw: there is nothing to recover", reason="usage")  # fmt: skip
        now = self._clock()
        statement = self._statement(ended, known, by, reason, now)
        file = self._keep(statement, ended.size)
        told = {
            "records": str(ended.size),
            "known": "" if known is None else str(known[0]),
            "by": by,
            "reason": reason,
            "statement": sha256(statement.encode()).hexdigest(),
        }
        head = self._state.write_now(lambda connection: self._note(connection, told, now))
        epoch = self._new_epoch(now)
        self._writers.put_back(head)  # last: whatever broke before, the node still does not start
        return Recovered(ended.size, None if known is None else known[0], file.name, epoch)

    def _sound(self, connection: Connection) -> Head:
        """Where the trail at hand ends, once all of it is proven."""
        ended = head_row(connection)
        tree_of(connection, self._head_key)
        writers = frozenset(connection.execute(select(audit_writer.c.id)).scalars())
        head, keys = ended[0] if ended else None, MonthKeys(self._master)
        proven = verify(
            rows(connection), unseal=keys.unsealer(connection), parts=lambda number: parts_of(connection, number, keys),
            head=head, witness=head, head_key=self._head_key,
            alive=_Everybody(writers),
        )  # fmt: skip
        if head is None or [problem for problem in proven.problems if not _is_absence(problem)]:
            raise ContentMismatch("the records at hand were changed: audit verify names them", reason="digest")
        return head

    def _known(self) -> tuple[int, str] | None:
        """The most that was there as far as this machine knows: size and root, by the head beside the trail and by what the log signed."""
        found = []
        try:
            head = self._writers.head()
        except AuditUnavailable:
            head = None
        if head is not None and head.genuine(self._head_key):
            found.append((head.size, head.root.hex()))
        key = self._settings.path(self._settings.keys.log)
        if key.exists():
            try:
                signed = Signer(load_log_key(key, self._settings.env), self._settings.folder).last()
            except AuditUnavailable:
                signed = None
            if signed is not None:
                found.append((signed.size, signed.root.hex()))
        return max(found) if found else None

    def _same(self, known: tuple[int, str]) -> bool:
        """Whether the trail at hand begins with what is known, and its head lies beside it as it should."""
        try:
            if self._writers.head() is None:
                return False
        except AuditUnavailable:
            return False
        at_hand = self._state.read_now(lambda connection: Nodes(connection, self._head_key).root(known[0]))
        return at_hand.hex() == known[1]

    def _statement(self, ended: Head, known: tuple[int, str] | None, by: str, reason: str, now: datetime) -> str:
        """What this node says of the loss, signed with the key that the trust list has of it."""
        claims = {
            "iss": self._settings.ncp_id,
            "iat": int(now.timestamp()),
            "at": moment(now),
            "kept": {"size": ended.size, "root": ended.root.hex()},
            "known": None if known is None else {"size": known[0], "root": known[1]},
            "by": by,
            "reason": reason,
        }
        key = load_signing_key(self._settings.path(self._settings.keys.sig), self._settings.env)
        return sign(claims, key, GAP_TYPE)

    def _keep(self, statement: str, size: int) -> Path:
        folder = self._settings.folder / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / f"{size}-{sha256(statement.encode()).hexdigest()[:12]}.jws"
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as out:
            out.write(statement)
            out.flush()
            os.fsync(out.fileno())
        return file

    def _note(self, connection: Connection, told: dict[str, str], now: datetime) -> Head:
        """The note on the trail, as the next record, and one-use statements of the time that was lost shut out."""
        page = Page(connection, MonthKeys(self._master), self._head_key, WRITER, now)
        note = Note(kind=GAP, side="A" if self._settings.answers else "B", exchange_id=GAP, details=told)
        page.add("event", note.record(now), note.exchange_id)
        close_window(connection, int(now.timestamp()) + ONE_USE_S)
        head = page.end()
        assert head is not None  # something was added
        return head

    def _new_epoch(self, now: datetime) -> dict[str, str] | None:
        """A new key and name for the log; what the old one signed last is kept beside it."""
        file = self._settings.path(self._settings.keys.log)
        if not file.exists():
            return None
        before = load_log_key(file, self._settings.env)
        fresh = new_log_key(_next(before.name), demo=self._settings.env != "prod")
        stamp = f"{now:%Y%m%dT%H%M%S}"
        file.replace(file.with_name(f"{file.name}.{stamp}"))
        write_signing_key(file, fresh)
        memory = self._settings.folder / MEMORY
        if memory.exists():
            memory.replace(memory.with_name(f"{memory.name}.{stamp}"))
        public = load_log_key(file, self._settings.env).public
        return {"origin": public.name, "vkey": public.vkey}


class _Everybody(frozenset[str]):
    """Writers that count as alive, whoever they were: what they left open is closed when the trail starts."""

    def __contains__(self, writer: object) -> bool:
        return True


def _is_absence(problem: Problem) -> bool:
    """Whether it is only that a month's key was destroyed since the backup; the next retention empties those records."""
    return problem.what == KEY_GONE


def _next(origin: str) -> str:
    """`…/audit` becomes `…/audit/2`, that `…/audit/3`."""
    found = re.fullmatch(r"(.*)/([0-9]{1,6})", origin)
    return f"{found[1]}/{int(found[2]) + 1}" if found else f"{origin}/2"
