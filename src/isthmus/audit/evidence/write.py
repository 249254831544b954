"""Writes evidence: one exchange with all that speaks for it, or the whole trail; checked later by who trusts neither country.

A half is what one country has; the other's half is joined when it is given (`beside`). What would tell of restrictions stays in the half
of the country that decided: no half is asked for across the border.

Source: trust.md §4.5, D9; interfaces.md §2.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from isthmus.audit import delivery
from isthmus.audit.events import moment
from isthmus.audit.log.checkpoints import Checkpoints
from isthmus.audit.log.claims import proof_of
from isthmus.audit.log.nodes import Nodes
from isthmus.audit.page import MonthKeys, outcome_number, parts_of, record_of, rows
from isthmus.audit.query import Index, Wanted
from isthmus.audit.verify import SALT_BYTES, Row
from isthmus.errors import AuditUnavailable, DocumentNotFound, IsthmusError, SettingsProblem
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.schema.audit_log import audit_checkpoint, audit_list
from isthmus.storage.schema.trust import trust_list
from isthmus.storage.sealed import MasterKey
from isthmus.wire.notes import Note

FORMAT = 1
HEAD = "evidence.json"


@dataclass
class Written:
    """What was written: how many records, of which exchange, and whether another country has seen the checkpoint over them."""

    records: int
    exchange_id: str | None
    seen: bool
    files: dict[str, str] = field(default_factory=dict)


class Exporter:
    """Evidence from one node's trail."""

    def __init__(
        self,
        country: str,
        db: Database,
        master: MasterKey,
        head_key: bytes,
        checkpoints: Checkpoints | None,
        clock: Any,
    ) -> None:
        self._country, self._db, self._master, self._head_key = country, db, master, head_key
        self._checkpoints, self._clock = checkpoints, clock

    def exchange(self, exchange_id: str, out: Path, beside: Path | None = None) -> Written:
        """One exchange. Raises DocumentNotFound, AuditUnavailable; SettingsProblem when `beside` is no half of it."""
        intents = Index(self._db, self._master).find(Wanted({"exchange": exchange_id}), 2)
        if not intents:
            raise DocumentNotFound("the trail has no exchange of this number, or it was erased")
        keys = MonthKeys(self._master)
        numbers = self._db.read_now(lambda connection: self._with_it(connection, intents[-1], keys))
        note = self._note(max(numbers) + 1)

        def half(connection: Connection) -> dict[str, bytes]:
            nodes, files, size = Nodes(connection, self._head_key), dict[str, bytes](), note.checkpoint.size
            found = list(rows(connection, audit_trail.c.number.in_(numbers)))
            files["records.jsonl"] = b"".join(_line(connection, row, keys) for row in found)
            proofs = {str(n): [part.hex() for part in nodes.included(n, size)] for n in numbers}
            files["proofs.json"] = _json(proofs)
            for number in numbers:
                for name, part in parts_of(connection, number, keys).items():
                    files[f"parts/{number}/{name}"] = part
            files["claims.json"] = _json(_claims(connection, numbers))
            files["trustlist.jws"] = self._list(connection, numbers, keys).encode()
            return files

        return self._write(out, self._db.read_now(half), note, exchange_id, len(numbers), beside)

    def whole(self, out: Path) -> Written:
        """The whole trail up to the newest checkpoint that another country has seen; or to its end, when none has."""
        note, keys = self._note(0), MonthKeys(self._master)
        size = note.checkpoint.size

        def half(connection: Connection) -> dict[str, bytes]:
            found = rows(connection, audit_trail.c.number < size)
            files = {"records.jsonl": b"".join(_line(connection, row, keys) for row in found)}
            files["trustlist.jws"] = self._list(connection, [], keys).encode()
            return files

        return self._write(out, self._db.read_now(half), note, None, size, None)

    def _with_it(self, connection: Connection, opened: int, keys: MonthKeys) -> list[int]:
        """The exchange, the one that gave its token, and its receipt: each with its ending."""
        intents, record = {opened}, record_of(connection, opened, keys)
        if record is not None and record["token_jti"]:
            index = Index(self._db, self._master)
            given = index.numbers_of(connection, "token", record["token_jti"])
            intents |= {n for n in given if (record_of(connection, n, keys) or {}).get("transaction") == "ITI-71"}
        closing = outcome_number(connection, opened)
        receipt = delivery.receipt_of(connection, closing) if closing is not None else None
        if receipt is not None:
            intents.add(receipt)
        endings = (outcome_number(connection, number) for number in intents)
        numbers = sorted({*intents, *(number for number in endings if number is not None)})
        if closing is None:
            raise AuditUnavailable("the exchange has not ended yet")
        return numbers

    def _note(self, least: int) -> Note:
        """The newest checkpoint that others have seen and that covers so much; else one of now, seen by nobody yet."""
        c = audit_checkpoint.c
        query = select(c.note).where(c.size >= least).order_by(c.size.desc()).limit(1)
        text = self._db.read_now(lambda connection: connection.execute(query).scalar())
        if text is not None:
            return Note.read(text)
        note = self._checkpoints.tick_now() if self._checkpoints is not None else None
        if note is None:
            raise AuditUnavailable("no checkpoint can be signed: see keys.log, and audit verify")
        return note

    def _list(self, connection: Connection, numbers: list[int], keys: MonthKeys) -> str:
        """The trust list that was followed, as the record of the statements names it; else the one of now."""
        records = (record_of(connection, number, keys) for number in numbers)
        named = [r["details"]["list"] for r in records if r and r["kind"] == "intent" and "list" in r["details"]]
        for digest in (each.partition("sha256=")[2] for each in named):
            kept = connection.execute(select(audit_list.c.token).where(audit_list.c.digest == digest)).scalar()
            if kept is not None:
                return str(kept)
        now = connection.execute(select(trust_list.c.token)).scalar()
        if now is None:
            raise AuditUnavailable("this node never accepted a trust list")
        return str(now)

    def _write(
        self, out: Path, half: dict[str, bytes], note: Note, exchange_id: str | None, records: int, beside: Path | None
    ) -> Written:
        files = {f"{self._country}/{name}": content for name, content in half.items()}
        files[f"{self._country}/checkpoint.note"] = note.write().encode()
        files |= _other_half(beside, exchange_id, self._country) if beside is not None else {}
        named = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
        kind = "log" if exchange_id is None else "exchange"
        head = {
            "format": FORMAT, "kind": kind, "country": self._country, "exchange": exchange_id,
            "made_at": moment(self._clock()), "files": named,
        }  # fmt: skip
        try:
            with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                    for name, content in ((HEAD, _json(head)), *sorted(files.items())):
                        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
        except OSError as error:
            raise SettingsProblem(f"{out} cannot be written: {error.strerror}", reason="usage") from error
        return Written(records, exchange_id, len(note.signatures) > 1, named)


