"""Stop pages: what happened, what it means, what to do, whom to call, one number to say. Never a code alone.

Source: portal design §4, §6; trust.md §2.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.desk import Desk
from isthmus.errors import IsthmusError
from isthmus.model.assurance import level_of
from isthmus.pages.language import N_
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request

REASON = "X-Isthmus-Reason"  # for scripts of ours: on wrong-patient they clear the screen
AGAIN = N_("Try again in a minute; it is usually short.")
DESK = N_("If it is urgent, call the hospital the patient names, or the service desk.")
NUMBER = N_("If it stays so, call the service desk and say the number below.")


@dataclass(frozen=True, slots=True)
class Stop:
    """How one kind of stop is told. Without `lead` the error's own words are all there is to say."""

    title: str
    lead: str
    steps: tuple[str, ...]
    sign: str = "info"
    hard: bool = False


_WRONG_PATIENT = Stop(
    N_("Stopped: this may be another person"),
    N_("What came carries other data than the person you confirmed. Nothing of it has been shown."),
    (
        N_("Do not use it for this patient until it is cleared."),
        N_("Ask the patient for name and date of birth again, and look at the document."),
        N_("If it is an error at the source, report it to the hospital there."),
    ),
    "critical",
    hard=True,
)
_UNREACHABLE = Stop(
    N_("%(country)s cannot be reached at the moment"),
    N_("Your question was not answered. This says nothing about whether the patient has examinations there."),
    (AGAIN, DESK),
    "down",
)
_NOT_WHOLE = Stop(N_("What came cannot be shown"), "", (AGAIN, NUMBER), "alert")
_GONE = Stop(N_("This is not available here"), "", (N_("Go back to the examinations; the list shows what there is."),))
_WITHDRAWN = Stop(
    N_("Withdrawn since it was listed"),
    "",
    (
        N_("Do not rely on what you read or saw of it before."),
        N_("Go back to the examinations; the list shows what there is."),
        N_("If you have acted on it already, call the hospital there."),
    ),
    "alert",
)
_REFUSED = Stop(N_("This is not open to you"), "", (N_("Ask a colleague whose role may, or call the service desk."),))
_ASKED_WRONG = Stop(N_("This cannot be answered"), "", (N_("Go back, and try the way over the links."), NUMBER))
_NOT_OFFERED = Stop(
    N_("%(country)s does not share this yet"),
    N_("It offers this to none of its patients so far. It says nothing about what this patient has there."),
    (N_("Go back to the examinations; the list shows what there is."), N_("Ask the hospital there if you need it.")),
)
_PREPARING = Stop(
    N_("Being prepared from a slow archive"),
    N_("%(country)s fetches the images from where they are kept for long. This page asks again by itself."),
    (N_("Go on with something else; the images will be here in a few minutes."), NUMBER),
    "clock",
)
_STRONGER = Stop(
    N_("%(country)s asks for a stronger sign-in"),
    N_(
        "Nothing was opened. It answers who signed in at a higher level of assurance, or more recently. Your visit stays open."
    ),
    (N_("Sign in once more, with a card or another stronger means if you have one."), NUMBER),
)
_TOO_OFTEN = Stop(N_("Too many requests"), "", (N_("Wait a little, then try again."),), "clock")
_ANYTHING = Stop(N_("Access is not possible now"), "", (AGAIN, NUMBER))

EXPIRED = Stop(
    N_("This visit has ended"),
    N_("The time of the visit is over, or nothing happened for 15 minutes. What was on the screen has been put away."),
    (N_("Find and confirm the patient again if you are still treating them."),),
    "clock",
)
SIGNED_OUT = Stop(
    N_("You are signed out"),
    N_("Nothing happened for 15 minutes, or you signed out. What was on the screen has been put away."),
    (N_("Sign in again, then find and confirm the patient again."),),
    "clock",
)
CHANGED = Stop(
    N_("This study has changed since you opened it"),
    N_("What the country gives of it now is not what you saw; it does not say why. It has been put away."),
    (
        N_("Do not rely on what you read or saw of it before."),
        N_("Go back to the examinations; the list shows what there is."),
        N_("If you have acted on it already, call the hospital there."),
    ),
    "alert",
)
BY_REASON: Mapping[str, Stop] = {
    "wrong-patient": _WRONG_PATIENT,
    "patient-mismatch": _WRONG_PATIENT,
    "unreachable": _UNREACHABLE,
    "timed-out": _UNREACHABLE,
    "incomplete": _NOT_WHOLE,
    "digest": _NOT_WHOLE,
    "dicom-rejected": _NOT_WHOLE,
    "peer-response": _NOT_WHOLE,
    "peer-limit": _NOT_WHOLE,
    "not-found": _GONE,
    "withdrawn": _WITHDRAWN,
    "no-route": _GONE,
    "no-consent": _GONE,
    "role": _REFUSED,
    "purpose": _REFUSED,
    "access-code": _REFUSED,
    "not-offered": _NOT_OFFERED,
    "rate": _TOO_OFTEN,
    "loa": _STRONGER,
    "preparing": _PREPARING,
}


