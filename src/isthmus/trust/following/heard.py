"""What peers show of the list they follow (`NCP-Trust-Seq`). It may alarm us; it never makes us accept anything.

Source: trust.md §2.2, T88.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from isthmus.trust.following.alarms import Alarm

HEADER = "NCP-Trust-Seq"
AHEAD = timedelta(minutes=10)
REMEMBERED = timedelta(hours=24)
PEERS_MAX = 1000
_SHOWN = re.compile(r"([0-9]{1,15});sha256=([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Shown:
    """Number and digest of a peer's list, as it said them."""

    seq: int
    digest: str
    at: datetime


class Heard:
    """The newest of each peer."""

    def __init__(self) -> None:
        self.shown: dict[str, Shown] = {}
        self._ahead: dict[str, datetime] = {}
        self._split: dict[str, Shown] = {}

    def hear(self, country: str, header: str | None, ours: Mapping[int, str], now: datetime) -> None:
        """Note what a country showed. `ours` are the digests of the lists we accepted, by number. What is no such header is let be."""
        found = _SHOWN.fullmatch(header or "")
        if found is None or (country not in self.shown and len(self.shown) >= PEERS_MAX):
            return
        shown = Shown(int(found[1]), found[2], now)
        self.shown[country] = shown
        if shown.seq > max(ours, default=-1):
            self._ahead.setdefault(country, now)
        else:
            self._ahead.pop(country, None)
        if ours.get(shown.seq, shown.digest) != shown.digest:
            self._split[country] = shown

    def alarms(self, newest: int, now: datetime) -> list[Alarm]:
        """A number above ours for 10 minutes; our number with other bytes, for a day."""
        found = []
        for country, since in self._ahead.items():
            if self.shown[country].seq > newest and now - since >= AHEAD:
                words = f"{country} follows list number {self.shown[country].seq}, we {newest}: is our way to the list blocked?"
                found.append(Alarm("behind", words, country))
        for country, shown in self._split.items():
            if now - shown.at < REMEMBERED:
                words = f"{country} follows another list under number {shown.seq}: call the list's operator"
                found.append(Alarm("split-view", words, country))
        return found
