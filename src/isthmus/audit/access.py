"""Who looked at my data: the trail as the patient reads it, in plain words, from the moment an intent is on disk.

Each record about a patient is one access, refused and cut ones too. What was done about the patient at home stands there as well: a
directive, a correction, this very reading. A record that cannot be read any more is counted, never passed over in silence.

Source: trust.md §4.6; EHDS Art. 9.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import Connection

from isthmus.audit.atna.event import COUNTRY_LETTERS, Site, write_event, write_searchset
from isthmus.audit.events import Intent
from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.trail import patient_tag
from isthmus.audit.verify import Row, Unseal, opened
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import PatientIdentifier, is_uid
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.sealed import MasterKey

READING: Final = "ITI-81"  # reading the trail, by whoever may
PATIENT: Final = "PATRQT"
SUPERVISION: Final = "HCOMPL"
LIMIT: Final = 10_000  # accesses, and as many later looks beside them
MORE: Final = "There are more: only the newest stand in this list. Ask the contact point for the rest."
_AT_ONCE: Final = 500  # numbers in one question to the database
_EMERGENCIES: Final = ("BTG", "ETREAT")
_GIVE: Final = ("ITI-68", "RAD-107")

KINDS: Mapping[str, str] = {
    "ITI-71": "asked to be let in to your data",
    "ITI-78": "looked you up",
    "ITI-119": "looked you up",
    "ITI-67": "read the list of your studies and reports",
    "ITI-68": "opened a report, or the description of a study",
    "ImagingStudy": "read the list of your studies",
    "RAD-129": "read the list of your studies",
    "RAD-107": "fetched images",
    "view": "looked at what was fetched before",
    "emergency": "declared an emergency, or it was over",
    "notice": "you were told of an emergency",
    "explain": "an operator looked at what is shown of your data, and why",
    "review": "an emergency was looked into",
    "own-data": "looked at your own data and choices",
    "consent": "your choice about sharing was changed",
    "contact": "where you are told of emergencies was changed",
    "correction": "your data were corrected",
    "trial": "an operator tried the connection with your data",
    READING: "read this list",
}
"""What happened, by the transaction of the trail. `kind` of an access is the key."""

PURPOSES: Mapping[str, str] = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "BTG": "an emergency in which your restrictions were set aside",
    PATIENT: "at your own request",
    SUPERVISION: "supervision",
}

OUTCOMES: Mapping[str, str] = {
    "complete": "given",
    "incomplete": "given in part",
    "refused": "refused",
    "failed": "not given: it failed",
    "open": "going on",
}

REASONS: Mapping[str, str] = {
    "unconscious": "Unconscious or cannot answer",
    "life-threat": "Life in danger",
    "safety-of-others": "Danger to others",
    "other": "Other reason",
}
"""Why an emergency was declared: what stands before the professional's own words."""

ROLES: Mapping[str, str] = {  # ISCO-08; a longer code before a shorter one
    "2211": "doctor",
    "2212": "specialist doctor",
    "221": "doctor",
    "2221": "nurse",
    "2222": "midwife",
    "2261": "dentist",
    "2262": "pharmacist",
    "3211": "imaging technician",
    "22": "health professional",
    "32": "health professional",
}


@dataclass(frozen=True, slots=True)
class Access:
    """One access. Codes as the trail has them; what they mean is in `words()`.

    `person` is the name where the trail has one. `about` is what was asked for, as far as the request named it. `reason` is what was
    given for an emergency, or for what was done at home. `viewed` is true when the other country told that a screen showed it, None
    while it has told nothing.
    """

    number: int
    exchange_id: str
    side: str
    at: str  # UTC, RFC 3339
    until: str | None
    country: str
    organisation: str
    person: str
    role: str
    kind: str
    categories: tuple[str, ...]
    about: str
    purpose: str
    reason: str | None
    outcome: str  # complete, incomplete, refused, failed, open
    instances: int
    bytes: int
    viewed: bool | None

    @property
    def study(self) -> str:
        """The Study Instance UID, where the request named one."""
        first = self.about.split("/", 1)[0]
        return first if is_uid(first) else ""

    def words(self) -> dict[str, str]:
        """Kind, role, purpose and outcome in plain English; a code of ours is a message id of the catalogue."""
        return {
            "kind": KINDS.get(self.kind, self.kind),
            "role": role_words(self.role),
            "purpose": PURPOSES.get(self.purpose, self.purpose),
            "outcome": OUTCOMES[self.outcome],
        }


