"""Why a decision shows a document or not: for Country A's own people and the patient alone, never for the border.

Source: trust.md §6.1 (`explain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.consent.decision import Decision
from isthmus.consent.roles import Act
from isthmus.model.documents import WITHDRAWN, Document

GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Reason:
    """One document and why.

    `given`; `withdrawn`; `nothing-crosses`: an opt-out, or no permission at all; `not-offered`, `role`, `label`; `directive` with the
    kinds and scopes that deny it; `linked`: hidden with what it belongs to; `no-permission` for this one.
    """

    document: Document
    why: str
    directives: tuple[str, ...] = ()


def reasons(decision: Decision, documents: Sequence[Document]) -> list[Reason]:
    """One for each of the patient's documents, in their order. Give it all of them."""
    given = {document.id for document in decision.visible(documents)}
    return [_reason(decision, document, given) for document in documents]


def _reason(decision: Decision, document: Document, given: set[str]) -> Reason:
    if document.id in given:
        return Reason(document, GIVEN)
    service, act = ("manifest", Act.MANIFEST) if document.kind.is_manifest else ("report", Act.REPORT)
    by_rule = (
        ("withdrawn", document.status == WITHDRAWN),
        ("nothing-crosses", decision.everything_denied),
        ("not-offered", f"imaging-{service}" not in decision.services),
        ("role", act not in decision.acts),
        ("label", decision.labelled(document)),
    )
    for why, holds in by_rule:
        if holds:
            return Reason(document, why)
    denying = tuple(f"{d.kind} {d.scope}".strip() for d in decision.denying(document))
    if denying:
        return Reason(document, "directive", denying)
    return Reason(document, "linked" if decision.permitted else "no-permission")
