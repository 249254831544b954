"""Verdicts: what becomes of a file, and the fixed list of reasons.

Source: interfaces.md §11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from isthmus.dicom import faults
from isthmus.storage.members import Unreadable as Unreadable

ACCEPTED, UNCHANGED, QUARANTINED, REFUSED = "accepted", "unchanged", "quarantined", "refused"
OVER_A_BOUND: Final = frozenset({"too-deep", "too-many-elements", "too-large", "inflation"})

REASONS: Final[dict[str, str]] = faults.REASONS | {
    "other-bytes": "An instance of this UID is already kept with other bytes; the first one stays.",
    "contradicts-register": "The register knows this identifier with another name and birth date.",
    "contradicts-study": "The rest of the study belongs to another patient.",
    "contradicts-assignment": "The file names another patient than the one it was to be assigned to.",
    "unreadable": "The file cannot be read.",
    "empty": "The file is empty.",
    "unknown-form": "The content is neither DICOM, a zip or tar archive, nor a document that is read here.",
    "not-a-report": "The document is no report that can be read: neither a FHIR document Bundle nor a CDA document.",
    "no-patient": "The document does not say whose it is; give --patient, or in a watched folder a file NAME.json beside it.",
    "unknown-patient": "Not in the register, and the document lacks identifier, name or birth date: use import-patients, then bring it again.",
    "other-document": "A document of this identifier is already kept with other bytes; the first one stays.",
    "older-version": "A newer version of this report is already kept.",
    "other-study": "The instance belongs to another study than the one it was sent to.",
    "other-issuer": "The file names another issuer of patient identifiers than its sender's source has.",
    "other-source": "The document that this one would replace came from another source.",
    "unknown-replaced": "The document that this one says it replaces is not kept for this patient.",
    "bad-sidecar": "What should say whose the report is cannot be read: JSON with patient (SYSTEM|VALUE), studies, accession_numbers, title, replaces alone.",
    "folder": "Only files that lie in the watched folder itself are taken.",
    "several-patients": "The document names several people of the register; give --patient.",
    "deleted": "This was deleted here; an operator may restore it.",
    "rejected": "A rejection note names this instance; an operator may restore it.",
    "retracted": "This report was retracted; what holds is issued as a new version.",
    "strangers-note": "The rejection note names images of another patient.",
    "unreadable-note": "The title is that of a rejection note, but what it rejects cannot be read.",
    "reissued": "It has been replaced by a file that was issued anew for the right patient.",
    "own-archive": "The archive's own files are not brought into it.",
    "path-outside": "The member's path leads out of the archive.",
    "link": "The entry is a link or a device, not a file.",
    "nested-archive": "Archives inside archives are not opened.",
    "bomb": "The member, or the archive, inflates far beyond what it is packed to, or takes too long to.",
    "overlap": "The member has bytes that are those of another member too.",
    "bad-archive": "The archive, or this member of it, cannot be read: damaged, encrypted or packed in an unknown way.",
    "too-many-members": "The archive has more than 100 000 members.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file's fate. `path` is as given, `archive!member` inside an archive; `detail` names no value of the patient."""

    outcome: str
    path: str
    kind: str = "instance"  # or the kind of a document
    reason: str | None = None
    detail: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    sop_class_uid: str | None = None
    document: int | None = None  # the number of a document that is kept
    state: str | None = None  # served, unassigned
    warnings: tuple[str, ...] = ()

    @property
    def row(self) -> dict[str, Any]:
        """As the command line tells it."""
        if self.outcome in (ACCEPTED, UNCHANGED):
            row = {"sop_instance_uid": self.sop_instance_uid, "study_instance_uid": self.study_instance_uid}
            row |= {"kind": self.kind, "state": self.state}
            return {"path": self.path, **row, **({"warnings": list(self.warnings)} if self.warnings else {})}
        return {"path": self.path, "reason": self.reason, "detail": self.detail or REASONS[self.reason or "unreadable"]}


def held(outcome: str, path: str, reason: str, detail: str = "", **facts: Any) -> Verdict:
    """A refusal or a quarantine, its sentence from the list."""
    sentence = REASONS[reason]
    return Verdict(outcome, path, reason=reason, detail=f"{sentence} ({detail})" if detail else sentence, **facts)
