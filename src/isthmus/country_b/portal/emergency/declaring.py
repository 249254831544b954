"""The page on which a physician declares an emergency: why, in words the patient can read, and a sign-in of this moment.

It is the same for every patient, whatever is behind it. What was listed under another purpose is put away first.

Source: trust.md §3.5; portal design §4 (confirm).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.patients import NOTICE_VERSION, compare
from isthmus.errors import InsufficientRights, PatientNotFound
from isthmus.model.context import (
    EMERGENCY_REASONS,
    EMERGENCY_WORDS_MAX,
    EMERGENCY_WORDS_MIN,
    FRESH,
    Emergency,
    Purpose,
    TreatmentRelationship,
    emergency_words,
)
from isthmus.pages.language import N_
from isthmus.transport.answers import Answer

REASONS = {
    "unconscious": N_("Unconscious or cannot answer"),
    "life-threat": N_("Life in danger"),
    "safety-of-others": N_("Danger to others"),
    "other": N_("Other reason"),
}
"""What the page calls each reason; the keys are EMERGENCY_REASONS."""


async def emergency_page(ask: Ask) -> Answer:
    return _page(ask, {})


async def declare(ask: Ask) -> Answer:
    """The visit goes on as an emergency of 60 minutes. What is missing is said at its field; nothing has been opened then."""
    _allowed(ask)
    form, spoken = ask.form, ask.spoken
    words, problems = emergency_words(form.get("words", "")), {}
    if form.get("reason") not in EMERGENCY_REASONS:
        problems["reason"] = spoken.say("Choose why. Nothing has been opened.")
    if not EMERGENCY_WORDS_MIN <= len(words) <= EMERGENCY_WORDS_MAX:
        said = spoken.say("Write at least %(n)d characters, and at most %(most)d. Nothing has been opened.")
        problems["words"] = said % {"n": EMERGENCY_WORDS_MIN, "most": EMERGENCY_WORDS_MAX}
    if form.get("vital") != "yes":
        problems["vital"] = spoken.say("Confirm with the tick. Nothing has been opened.")
    if not _is_fresh(ask):
        problems["fresh"] = spoken.say("Show once more that it is you. Nothing has been opened.")
    if problems:
        return _page(ask, problems, status=400)
    visit = replace(ask.visiting, professional=ask.signed_in.professional, purpose=Purpose.BTG)
    await ask.desk.put_away(visit.id)
    await ask.desk.visits.keep(replace(visit, relationship=_relationship(ask, form["reason"], words)))
    return ask.to(f"{ask.at_visit}/examinations")


def _relationship(ask: Ask, reason: str, words: str) -> TreatmentRelationship:
    now, alone = ask.desk.clock(), reason == "unconscious"
    emergency = Emergency(reason, words, datetime.fromtimestamp(ask.signed_in.professional.auth_time, UTC))
    return TreatmentRelationship(
        purpose=Purpose.BTG, method="unable" if alone else "id-document", document_country=ask.country, verified_at=now,
        notice_version=NOTICE_VERSION, notice_language=ask.spoken.code, notice_given=not alone,
        encounter=secrets.token_urlsafe(12), confirmed_at=now, point_of_care=ask.visiting.point_of_care, emergency=emergency,
    )  # fmt: skip


def _is_fresh(ask: Ask) -> bool:
    """Signed in within the last five minutes: of an older one Country A takes no emergency."""
    age = ask.desk.clock().timestamp() - ask.signed_in.professional.auth_time
    return age <= FRESH.total_seconds()


def _allowed(ask: Ask) -> None:
    if not ask.visiting.patients:
        raise PatientNotFound("nobody was found in this visit yet")
    if not ask.offers_emergency:
        raise InsufficientRights("emergency access is not for this role, or not of this country", reason="role")


def _page(ask: Ask, problems: dict[str, str], *, status: int = 200) -> Answer:
    _allowed(ask)
    signed_in = datetime.fromtimestamp(ask.signed_in.professional.auth_time, UTC)
    return ask.page(
        "confirm-emergency.html",
        status,
        lines=compare(ask, ask.patient, ask.visiting.typed),
        name=ask.country_name(ask.country),
        code=ask.country,
        reasons={code: ask.spoken.say(words) for code, words in REASONS.items()},
        typed={"reason": "", "words": "", **ask.form},
        problems=dict.fromkeys(("reason", "words", "vital", "fresh"), "") | problems,
        fresh=_is_fresh(ask),
        signed_in=ask.spoken.clock(signed_in),
        again="/sign-in/again?" + urlencode({"here": f"{ask.at_visit}/emergency"}),
    )
