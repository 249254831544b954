"""What can be wrong with a DICOM file, as words of a fixed list."""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, str]] = {
    "not-dicom": "The file is not a DICOM Part 10 file.",
    "active-preamble": "The preamble of the file begins like a program, a page, a document or an archive.",
    "bad-syntax": "The transfer syntax is missing, unknown or not accepted here.",
    "dicomdir": "The file is a directory of other files, not an instance.",
    "no-sop-uid": "The file names no SOP Instance UID.",
    "no-series-uid": "The file names no Series Instance UID.",
    "no-study-uid": "The file names no Study Instance UID.",
    "bad-uid": "A UID is not made of digits and dots as UIDs are.",
    "truncated": "The file ends before the data set does.",
    "lying-length": "An element is longer than what holds it.",
    "bad-structure": "The data set does not follow the grammar of its transfer syntax.",
    "short-pixels": "Pixel Data holds less than rows, columns and frames say.",
    "too-deep": "Sequences are nested deeper than accepted.",
    "too-many-elements": "The data set has more elements than accepted.",
    "too-large": "The data set or its image is larger than accepted.",
    "inflation": "The deflated data set grows beyond what is accepted.",
    "prefix-too-short": "The header reaches beyond the bytes given.",
}


class DicomFault(ValueError):
    """A DICOM file that is refused; `detail` names the element and never a value of it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise KeyError(reason)
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
