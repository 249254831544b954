"""Sign-in with our own form: the demo's accounts as one more provider. A login rests after five failures.

Source: trust.md §2.6 (M1), §2.13.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from isthmus import telemetry
from isthmus.errors import InsufficientRights, WeakAuthentication
from isthmus.model.assurance import LEVELS, LOA, reaches
from isthmus.model.people import HealthProfessional
from isthmus.signin.accounts import Accounts
from isthmus.signin.locks import Locks
from isthmus.signin.provider import Attempt, Elsewhere, Wish

NAME: Final = "accounts"


class PasswordProvider:
    """The accounts of a file behind login and password. `country` is ours, for the operator's event."""

    name, label = NAME, ""

    def __init__(self, accounts: Accounts, locks: Locks, country: str, clock: Callable[[], datetime]) -> None:
        self._accounts, self._locks, self._country, self._clock = accounts, locks, country, clock

    async def begin(self, wish: Wish) -> Elsewhere | None:
        return None

    async def finish(self, said: Mapping[str, str], wish: Wish, attempt: Attempt | None) -> HealthProfessional:
        login, password = said.get("login", ""), said.get("password", "")
        taken = await self._locks.take(login)
        try:
            who = await asyncio.to_thread(self._accounts.check, login, password, self._clock())
            if taken.rests or ":" in who.sub or wish.again not in ("", who.sub):  # a colon is another provider's
                raise InsufficientRights("login or password is wrong, or the account rests", reason="sign-in")
        except InsufficientRights:
            if taken.last:
                telemetry.limited("sign-in-failures", country=self._country, verdict="stopped")
            raise
        await self._locks.passed(login)
        if wish.least in LEVELS and not reaches(who.acr, wish.least):
            raise WeakAuthentication("this account is of a lower level", acr_values=LOA + wish.least)
        return who

    async def close(self) -> None:
        return None
