"""What a document is: by content, never by name or by how its first line is written.

Source: field-faults F31.
"""

from __future__ import annotations

from isthmus.model.documents import DocumentKind
from isthmus.originals.cda.tree import root_name

CDA_ROOT = "{urn:hl7-org:v3}ClinicalDocument"


def recognise(data: bytes) -> DocumentKind | None:
    """The kind of an original; None for anything else."""
    if is_pdf(data):
        return DocumentKind.REPORT_PDF
    return DocumentKind.REPORT_CDA if root_name(data) == CDA_ROOT else None


def is_pdf(data: bytes) -> bool:
    return data[:1024].lstrip().startswith(b"%PDF-")
