"""Signing in, once more, and out; and what needs nobody: language, theme, the page About.

Source: trust.md §2.13, §2.14.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from isthmus.audit.events import Note
from isthmus.country_b.portal.ask import LANGUAGE_COOKIE, TERMS_COOKIE, THEME_COOKIE, THEMES, Ask
from isthmus.country_b.portal.words import KEYS
from isthmus.errors import InsufficientRights, IsthmusError, WeakAuthentication
from isthmus.model.assurance import LEVELS
from isthmus.model.people import HealthProfessional
from isthmus.pages.forms import local_path, require_page_token
from isthmus.pages.language import LANGUAGES, TERM_LANGUAGES, own_name
from isthmus.signin.away import Pending
from isthmus.signin.password import NAME
from isthmus.signin.provider import SignInProvider, Wish
from isthmus.transport.answers import Answer

KEPT_S = 365 * 24 * 3600
LEAVING = ("Clear-Site-Data", '"cache", "storage"')


async def front(ask: Ask) -> Answer:
    return ask.to("/find" if ask.session else "/sign-in")


async def sign_in_page(ask: Ask) -> Answer:
    return ask.to("/find") if ask.session else _page(ask)


async def sign_in(ask: Ask) -> Answer:
    """A new session, whatever session there was; or the way to where one signs in."""
    return await _step(ask, Wish(), "/find")


async def again_page(ask: Ask) -> Answer:
    """Show once more that it is you: before what asks for a fresh or a stronger sign-in."""
    return _page(ask)


async def again(ask: Ask) -> Answer:
    """The session goes on as it is, with a fresh sign-in of the same person."""
    least = ask.form.get("level", "")
    return await _step(ask, Wish(ask.signed_in.professional.sub, least if least in LEVELS else ""), _here(ask.form))


async def come_back(ask: Ask) -> Answer:
    """Back from an identity service. A page that moves on, not a redirect: a Strict cookie would not come along with one."""
    desk = ask.desk
    pending = desk.away.find(ask.cookies)
    provider = desk.providers.get(pending.provider) if pending is not None else None
    if pending is None or provider is None or len(ask.request.query) != len(ask.query):
        return await _refused(ask, InsufficientRights("nothing was begun in this browser", reason="identity"))
    try:
        who = await provider.finish(ask.query, pending.wish, pending.attempt)
        cookies = await _let_in(ask, provider, who, pending.wish, pending.session)
    except (InsufficientRights, WeakAuthentication) as error:
        return await _refused(ask, error, provider)
    return _moving(ask, pending.here, "", *cookies, desk.away.forget())


async def _step(ask: Ask, wish: Wish, here: str) -> Answer:
    """What is next with the provider at hand: our form was filled, or the browser goes elsewhere."""
    provider = _provider(ask)
    session = ask.session.id if ask.session is not None and wish.again else ""
    try:
        elsewhere = await provider.begin(wish)
        if elsewhere is not None:
            pending = Pending(provider.name, elsewhere.attempt, wish, session, here)
            return _moving(ask, elsewhere.url, provider.label, ask.desk.away.keep(pending))
        who = await provider.finish(ask.form, wish, None)
        cookies = await _let_in(ask, provider, who, wish, session)
    except (InsufficientRights, WeakAuthentication) as error:
        return await _refused(ask, error, provider)
    return ask.to(here, *cookies)


async def _let_in(
    ask: Ask, provider: SignInProvider, who: HealthProfessional, wish: Wish, session: str
) -> tuple[tuple[str, str], ...]:
    """The session begins, or goes on; the cookie that goes with it."""
    desk = ask.desk
    if wish.again:
        if not await desk.sessions.renew(session, who):
            raise InsufficientRights("the session is over, or another person's", reason="identity")
        await _note(ask, "signed-in-again", who.sub, provider)
        return ()
    if ask.session is not None:
        await desk.sessions.end(ask.session.token)
    begun = await desk.sessions.start(who)
    await _note(ask, "signed-in", who.sub, provider)
    return (("Set-Cookie", f"{desk.cookie}={begun.token}{desk.cookie_rules}"),)


async def _refused(ask: Ask, error: IsthmusError, provider: SignInProvider | None = None) -> Answer:
    """The page of signing in once more, in the same words whatever was wrong."""
    await _note(ask, "refused", "", provider)
    words = ask.spoken.say(error.meaning.words)
    login = ask.form.get("login", "")
    return _page(ask, error.meaning.status, ask.desk.away.forget(), trouble=words, login=login, error=error)


def _page(ask: Ask, status: int = 200, *headers: tuple[str, str], **more: Any) -> Answer:
    """One provider's step: our form, or the way there. The others are links."""
    chosen, asked = _provider(ask), {**ask.query, **ask.form}
    again = ask.request.path == "/sign-in/again"
    error = more.pop("error", None)
    return ask.page(
        "sign-in.html",
        status,
        tuple(header for header in headers if chosen.label),
        provider=chosen,
        others=[] if again else [each for each in ask.desk.providers.values() if each.name != chosen.name],
        again=again,
        action="/sign-in/again" if again else "/sign-in",
        here=_here(asked),
        level=asked.get("level", ""),
        rests=error is not None and error.reason == "sign-in",
        **{"trouble": "", "login": "", **more},
    )


