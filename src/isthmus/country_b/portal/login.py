"""Signing in and out, and what needs nobody: language, theme, the page About."""

from __future__ import annotations

import asyncio
import platform
from importlib import metadata

from isthmus.audit.events import Note
from isthmus.country_b.portal.ask import LANGUAGE_COOKIE, TERMS_COOKIE, THEME_COOKIE, THEMES, Ask
from isthmus.country_b.portal.words import KEYS
from isthmus.errors import InsufficientRights
from isthmus.pages.forms import local_path, require_page_token
from isthmus.pages.language import LANGUAGES, TERM_LANGUAGES, own_name
from isthmus.transport.answers import Answer

KEPT_S = 365 * 24 * 3600
LEAVING = ("Clear-Site-Data", '"cache", "storage"')


async def front(ask: Ask) -> Answer:
    return ask.to("/find" if ask.session else "/sign-in")


async def sign_in_page(ask: Ask) -> Answer:
    return ask.to("/find") if ask.session else ask.page("sign-in.html", trouble="", login="")


async def sign_in(ask: Ask) -> Answer:
    """A new session, whatever session there was. A refusal is told in the same words whatever was wrong."""
    desk, login = ask.desk, ask.form.get("login", "")
    try:
        who = await asyncio.to_thread(desk.accounts.check, login, ask.form.get("password", ""), desk.clock())
    except InsufficientRights as error:
        await _note(ask, "refused", "")
        words = ask.spoken.say(error.meaning.words)
        return ask.page("sign-in.html", error.meaning.status, trouble=words, login=login)
    if ask.session is not None:
        await desk.sessions.end(ask.session.token)
    session = await desk.sessions.start(who)
    await _note(ask, "signed-in", session.professional.sub)
    return ask.to("/find", ("Set-Cookie", f"{desk.cookie}={session.token}{desk.cookie_rules}"))


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


async def _note(ask: Ask, what: str, sub: str) -> None:
    details = {"what": what, "person": sub} if sub else {"what": what}
    await ask.desk.note(Note(kind="sign-in", side="B", exchange_id=ask.request.exchange_id, details=details))
