"""What the portal works with: the rows it asks, who is signed in, the visits, the spool; one per node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from isthmus.audit.events import Note
from isthmus.config import Settings
from isthmus.country_b.portal.fetching import Fetching
from isthmus.country_b.portal.verbs import Verbs
from isthmus.country_b.spool import Spool
from isthmus.country_b.visit import Visits
from isthmus.errors import SettingsProblem
from isthmus.pages.static import Static
from isthmus.signin.provider import SignInProvider
from isthmus.signin.sessions import Sessions
from isthmus.trust.trustlist import Participant

LIST_AGE, DOCUMENT_AGE = timedelta(minutes=1), timedelta(minutes=10)
LIMIT_BYTES = 64 << 20


class Countries(Protocol):
    """Who answers now: the part of `trust.directory.Directory` that pages need."""

    @property
    def countries(self) -> tuple[Participant, ...]: ...
    def country(self, code: str) -> Participant: ...


class Recent:
    """What a visit asked for lately, in this process: so that a filter, the original beside a report, or a second look asks nobody.

    Values by visit and name, bounded in time and size; they go with the visit.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str], tuple[datetime, int, Any]] = {}

    def get(self, visit: str, name: str, age: timedelta) -> Any:
        """The value, or None when there is none that is fresh enough."""
        at, _, value = self._held.get((visit, name), (None, 0, None))
        return value if at is not None and self._clock() - at < age else None

    def put(self, visit: str, name: str, value: Any, size_bytes: int = 10_000) -> None:
        now = self._clock()
        self._held = {key: held for key, held in self._held.items() if now - held[0] < DOCUMENT_AGE}
        self._held.pop((visit, name), None)
        self._held[visit, name] = (now, size_bytes, value)
        while len(self._held) > 1 and sum(size for _, size, _ in self._held.values()) > LIMIT_BYTES:
            del self._held[next(iter(self._held))]

    def forget(self, *visits: str) -> None:
        self._held = {key: held for key, held in self._held.items() if key[0] not in visits}


@dataclass
class Desk:
    """Everything a page may reach."""

    settings: Settings
    verbs: Verbs
    directory: Countries
    note: Callable[[Note], Awaitable[Any]]
    sessions: Sessions
    accounts: SignInProvider
    visits: Visits
    spool: Spool
    clock: Callable[[], datetime]
    credits: Sequence[str] = ()
    static: Static = field(default_factory=Static)
    fetching: Fetching = field(init=False)
    recent: Recent = field(init=False)

    def __post_init__(self) -> None:
        self.fetching = Fetching(self.verbs, self.spool, self.settings.limits.parallel_images)
        self.recent = Recent(self.clock)

    async def put_away(self, *visits: str) -> None:
        """What these ended visits had here goes: flights, memory, spool."""
        self.fetching.forget(*visits)
        self.recent.forget(*visits)
        await self.spool.forget(*visits)

    @property
    def public(self) -> str:
        """How browsers address the portal: scheme, host and port, no path."""
        if self.settings.portal is None:
            raise SettingsProblem("the portal needs its section [portal]", key="portal")
        parts = urlsplit(self.settings.portal.public)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def cookie(self) -> str:
        """The session's cookie. Cookies ignore ports, so over plain HTTP the name has country and port in it."""
        parts = urlsplit(self.public)
        name = f"isthmus-{self.settings.country}-{parts.port or (443 if parts.scheme == 'https' else 80)}"
        return f"__Host-{name}" if parts.scheme == "https" else name

    @property
    def cookie_rules(self) -> str:
        secure = "; Secure" if self.public.startswith("https") else ""
        return f"; Path=/; HttpOnly; SameSite=Strict{secure}"
