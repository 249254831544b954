"""The node's own keys as its files hold them now: a file that was replaced counts at the next use, without a restart.

Source: trust.md §6.2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from isthmus.config import Settings
from isthmus.errors import SettingsProblem
from isthmus.trust.certificates import own_certificate_der
from isthmus.trust.keys import SigningKey, load_signing_key, read_private

LOG = logging.getLogger("isthmus.trust")
T = TypeVar("T")


class Followed(Generic[T]):
    """What is loaded from files, and loaded again when they change. What cannot be loaded leaves what was there before."""

    def __init__(self, files: Sequence[Path], load: Callable[[], T]) -> None:
        self._files, self._load = tuple(files), load
        self._seen = self._state()
        self._value = load()
        self._failed: object = None

    def now(self) -> T:
        state = self._state()
        if state not in (self._seen, self._failed):
            try:
                self._value, self._seen = self._load(), state
            except SettingsProblem as problem:
                self._failed = state
                LOG.error("a key that was replaced cannot be used, the one before stays: %s", problem)
        return self._value

    def _state(self) -> tuple[tuple[int, int], ...]:
        return tuple(state_of(file) for file in self._files)


def state_of(file: Path) -> tuple[int, int]:
    """What changes when a file is replaced; of one that is not there, nothing."""
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)


Signing = Followed[SigningKey]


class Own:
    """What a node signs with and shows. Raises SettingsProblem when one of its files cannot be used at the start."""

    def __init__(self, settings: Settings) -> None:
        keys = settings.keys
        self._sig = signing_key(settings, keys.sig)
        self._hpa = signing_key(settings, keys.hpa)
        files = [settings.path(name) for name in (keys.tls_certificate, keys.tls_key)]
        self._certificate = Followed(files, lambda: _matching(settings))

    @property
    def sig(self) -> SigningKey:
        return self._sig.now()

    @property
    def hpa(self) -> SigningKey:
        return self._hpa.now()

    @property
    def certificate(self) -> bytes:
        return self._certificate.now()


def signing_key(settings: Settings, name: str) -> Signing:
    """One of the node's signing keys."""
    file = settings.path(name)
    return Followed([file], lambda: load_signing_key(file, settings.env))


def _matching(settings: Settings) -> bytes:
    """The certificate, when its key lies beside it: between the replacing of one and the other, the pair before counts."""
    der = own_certificate_der(settings)
    content = read_private(settings.path(settings.keys.tls_key))
    try:
        public = load_pem_private_key(content, None).public_key()
    except (ValueError, TypeError) as error:
        raise SettingsProblem(f"{settings.keys.tls_key} is no private key in PEM") from error
    if x509.load_der_x509_certificate(der).public_key() != public:
        raise SettingsProblem(f"{settings.keys.tls_certificate} and {settings.keys.tls_key} do not belong together")
    return der
