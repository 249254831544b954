"""What the portal asks of whoever knows the professionals."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from isthmus.model.people import HealthProfessional


class SignInProvider(Protocol):
    """Vouches for a professional. `accounts.py` is the stand-in for a national identity service."""

    def check(self, login: str, password: str, now: datetime) -> HealthProfessional:
        """Give who this is, or raise InsufficientRights (reason sign-in), never saying which part was wrong."""
        ...
