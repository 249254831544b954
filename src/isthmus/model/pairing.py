"""Pairing: a report beside its study. By study UID, then by accession number with issuer; a likeness is never a pair.

Source: field-faults F08, F09; wire.md §2.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from isthmus.model.documents import Document, DocumentKind


@dataclass(slots=True)
class Examination:
    """One line of the list: a study (its manifests, by kind) with the reports about it; or a report without its study."""

    manifests: dict[DocumentKind, Document] = field(default_factory=dict)
    reports: list[Document] = field(default_factory=list)

    @property
    def manifest(self) -> Document | None:
        """The manifest that describes the study: FHIR before KOS."""
        return self.manifests.get(DocumentKind.MANIFEST_FHIR) or self.manifests.get(DocumentKind.MANIFEST_KOS)

    @property
    def started(self) -> str:
        """When, for the order of the list: the study's start, else the report's examination or its date."""
        if self.manifest is not None:
            return self.manifest.period_start or self.manifest.created
        return max((r.period_start or r.created for r in self.reports), default="")


def pair(documents: Iterable[Document]) -> list[Examination]:
    """Put reports beside their studies; newest first, a stable key last.

    A report that names several studies stands at each of them; one that names none of those here stands alone.
    """
    studies: dict[str, Examination] = {}
    reports: list[Document] = []
    for document in documents:
        if document.kind.is_manifest and document.study_instance_uids:
            entry = studies.setdefault(document.study_instance_uids[0], Examination())
            held = entry.manifests.get(document.kind)
            if held is None or (held.status != "current" and document.status == "current"):
                entry.manifests[document.kind] = document
        elif not document.kind.is_manifest:
            reports.append(document)
    alone: list[Examination] = []
    for report in reports:
        places = [studies[uid] for uid in report.study_instance_uids if uid in studies] or _by_accession(
            report, studies
        )
        for place in places:
            place.reports.append(report)
        if not places:
            alone.append(Examination(reports=[report]))
    return sorted([*studies.values(), *alone], key=_newest_first, reverse=True)


def _by_accession(report: Document, studies: dict[str, Examination]) -> list[Examination]:
    """Issuer and value must both be there and equal; only for a report that names no study at all."""
    if report.study_instance_uids:
        return []
    numbers = {number for number in report.accession_numbers if number.system}
    return [e for e in studies.values() if e.manifest and numbers & set(e.manifest.accession_numbers)]


def _newest_first(examination: Examination) -> tuple[str, str]:
    first = examination.manifest or examination.reports[0]
    return examination.started[:19], first.unique_id.value
