"""What the portal works with: the rows it asks, who is signed in, the visits, the spool; one per node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from isthmus.audit.events import Note
from isthmus.config import Settings
from isthmus.consent.roles import ROLES, Roles
from isthmus.country_b.flights import Flights
from isthmus.country_b.recent import Recent
from isthmus.country_b.spool import Spool
from isthmus.country_b.verbs import Verbs
from isthmus.country_b.visit import Visits
from isthmus.errors import SettingsProblem
from isthmus.pages.static import Static
from isthmus.sandbox import Sandbox
from isthmus.signin.away import Away
from isthmus.signin.provider import SignInProvider
from isthmus.signin.sessions import Sessions, cookie_name
from isthmus.terminology.designations import Dictionary
from isthmus.trust.trustlist import Participant

BY_HAND_S = 30.0  # how often at most a page asks because somebody does something there


class Countries(Protocol):
    """Who answers now: the part of `trust.directory.Directory` that pages need."""

    @property
    def countries(self) -> tuple[Participant, ...]: ...
    def country(self, code: str) -> Participant: ...


@dataclass
class Desk:
    """Everything a page may reach."""

    settings: Settings
    verbs: Verbs
    directory: Countries
    note: Callable[[Note], Awaitable[Any]]
    sessions: Sessions
    providers: Mapping[str, SignInProvider]
    away: Away
    visits: Visits
    spool: Spool
    flights: Flights
    recent: Recent
    sandbox: Sandbox
    clock: Callable[[], datetime]
    roles: Roles = ROLES
    credits: Sequence[str] = ()
    dictionary: Dictionary = field(default_factory=Dictionary)
    static: Static = field(default_factory=Static)

    async def put_away(self, *visits: str) -> None:
        """What these ended visits had here goes: flights, memory, spool."""
        self.flights.forget(*visits)
        self.recent.forget(*visits)
        await self.spool.forget(*visits)

    @property
    def ask_again_s(self) -> float:
        """How often an open page asks by itself; 0: only when somebody does something there."""
        return self.settings.portal.ask_again_s if self.settings.portal is not None else 0.0

    @property
    def standing_age(self) -> timedelta:
        """How long one answer does for all pages that show the same."""
        return timedelta(seconds=0.9 * (self.ask_again_s or BY_HAND_S))

    @property
    def public(self) -> str:
        """How browsers address the portal: scheme, host and port, no path."""
        if self.settings.portal is None:
            raise SettingsProblem("the portal needs its section [portal]", key="portal")
        parts = urlsplit(self.settings.portal.public)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def cookie(self) -> str:
        """The session's cookie."""
        return cookie_name(self.settings.country, self.public)

    @property
    def cookie_rules(self) -> str:
        secure = "; Secure" if self.public.startswith("https") else ""
        return f"; Path=/; HttpOnly; SameSite=Strict{secure}"
