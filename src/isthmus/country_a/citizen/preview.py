"""What a doctor abroad would see: now, and if the patient said something more or took something back. Nothing is opened by it.

Source: trust.md §3.3; portal design §4 (citizen).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.consent.decision import DirectiveSet, decide
from isthmus.consent.records import Directive
from isthmus.consent.speaking import Recipient
from isthmus.country_a.citizen.desk import Ask
from isthmus.model.documents import Document
from isthmus.model.imaging import BY_PRODUCTS
from isthmus.model.pairing import Examination, pair
from isthmus.model.queries import DocumentQuery

DOCTOR = "2212"


@dataclass(frozen=True, slots=True)
class Shown:
    """One examination of the patient's, as the page names it; `seen` is how much of it a doctor sees: all, part, nothing."""

    when: str
    modalities: str
    title: str
    place: str
    images: int | None
    reports: int
    seen: str
    hides: tuple[str, str]  # the directive that hides it: kind and scope


@dataclass(frozen=True, slots=True)
class Change:
    """What the patient is about to say, or to take back."""

    kind: str
    scope: str = ""
    withdraw: bool = False


async def shown(ask: Ask, change: Change | None = None) -> list[Shown]:
    """Every examination, newest first, with what a doctor abroad sees of it after the change."""
    desk = ask.desk
    query = DocumentQuery(patient=ask.me, statuses=(), pack=desk.pack())
    documents = [d for d in await desk.national.find_documents(query) if d.status == "current"]
    seen = {d.id for d in await _visible(ask, documents, change)}
    return [_shown(ask, one, seen) for one in pair(documents)]


async def _visible(ask: Ask, documents: Sequence[Document], change: Change | None) -> Sequence[Document]:
    desk, now = ask.desk, ask.desk.clock()
    said, merged = await desk.deciding.said_by(ask.me)
    if merged:
        return ()
    directives, rules, scope = said.directives, desk.deciding.rules, ""
    if change is not None:
        same = (change.kind, change.scope)
        directives = tuple(d for d in directives if not change.withdraw or (d.kind, d.scope) != same)
        more = () if change.withdraw else (Directive("preview", change.kind, change.scope, ask.me, now),)
        directives, scope = (*directives, *more), change.scope
    country = scope if change is not None and change.kind == "restrict-country" else next(iter(desk.countries()), "")
    who = Recipient(country, "", "", DOCTOR, "TREAT")
    presence = min(rules.presence, default="id-document")
    decision = decide(
        who=who, presence=presence, directives=DirectiveSet(directives), rules=rules, now=now, zone=desk.national.zone
    )
    return decision.visible(documents)


def _shown(ask: Ask, one: Examination, seen: set[str]) -> Shown:
    study, reports = one.manifest, one.reports
    parts = [*one.manifests.values(), *reports]
    count = sum(part.id in seen for part in parts)
    first = parts[0]
    uid = next(iter(first.study_instance_uids), "")
    holder = first.custodian.name if first.custodian else ""
    return Shown(
        when=ask.spoken.date(one.started),
        modalities=", ".join(kind for kind in first.modalities if kind not in BY_PRODUCTS),
        title=first.description or first.title,
        place=holder,
        images=study.instance_count if study is not None else None,
        reports=len(reports),
        seen="all" if count == len(parts) else "part" if count else "nothing",
        hides=("restrict-study", uid) if uid else ("restrict-report", first.unique_id.value),
    )
