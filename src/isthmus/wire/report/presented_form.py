"""Presented form: the report as it was issued, inside the Bundle. Source: data set A.8; REP-19."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.report.presented_form import PresentedForm
from isthmus.wire.report.binding import Opened

HOLDS: Final = {
    "A.8.1": "DiagnosticReport.presentedForm",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


def write_forms(forms: tuple[PresentedForm, ...]) -> list[Node]:
    return [
        el.without_nothing(
            {
                "contentType": form.media_type,
                "language": form.language,
                "data": b64encode(form.body).decode(),
                "size": len(form.body),
                "title": form.title,
                "creation": form.created,
            }
        )
        for form in forms
    ]


def read_forms(opened: Opened) -> tuple[PresentedForm, ...]:
    """Read every form whose bytes are here: in the report itself, or in a Binary of the Bundle."""
    forms = [form for node in el.children(opened.diagnostic, "presentedForm") for form in _inside(node, opened)]
    held = {form.body for form in forms}
    for binary in opened.closed.of_type("Binary"):
        body = decode(el.text(binary, "data"))
        if body is not None and body not in held:
            forms.append(PresentedForm(el.text(binary, "contentType") or "", body))
    return tuple(forms)


def _inside(node: Node, opened: Opened) -> Iterator[PresentedForm]:
    media = el.text(node, "contentType") or ""
    body = decode(el.text(node, "data"))
    if body is None and (url := el.text(node, "url")) is not None:
        binary = opened.closed.find({"reference": url}, opened.diagnostic) or {}
        body = decode(el.text(binary, "data"))
        media = media or el.text(binary, "contentType") or ""
    if body is not None:
        yield PresentedForm(media, body, el.text(node, "language"), el.text(node, "title"), el.text(node, "creation"))


def decode(data: str | None) -> bytes | None:
    """Base64, also with line breaks; None when it is none. Source: field-faults F40."""
    if data is None:
        return None
    try:
        return b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
