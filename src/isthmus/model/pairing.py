"""Pairing: a report beside its study. By study UID, then by accession number with issuer, then by order number with issuer.

A mere likeness (same day, same hospital, same kind of image) is never a pair: it is told beside the pairs, for whoever looks.

Source: field-faults F08, F09; wire.md §2.4; portal design §2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import BY_PRODUCTS
from isthmus.model.people import Organisation


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
    alone: dict[str, Document] = {}
    for report in reports:
        places = [studies[uid] for uid in report.study_instance_uids if uid in studies] or _by_number(report, studies)
        for place in places:
            place.reports.append(report)
        if not places:
            alone[report.id] = report
    return sorted([*studies.values(), *_versions(alone)], key=_newest_first, reverse=True)


def _versions(alone: dict[str, Document]) -> list[Examination]:
    """Reports without their study, each with the versions it replaced: the newest first."""
    newer = {report.replaces: report.id for report in alone.values() if report.replaces in alone}
    lines: list[Examination] = []
    for report in alone.values():
        if report.id in newer:
            continue
        line, next_one = Examination(), alone.get(report.id)
        while next_one is not None and next_one not in line.reports:
            line.reports.append(next_one)
            next_one = alone.get(next_one.replaces or "")
        lines.append(line)
    told = {report.id for line in lines for report in line.reports}
    return lines + [Examination(reports=[report]) for report in alone.values() if report.id not in told]


def _by_number(report: Document, studies: dict[str, Examination]) -> list[Examination]:
    """By accession number, else by order number. Issuer and value must both be there and equal; only for a report that
    names no study at all."""
    if report.study_instance_uids:
        return []
    for numbers_of in (_accessions, _orders):
        mine = numbers_of(report)
        found = [e for e in studies.values() if e.manifest and mine & numbers_of(e.manifest)]
        if found:
            return found
    return []


def _accessions(document: Document) -> set[Identifier]:
    return {number for number in document.accession_numbers if number.system}


def _orders(document: Document) -> set[Identifier]:
    return {number for number in document.order_numbers if number.system}


@dataclass(frozen=True, slots=True)
class Resemblance:
    """A report that no number puts beside this study, though it may be about it."""

    study: Examination
    report: Examination


def resemblances(examinations: Iterable[Examination]) -> list[Resemblance]:
    """What resembles each other among what `pair` gave: a study without a report, and a report that names no study.

    Day, custodian and kind of image are the same. Numbers that contradict (another one of the same issuer) rule it out.
    """
    found = list(examinations)
    studies = [e for e in found if e.manifest is not None and not e.reports]
    alone = [e for e in found if e.manifest is None and not e.reports[0].study_instance_uids]
    return [
        Resemblance(study, report)
        for report in alone
        for study in studies
        if study.manifest is not None and _alike(study.manifest, report.reports[0])
    ]


def _alike(manifest: Document, report: Document) -> bool:
    days = [(d.period_start or d.created)[:10] for d in (manifest, report)]
    kinds = [frozenset(d.modalities) - BY_PRODUCTS for d in (manifest, report)]
    return (
        len(days[0]) == 10
        and days[0] == days[1]
        and bool(kinds[0] & kinds[1])
        and _same_house(manifest.custodian, report.custodian)
        and not _contradict(_accessions(manifest), _accessions(report))
        and not _contradict(_orders(manifest), _orders(report))
    )


def _same_house(one: Organisation | None, other: Organisation | None) -> bool:
    """By number of the same issuer, where both have one; else by name."""
    if one is None or other is None:
        return False
    if one.identifier and other.identifier and one.system == other.system:
        return one.identifier == other.identifier
    return one.name.casefold() == other.name.casefold()


def _contradict(ones: set[Identifier], others: set[Identifier]) -> bool:
    shared = {number.system for number in ones} & {number.system for number in others}
    return bool(shared) and not ones & others


def _newest_first(examination: Examination) -> tuple[str, str]:
    first = examination.manifest or examination.reports[0]
    return examination.started[:19], first.unique_id.value
