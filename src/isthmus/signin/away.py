"""What a browser keeps while it signs in elsewhere: sealed, ten minutes, in a cookie that comes along on the way back.

The session's own cookie is Strict and would not: this one is Lax, holds nothing that opens anything, and is gone afterwards.

Source: trust.md §2.14; RFC 6265bis §8.8.2.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from isthmus.errors import ContentMismatch
from isthmus.signin.provider import Attempt, Wish
from isthmus.storage.sealed import MasterKey, seal, unseal

KEPT_S = 600
COOKIE_MAX = 3500


@dataclass(frozen=True, slots=True)
class Pending:
    """One sign-in under way: with whom, for what, and where to go afterwards. `session` is the id of the one it renews."""

    provider: str
    attempt: Attempt
    wish: Wish
    session: str = ""
    here: str = "/"


class Away:
    """Writes and reads that cookie. `name` is the session's cookie."""

    def __init__(self, master: MasterKey, name: str, clock: Callable[[], datetime]) -> None:
        self._key, self._clock = master.derive("signin/away"), clock
        self.cookie = f"{name}-away"
        self._rules = f"; Path=/; HttpOnly; SameSite=Lax{'; Secure' if name.startswith('__Host-') else ''}"

    def keep(self, pending: Pending) -> tuple[str, str]:
        """The header that hands it to the browser."""
        sealed = seal(self._key, msgspec.json.encode(pending), self.cookie.encode())
        return "Set-Cookie", f"{self.cookie}={urlsafe_b64encode(sealed).decode()}; Max-Age={KEPT_S}{self._rules}"

    def forget(self) -> tuple[str, str]:
        return "Set-Cookie", f"{self.cookie}=; Max-Age=0{self._rules}"

    def find(self, cookies: Mapping[str, str]) -> Pending | None:
        """What this browser kept for us, if it is ours and not older than ten minutes."""
        held = cookies.get(self.cookie, "")
        if not 0 < len(held) <= COOKIE_MAX:
            return None
        try:
            sealed = urlsafe_b64decode(held.encode("ascii", "replace"))
            pending = msgspec.json.decode(unseal(self._key, sealed, self.cookie.encode()), type=Pending)
        except (ContentMismatch, ValueError, msgspec.MsgspecError):
            return None
        age_s = int(self._clock().timestamp()) - pending.attempt.begun
        return pending if -60 <= age_s < KEPT_S else None
