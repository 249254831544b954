"""base64url without padding, in its one canonical form. Source: RFC 7515 §2; RFC 4648 §3.5."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")


def base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def unbase64url(text: str) -> bytes:
    """Decode. Raises ValueError for padding, blanks, other alphabets and stray bits at the end: one content has one form."""
    if _ALPHABET.fullmatch(text) is None or len(text) % 4 == 1:
        raise ValueError("not base64url")
    content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(content) != text:
        raise ValueError("not canonical base64url")
    return content
