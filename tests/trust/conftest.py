"""Practice countries in a folder, and a clock that is told the time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from isthmus.config import Settings, read_settings
from isthmus.storage.database import Database
from isthmus.storage.schema import trust as _tables  # noqa: F401
from isthmus.storage.schema.metadata import STATE
from isthmus.trust import pki
from isthmus.trust.encoding import unbase64url
from isthmus.trust.keys import SigningKey, load_signing_key
from isthmus.trust.trustlist import write_trust_list

COUNTRIES = ("AA", "BB", "CC")


class Clock:
    """Says what it was told."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


class Practice:
    """A folder of practice countries whose list a test can write as it likes, with the operator's key."""

    def __init__(self, out: Path, clock: Clock) -> None:
        self.out = out
        self.clock = clock
        self.made = pki.init(out, countries=COUNTRIES, ports=pki.default_ports(COUNTRIES), now=clock.now)
        self.key: SigningKey = load_signing_key(out / "operator" / "operator.key.jwk", "demo")

    def settings(self, country: str = "AA", **overrides: str) -> Settings:
        return read_settings(self.made.settings[country], overrides)

    def body(self) -> dict[str, Any]:
        """The list as it stands, with the next number."""
        read: dict[str, Any] = json.loads(unbase64url(self.made.trust_list.read_text().split(".")[1]))
        return {**read, "seq": read["seq"] + 1}

    def sign(self, body: dict[str, Any], key: SigningKey | None = None) -> str:
        return write_trust_list(body, key or self.key)

    def publish(self, token: str) -> None:
        self.made.trust_list.write_text(token)

    def der(self, country: str) -> bytes:
        from isthmus.trust.certificates import own_certificate_der

        return own_certificate_der(self.settings(country))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def practice(tmp_path: Path, clock: Clock) -> Practice:
    return Practice(tmp_path / "pki", clock)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.sqlite", STATE)
    database.create()
    yield database
    database.close()