@dataclass(frozen=True, slots=True)
class View:
    """What a patient sees, newest first. `unreadable` records are theirs and do not open: see `audit verify`. `records` are what the
    trail holds of each access, intent and outcome, for who writes them in another form. `more` is true when older ones were left out."""

    accesses: tuple[Access, ...]
    unreadable: int = 0
    records: tuple[tuple[dict[str, Any], dict[str, Any] | None], ...] = ()
    more: bool = False


class Accesses:
    """Reads the patient's view from a node's trail. Whoever asks records it first: `reading`."""

    def __init__(self, db: Database, master: MasterKey) -> None:
        self._db, self._master = db, master

    async def of(self, patients: Sequence[PatientIdentifier], limit: int = LIMIT) -> View:
        """Every access to one person's data, under each number that person has or had."""
        return await self._db.read(lambda connection: self._read(connection, patients, limit))

    def of_now(self, patients: Sequence[PatientIdentifier], limit: int = LIMIT) -> View:
        return self._db.read_now(lambda connection: self._read(connection, patients, limit))

    def _read(self, connection: Connection, patients: Sequence[PatientIdentifier], limit: int) -> View:
        unseal = MonthKeys(self._master).unsealer(connection)
        tags = {patient_tag(self._master, patient) for patient in patients}
        found, unreadable, more = _newest(_intents(connection, tags), unseal, limit)
        endings = _endings(connection, [row.number for row, _ in found])
        records = [(row, record, _opened(endings.get(row.number), unseal)) for row, record in found]
        names = _names(record for _, record, _ in records)
        told = ((_access(*each, names), each[1]["details"].get("exchange", "")) for each in records)
        accesses = _explained(told)
        return View(accesses, unreadable, tuple((record, ending) for _, record, ending in records), more)


def reading(
    patient: PatientIdentifier,
    *,
    ncp_id: str,
    exchange_id: str,
    purpose: str,
    person: str = "",
    organisation: str = "",
    case: str = "",
) -> Intent:
    """The record of a reading: the patient's own (PATRQT), or an auditor's, who names the case (HCOMPL). It stands in the view too."""
    details = {"case": case} if case else {}
    return Intent(
        side="A", transaction=READING, exchange_id=exchange_id, peer=ncp_id, person=person, organisation=organisation,
        purpose=purpose, patient=patient, details=details,
    )  # fmt: skip


def as_json(view: View) -> dict[str, Any]:
    """Codes, and in `words` what they mean: portable. Source: trust.md §4.6."""
    return {
        "accesses": [{**_members(access), "words": access.words()} for access in view.accesses],
        "unreadable": view.unreadable,
        "more": view.more,
    }


def as_csv(view: View, more: str = MORE) -> str:
    """One row an access, with a header: codes, then words. A cell that a spreadsheet would take for a formula is quoted. Where older
    ones were left out, the last row is the sentence that says so.

    Source: RFC 4180.
    """
    names = [field.name for field in fields(Access)]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*names, "kind_words", "role_words", "purpose_words", "outcome_words"])
    for access in view.accesses:
        members = {**_members(access), "categories": " ".join(access.categories)}
        writer.writerow([_cell(value) for value in (*(members[name] for name in names), *access.words().values())])
    if view.more:
        writer.writerow([more])
    return out.getvalue()


def as_searchset(view: View, site: Site, self_link: str = "AuditEvent") -> Node:
    """The view as IHE's answer to a search for audit events; one that still goes on has no outcome yet. Source: BALP."""
    pairs = zip(view.accesses, view.records, strict=True)
    return write_searchset([write_event(*record, access.number, site) for access, record in pairs], self_link)


def role_words(role: str) -> str:
    """What a role is called in plain words; the code itself where we have none."""
    found = (ROLES[role[:length]] for length in (4, 3, 2) if role[:length] in ROLES)
    return next(found, role)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _members(access: Access) -> dict[str, Any]:
    return {field.name: getattr(access, field.name) for field in fields(Access)}


def _intents(connection: Connection, tags: set[str]) -> Iterator[Row]:
    """The intents about a patient, newest first as they began or ended: those that named him, and those of searches that found him."""
    for row in rows(connection, audit_trail.c.patient_tag.in_(tags), newest_first=True):
        if row.kind == "intent":
            yield row
        else:
            yield from rows(connection, audit_trail.c.number == row.closes)


