"""What is written down: who asked what about whom and why, before; how it ended, after.

A value is cut to its limit and its control characters are escaped, so that nothing an asker sends can break a line.

Source: trust.md §4.1, §4.3; EHDS Annex II 3.2; ISO 27789.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from isthmus.model.identifiers import PatientIdentifier
from isthmus.wire.notes import Leaf
from isthmus.wire.receipts import Item

Side = Literal["A", "B"]
Parts = Mapping[str, bytes]
Ending = Literal["complete", "incomplete", "refused", "failed"]

VALUE_MAX = 512
QUERY_MAX = 1 << 16
ITEMS_MAX = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Intent:
    """An exchange that is about to happen. `transaction` is the IHE name (ITI-71, ITI-78, ITI-67, ITI-68, RAD-107) or
    capability, sign-in, view, consent, correction, trial. `details`: `reason` is why, in the words of who did it (an emergency, a
    correction); `of` what was asked for. `query` is a search as it was sent, `address` where the other end of the line is."""

    side: Side
    transaction: str
    exchange_id: str
    peer: str
    organisation: str = ""
    person: str = ""
    role: str = ""
    purpose: str = ""
    patient: PatientIdentifier | None = None
    categories: Sequence[str] = ()
    origins: Sequence[str] = ()
    token_jti: str = ""
    decision_id: str = ""
    decision_version: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    query: bytes = field(default=b"", repr=False)
    address: str = ""
    theirs: Leaf | None = None
    parts: Parts = field(default_factory=dict, repr=False)

    def record(self, at: datetime) -> dict[str, Any]:
        patient = self.patient and {"system": clean(self.patient.system), "value": clean(self.patient.value)}
        return {
            "v": 1,
            "at": moment(at),
            "side": self.side,
            "transaction": clean(self.transaction),
            "peer": clean(self.peer),
            "organisation": clean(self.organisation),
            "person": clean(self.person),
            "role": clean(self.role),
            "purpose": clean(self.purpose),
            "patient": patient,
            "categories": [clean(each) for each in self.categories[:ITEMS_MAX]],
            "origins": [clean(each) for each in self.origins[:ITEMS_MAX]],
            "token_jti": clean(self.token_jti),
            "decision": {"id": clean(self.decision_id), "version": clean(self.decision_version)},
            "details": clean_all(self.details),
            **({"query": b64encode(self.query[:QUERY_MAX]).decode()} if self.query else {}),
            **({"address": clean(self.address)} if self.address else {}),
            **_beside(self.theirs, self.parts),
        }


OVERRIDE_STARTED, OVERRIDE_STOPPED = "110127", "110138"  # DCM: Emergency Override


def override(
    code: str, side: Side, exchange_id: str, peer: str, who: Mapping[str, str], patient: PatientIdentifier
) -> Intent:
    """The record of an emergency's beginning or end, `who` by the names of an Intent, and why. Source: trust.md §3.5 (5), §4.1."""
    return Intent(
        side=side, transaction="emergency", exchange_id=exchange_id, peer=peer, organisation=who["organisation"],
        person=who["person"], role=who["role"], purpose="BTG", patient=patient,
        details={"event": code, "reason": who["reason"]},
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The instances of a study that crossed in one exchange: what A sent, or B received."""

    side: Side
    peer: str
    study_instance_uid: str
    items: tuple[Item, ...]
    did: str = ""  # the decision under which they were given


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ended. `digest` is that of the digests; `reason` the error's or what cut it; `missing` what was known to lack; `patient`
    whom a search found, which nobody knew before.

    `unmapped` counts the codes of the country's own in what was given that nobody could map, `mapped_by` names the tables that mapped the
    others. `as_issued` counts the reports that are no European document, since none could be made of them (decision 0016).
    Source: requirements.md §2.6 (MI-TM-04), §5.10.
    """

    outcome: Ending
    status: int | None = None
    instances: int = 0
    bytes: int = 0
    digest: str | None = None
    reason: str | None = None
    patient: PatientIdentifier | None = None
    missing: Sequence[str] = ()
    unmapped: int = 0
    mapped_by: Sequence[str] = ()
    as_issued: int = 0
    theirs: Leaf | None = None
    parts: Parts = field(default_factory=dict, repr=False)
    delivery: Delivery | None = field(default=None, repr=False)

    def record(self, at: datetime, duration_ms: int | None) -> dict[str, Any]:
        return {
            "v": 1,
            "at": moment(at),
            "outcome": self.outcome,
            "status": self.status,
            "instances": self.instances,
            "bytes": self.bytes,
            "digest": self.digest and clean(self.digest),
            "reason": self.reason and clean(self.reason),
            "duration_ms": duration_ms,
            **(
                {"patient": {"system": clean(found.system), "value": clean(found.value)}}
                if (found := self.patient)
                else {}
            ),
            **self._missing(),
            **self._codes(),
            **({"as_issued": self.as_issued} if self.as_issued else {}),
            **_beside(self.theirs, self.parts),
        }

    def _missing(self) -> dict[str, Any]:
        if not self.missing:
            return {}
        return {"missing": {"count": len(self.missing), "named": [clean(each) for each in self.missing[:ITEMS_MAX]]}}

    def _codes(self) -> dict[str, Any]:
        if not self.unmapped and not self.mapped_by:
            return {}
        mapped_by = [clean(each) for each in self.mapped_by[:ITEMS_MAX]]
        return {"codes": {"unmapped": self.unmapped, "mapped_by": mapped_by}}


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that is no exchange: a list accepted, a key changed, a node started, a clock that jumped."""

    kind: str
    side: Side
    exchange_id: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    def record(self, at: datetime) -> dict[str, Any]:
        what, details = clean(self.kind), clean_all(self.details)
        return {"v": 1, "at": moment(at), "side": self.side, "event": what, "details": details}


def _beside(theirs: Leaf | None, parts: Parts) -> dict[str, Any]:
    """What else a record binds: the other side's record, and the digests of what is kept beside it."""
    told: dict[str, Any] = (
        {"theirs": {"origin": clean(theirs.origin), "seq": theirs.seq, "leaf": theirs.leaf.hex()}}
        if theirs is not None
        else {}
    )
    return told | ({"parts": {name: sha256(part).hexdigest() for name, part in parts.items()}} if parts else {})


def moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str) -> str:
    """Cut to the limit, control characters written out."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text[:VALUE_MAX])


def clean_all(details: Mapping[str, str]) -> dict[str, str]:
    return {clean(name): clean(value) for name, value in list(details.items())[:ITEMS_MAX]}
