"""Reports as they were issued at home: a PDF alone, or a CDA document; what the page and the command line show of them.

A CDA document is parsed where a fault of the parser does no harm. That it is about the person confirmed was seen when it came (`arrivals.py`).

Source: wire.md §1.4.3, §1.5; RET-05; trust.md D14.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from isthmus.country_b.documents import report_as_listed
from isthmus.model.codes import LOINC, Code
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.people import Patient
from isthmus.model.report.document import ImagingReport, Section

Parse = Callable[[bytes], Awaitable[bytes]]
"""Runs `originals.cda.child.body_task` over a document, in a child."""


async def read_issued(parse: Parse, patient: Patient, entry: Document, body: bytes) -> tuple[ImagingReport, str, bytes]:
    """The report as far as it can be read, and media type and bytes of what is drawn as its original.

    Raises what `parse` raises when a CDA document is none.
    """
    report = report_as_listed(entry, patient)
    if entry.kind is not DocumentKind.REPORT_CDA:
        return report, entry.media_type, body
    read = orjson.loads(await parse(body))
    report = replace(report, sections=_sections(read["sections"]))
    if read["form"] is not None and read["form"][0] == "application/pdf":
        return report, "application/pdf", b64decode(read["form"][1])
    return report, entry.media_type, body


def _sections(told: Sequence[dict[str, Any]]) -> tuple[Section, ...]:
    return tuple(
        Section(
            one["title"],
            Code(LOINC, one["code"]) if one["code"] else None,
            None,
            tuple(one["lines"]),
            sections=_sections(one["sections"]),
        )
        for one in told
    )