def _newest(begun: Iterable[Row], unseal: Unseal, limit: int) -> tuple[list[tuple[Row, dict[str, Any]]], int, bool]:
    """The newest accesses, how many do not open, and whether older ones were left out. A look at what was fetched before takes no
    access's place, however many a country tells of, and looks of one person at one study of one exchange count once."""
    accesses: dict[int, tuple[Row, dict[str, Any]]] = {}
    views: dict[tuple[str, ...], tuple[Row, dict[str, Any]]] = {}
    unreadable, more = set(), False
    for row in begun:
        record, _ = opened(row, unseal)
        if record is None:
            unreadable.add(row.number)
        elif record["transaction"] == "view":
            look = _look(record)
            if look in views or len(views) < limit:
                views.setdefault(look, (row, record))
            else:
                more = True
        elif row.number not in accesses:
            if len(accesses) == limit:
                more = True
                break
            accesses[row.number] = (row, record)
    found = sorted((*accesses.values(), *views.values()), key=lambda each: each[0].number, reverse=True)
    return found, len(unreadable), more


def _look(record: dict[str, Any]) -> tuple[str, ...]:
    details = record["details"]
    person = record["person"].partition(" ")[0]
    return record["peer"], details.get("exchange", ""), person, details.get("of", "")


def _endings(connection: Connection, numbers: Sequence[int]) -> dict[int | None, Row]:
    found: dict[int | None, Row] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        closing = audit_trail.c.closes.in_(numbers[start : start + _AT_ONCE])
        found |= {row.closes: row for row in rows(connection, closing)}
    return found


def _opened(ending: Row | None, unseal: Unseal) -> dict[str, Any] | None:
    return None if ending is None else opened(ending, unseal)[0]


def _access(
    row: Row, intent: dict[str, Any], ending: dict[str, Any] | None, names: Mapping[tuple[str, str], str]
) -> Access:
    ended = ending or {"outcome": "open", "at": None, "instances": 0, "bytes": 0}
    details = intent["details"]
    return Access(
        number=row.number,
        exchange_id=row.exchange_id,
        side=intent["side"],
        at=intent["at"],
        until=ended["at"],
        country=intent["peer"],
        organisation=intent["organisation"],
        person=names.get((intent["peer"], intent["person"].partition(" ")[0]), intent["person"]),
        role=intent["role"],
        kind=intent["transaction"],
        categories=tuple(intent["categories"]),
        about=details.get("study") or details.get("of") or details.get("what", ""),
        purpose=intent["purpose"],
        reason=details.get("reason") or details.get("case"),
        outcome=ended["outcome"],
        instances=ended["instances"],
        bytes=ended["bytes"],
        viewed=None,
    )


def _names(intents: Iterable[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """What people are called, by country and the identifier that it gave: some records have the identifier alone. A patient reads the
    name where there is one. Source: EHDS Art. 9(2)."""
    named = {}
    for intent in intents:
        identifier, _, name = intent["person"].partition(" ")
        if name and len(intent["peer"]) == COUNTRY_LETTERS:
            named[intent["peer"], identifier] = name
    return named


def _explained(pairs: Iterable[tuple[Access, str]]) -> tuple[Access, ...]:
    """Newest first in and out, each with the exchange that it tells of, if any. What was said once holds for what follows it: the reason
    of an emergency. What was told later holds for what it is about: that a screen showed it."""
    told = list(pairs)
    newest_first = [access for access, _ in told]
    reasons: dict[tuple[str, str, str], str] = {}
    for place in range(len(newest_first) - 1, -1, -1):
        access = newest_first[place]
        asker = (access.country, access.person, access.purpose)
        if access.purpose in _EMERGENCIES:
            if access.reason:
                reasons[asker] = access.reason
            newest_first[place] = replace(access, reason=reasons.get(asker))
    exchanges: set[tuple[str, str]] = set()
    studies: set[tuple[str, str, str]] = set()
    for place, (_, exchange) in enumerate(told):
        access = newest_first[place]
        if access.kind == "view":
            exchanges.add((access.country, exchange))
            studies.add((access.country, access.person, access.study))
        of_that = (access.country, access.exchange_id) in exchanges
        of_study = (access.country, access.person, access.study) in studies and bool(access.study)
        given = access.kind in _GIVE and access.outcome in ("complete", "incomplete")
        if access.kind == "view" or (given and (of_that or of_study)):
            newest_first[place] = replace(access, viewed=True)
    return tuple(newest_first)
