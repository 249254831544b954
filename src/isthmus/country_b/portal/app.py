"""The portal as an ASGI app: every address, and what must be so before its page is made.

A page needs nobody, a session, or a visit whose person was confirmed. Posts come from pages of ours, with the page's token. Every
error of the house is a page, in the reader's language, with one number to say. What a page asks by itself says `idle`: it keeps neither
session nor visit awake.

Source: architecture.md §7; trust.md §2.14; interfaces.md §6, §12.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from urllib.parse import urlsplit

from isthmus.config import Settings
from isthmus.country_b.client import Client
from isthmus.country_b.flights import Flights
from isthmus.country_b.portal import documents, images, login, patients, report, stops
from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.desk import Desk
from isthmus.country_b.portal.emergency import declaring
from isthmus.country_b.recent import Recent
from isthmus.country_b.spool import Spool
from isthmus.country_b.verbs import Verbs
from isthmus.country_b.visit import Visits
from isthmus.errors import DocumentNotFound, InsufficientRights, IsthmusError, MalformedRequest, UnsupportedRequest
from isthmus.pages.forms import read_form, require_own_page, require_page_token
from isthmus.sandbox import Sandbox
from isthmus.signin.away import Away
from isthmus.signin.provider import SignInProvider
from isthmus.signin.sessions import Sessions
from isthmus.terminology.designations import Dictionary
from isthmus.transport.answers import Answer, Receive, Send
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.pump import pump

Page = Callable[[Ask], Awaitable[Answer]]


class Needs(Enum):
    """What must be so before a page is made."""

    NOBODY = 0
    SESSION = 1
    VISIT = 2  # of this professional, still running
    CONFIRMED = 3  # and the treatment relationship stands


@dataclass(frozen=True, slots=True)
class Route:
    pattern: re.Pattern[str]
    needs: Needs
    get: Page | None = None
    post: Page | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        return (("GET", "HEAD") if self.get else ()) + (("POST",) if self.post else ())


def _route(path: str, needs: Needs, get: Page | None = None, post: Page | None = None) -> Route:
    """`{name}` stands for one part of the path."""
    return Route(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9._~-]+)", path)), needs, get, post)


ROUTES = (
    _route("/", Needs.NOBODY, login.front),
    _route("/sign-in", Needs.NOBODY, login.sign_in_page, login.sign_in),
    _route("/sign-in/callback", Needs.NOBODY, login.come_back),
    _route("/sign-in/again", Needs.SESSION, login.again_page, login.again),
    _route("/sign-out", Needs.SESSION, None, login.sign_out),
    _route("/language", Needs.NOBODY, None, login.set_language),
    _route("/terms", Needs.NOBODY, None, login.set_terms),
    _route("/theme", Needs.NOBODY, None, login.set_theme),
    _route("/about", Needs.NOBODY, login.about),
    _route("/find", Needs.SESSION, patients.find_page, patients.find),
    _route("/visits/{visit}/confirm", Needs.VISIT, patients.confirm_page, patients.confirm),
    _route("/visits/{visit}/emergency", Needs.VISIT, declaring.emergency_page, declaring.declare),
    _route("/visits/{visit}/close", Needs.VISIT, None, patients.close),
    _route("/visits/{visit}/examinations", Needs.CONFIRMED, documents.examinations),
    _route("/visits/{visit}/standing", Needs.CONFIRMED, documents.standing),
    _route("/visits/{visit}/reports/{report}", Needs.CONFIRMED, report.report_page),
    _route("/visits/{visit}/reports/{report}/original", Needs.CONFIRMED, report.original),
    _route("/visits/{visit}/studies/{study}", Needs.CONFIRMED, images.study_page),
    _route("/visits/{visit}/studies/{study}/view", Needs.CONFIRMED, images.viewer),
    _route("/visits/{visit}/studies/{study}/study.json", Needs.CONFIRMED, images.description),
    _route("/visits/{visit}/studies/{study}/notes.json", Needs.CONFIRMED, images.notes),
    _route("/visits/{visit}/studies/{study}/series/{series}/thumbnail", Needs.CONFIRMED, images.thumbnail),
    _route("/visits/{visit}/studies/{study}/series/{series}/instances/{instance}", Needs.CONFIRMED, images.instance),
    _route(
        "/visits/{visit}/studies/{study}/series/{series}/instances/{instance}/text", Needs.CONFIRMED, report.tree_page
    ),
)


def portal_app(
    settings: Settings,
    client: Client,
    verbs: Verbs,
    sessions: Sessions,
    providers: Mapping[str, SignInProvider],
    away: Away,
    visits: Visits,
    spool: Spool,
    flights: Flights,
    recent: Recent,
    *,
    sandbox: Sandbox | None = None,
    credits: Sequence[str] = (),
    dictionary: Dictionary | None = None,
    clock: Callable[[], datetime],
) -> Inbound:
    """The portal of a node. `credits` are the attributions that the page About shows; `sandbox` draws its pictures."""
    desk = Desk(
        settings,
        verbs,
        client.directory,
        client.trail.note,
        sessions,
        providers,
        away,
        visits,
        spool,
        flights,
        recent,
        sandbox or Sandbox(),
        clock,
        client.roles,
        credits,
        dictionary or Dictionary(),
    )
    return app_of(desk)


def app_of(desk: Desk) -> Inbound:
    """The ASGI app around a desk."""

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        await pump(await answer(desk, request), request, send, receive)

    def render(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
        return stops.bare(desk, error, request, exchange_id)

    return Inbound(handle, hosts=frozenset({urlsplit(desk.public).netloc}), render=render, max_body_bytes=1 << 16)


async def answer(desk: Desk, request: Request) -> Answer:
    """The page, or the page that says why not."""
    if "service-worker" in request.headers:
        raise DocumentNotFound("no script of ours is a service worker")
    if request.path.startswith("/static/"):
        return desk.static.answer(request.path.removeprefix("/static/"), request.headers)
    ask = Ask(desk, request)
    try:
        return await _answer(ask)
    except IsthmusError as error:
        return stops.stop(ask, error)


async def _answer(ask: Ask) -> Answer:
    route, parts = _find(ask.request.path)
    ask.parts = parts
    token, by_hand = ask.cookies.get(ask.desk.cookie, ""), "idle" not in ask.query
    ask.session = await ask.desk.sessions.find(token, used=by_hand) if token else None
    if ask.request.method == "POST":
        require_own_page(ask.request, ask.desk.public)
        ask.form = read_form(ask.request)
    page = route.post if ask.request.method == "POST" else route.get
    if page is None:
        raise MalformedRequest(
            "this method is not offered here", reason="not-allowed", path="method", allowed=route.methods
        )
    if route.needs is Needs.NOBODY:
        return await page(ask)
    if ask.session is None:
        return stops.signed_out(ask, had_session=bool(token))
    if ask.request.method == "POST":
        require_page_token(ask.session, ask.form)
    if route.needs is not Needs.SESSION:
        try:
            ask.visit = await ask.desk.visits.find(parts["visit"], ask.session.professional, used=by_hand)
        except InsufficientRights:
            return stops.expired(ask)
        if route.needs is Needs.CONFIRMED and ask.visit.relationship is None:
            return ask.to(f"{ask.at_visit}/confirm")
    return await page(ask)


def _find(path: str) -> tuple[Route, dict[str, str]]:
    for route in ROUTES:
        if (match := route.pattern.fullmatch(path)) is not None:
            return route, match.groupdict()
    raise UnsupportedRequest("no page at this address", reason="no-route", path="path")
