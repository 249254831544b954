"""Sanity of what is not FHIR: DICOM instances, CDA documents, PDFs. Whether they can be read and say what they must, not whether a picture is good.

Source: PS3.10 §7.1; PS3.3 §C.7, §C.12; CDA R2; ISO 32000-1 §7.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from xml.etree.ElementTree import Element

from isthmus.conformance.requirement import Finding, Severity
from isthmus.dicom.faults import REASONS, DicomFault
from isthmus.dicom.header import Header
from isthmus.dicom.scan import scan
from isthmus.dicom.syntaxes import EXPLICIT_BE, IMPLICIT_LE
from isthmus.dicom.windows import Source
from isthmus.errors import IsthmusError
from isthmus.originals.cda.header import presented_form, read_cda
from isthmus.originals.cda.tree import read_tree

_V3: Final = "{urn:hl7-org:v3}"
_NOT_HERE: Final = frozenset({"dicomdir"})
"""Reasons that are no fault of a file that lies in a folder."""


def dicom_faults(source: Source) -> tuple[Header | None, list[Finding]]:
    """What an instance says of itself, and what is wrong with it; no header where it cannot be read."""
    try:
        header = scan(source).header
    except DicomFault as fault:
        severity = Severity.INFORMATION if fault.reason in _NOT_HERE else Severity.ERROR
        advice = "Export the instance again from where it was made; what cannot be walked cannot be shown."
        words = REASONS[fault.reason].rstrip(".") + (f" ({fault.detail})" if fault.detail else "")
        return None, [Finding(f"DICOM-{fault.reason}", severity, words, _element(fault.detail), "PS3.10", advice)]
    return header, list(_of_header(header))


def _of_header(header: Header) -> Iterator[Finding]:
    if header.modality is None:
        yield _dicom("type-1", Severity.ERROR, "Modality", "Modality has no value, and must have one", "PS3.3 C.7.3.1")
    if header.pixel_offset is not None or header.rows is not None:
        for name, value in (
            ("Rows", header.rows),
            ("Columns", header.columns),
            ("BitsAllocated", header.bits_allocated),
            ("SamplesPerPixel", header.samples_per_pixel),
            ("PhotometricInterpretation", header.photometric_interpretation),
        ):
            if value is None:
                words = f"{name} has no value, and an image must have one"
                yield _dicom("type-1", Severity.ERROR, name, words, "PS3.3 C.7.6.3")
    if header.patient_id is None:
        yield _dicom(
            "patient", Severity.WARNING, "PatientID", "no patient is named: nobody is offered this", "PS3.3 C.7.1.1"
        )
    for name, value in (
        ("IssuerOfPatientID", header.issuer_of_patient_id or header.issuer_universal_id),
        ("TimezoneOffsetFromUTC", header.timezone_offset),
    ):
        if value is None:
            words = "not said by the file: the source's settings must say it for the border"
            yield _dicom("context", Severity.INFORMATION, name, words, "MADO")
    if header.transfer_syntax_uid in (IMPLICIT_LE, EXPLICIT_BE):
        words = "a transfer syntax that never crosses the border: Country A writes the instance anew"
        yield _dicom("syntax", Severity.INFORMATION, "TransferSyntaxUID", words, "PS3.18")
    for words in header.warnings:
        yield _dicom("written", Severity.WARNING, _element(words), words, "PS3.5")
    for name, _ in header.unreadable:
        yield _dicom("written", Severity.WARNING, _element(name), f"{name} is not written as its VR wants it", "PS3.5")


def _element(words: str) -> str:
    """The element that the words name, by name and tag, else the file."""
    named = _NAMED.match(words)
    return named[0] if named else "file"


_NAMED: Final = re.compile(r"[A-Za-z ']*\([0-9A-F]{4},[0-9A-F]{4}\)")
_DICOM_ADVICE: Final[Mapping[str, str]] = {
    "type-1": "Let the modality or archive fill the attribute; a type 1 attribute always has a value.",
    "patient": "Give the instance its patient before it is imported, or assign it afterwards.",
    "context": "Nothing to do to the file; see the settings of the source.",
    "syntax": "Nothing to do.",
    "written": "Have it corrected where it is made; it is read as far as it goes.",
}


def _dicom(rule: str, severity: Severity, name: str, words: str, source: str) -> Finding:
    return Finding(f"DICOM-{rule}", severity, words, name, source, _DICOM_ADVICE[rule])


_PDF_ADVICE: Final = "Write the PDF anew, best as PDF/A-1 or PDF/A-2."
_ACTIVE: Final = {
    b"/JavaScript": "a script", b"/JS": "a script", b"/Launch": "a call of another program", b"/EmbeddedFile": "a file inside",
    b"/OpenAction": "an action on opening", b"/RichMedia": "media that need a player", b"/XFA": "a form of another kind",
}  # fmt: skip
_TAIL: Final = 2048
_PDF_VERSION: Final = re.compile(rb"%PDF-(?:1\.[0-7]|2\.0)")


def pdf_faults(data: bytes, path: str = "PDF") -> list[Finding]:
    """What is wrong with a PDF: its frame, and what a reader would run. The pages themselves are not drawn."""
    start = data.find(b"%PDF-", 0, 1024)
    if start < 0 or not _PDF_VERSION.match(data, start):
        return [_pdf("head", f"{path}.header", "no version of PDF is named", Severity.ERROR)]
    tail = data[-_TAIL:]
    found: list[Finding] = []
    if b"%%EOF" not in tail:
        found.append(
            _pdf("end", f"{path}.trailer", "the file ends before its end is marked: it is cut", Severity.ERROR)
        )
    else:
        found += _cross_reference(data, tail, path, start)
    if b"/Encrypt" in data:
        found.append(
            _pdf("encrypted", f"{path}.trailer", "the file is encrypted: not every reader opens it", Severity.WARNING)
        )
    for mark, words in _ACTIVE.items():
        if re.search(re.escape(mark) + rb"[^A-Za-z]", data):
            found.append(
                _pdf(
                    "active",
                    f"{path}.{mark.decode().removeprefix('/')}",
                    f"{words}, which is not run here",
                    Severity.WARNING,
                )
            )
    if b"pdfaid:part" not in data and b"pdfaid" not in data:
        found.append(_pdf("archive", f"{path}.Metadata", "no PDF/A is claimed", Severity.INFORMATION))
    return found


def _cross_reference(data: bytes, tail: bytes, path: str, start: int) -> Iterator[Finding]:
    said = re.findall(rb"startxref\s+(\d{1,12})\s", tail)
    if not said:
        yield _pdf("end", f"{path}.startxref", "where the cross-reference table begins is not said", Severity.ERROR)
        return
    at = int(said[-1])
    there = [data[offset : offset + 64].lstrip() for offset in {at, at + start}]
    if not any(one.startswith(b"xref") or re.match(rb"\d+\s+\d+\s+obj", one) for one in there):
        yield _pdf("end", f"{path}.startxref", "no cross-reference table stands where it is said to", Severity.WARNING)


def _pdf(rule: str, path: str, words: str, severity: Severity) -> Finding:
    return Finding(f"PDF-{rule}", severity, words, path, "ISO 32000-1", _PDF_ADVICE)


_CDA_MUST: Final = (
    ("id", Severity.ERROR), ("code", Severity.ERROR), ("effectiveTime", Severity.ERROR), ("confidentialityCode", Severity.ERROR),
    ("recordTarget", Severity.ERROR), ("author", Severity.ERROR), ("custodian", Severity.ERROR), ("component", Severity.ERROR),
    ("typeId", Severity.ERROR), ("title", Severity.WARNING), ("languageCode", Severity.WARNING), ("legalAuthenticator", Severity.INFORMATION),
)  # fmt: skip
_CDA_ADVICE: Final = "Add what the header of a CDA document must have."


def cda_faults(data: bytes) -> list[Finding]:
    """What is wrong with a CDA document: its header, its body, and the PDF in a document of level 1."""
    try:
        root = read_tree(data)
        form = presented_form(data)
    except IsthmusError as error:
        return [_cda("read", "ClinicalDocument", error.message, Severity.ERROR)]
    found = [
        _cda("header", f"ClinicalDocument.{name}", f"{name} is missing", severity)
        for name, severity in _CDA_MUST
        if root.find(f"{_V3}{name}") is None
    ]
    found += _body(root, form)
    if not found or all(one.severity is not Severity.ERROR for one in found):
        try:
            read_cda(data)
        except IsthmusError as error:
            found.append(_cda("patient", "ClinicalDocument.recordTarget", error.message, Severity.ERROR))
    return found


def _body(root: Element, form: tuple[str, bytes] | None) -> Iterator[Finding]:
    component = root.find(f"{_V3}component")
    if component is None:
        return
    path = "ClinicalDocument.component.nonXMLBody.text"
    if component.find(f"{_V3}structuredBody") is not None:
        sections = root.findall(f".//{_V3}section")
        if not sections:
            yield _cda("body", "ClinicalDocument.component.structuredBody", "the body has no section", Severity.ERROR)
        for number, one in enumerate(sections):
            if one.find(f"{_V3}text") is None and one.find(f"{_V3}component") is None:
                words = "a section has no text to read"
                yield _cda(
                    "body",
                    f"ClinicalDocument.component.structuredBody//section[{number}].text",
                    words,
                    Severity.WARNING,
                )
    elif form is None:
        yield _cda("body", path, "neither a structured body nor one in base64", Severity.ERROR)
    elif form[0] == "application/pdf":
        yield from pdf_faults(form[1], f"{path}.PDF")


def _cda(rule: str, path: str, words: str, severity: Severity) -> Finding:
    return Finding(f"CDA-{rule}", severity, words, path, "CDA R2", _CDA_ADVICE)
