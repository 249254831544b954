"""Examination: studies, procedure, findings, impression, recommendation.

Source: ImagingStudyEuImaging, ProcedureEuImaging, ObservationFindingEuImaging; REP-11, REP-15, REP-17, REP-26.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.codes import Code
from isthmus.model.imaging import Study
from isthmus.model.people import Patient
from isthmus.model.report.examination import Examination, Procedure, Recommendation
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Finding
from isthmus.wire.described import read_code, read_regions, read_study, study_identifier, study_uid, write_series
from isthmus.wire.report.binding import Binder, Opened, read_concept, read_statement
from isthmus.wire.report.key_images import read_images, write_images
from isthmus.wire.report.words import moment


def write_regions(regions: Iterable[Code], binder: Binder) -> list[Node]:
    """Region extensions; the spine in the report's own code. Source: wire.md C16, C24."""
    pack = binder.pack
    return [
        {
            "url": pack.extensions["region_report"],
            "valueCodeableConcept": concept(
                coding(
                    region.system,
                    pack.codes["spine_report"] if region.code in pack.aliases["spine"] else region.code,
                    region.display,
                )
            ),
        }
        for region in regions
    ]


def write_studies(binder: Binder) -> Node:
    """The section of the studies; no address in it. Source: REP-15."""
    studies = binder.report.examination.studies
    entries = [binder.add(f"study-{study.study_instance_uid}", _study(study, binder)) for study in studies]
    lines = [
        ", ".join(part for part in (study.description, "/".join(study.modalities), moment(study.started)) if part)
        or study.study_instance_uid
        for study in studies
    ]
    return binder.section("imaging_study", lines, entries)


def _study(study: Study, binder: Binder) -> Node:
    pack = binder.pack
    return {
        "resourceType": "ImagingStudy",
        "extension": write_regions(study.regions, binder),
        "identifier": [study_identifier(study.study_instance_uid, pack)],
        "status": "available",
        "modality": [coding(pack.systems["dcm"], modality) for modality in study.modalities],
        "subject": binder.ref("patient"),
        "started": study.started,
        "basedOn": binder.based_on(study),
        "numberOfSeries": len(study.series) or None,
        "numberOfInstances": study.instance_count or None,
        "procedureCode": [{"text": study.procedure}] if study.procedure else None,
        "description": study.description,
        "series": [write_series(series, pack, frames="frames_report") for series in study.series],
    }


def write_procedure(binder: Binder, more: list[Node]) -> Node:
    """The procedure section; `more` are entries of other chapters that stand in it (dose)."""
    examination, performer = binder.report.examination, binder.report.header.organisation
    done = next(iter(examination.procedures), None)
    if done is None and not more:
        return binder.section("procedure", [], [])
    done = done or Procedure()
    name, performed = done.name, done.performed or examination.performed
    entry = binder.add(
        "procedure",
        {
            "resourceType": "Procedure",
            "basedOn": binder.based_on(),
            "status": "completed",
            "code": concept(
                *([coding(name.code.system, name.code.code, name.code.display)] if name and name.code else []),
                words=name.text if name else binder.words["imaging"],
            ),
            "subject": binder.ref("patient"),
            "performedDateTime": performed,
            "performer": [{"actor": binder.organisation(performer)}] if performer else None,
            "bodySite": [_site(site) for site in done.sites],
            "note": [{"text": done.technique}] if done.technique else None,
        },
    )
    said = [name.text if name else "", moment(performed), *(site.text for site in done.sites)]
    told = [f"{binder.words['dose']}: {dose.text}" for dose in binder.report.doses]
    return binder.section("procedure", [*said, done.technique or "", *told], [entry, *more])


def _site(site: Site) -> Node:
    code = site.code
    return concept(*([coding(code.system, code.code, code.display)] if code else []), words=site.text or None)


