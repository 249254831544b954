"""Who is at the door: the senders of the settings and nobody else, each into its own source, each within its own limits.

What an entry says of a sender has to hold, all of it: certificate, token, address. A request cannot name another source than the sender's.

Source: trust.md T83, T99, §3.6.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cryptography import x509
from cryptography.x509.oid import NameOID

from isthmus.errors import InvalidToken, TooOften, UntrustedCountry
from isthmus.sections import Sender
from isthmus.trust.limits import Buckets

BUSY_S = 5
_BEARER = "bearer "


class Senders:
    """The list, and how much each of it does now."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        self._senders = [sender for sender in senders if sender.certificate or sender.token]
        self._buckets = {sender.name: Buckets(sender.requests_per_s) for sender in self._senders}
        self._busy: Counter[str] = Counter()

    @property
    def most_at_once(self) -> int:
        return sum(sender.parallel for sender in self._senders)

    def known(self, certificate_der: bytes | None, authorization: str | None, address: str | None) -> Sender:
        """Whose request this is. Raises InvalidToken when a token was wrong or missing, UntrustedCountry otherwise."""
        digest, name = _certificate(certificate_der)
        token = _token(authorization)
        for sender in self._senders:
            if _holds(sender, digest, name, token) and sender.calls_from(address):
                return sender
        if token or any(sender.token for sender in self._senders):
            raise InvalidToken("no sender is known by this", reason="token" if token else "token-missing")
        raise UntrustedCountry("no sender is known by this certificate and address")

    @contextmanager
    def within_limits(self, sender: Sender) -> Iterator[None]:
        """One request of a sender. Raises TooOften."""
        self._buckets[sender.name].take(sender.name)
        if self._busy[sender.name] >= sender.parallel:
            raise TooOften("more requests at a time than this sender may have", retry_after_s=math.ceil(BUSY_S))
        self._busy[sender.name] += 1
        try:
            yield
        finally:
            self._busy[sender.name] -= 1


def _holds(sender: Sender, digest: str, name: str, token: str) -> bool:
    """Whether all that is said of a sender is so. Digests are compared in constant time."""
    if sender.certificate_sha256 and not hmac.compare_digest(sender.certificate_sha256, digest):
        return False
    if sender.certificate_name and sender.certificate_name != name:
        return False
    return not sender.token or hmac.compare_digest(sender.token_sha256, token)


def _certificate(der: bytes | None) -> tuple[str, str]:
    """Digest and common name of what was shown; nothing where nothing was. Several common names are none."""
    if der is None:
        return "", ""
    try:
        names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return "", ""
    common = [name.value for name in names if isinstance(name.value, str)]
    return hashlib.sha256(der).hexdigest(), common[0] if len(common) == 1 else ""


def _token(authorization: str | None) -> str:
    """The digest of a bearer token; nothing where there is none."""
    if authorization is None or not authorization.lower().startswith(_BEARER):
        return ""
    return hashlib.sha256(authorization[len(_BEARER) :].strip().encode("latin-1", "replace")).hexdigest()
