"""`isthmus visit list`: the examinations as JSON and for people.

Source: interfaces.md §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isthmus.commands.output import show, table
from isthmus.errors import MalformedRequest
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, checked_uid
from isthmus.model.intervals import DateFilter
from isthmus.model.pairing import Examination
from isthmus.model.queries import DocumentQuery

INCOMPLETE = "Information may be incomplete. What a country or a patient does not share cannot be seen here."
FORMS = {
    DocumentKind.REPORT_FHIR: ["structured", "original"],
    DocumentKind.REPORT_PDF: ["original"],
    DocumentKind.REPORT_CDA: ["original"],
}
KINDS = ("study", "report")


def query_of(modality: str | None, first: str | None, last: str | None, study: str | None) -> DocumentQuery:
    """What of the filters is asked of the country. Days are included at both ends. Raises MalformedRequest."""
    from datetime import UTC

    periods = []
    for prefix, day, name in (("ge", first, "--from"), ("le", last, "--to")):
        if day is not None:
            if len(day) != 10:
                raise MalformedRequest(f"{name} is a day, YYYY-MM-DD", reason="value", path=name)
            try:
                periods.append((DateFilter.read(prefix + day, UTC, name),))
            except MalformedRequest as error:
                raise MalformedRequest(f"{name} is a day, YYYY-MM-DD: {error}", reason="value", path=name) from error
    return DocumentQuery(
        statuses=("current", "superseded"),
        modalities=tuple(m.strip().upper() for m in modality.split(",") if m.strip()) if modality else (),
        periods=tuple(periods),
        study_instance_uids=(checked_uid(study, "--study"),) if study else (),
    )


def kept(
    examinations: Sequence[Examination], kind: str | None, region: str | None, accession: str | None
) -> list[Examination]:
    """What of the filters is applied here: kind, region, accession number."""
    if kind is not None and kind not in KINDS:
        raise MalformedRequest("--kind is study or report", reason="value", path="--kind")
    if region is not None and not region.isdigit():
        raise MalformedRequest("--region is a SNOMED CT code", reason="value", path="--region")
    number = _number(accession) if accession is not None else None

    def keep(e: Examination) -> bool:
        study = [e.manifest] if e.manifest is not None else e.reports  # a report about two lends its number to neither
        return (
            (kind != "study" or e.manifest is not None)
            and (kind != "report" or bool(e.reports))
            and (region is None or any(region in {c.code for c in d.regions} for d in study))
            and (number is None or any(number in d.accession_numbers for d in study))
        )

    return [e for e in examinations if keep(e)]


def _number(text: str) -> Identifier:
    system, bar, value = text.partition("|")
    if not bar or not system or not value:
        raise MalformedRequest("--accession is written SYSTEM|VALUE", reason="value", path="--accession")
    return Identifier(system, value)


def as_json(examinations: Sequence[Examination]) -> dict[str, Any]:
    """The list, newest first."""
    found = [{"study": _study(e), "reports": [_report(r) for r in e.reports]} for e in examinations]
    return {"examinations": found, "notices": [INCOMPLETE]}


def _study(examination: Examination) -> dict[str, Any] | None:
    manifest = examination.manifest
    if manifest is None:
        return None
    return {
        "study_instance_uid": manifest.study_instance_uids[0],
        "accession_numbers": [{"system": n.system, "value": n.value} for n in manifest.accession_numbers],
        "started": manifest.period_start,
        "modalities": list(manifest.modalities),
        "regions": [{"code": c.code, "display": c.display} for c in manifest.regions],
        "description": manifest.description,
        "custodian": manifest.custodian.name if manifest.custodian else None,
        "series_count": manifest.series_count,
        "instance_count": manifest.instance_count,
        "size_bytes": manifest.study_bytes,
        "documents": {kind.value: document.id for kind, document in sorted(examination.manifests.items())},
    }


def _report(report: Document) -> dict[str, Any]:
    return {
        "id": report.id,
        "title": report.title,
        "status": report.report_status,
        "date": report.created,
        "language": report.language,
        "authors": list(report.authors),
        "custodian": report.custodian.name if report.custodian else None,
        "study_instance_uids": list(report.study_instance_uids),
        "forms": FORMS[report.kind],
        "version": report.report_version,
        "replaces": report.replaces,
    }


def for_people(answer: dict[str, Any]) -> None:
    """A table: when, what, how much, which reports."""
    rows = table("when", "what", "where", "series", "images", "MB", "reports")
    for examination in answer["examinations"]:
        study, reports = examination["study"], examination["reports"]
        replaced = {r["replaces"] for r in reports}
        standing = {r["id"]: "superseded" if r["id"] in replaced else r["status"] or "?" for r in reports}
        titles = "\n".join(f"{r['title']} ({standing[r['id']]}) {r['id']}" for r in reports) or "No report available."
        if study is None:
            rows.add_row(
                (reports[0]["date"] or "")[:10],
                "report without images here",
                reports[0]["custodian"] or "",
                "",
                "",
                "",
                titles,
            )
            continue
        what = f"{'/'.join(study['modalities'])} {study['description'] or ''}\n{study['study_instance_uid']}"
        size = f"{study['size_bytes'] / 1e6:.1f}" if study["size_bytes"] is not None else "?"
        counts = (str(study["series_count"] or "?"), str(study["instance_count"] or "?"), size)
        rows.add_row((study["started"] or "")[:10], what, study["custodian"] or "", *counts, titles)
    if answer["examinations"]:
        show(rows)
    else:
        print("No imaging information is available here for this person. This does not mean that none exists.")
    for notice in answer["notices"]:
        print(notice)
