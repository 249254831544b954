"""The citizen's pages as an ASGI app: every address, and what must be so before its page is made.

Posts come from pages of ours, with the page's token. Every error is a page with one number to say; who is no patient of this country gets 404.

Source: trust.md §2.14, §4.6; architecture.md §7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from isthmus.country_a.citizen import access, consent
from isthmus.country_a.citizen.desk import LANGUAGE_COOKIE, Ask, Desk, patient_of
from isthmus.errors import InsufficientRights, IsthmusError, MalformedRequest, UnsupportedRequest, WeakAuthentication
from isthmus.pages.forms import local_path, read_form, require_own_page, require_page_token
from isthmus.pages.language import LANGUAGES
from isthmus.signin.provider import Wish
from isthmus.transport.answers import Answer, Receive, Send
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.pump import pump

Page = Callable[[Ask], Awaitable[Answer]]
LEAVING = ("Clear-Site-Data", '"cache", "storage"')


@dataclass(frozen=True, slots=True)
class Route:
    """An address: its pages by method, and whether it is for a patient who signed in."""

    get: Page | None = None
    post: Page | None = None
    patient: bool = True


async def front(ask: Ask) -> Answer:
    return ask.to("/consent" if ask.session else "/sign-in")


async def sign_in_page(ask: Ask) -> Answer:
    return ask.page("citizen-sign-in.html", trouble="", login="")


async def sign_in(ask: Ask) -> Answer:
    """A new session for a patient of this country; the same words whatever was wrong."""
    desk = ask.desk
    try:
        who = await desk.provider.finish(ask.form, Wish(), None)
        await patient_of(desk, who)
    except (InsufficientRights, WeakAuthentication, IsthmusError) as error:
        if error.meaning.status >= 500:
            raise
        words = ask.spoken.say("Name or password is not right. Try again.")
        return ask.page("citizen-sign-in.html", 403, trouble=words, login=ask.form.get("login", ""))
    if ask.session is not None:
        await desk.sessions.end(ask.session.token)
    begun = await desk.sessions.start(who)
    return ask.to("/consent", ("Set-Cookie", f"{desk.cookie}={begun.token}{desk.cookie_rules}"))


async def sign_out(ask: Ask) -> Answer:
    desk = ask.desk
    await desk.sessions.end(ask.signed_in.token)
    return ask.to("/sign-in", ("Set-Cookie", f"{desk.cookie}=; Max-Age=0{desk.cookie_rules}"), LEAVING)


async def set_language(ask: Ask) -> Answer:
    chosen = ask.form.get("language", "")
    kept = f"{LANGUAGE_COOKIE}={chosen if chosen in LANGUAGES else ''}; Max-Age=31536000{ask.desk.cookie_rules}"
    return ask.to(local_path(ask.form.get("here", "/")), ("Set-Cookie", kept))


ROUTES: dict[str, Route] = {
    "/": Route(front, patient=False),
    "/sign-in": Route(sign_in_page, sign_in, patient=False),
    "/language": Route(None, set_language, patient=False),
    "/sign-out": Route(None, sign_out),
    "/consent": Route(consent.consent_page, consent.keep),
    "/consent/preview": Route(consent.preview_page),
    "/address": Route(None, consent.keep_address),
    "/access": Route(access.access_page),
    "/access.json": Route(access.access_json),
    "/access.csv": Route(access.access_csv),
}


def citizen_app(desk: Desk) -> Inbound:
    """The ASGI app of the citizen's listener."""

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        if request.path.startswith("/static/"):
            answer = desk.static.answer(request.path.removeprefix("/static/"), request.headers)
        else:
            answer = await _answered(Ask(desk, request))
        await pump(answer, request, send, receive)

    def render(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
        if request is None:
            body = f"{error.meaning.status} {exchange_id}\n".encode()
            return Answer(error.meaning.status, (("Content-Type", "text/plain"),), (body,))
        return _stop(Ask(desk, request), error)

    return Inbound(handle, hosts=frozenset({urlsplit(desk.public).netloc}), render=render, max_body_bytes=1 << 14)


async def _answered(ask: Ask) -> Answer:
    try:
        return await _answer(ask)
    except IsthmusError as error:
        return _stop(ask, error)


async def _answer(ask: Ask) -> Answer:
    desk, request = ask.desk, ask.request
    route = ROUTES.get(request.path)
    if route is None:
        raise UnsupportedRequest("no page at this address", reason="no-route", path="path")
    token = ask.cookies.get(desk.cookie, "")
    ask.session = await desk.sessions.find(token) if token else None
    if request.method == "POST":
        require_own_page(request, desk.public)
        ask.form = read_form(request)
    page = route.post if request.method == "POST" else route.get
    if page is None:
        raise MalformedRequest(
            "this method is not offered here", reason="not-allowed", path="method", allowed=("GET", "POST")
        )
    if not route.patient:
        return await page(ask)
    if ask.session is None:
        return ask.to("/sign-in")
    if request.method == "POST":
        require_page_token(ask.session, ask.form)
    ask.patient = await patient_of(desk, ask.session.professional)
    return await page(ask)


def _stop(ask: Ask, error: IsthmusError) -> Answer:
    words = ask.spoken.say(error.meaning.words)
    return ask.page("citizen-stop.html", error.meaning.status, words=words, number=ask.request.exchange_id)
