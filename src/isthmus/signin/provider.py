"""The port behind which everybody stands who knows the professionals: a national identity service, or the demo's accounts.

A sign-in has a beginning and an end. In between the browser fills our form, or is elsewhere, and keeps for us what belongs to this
one attempt (`away.py`).

Source: trust.md §2.13, §2.14.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from isthmus.model.people import HealthProfessional


@dataclass(frozen=True, slots=True)
class Wish:
    """What a sign-in has to be: of this very professional, now (`again` is their `sub`); not weaker than `least`."""

    again: str = ""
    least: str = ""  # low, substantial, high; none: whatever the provider gives


@dataclass(frozen=True, slots=True)
class Attempt:
    """What belongs to one attempt, kept by the browser while it is elsewhere. All of it is secret from the browser too."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    begun: int  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the browser has to go, and what it keeps meanwhile."""

    url: str
    attempt: Attempt


class SignInProvider(Protocol):
    """Vouches for professionals."""

    @property
    def name(self) -> str:
        """A word for it, in addresses and in the trail."""
        ...

    @property
    def label(self) -> str:
        """What professionals call it; none for our own form."""
        ...

    async def begin(self, wish: Wish) -> Elsewhere | None:
        """Where to send the browser; None when our own form asks. Raises NationalInfrastructureUnavailable."""
        ...

    async def finish(self, said: Mapping[str, str], wish: Wish, attempt: Attempt | None) -> HealthProfessional:
        """Who this is, by the fields of our form or of the address the browser came back to.

        Raises InsufficientRights (sign-in, identity, no-role), never saying which part was wrong, or WeakAuthentication.
        """
        ...

    async def close(self) -> None: ...