def _provider(ask: Ask) -> SignInProvider:
    """Whoever vouched for this session; else the one that was chosen; else the first."""
    providers = ask.desk.providers
    chosen = ask.form.get("with", "") or ask.query.get("with", "")
    if ask.session is not None:
        before, colon, _ = ask.session.professional.sub.partition(":")
        chosen = before if colon else NAME
    return providers.get(chosen) or next(iter(providers.values()))


def _moving(ask: Ask, to: str, label: str, *headers: tuple[str, str]) -> Answer:
    return ask.page("moving.html", 200, (*headers, ("Refresh", f"0; url={to}")), to=to, label=label)


def _here(fields: Mapping[str, str]) -> str:
    here = local_path(fields.get("here", ""))
    return here if here != "/" else "/find"


async def sign_out(ask: Ask) -> Answer:
    """The session, its visits and what was spooled for them end together."""
    desk, session = ask.desk, ask.signed_in
    ended = await desk.visits.end_all_of(session.professional)
    await desk.put_away(*ended)
    await desk.sessions.end(session.token)
    await _note(ask, "signed-out", session.professional.sub)
    return ask.to("/sign-in", ("Set-Cookie", f"{desk.cookie}=; Max-Age=0{desk.cookie_rules}"), LEAVING)


async def set_language(ask: Ask) -> Answer:
    chosen = ask.form.get("language", "")
    return _remember(ask, LANGUAGE_COOKIE, chosen if chosen in LANGUAGES else "")


async def set_terms(ask: Ask) -> Answer:
    """In which language coded words are read; none: as the browser says."""
    chosen = ask.form.get("terms", "")
    return _remember(ask, TERMS_COOKIE, chosen if chosen in TERM_LANGUAGES else "")


async def set_theme(ask: Ask) -> Answer:
    chosen = ask.form.get("theme", "")
    return _remember(ask, THEME_COOKIE, chosen if chosen in THEMES else "")


async def about(ask: Ask) -> Answer:
    """What this is, whose work is in it, and what it must not be used for."""
    return ask.page(
        "about.html",
        credits=ask.desk.credits,
        keys=KEYS,
        term_languages=[(code, own_name(code)) for code in TERM_LANGUAGES],
        demo=ask.desk.settings.env != "prod",
        software=f"Isthmus {metadata.version('isthmus')}, Python {platform.python_version()}",
    )


def _remember(ask: Ask, cookie: str, value: str) -> Answer:
    if ask.session is not None:
        require_page_token(ask.session, ask.form)
    age = KEPT_S if value else 0
    kept = f"{cookie}={value}; Max-Age={age}{ask.desk.cookie_rules}"
    return ask.to(local_path(ask.form.get("here", "/")), ("Set-Cookie", kept))


async def _note(ask: Ask, what: str, sub: str, provider: SignInProvider | None = None) -> None:
    details = {"what": what} | ({"person": sub} if sub else {})
    if provider is not None and provider.label:
        details["provider"] = provider.name
    await ask.desk.note(Note(kind="sign-in", side="B", exchange_id=ask.request.exchange_id, details=details))
