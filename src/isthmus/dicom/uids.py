"""UIDs: their syntax, their spellings, and the ones we make.

Leading zeros in a component are forbidden to writers but exist; they are read and kept as they are, never made.
Source: PS3.5 §9.1, §B.2.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

MAX_LENGTH: Final = 64
_SYNTAX: Final = re.compile(r"[0-9]+(?:\.[0-9]+){1,31}")
_CLEAN: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*)){1,31}")
_PREFIX: Final = re.compile(r"\A(?:urn:)?oid:", re.IGNORECASE)


def is_uid(text: str) -> bool:
    """Tell whether the text is digits and dots, at most 64 characters, without an empty component."""
    return len(text) <= MAX_LENGTH and _SYNTAX.fullmatch(text) is not None


def is_clean_uid(text: str) -> bool:
    """Tell whether the text is a UID as writers must make it: no component with a leading zero."""
    return len(text) <= MAX_LENGTH and _CLEAN.fullmatch(text) is not None


def normalise_uid(text: str) -> str:
    """Take off `urn:oid:` or `oid:`, and the padding at both ends; the UID itself stays as it came."""
    return _PREFIX.sub("", text.strip(" \0"))


def uid_from_uuid(value: uuid.UUID) -> str:
    return f"2.25.{value.int}"


def derived_uid(namespace_text: str, *parts: str) -> str:
    """Make the one UID that belongs to these parts: a UUIDv5 under `2.25`, the same at every call."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, namespace_text)
    return uid_from_uuid(uuid.uuid5(namespace, "\x1f".join(parts)))
