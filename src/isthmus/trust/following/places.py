"""Where the trust list lies: a file, or an https address asked with what we have already (ETag).

The address is the operator's and stands in the settings; its certificate is verified, but what counts is the list's signature.

Source: trust.md §2.2.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from isthmus.config import Settings
from isthmus.errors import IsthmusError, SettingsProblem, TrustListStale
from isthmus.transport.outbound import Deadlines, Outbound
from isthmus.trust.trustlist import MAX_BYTES

WHOLE_S = 60.0
HURRY_S = 10.0
NOT_MODIFIED = 304


class Place(Protocol):
    """Somewhere a list is found. `at_hand`: looking there takes no time."""

    at_hand: bool

    def text(self, second: float) -> str | None:
        """The list as it lies there; None when it is not yet time to look. Raises TrustListStale when there is none to be had."""

    def hurry(self) -> None:
        """Look soon: something may be there that we do not have."""


def place_of(settings: Settings) -> Place:
    """The place that `trust.list` names. Raises SettingsProblem."""
    where = settings.trust.list
    if "://" not in where:
        return FilePlace(settings.path(where))
    if not where.startswith("https://"):
        raise SettingsProblem("trust.list is a file or an https address", key="trust.list")
    authority = settings.path(settings.trust.list_authority) if settings.trust.list_authority else None
    return WebPlace(where, lambda: _context(authority), settings.trust.fetch_s)


class FilePlace:
    """A file, looked at whenever it is asked for."""

    at_hand = True

    def __init__(self, file: Path) -> None:
        self._file = file

    def text(self, second: float) -> str | None:
        try:
            with self._file.open("rb") as stream:
                return _ascii(stream.read(MAX_BYTES + 1), f"the file {self._file}")
        except OSError as error:
            raise TrustListStale(f"the file {self._file} cannot be read: {error.strerror}") from error

    def hurry(self) -> None:
        """A file is never late."""


class WebPlace:
    """An https address, asked every `every_s`, with the ETag of what is known."""

    at_hand = False

    def __init__(self, url: str, context: Callable[[], ssl.SSLContext], every_s: float) -> None:
        self._url, self._context, self._every_s = url, context, every_s
        self._known: tuple[str, str] | None = None  # ETag, text
        self._due = self._asked = float("-inf")

    def text(self, second: float) -> str | None:
        if second < self._due:
            return None
        self._asked, self._due = second, second + self._every_s
        with ThreadPoolExecutor(1) as beside:  # whoever asks may be in a loop of its own
            return beside.submit(asyncio.run, self._fetched()).result()

    def hurry(self) -> None:
        self._due = min(self._due, self._asked + HURRY_S)

    async def _fetched(self) -> str:
        headers = {"Accept": "application/jose"} | ({"If-None-Match": self._known[0]} if self._known else {})
        outbound = Outbound(self._context, pinned=False, deadlines=Deadlines(idle_s=WHOLE_S / 4))
        try:
            async with asyncio.timeout(WHOLE_S):
                async with outbound.request(
                    "GET", self._url, headers=headers, pins=frozenset(), country="the list's operator"
                ) as answer:
                    if answer.status == NOT_MODIFIED and self._known is not None:
                        return self._known[1]
                    if answer.status != 200:
                        raise TrustListStale(f"{self._url} answers with status {answer.status}")
                    text = _ascii(await answer.read(MAX_BYTES), self._url)
                    tag = answer.headers.get("etag", "")
        except TimeoutError:
            raise TrustListStale(f"{self._url} takes longer than {WHOLE_S:.0f} s") from None
        except TrustListStale:
            raise
        except (IsthmusError, ssl.SSLError) as error:
            raise TrustListStale(f"{self._url} gives no list: {error}") from error
        finally:
            await outbound.close()
        self._known = (tag, text) if tag else None
        return text


def _context(authority: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise TrustListStale(f"trust.list_authority {authority} is no certificate that can be read") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _ascii(content: bytes, where: str) -> str:
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise TrustListStale(f"{where} is no trust list") from None
