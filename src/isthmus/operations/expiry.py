"""What ends some day, when, and what to do before: certificates, keys as the trust list bounds them, its authorities.

Warned of 30, 14, 7 and 1 day ahead. Source: trust.md §6.1, §2.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from isthmus.config import Settings
from isthmus.trust.trustlist import Participant, TrustList

STEPS_DAYS = (1, 7, 14, 30)
DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Expiry:
    """Something of ours that ends."""

    what: str
    ends_at: datetime
    advice: str

    def step(self, now: datetime) -> int | None:
        """Within how many days it ends: 1, 7, 14, 30; 0 when it has ended; None while there is time."""
        left_s = (self.ends_at - now).total_seconds()
        if left_s <= 0:
            return 0
        return next((days for days in STEPS_DAYS if left_s <= days * DAY_S), None)

    def sentence(self, now: datetime) -> str:
        """When it ends, and what to do."""
        days = int((self.ends_at - now).total_seconds() // DAY_S)
        said = (
            "has ended" if self.ends_at <= now else f"ends in {days} days" if days > 1 else "ends within a day or two"
        )
        return f"{self.what} {said} ({self.ends_at:%Y-%m-%d %H:%M} UTC): {self.advice}"


def expiries(settings: Settings, listed: TrustList | None) -> list[Expiry]:
    """All that ends. A file that cannot be read has no end here; `doctor` says so."""
    found = [*_certificates(settings)]
    if listed is not None:
        found += _authorities(listed)
        found += [end for entry in listed.participants if entry.ncp_id == settings.ncp_id for end in _listed(entry)]
    return found


def _certificates(settings: Settings) -> Iterator[Expiry]:
    files = {"TLS certificate": (settings.keys.tls_certificate, "isthmus keys rotate --key tls")}
    if settings.intake is not None and settings.intake.tls:
        files["certificate of the intake"] = (settings.intake.tls_certificate, "put a new one in its place")
    for what, (file, advice) in files.items():
        try:
            held = x509.load_pem_x509_certificate(settings.path(file).read_bytes())
        except (OSError, ValueError):
            continue
        yield Expiry(what, held.not_valid_after_utc, advice)


def _authorities(listed: TrustList) -> Iterator[Expiry]:
    for der in listed.tls_ca:
        held = x509.load_der_x509_certificate(der)
        name = held.subject.rfc4514_string()[:100]
        yield Expiry(f"authority {name}", held.not_valid_after_utc, "ask the list's operator for its successor")


def _listed(ours: Participant) -> Iterator[Expiry]:
    for key in ours.keys:
        if key.not_after and key.status == "current":
            uses = ",".join(sorted(key.uses))
            yield Expiry(f"key {key.kid} ({uses}) in the trust list", _moment(key.not_after), "isthmus keys rotate")
    for tls in ours.tls:
        if tls.not_after and tls.status == "current":
            words = f"TLS key {tls.spki_sha256[:8]}… in the trust list"
            yield Expiry(words, _moment(tls.not_after), "isthmus keys rotate --key tls")


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