def keep_list(connection: Connection, now: datetime) -> None:
    """Remember the trust list that is followed now: evidence of today needs it in years."""
    held = connection.execute(select(trust_list.c.digest, trust_list.c.token)).first()
    if (
        held is None
        or connection.execute(select(audit_list.c.digest).where(audit_list.c.digest == held.digest)).first()
    ):
        return
    connection.execute(audit_list.insert().values(digest=held.digest, token=held.token, since=now))


def _line(connection: Connection, row: Row, keys: MonthKeys) -> bytes:
    """A record with its salt; of one that was erased, or does not open, the leaf."""
    told: dict[str, Any] = {"n": row.number}
    try:
        plain = keys.unsealer(connection)(row.key_id, row.sealed, row.place)
        told |= {"salt": plain[:SALT_BYTES].hex(), "record": plain[SALT_BYTES:].decode()}
    except (IsthmusError, UnicodeDecodeError):
        told["leaf"] = row.leaf.hex()
    return _json(told) + b"\n"


def _claims(connection: Connection, numbers: list[int]) -> dict[str, Any]:
    return dict(_proven(connection, numbers))


def _proven(connection: Connection, numbers: list[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is proven of the other side's records."""
    for number in numbers:
        if (proof := proof_of(connection, number)) is not None:
            yield str(number), {
                "origin": proof.leaf.origin, "seq": proof.leaf.seq, "leaf": proof.leaf.leaf.hex(), "size": proof.size,
                "proof": [part.hex() for part in proof.path], "note": proof.note.write(),
            }  # fmt: skip


def _other_half(file: Path, exchange_id: str | None, country: str) -> dict[str, bytes]:
    """The other country's files. Raises SettingsProblem."""
    try:
        with zipfile.ZipFile(file) as archive:
            head = json.loads(archive.read(HEAD))
            if head["exchange"] != exchange_id or head["country"] == country:
                raise ValueError("it is of another exchange, or of this country")
            return {name: archive.read(name) for name in head["files"] if name.startswith(f"{head['country']}/")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SettingsProblem(f"{file} is not the other half: {error}", reason="usage") from error


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
