"""How sure an identity service is of a person: the eIDAS levels, in their order. Source: trust.md §2.5 (HPA), T28."""

from __future__ import annotations

from typing import Final

LOA: Final = "http://eidas.europa.eu/LoA/"
LEVELS: Final = ("low", "substantial", "high")


def level_of(acr: str) -> str | None:
    """The level that an eIDAS URI names; None for any other text."""
    level = acr.removeprefix(LOA)
    return level if acr.startswith(LOA) and level in LEVELS else None


def reaches(acr: str, least: str) -> bool:
    """Whether a sign-in of this level is enough where `least` is asked. A level nobody knows is none; one nobody can ask for is not met."""
    level = level_of(acr)
    return level is not None and least in LEVELS and LEVELS.index(level) >= LEVELS.index(least)