def stop(ask: Ask, error: IsthmusError) -> Answer:
    """The page for an error: its status, its words, what to do."""
    asked_wrong = 400 <= error.meaning.status < 500 and error.meaning.exit_status == 2
    told = BY_REASON.get(error.reason, _ASKED_WRONG if asked_wrong else _ANYTHING)
    number = str(error.facts.get("exchange_id") or ask.request.exchange_id)
    said: tuple[tuple[str, str], ...] = ((REASON, error.reason),)
    wait_s = error.facts.get("retry_after_s")
    if error.reason == "preparing" and isinstance(wait_s, int | float):
        said += (("Retry-After", str(max(1, int(wait_s)))),)
        said += (("Refresh", str(max(5, int(wait_s)))),) if ask.request.method != "POST" else ()
    allowed = error.facts.get("allowed")
    if isinstance(allowed, tuple):
        said += (("Allow", ", ".join(allowed)),)
    return _page(ask, told, error.meaning.status, said, words=error.meaning.words, number=number, facts=error.facts)


def expired(ask: Ask) -> Answer:
    """The visit is over, or never was this professional's: the two are one."""
    return _page(ask, EXPIRED, 403)


def changed(ask: Ask) -> Answer:
    """A study is open and is another now: what the page shows of it goes."""
    return _page(ask, CHANGED, 404, facts={"country": ask.country})


def signed_out(ask: Ask, *, had_session: bool) -> Answer:
    """Without a session nothing is shown: whoever had one is told, a newcomer is sent to sign in."""
    if not had_session and ask.request.method != "POST":
        return ask.to("/sign-in")
    return _page(ask, SIGNED_OUT, 403)


def bare(desk: Desk, error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
    """The page for what went wrong before anything was read."""
    if request is None:
        request = Request("POST", "/", (), {}, b"", exchange_id, None, None, {})
    return stop(Ask(desk, request), error)


def _page(
    ask: Ask,
    told: Stop,
    status: int,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    words: str = "",
    number: str = "",
    facts: Mapping[str, object] | None = None,
) -> Answer:
    code = str((facts or {}).get("country") or "")
    visit, ask.visit = ask.visit, (None if told.hard else ask.visit)  # a doubt clears the screen
    spoken, country = ask.spoken, ""
    try:
        country = ask.country_name(code) if code else ""
        participants = {p.country: p for p in ask.desk.directory.countries}
    except IsthmusError:
        participants = {}
    phone = participants[code].phone if code in participants else ""
    confirmed = visit is not None and visit.relationship is not None
    return ask.page(
        "stop.html",
        status,
        headers,
        told=told,
        title=spoken.say(told.title) % {"country": country or spoken.say("The country")},
        lead=spoken.say(told.lead or words) % {"country": country or spoken.say("The country")},
        number=number or ask.request.exchange_id,
        stronger=_stronger(ask, facts or {}) if told is _STRONGER and ask.session is not None else "",
        country=country,
        phone=phone,
        back=f"/visits/{visit.id}/examinations" if confirmed and visit is not None else "",
        again=ask.here if status >= 500 and status != 501 and not told.hard and ask.request.method != "POST" else "",
    )


def _stronger(ask: Ask, facts: Mapping[str, object]) -> str:
    """Where the same person signs in once more, at the level that was asked for, and comes back."""
    level = level_of(str(facts.get("acr_values", "")))
    here = ask.here if ask.here != "/" else "/find"
    return "/sign-in/again?" + urlencode({"here": here, **({"level": level} if level else {})})
