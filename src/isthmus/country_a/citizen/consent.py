"""What I share: everything that holds, and a change of it, shown before it is kept. Kept with its record, or not at all.

Source: trust.md §3.1, §3.2; portal design §4 (citizen).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.audit.events import Outcome
from isthmus.consent.emergency import checked_address
from isthmus.consent.records import checked_scope
from isthmus.country_a.citizen.desk import Ask
from isthmus.country_a.citizen.preview import Change, Shown, shown
from isthmus.errors import DocumentNotFound, MalformedRequest
from isthmus.pages.language import N_
from isthmus.transport.answers import Answer

LOOKED = "own-data"  # the transaction of a patient who looks at what there is
SAYABLE = ("opt-out", "permit", "restrict-imaging", "restrict-study", "restrict-report", "restrict-period", "restrict-organisation",
    "restrict-country", "restrict-purpose")  # fmt: skip
WORDS = {
    "opt-out": N_("Nothing is shared with doctors abroad"),
    "permit": N_("Sharing with doctors abroad is permitted"),
    "restrict-imaging": N_("All scans and reports are hidden"),
    "restrict-study": N_("A scan is hidden, with its reports"),
    "restrict-report": N_("A report is hidden, with its scans"),
    "restrict-period": N_("What was made in a period is hidden"),
    "restrict-modality": N_("One kind of image is hidden"),
    "restrict-region": N_("One part of the body is hidden"),
    "restrict-label": N_("What is marked as especially sensitive is hidden"),
    "restrict-country": N_("Everything is hidden from one country"),
    "restrict-organisation": N_("Everything of one hospital is hidden, and from it"),
    "restrict-person": N_("Everything is hidden from one person"),
    "restrict-role": N_("Everything is hidden from one profession"),
    "restrict-purpose": N_("Emergency access shows no more than ordinary treatment"),
}
"""What each kind of directive is called on the page."""


@dataclass(frozen=True, slots=True)
class Said:
    """A choice that holds: in words, what it is about, since when, and how it is taken back."""

    words: str
    about: str
    since: str
    kind: str
    scope: str
    mine: bool  # said under this number: only that can be taken back here


async def consent_page(ask: Ask) -> Answer:
    return await _page(ask)


async def _page(ask: Ask, status: int = 200, trouble: str = "") -> Answer:
    async with ask.on_record(ask.intent(LOOKED, what="choices")):
        examinations = await shown(ask)
        said = await _said(ask, examinations)
    address = await asyncio.to_thread(ask.desk.emergencies.address_now, ask.me)
    holding = {one.kind for one in said}
    return ask.page(
        "citizen-consent.html",
        status,
        said=said,
        examinations=examinations,
        opted_out="opt-out" in holding,
        no_emergency=any((one.kind, one.scope) == ("restrict-purpose", "BTG") for one in said),
        opt_in=ask.desk.deciding.rules.opt_in,
        permitted="permit" in holding,
        countries=ask.countries(),
        emergencies_offered=ask.desk.deciding.rules.btg,
        address=address or "",
        trouble=trouble,
    )


async def preview_page(ask: Ask) -> Answer:
    """Before and after, side by side; nothing is kept yet."""
    try:
        change = _change(ask.query)
    except MalformedRequest:
        return await _page(ask, 400, ask.spoken.say("This is not filled in as it should be. Nothing was changed."))
    async with ask.on_record(ask.intent(LOOKED, what="preview")):
        before, after = await shown(ask), await shown(ask, change)
    words = ask.spoken.say(WORDS[change.kind])
    pairs = list(zip(before, after, strict=True))
    return ask.page("citizen-preview.html", change=change, words=words, pairs=pairs)


async def keep(ask: Ask) -> Answer:
    """The choice holds from the next request on, also for what is being sent."""
    desk, change = ask.desk, _change(ask.form)

    try:
        made = await asyncio.to_thread(
            desk.directives.change_now, ask.me, change.kind, change.scope, withdraw=change.withdraw
        )
    except DocumentNotFound:
        made = None  # taken back already
    if made is not None:
        ready = made
        details = {"kind": change.kind, "head": str(ready.number), "digest": ready.digest}
        intent = ask.intent("consent", **details, **({"withdrawn": "yes"} if change.withdraw else {}))
        await desk.trail.record(intent, Outcome(outcome="complete"), lambda c: desk.directives.write(c, ready))
    return ask.to("/consent")


async def keep_address(ask: Ask) -> Answer:
    """Where to be told of an emergency access."""
    try:
        address = checked_address(ask.form.get("mail", ""))
    except MalformedRequest:
        return await _page(ask, 400, ask.spoken.say("This is no mail address. Nothing was changed."))
    kept = ask.desk.emergencies.keeping_address(ask.me, address, "patient")
    await ask.desk.trail.record(ask.intent("contact"), Outcome(outcome="complete"), kept)
    return ask.to("/consent")


def _change(said: Mapping[str, str]) -> Change:
    """Raises MalformedRequest for what cannot be said here."""
    kind, scope = said.get("kind", ""), said.get("scope", "")
    if kind == "restrict-period" and not scope:
        scope = f"{said.get('first', '')}..{said.get('last', '')}"
    withdraw = said.get("withdraw", "") == "yes"
    if kind not in (WORDS if withdraw else SAYABLE):
        raise MalformedRequest("not a choice of this page", reason="value", path="kind")
    return Change(kind, checked_scope(kind, scope), withdraw)


async def _said(ask: Ask, examinations: list[Shown]) -> list[Said]:
    desk = ask.desk
    own = {(d.kind, d.scope) for d in (await desk.directives.of(ask.me)).directives if d.holds(desk.clock())}
    directives, _ = await desk.deciding.said_by(ask.me)
    names = {one.hides: f"{one.when}, {one.title}" for one in examinations} | {
        ("restrict-country", code): name for code, name in ask.countries().items()
    }
    return [
        Said(
            words=ask.spoken.say(WORDS[d.kind]) if d.kind in WORDS else d.kind,
            about=names.get((d.kind, d.scope), d.scope if d.kind != "restrict-purpose" else ""),
            since=ask.spoken.date(d.since.date().isoformat()),
            kind=d.kind,
            scope=d.scope,
            mine=(d.kind, d.scope) in own,
        )
        for d in directives.directives
        if d.holds(desk.clock())
    ]