def write_statements(binder: Binder, key: str, statements: tuple[Finding, ...], more: list[Node]) -> Node | None:
    """Findings or impression: an Observation for each, derived from studies and images; `more` are key images."""
    if not statements and not more:
        return None
    done, pack = binder.report.examination, binder.pack
    entries = [
        binder.add(
            f"{key}-{number}",
            {
                "resourceType": "Observation",
                "basedOn": binder.based_on(),
                "status": "final",
                "category": [concept(coding(pack.systems["observation_category"], "imaging"))],
                "code": binder.code(statement, binder.words["finding" if key == "findings" else "impression"]),
                "subject": binder.ref("patient"),
                "effectiveDateTime": done.performed,
                "valueString": statement.shown or statement.text,
                "bodySite": _site(statement.site) if statement.site else None,
                "derivedFrom": [*binder.studies(), *write_images(binder, statement.images)],
            },
        )
        for number, statement in enumerate(statements)
    ]
    lines = [statement.shown or statement.text for statement in statements]
    comments = dict.fromkeys(image.comment or image.title or "" for image in binder.report.key_images if more)
    said = "; ".join(comment for comment in comments if comment)
    lines += [f"{binder.words['key_images']}: {said or len(more)}"] if more else []
    return binder.section(key, lines, [*entries, *more], listed=len(lines) > 1)


def write_recommendation(binder: Binder) -> Node | None:
    advised = binder.report.examination.recommendations
    if not advised:
        return None
    entries = [
        binder.add(
            f"recommendation-{number}",
            {
                "resourceType": "CarePlan",
                "status": "active",
                "intent": "proposal",
                "description": statement.text,
                "subject": binder.ref("patient"),
            },
        )
        for number, statement in enumerate(advised)
    ]
    return binder.section("recommendation", [statement.text for statement in advised], entries, listed=len(advised) > 1)


def read_examination(opened: Opened, patient: Patient) -> Examination:
    """Read what was done, seen and meant; a study also when it is named by identifier alone."""
    studies = _read_studies(opened, patient)
    uids = frozenset(study.study_instance_uid for study in studies)
    return Examination(
        studies=studies,
        procedures=tuple(_procedure(node) for node in opened.entries("procedure", "Procedure")),
        performed=el.text(opened.diagnostic, "effectiveDateTime"),
        regions=read_regions(opened.diagnostic, opened.pack),
        findings=_statements(opened, uids, "findings", "Observation", "Condition"),
        impressions=_statements(opened, uids, "impression", "Observation", "Condition"),
        recommendations=tuple(
            Recommendation(statement.text, statement.code)
            for node in opened.entries("recommendation", "CarePlan", "ServiceRequest")
            if (statement := read_statement(node)) is not None
        ),
    )


def _procedure(node: Node) -> Procedure:
    return Procedure(
        name=read_concept(node, "code"),
        technique=el.text(node, "note", "text"),
        performed=el.text(node, "performedDateTime"),
        sites=tuple(_read_site(site) for site in el.children(node, "bodySite")),
    )


def _read_site(node: Node) -> Site:
    code = read_code(el.child(node, "coding"))
    return Site(el.text(node, "text") or (code.display or "" if code else ""), code)


def _statements(opened: Opened, studies: frozenset[str], key: str, *kinds: str) -> tuple[Finding, ...]:
    """What the entries of a section say; an Observation with the images of these studies that it is derived from."""
    return tuple(
        Finding(statement.text, statement.code, read_images(opened, node, studies))
        for node in opened.entries(key, *kinds)
        if (statement := read_statement(node)) is not None
    )


def _read_studies(opened: Opened, patient: Patient) -> tuple[Study, ...]:
    studies: dict[str, Study] = {}
    named = opened.entries("imaging_study", "ImagingStudy")
    for reference in el.children(opened.diagnostic, "imagingStudy"):
        found = opened.closed.find(reference, opened.diagnostic)
        named.append(found if found is not None else {"identifier": reference.get("identifier")})
    for node in named:
        uid = study_uid(node, opened.pack)
        if uid is not None:
            studies.setdefault(uid, read_study(node, opened.closed, patient, opened.pack))
    return tuple(studies.values())
