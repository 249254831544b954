"""A correction and its trace: on the trail before anything changes, closed after, once for each patient it touches.

The index changes in one transaction. Whatever dies on the way leaves either the state before or the state after, and an exchange that
the trail closes as interrupted; the same correction said again finds what is done and does the rest.

Decision 0012. Source: trust.md §4.1, §4.2.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from isthmus.audit.events import Intent, Outcome
from isthmus.audit.trail import Trail
from isthmus.errors import IsthmusError, SettingsProblem
from isthmus.model.amounts import amount
from isthmus.model.identifiers import PatientIdentifier


@dataclass(frozen=True, slots=True)
class Order:
    """Who corrects what, and why: both are said in words, and neither may be empty."""

    kind: str  # merge, split, move, assign, release, discard, delete, restore, retract
    by: str
    why: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.why.strip():
            raise SettingsProblem("a correction says who orders it and why: --by and --reason", reason="usage")


@dataclass(slots=True)
class Done:
    """What a correction did. `studies` are those whose offer changed; `held` counts what waits to be issued anew."""

    studies: set[str] = field(default_factory=set)
    instances: int = 0
    documents: int = 0
    people: int = 0  # entries of the register
    held: int = 0
    told: list[str] = field(default_factory=list)  # what follows, in sentences
    exchange_id: str = ""  # under which the trail has it

    @property
    def changed(self) -> bool:
        return bool(self.instances or self.documents or self.studies or self.people)

    def tell_held(self, one: str) -> None:
        """Say first what waits for its new issue. `one` is what one of them is called."""
        if self.held:
            what = f"Held until issued anew, because somebody else is named: {amount(self.held, one)}."
            self.told.insert(0, f"{what} Import what names the right patient.")


def correct(
    trail: Trail,
    ncp_id: str,
    order: Order,
    patients: Iterable[PatientIdentifier],
    named: Mapping[str, str],
    work: Callable[[], Done],
) -> Done:
    """Do a correction inside its records. `named` are the ids it is about, of studies and documents; never a trait.

    Raises AuditUnavailable before anything changes: no audit, no correction.
    """
    exchange_id = secrets.token_hex(16)
    intents = [
        Intent(
            side="A",
            transaction="correction",
            exchange_id=exchange_id,
            peer=ncp_id,
            person=order.by,
            purpose=order.kind,
            patient=patient,
            details={"reason": order.why, **named},
        )
        for patient in dict.fromkeys(patients) or (None,)
    ]
    opened = [trail.open_now(intent) for intent in intents]
    outcome = Outcome(outcome="incomplete", reason="interrupted")
    try:
        done = work()
        done.exchange_id = exchange_id
        outcome = Outcome(outcome="complete", instances=done.instances + done.documents)
        return done
    except IsthmusError as error:
        failed = error.meaning.status >= 500
        outcome = Outcome(outcome="failed" if failed else "refused", status=error.meaning.status, reason=error.reason)
        raise
    finally:
        for one in opened:
            trail.close_now(one, outcome)
