"""Examination: studies, procedure, findings, impression, recommendation.

Source: ImagingStudyEuImaging, ProcedureEuImaging, ObservationFindingEuImaging; REP-11, REP-15, REP-17, REP-26.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.codes import Code
from isthmus.model.people import Patient
from isthmus.model.report.examination import Examination, Procedure, Recommendation
from isthmus.model.report.safety import Reaction
from isthmus.model.report.statements import Finding, Statement
from isthmus.wire.described import read_codings, read_regions
from isthmus.wire.report import dose, safety, specimen
from isthmus.wire.report.binding import Binder, Opened, read_concept, write_code, write_statement
from isthmus.wire.report.key_images import read_images, write_images
from isthmus.wire.report.statements import (
    is_condition,
    line_of,
    read_finding,
    read_sites,
    write_condition,
    write_observation,
    write_site,
)
from isthmus.wire.report.studies import read_studies
from isthmus.wire.report.words import MEANINGLESS, moment

HOLDS: Final = {
    "A.5.1.1": "ImagingStudy.modality, ImagingStudy.series.modality",
    "A.5.1.2": "Procedure.performed[x]; ImagingStudy.started",
    "A.5.1.3": "Procedure.note[0]",
    "A.5.1.4": "Procedure.code.coding",
    "A.5.1.5": "Procedure.code.text, .coding.display",
    "A.5.1.6.1": "Procedure.bodySite; ImagingStudy.series.bodySite; extension[anatomical-region]",
    "A.5.1.6.2": "BodyStructure.locationQualifier; ImagingStudy.series.laterality",
    "A.5.1.7": "Procedure.performer[imaging-device].actor → Device.identifier, .udiCarrier; ImagingStudy.series.performer[device]",
    "A.5.1.8.1": "Procedure.performer[performer].actor → PractitionerRole → Practitioner.identifier; ImagingStudy.series.performer",
    "A.5.1.8.2": "… → Practitioner.name",
    "A.5.1.8.3": "… → PractitionerRole.organization",
    "A.5.1.9": "Procedure.note[1…]",
    "A.5.2.1": "Medication.extension[productName]",
    "A.5.2.2": "Medication.code",
    "A.5.2.3": "Medication.ingredient.itemCodeableConcept",
    "A.5.2.4": "Medication.ingredient.strength",
    "A.5.2.5": "Medication.form",
    "A.5.2.6": "MedicationAdministration.dosage.route",
    "A.5.2.7": "MedicationAdministration.effective[x]",
    "A.5.3.1": "AdverseEvent.event.text; AllergyIntolerance.note",
    "A.5.3.2": "AllergyIntolerance.type",
    "A.5.3.3": "AllergyIntolerance.reaction.manifestation; read: AdverseEvent.resultingCondition",
    "A.5.3.4": "AdverseEvent.severity; AllergyIntolerance.reaction.severity",
    "A.5.3.5": "AllergyIntolerance.criticality",
    "A.5.3.6": "AdverseEvent.date; AllergyIntolerance.reaction.onset",
    "A.5.3.7": "AllergyIntolerance.verificationStatus",
    "A.5.3.8": "AllergyIntolerance.code",
    "A.5.4.1": "Observation.effective[x]",
    "A.5.4.2": "Observation.valueString, .note; Composition.section[findings].text",
    "A.5.4.3.1": "Observation.code.coding",
    "A.5.4.3.2": "Observation.code.text",
    "A.5.4.3.3": "Observation.method",
    "A.5.4.3.4": "Observation.value[x], .component, .referenceRange, .interpretation",
    "A.5.5.1": "DiagnosticReport.conclusion; Composition.section[impression]",
    "A.5.5.2.1": "DiagnosticReport.conclusionCode; Observation.code, Condition.code",
    "A.5.5.2.2": "Condition.stage.summary",
    "A.5.6.1": "CarePlan.description, ServiceRequest.code.text",
    "A.5.6.2": "CarePlan.activity.detail.description",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


def write_procedure(binder: Binder) -> Node:
    """The procedure section: what was done, given and suffered, and the dose."""
    done, words = binder.report.examination, binder.words
    procedures = [
        binder.add("procedure" if n == 0 else f"procedure-{n}", _procedure(one, binder))
        for n, one in enumerate(done.procedures)
    ]
    lines = [line for one in done.procedures for line in _lines(one, binder)]
    given = [
        binder.add(f"given-{n}", safety.write_medication(one, binder, procedures))
        for n, one in enumerate(done.medications)
    ]
    lines += [f"{words['medication']}: {safety.line_of_medication(one)}" for one in done.medications]
    suffered = [
        binder.add(f"reaction-{n}", safety.write_reaction(one, binder, procedures))
        for n, one in enumerate(done.reactions)
    ]
    lines += [f"{words['reaction']}: {safety.line_of_reaction(one)}" for one in done.reactions]
    lines += dose.lines_of_doses(binder) + specimen.lines_of_specimens(binder)
    return binder.section("procedure", lines, [*procedures, *given, *suffered, *dose.write_dose(binder, procedures)])


def _procedure(done: Procedure, binder: Binder) -> Node:
    """A Procedure; who and what performed it each with the function that tells them apart. Source: ProcedureEuImaging."""
    pack, examination, owner = binder.pack, binder.report.examination, binder.report.header.organisation
    people, devices = (
        write_code(Code(pack.systems["snomed"], pack.codes[name]))
        for name in ("healthcare_professional", "imaging_equipment")
    )
    performers = [{"function": people, "actor": binder.person(one, in_role=True)} for one in done.performers]
    if owner and not performers:
        part = write_code(Code(pack.systems["participation"], "PRF"))
        performers = [{"function": part, "actor": binder.organisation(owner)}]
    performers += [{"function": devices, "actor": binder.imaging_device(one)} for one in done.devices]
    when = (done.performed, done.performed_until)
    return {
        "resourceType": "Procedure",
        "basedOn": binder.based_on(),
        "status": "completed",
        "code": write_statement(done.name or Statement(binder.words["imaging"])),
        "subject": binder.ref("patient"),
        **time_of("performed", *(when if any(when) else (examination.performed, examination.performed_until))),
        "performer": performers,
        "bodySite": [write_site(site, binder) for site in done.sites],
        "note": [{"text": text} for text in (done.technique or "", *done.details) if text or done.details],
    }


def time_of(name: str, start: str | None, end: str | None) -> Node:
    """A moment, or a period where an end is told. Source: R4 choice of types."""
    if end is None:
        return {f"{name}DateTime": start}
    return {f"{name}Period": el.without_nothing({"start": start, "end": end})}


def times_of(node: Node, name: str) -> tuple[str | None, str | None]:
    period = el.child(node, f"{name}Period")
    return el.text(node, f"{name}DateTime") or el.text(period, "start"), el.text(period, "end")


def _lines(done: Procedure, binder: Binder) -> list[str]:
    words, performed = binder.words, done.performed or binder.report.examination.performed
    lines = [done.name.text if done.name else "", moment(performed), *(site.shown for site in done.sites)]
    lines += [done.technique or "", *done.details]
    lines += [f"{words['performer']}: {one.shown}" for one in done.performers]
    lines += [f"{words['device']}: {one.shown}" for one in done.devices]
    return lines


def write_statements(binder: Binder, key: str, statements: tuple[Finding, ...], more: list[Node]) -> Node | None:
    """Findings or impression: an Observation or a Condition for each; `more` are key images."""
    conclusion = binder.report.examination.conclusion if key == "impression" else None
    if not statements and not more and not conclusion and not binder.is_written(key):
        return None
    entries = [binder.add(f"{key}-{n}", _statement(binder, key, one)) for n, one in enumerate(statements)]
    lines = [line_of(statement) for statement in statements]
    comments = dict.fromkeys(image.comment or image.title or "" for image in binder.report.key_images if more)
    said = "; ".join(comment for comment in comments if comment)
    lines += [f"{binder.words['key_images']}: {said or len(more)}"] if more else []
    return binder.section(key, lines, [*entries, *more], listed=len(lines) > 1, note=conclusion)


def _statement(binder: Binder, key: str, finding: Finding) -> Node:
    images = write_images(binder, finding.images)
    if is_condition(finding):
        return write_condition(finding, binder, images)
    otherwise = binder.words["finding" if key == "findings" else "impression"]
    when = binder.report.examination.performed
    return write_observation(finding, binder, [*binder.studies(), *images], otherwise, when)


def write_recommendation(binder: Binder) -> Node | None:
    advised = binder.report.examination.recommendations
    if not advised and not binder.is_written("recommendation"):
        return None
    entries = [binder.add(f"recommendation-{n}", _advice(one, binder)) for n, one in enumerate(advised)]
    lines = [
        ", ".join(dict.fromkeys(filter(None, (a.text, a.plan, moment(a.planned), moment(a.planned_until)))))
        for a in advised
    ]
    return binder.section("recommendation", lines, entries, listed=len(advised) > 1)


def _advice(advice: Recommendation, binder: Binder) -> Node:
    """A request where a code or a time is told, a plan in words where there is none, or more than an order can hold."""
    shared = {"intent": "proposal", "status": "active", "subject": binder.ref("patient")}
    if (advice.code or advice.planned or advice.planned_until) and not advice.plan:
        code = write_code(advice.code, advice.text) if advice.code else {"text": advice.text}
        when = time_of("occurrence", advice.planned, advice.planned_until)
        return {"resourceType": "ServiceRequest"} | shared | {"code": code} | when
    detail = {
        "code": write_code(advice.code) if advice.code else None,
        "status": "not-started",
        "description": advice.plan,
    }
    period = el.without_nothing({"start": advice.planned, "end": advice.planned_until})
    activity = [{"detail": el.without_nothing(detail)}] if advice.plan else None
    more = {"description": advice.text, "period": period, "activity": activity}
    return {"resourceType": "CarePlan"} | shared | more


def write_communication(binder: Binder) -> Node | None:
    """Who was told what: a section in words alone."""
    told = binder.report.examination.communication
    return binder.section("communication", [], [], note=told) if told or binder.is_written("communication") else None


def read_examination(opened: Opened, patient: Patient) -> Examination:
    """Read what was done, seen and meant; a study also when it is named by identifier alone."""
    studies = read_studies(opened, patient)
    uids = frozenset(study.study_instance_uid for study in studies)
    performed, until = times_of(opened.diagnostic, "effective")
    given = (safety.read_medication(node, opened) for node in opened.entries("procedure", *safety.MEDICATIONS))
    impressions = _statements(opened, uids, "impression", performed)
    return Examination(
        studies=studies,
        procedures=tuple(_read_procedure(node, opened) for node in opened.entries("procedure", "Procedure")),
        performed=performed,
        performed_until=until,
        regions=read_regions(opened.diagnostic, opened.pack),
        medications=tuple(one for one in given if one is not None),
        reactions=tuple(_reactions(opened)),
        findings=_statements(opened, uids, "findings", performed),
        impressions=impressions + tuple(_concluded(opened, impressions)),
        conclusion=_conclusion(opened, impressions),
        recommendations=tuple(
            advice
            for node in opened.entries("recommendation", "CarePlan", "ServiceRequest")
            if (advice := _read_advice(node)) is not None
        ),
        communication=opened.note("communication"),
    )


def _read_procedure(node: Node, opened: Opened) -> Procedure:
    name = read_concept(node, "code")
    notes = [text for note in el.children(node, "note") if (text := el.text(note, "text"))]
    actors = list(opened.closed.follow_each(node, "performer", "actor"))
    start, end = times_of(node, "performed")
    return Procedure(
        name=None if name and name.code is None and name.text in MEANINGLESS else name,
        technique=notes[0] if notes else None,
        performed=start,
        performed_until=end,
        sites=read_sites(node, opened),
        devices=tuple(device for actor in actors if (device := opened.device(actor)) is not None),
        performers=tuple(person for actor in actors if (person := opened.person(actor)) is not None),
        details=tuple(notes[1:]),
    )


def _reactions(opened: Opened) -> Iterable[Reaction]:
    """Adverse events, and allergies that stand beside them on their own."""
    events = opened.entries("procedure", "AdverseEvent")
    named = {id(one) for event in events for one in opened.closed.follow(event, "subjectMedicalHistory")}
    for event in events:
        if (reaction := safety.read_reaction(event, opened)) is not None:
            yield reaction
    for node in opened.entries("procedure", "AllergyIntolerance"):
        if id(node) not in named and (reaction := safety.read_allergy(node, opened)) is not None:
            yield reaction


def _read_advice(node: Node) -> Recommendation | None:
    detail = el.child(node, "activity", "detail")
    named = read_concept(node, "code")
    text = el.text(node, "description") or el.text(node, "title") or (named.text if named else None)
    code = named.code if named else read_codings(el.codings(detail, "code"))
    start, end = times_of(node, "occurrence")
    period = el.child(node, "period")
    plan = el.text(detail, "description")
    if text is None and plan is None:
        return None
    planned, until = start or el.text(period, "start"), end or el.text(period, "end")
    return Recommendation(text or plan or "", code, planned, until, plan)


def _statements(opened: Opened, studies: frozenset[str], key: str, when: str | None) -> tuple[Finding, ...]:
    """What the entries of a section say; an Observation with the images of these studies that it is derived from."""
    return tuple(
        finding
        for node in opened.entries(key, "Observation", "Condition")
        if (finding := read_finding(node, opened, read_images(opened, node, studies), when)) is not None
    )


def _concluded(opened: Opened, impressions: tuple[Finding, ...]) -> Iterable[Finding]:
    """What the DiagnosticReport concludes in codes alone."""
    known = {finding.code for finding in impressions}
    for one in el.children(opened.diagnostic, "conclusionCode"):
        told = read_concept({"code": one}, "code")
        if told is not None and told.code is not None and told.code not in known:
            yield Finding(told.text, told.code)


def conclusion_of(impressions: Iterable[Finding]) -> str:
    return "\n".join(finding.shown for finding in impressions)


def _conclusion(opened: Opened, impressions: tuple[Finding, ...]) -> str | None:
    """The conclusion in words, where the impressions do not say it."""
    told = el.text(opened.diagnostic, "conclusion")
    if told is not None and told != conclusion_of(impressions):
        return told
    return opened.note("impression")
