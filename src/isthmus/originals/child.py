"""What a child process makes of an original: the European report document, or why it is none. Every parser of an original runs here.

Source: trust.md §2.9; architecture.md §5.6 (a national report becomes EU).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from isthmus.dicom import tags
from isthmus.errors import IsthmusError, MalformedRequest, UnsupportedRequest
from isthmus.model.report.document import ImagingReport
from isthmus.originals.beside import Beside
from isthmus.originals.cda.child import Bytes
from isthmus.originals.cda.report import report_of_cda
from isthmus.originals.cda.tree import MAX_BYTES as XML_MAX
from isthmus.originals.cda.tree import root_name
from isthmus.originals.instances import PDF, encapsulated, is_instance, is_structured, patient_of, read_instance
from isthmus.originals.pdf import report_of_encapsulated, report_of_pdf
from isthmus.originals.recognise import CDA_ROOT, is_pdf
from isthmus.originals.sr.report import report_of_sr
from isthmus.wire.packs.pack import OLDEST_FIRST, load_pack
from isthmus.wire.report.document import write_report
from isthmus.wire.report.minimal import is_minimal, write_minimal

MAX_BYTES: Final = 64 << 20
_PACKS: Final = {name: load_pack(name) for name in OLDEST_FIRST}
"""Read before the door is shut: a child opens no file."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a child is asked: the draft to write, when it is written, and what is known beside the document."""

    pack: str
    assembled: str  # FHIR instant
    known: Beside = Beside()

    @property
    def options(self) -> Mapping[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def report_task(source: Bytes, options: Mapping[str, object]) -> Iterator[bytes]:
    """For the child: the report document, or `!` and a sentence that says why there is none."""
    asked = msgspec.convert(options, Asked)
    try:
        report = report_of(source.read_at(0, min(source.size_bytes, MAX_BYTES + 1)), asked.known)
        pack = _PACKS[asked.pack]
        made = (
            write_minimal(report, pack) if is_minimal(report) else write_report(report, pack, assembled=asked.assembled)
        )
    except IsthmusError as error:
        made = f"!{error.message}".encode()
    yield made


def made_report(given: bytes) -> bytes:
    """What `report_task` gave. Raises MalformedRequest with its sentence."""
    if given.startswith(b"!"):
        reason = given[1:].decode()
        raise MalformedRequest(reason)
    return given


def report_of(data: bytes, known: Beside) -> ImagingReport:
    """Read an original, whatever it is. Raises MalformedRequest, UnsupportedRequest, TooLarge."""
    if is_instance(data):
        root = read_instance(data)
        if is_structured(root):
            return report_of_sr(root, data, known)
        body, media = encapsulated(root)
        if media == PDF:
            return report_of_encapsulated(root, body, known)
        study = root.text(tags.STUDY_INSTANCE_UID)
        patient = known.patient or (patient_of(root, known) if root.text(tags.PATIENT_ID) else None)
        number = None if patient else known.number
        return report_of_cda(body, replace(known, patient=patient, number=number, studies=(study, *known.studies)))
    if is_pdf(data):
        return report_of_pdf(data, known)
    if len(data) > XML_MAX or root_name(data) != CDA_ROOT:
        raise UnsupportedRequest("this file is neither a manifest nor a report", reason="body-media")
    return report_of_cda(data, known)
