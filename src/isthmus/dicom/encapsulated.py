"""Encapsulated documents: where the document ends inside its element. Source: PS3.3 §C.24.2."""

from __future__ import annotations

from typing import Final

_PDF: Final = "application/pdf"
_MARKUP: Final = frozenset({"text/xml", "application/xml", "application/hl7-v3+xml"})


def document_bytes(value: bytes, length: int | None, mime: str) -> bytes:
    """Give the document of (0042,0011) as it was before it was padded; size and hash are of this.

    `length` is (0042,0015): it decides when it fits within one byte of the element. Otherwise a single 00 at the end
    goes if it follows the last line end of a PDF, its `%%EOF`, or the closing tag of an XML document.
    """
    if length is not None and 0 <= len(value) - length <= 1:
        return value[:length]
    if not value.endswith(b"\0"):
        return value
    before = value[:-1]
    kind = mime.split(";")[0].strip().lower()
    ends = (b"\n", b"\r", b"%%EOF") if kind == _PDF else (b">", b"\n", b"\r") if kind in _MARKUP else ()
    return before if before.endswith(ends) and ends else value
