"""A document that a repository makes when it is asked for, as the same bytes for as long as it says the same.

What is made anew each time (id, metadata, time, identifier of the Bundle) is taken from what it says; all the rest stays as it was written,
digit for digit.

Source: R4 Composition ($document), Bundle (bdl-9, bdl-10); field-faults F30.
"""

from __future__ import annotations

import json
import re
import uuid
from hashlib import sha256

from isthmus.errors import MalformedRequest
from isthmus.fhir import elements as el

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_VOLATILE = ("id", "meta", "timestamp", "identifier", "link", "total")
_SPACE = re.compile(r"[ \t\r\n]*")


def settled(body: bytes) -> bytes:
    """The document with the same identity each time. Raises MalformedRequest for what is no document."""
    bundle = el.read_resource(body, "Bundle", MalformedRequest)
    composition = el.child(bundle, "entry", "resource")
    members = {name: value for name, value in _members(body).items() if name not in _VOLATILE}
    written = ",".join(f"{json.dumps(name)}:{value}" for name, value in sorted(members.items()))
    unique = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, sha256(written.encode()).hexdigest())}"
    members["identifier"] = json.dumps({"system": "urn:ietf:rfc:3986", "value": unique})
    times = (el.text(composition, "date"), el.text(composition, "meta", "lastUpdated"))
    time = next((one for one in times if one and _INSTANT.fullmatch(one)), None)
    if time is not None:
        members["timestamp"] = json.dumps(time)
    head = ("resourceType", "identifier", "type", "timestamp")
    ordered = [*(name for name in head if name in members), *sorted(members.keys() - set(head))]
    return ("{" + ",".join(f"{json.dumps(name)}:{members[name]}" for name in ordered) + "}").encode()


def _members(body: bytes) -> dict[str, str]:
    """The members of an object, each value as it is written."""
    try:
        text = body.decode("utf-8")
        decoder, members = json.JSONDecoder(), dict[str, str]()
        position = _after(text, _after(text, 0, "{"))
        while text[position] != "}":
            name, position = decoder.raw_decode(text, position)
            start = _after(text, _after(text, position, ":"))
            _, position = decoder.raw_decode(text, start)
            members[name] = text[start:position]
            position = _after(text, position)
            if text[position] == ",":
                position = _after(text, position + 1)
    except (ValueError, IndexError, RecursionError):
        raise MalformedRequest("not a document") from None
    return members


def _after(text: str, position: int, sign: str = "") -> int:
    """The position after white space, and after a sign that must follow."""
    match = _SPACE.match(text, position)
    position = match.end() if match else position
    if sign and text[position] != sign:
        raise ValueError(sign)
    return position + len(sign)
