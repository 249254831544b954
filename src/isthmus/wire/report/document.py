"""The report as document Bundle: written from its chapters, read back from ours and others'.

    report = ImagingReport(
        Header(
            identifier=Identifier("urn:ietf:rfc:3986", "urn:uuid:…"), patient=patient, title="CT head report",
            date="2026-03-02T11:00:00+01:00", language="en", version="1", authors=(Person(HumanName("Radio", ("Logan",))),),
            organisation=hospital, attester=Attester(author, "2026-03-02T11:00:00+01:00"), custodian=hospital,
        ),
        Order(accession_numbers=(number,), requested="CT head", reasons=(Statement("Headache"),)),
        Examination((study,), (Procedure(technique="Plain CT"),), findings=(Finding("No haemorrhage"),)),
        presented_forms=(PresentedForm("application/pdf", pdf, "en"),),
    )
    body = write_report(report, load_pack())

Source: EU imaging report; wire.md §2, REP-01 to REP-26.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.fhir import elements as el
from isthmus.fhir.elements import MEDIA_TYPE, Node
from isthmus.model.codes import Code
from isthmus.model.confidentiality import beyond_normal
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import HumanName, Organisation
from isthmus.model.report.document import ImagingReport
from isthmus.wire.packs.pack import Pack, load_pack
from isthmus.wire.people import write_reported_patient
from isthmus.wire.report import (
    comparison,
    dose,
    examination,
    further,
    header,
    key_images,
    order,
    presented_form,
    sections,
    specimen,
    statements,
    studies,
)
from isthmus.wire.report.binding import Binder, Opened, write_code, write_identifier


def write_report(report: ImagingReport, pack: Pack, *, assembled: str | None = None) -> bytes:
    """Write the document Bundle; the same report is the same bytes. `assembled` is when, where its own date is no instant."""
    binder = Binder(report, pack)
    done = report.examination
    images = key_images.write_key_images(binder)
    written = [
        studies.write_studies(binder),
        order.write_order(binder),
        order.write_history(binder),
        examination.write_procedure(binder),
        comparison.write_comparison(binder),
        examination.write_statements(binder, "findings", done.findings, images),
        examination.write_statements(binder, "impression", done.impressions, []),
        examination.write_recommendation(binder),
        examination.write_communication(binder),
        *further.write_further(binder),
    ]
    composition = header.write_composition(binder, [section for section in written if section is not None])
    binder.add("diagnostic-report", _diagnostic_report(binder, composition["section"]))
    binder.add("patient", write_reported_patient(report.header.patient, pack, report.order.sex_for_clinical_use))
    first = {"fullUrl": binder.url("composition"), "resource": composition}
    return el.write_object(
        {
            "resourceType": "Bundle",
            "meta": el.without_nothing(
                {"profile": [pack.profiles["report"]], "security": header.security(report.header, pack)}
            ),
            "identifier": write_identifier(report.header.document_identifier or report.header.identifier),
            "type": "document",
            "timestamp": report.header.date if "T" in report.header.date else assembled or report.header.date,
            "entry": [first, *binder.entries],
        }
    )


LINKED = ("history", "procedure", "impression", "recommendation")
"""Sections whose entries the DiagnosticReport refers to as well. Source: IHE IDR; REP-17."""


def _linked(binder: Binder, sections: list[Node]) -> Iterator[Node]:
    urls, codes = binder.pack.extensions, {binder.pack.sections[key]: key for key in LINKED}
    for section in sections:
        key = codes.get(el.text(section, "code", "coding", "code") or "")
        for entry in el.children(section, "entry") if key else []:
            yield {"url": urls[f"report_{key}"], "valueReference": entry}
    for study in comparison.write_compared(binder):
        yield {"url": urls["report_comparison"], "valueReference": study}


def _diagnostic_report(binder: Binder, told: list[Node]) -> Node:
    report, pack = binder.report, binder.pack
    done, version = report.examination, report.header.version
    codes = [statement.code for statement in done.impressions if statement.code]
    results = [
        f"{key}-{n}"
        for key, said in (("findings", done.findings), ("impression", done.impressions))
        for n, one in enumerate(said)
        if not statements.is_condition(one)
    ]
    issued = report.header.issued or (report.header.date if "T" in report.header.date else None)
    return {"resourceType": "DiagnosticReport"} | header.common(binder) | {
        "extension": [
            {"url": pack.extensions["composition"], "valueReference": binder.ref("composition")},
            *studies.write_regions(done.regions, binder),
            *([{"url": pack.extensions["version"], "valueString": version}] if version else []),
            *_linked(binder, told),
        ],
        "identifier": [write_identifier(report.header.identifier)],
        "basedOn": binder.based_on(),
        "status": report.header.status,
        "code": header.write_type(report.header),
        **examination.time_of("effective", done.performed, done.performed_until),
        "issued": issued,
        "performer": [binder.organisation(report.header.organisation)] if report.header.organisation else None,
        "resultsInterpreter": [binder.person(person) for person in report.header.authors],
        "result": [binder.ref(name) for name in results],
        "specimen": specimen.write_specimens(binder),
        "imagingStudy": binder.studies(),
        "conclusion": done.conclusion or examination.conclusion_of(done.impressions),
        "conclusionCode": [write_code(code) for code in codes],
        "presentedForm": presented_form.write_forms(report.presented_forms),
    }  # fmt: skip


def read_report(body: bytes, pack: Pack, *, forgive: Callable[[str], None] = lambda _: None) -> ImagingReport:
    """Read a report, ours or another's, with or without Composition.

    References are resolved by the Bundle's rules; what is not understood stays in `sections`. Each thing forgiven is told
    to `forgive` once, by its word. Raises CountryMisanswered when it is no report, or does not name its patient.
    """
    opened = Opened(body, pack)
    head = header.read_header(opened)
    done = examination.read_examination(opened, head.patient)
    for word in sorted(opened.forgiven):
        forgive(word)
    return ImagingReport(
        header=head,
        order=order.read_order(opened),
        examination=done,
        doses=dose.read_doses(opened),
        key_images=key_images.read_key_images(opened),
        comparison=comparison.read_comparison(opened),
        presented_forms=presented_form.read_forms(opened),
        sections=sections.read_sections(opened),
        specimens=specimen.read_specimens(opened),
    )


ISSUED = ("application/pdf", "text/xml", "application/dicom")
"""In which forms a report may be issued, as well as in FHIR; which of several is the original to a reader comes first."""


def original_of(body: bytes) -> tuple[str, bytes]:
    """The report as issued: the PDF inside, else another form inside, else the Bundle itself.

    Raises CountryMisanswered for what is no report.
    """
    forms = {
        form.media_type.partition(";")[0].strip().lower(): form.body
        for form in reversed(presented_form.read_forms(Opened(body, load_pack())))
    }
    return next(((media, forms[media]) for media in ISSUED if media in forms), (MEDIA_TYPE, body))


@dataclass(frozen=True, slots=True)
class ReportIndex:
    """What a list and a register need to know of a report."""

    patient: PatientIdentifier
    names: tuple[HumanName, ...]
    birth_date: str  # empty when the report does not tell
    gender: str
    unique_id: Identifier
    title: str
    study_instance_uids: tuple[str, ...]
    accession_numbers: tuple[Identifier, ...]
    status: str
    version: str | None
    language: str | None
    authors: tuple[str, ...]
    custodian: Organisation | None
    created: str
    modalities: tuple[str, ...]
    regions: tuple[Code, ...]
    period_start: str | None
    order_numbers: tuple[Identifier, ...] = ()
    sensitivity: tuple[str, ...] = ()  # labels above normal
    replaces: Identifier | None = None  # the document that it says it is issued anew for


def report_index(body: bytes, pack: Pack | None = None) -> ReportIndex:
    """Read what is indexed. Raises MalformedRequest when it is no report or does not name its patient."""
    try:
        report = read_report(body, pack or load_pack())
    except CountryMisanswered as exc:
        raise MalformedRequest(exc.message, path=str(exc.facts.get("path", "Bundle"))) from exc
    head, done = report.header, report.examination
    regions = {region.code: region for region in (*done.regions, *(r for s in done.studies for r in s.regions))}
    accessions = (*report.order.accession_numbers, *(n for s in done.studies for n in s.accession_numbers))
    return ReportIndex(
        patient=head.patient.identifier,
        names=tuple(name for name in head.patient.names if name.family or name.given),
        birth_date=head.patient.birth_date,
        gender=head.patient.gender,
        unique_id=head.identifier,
        title=head.title,
        study_instance_uids=report.study_instance_uids,
        accession_numbers=tuple(dict.fromkeys(accessions)),
        status=head.status,
        version=head.version,
        language=head.language,
        authors=tuple(person.shown for person in head.authors),
        custodian=head.custodian or head.organisation,
        created=head.date,
        modalities=tuple(sorted({m for study in done.studies for m in study.modalities})),
        regions=tuple(regions.values()),
        period_start=next((study.started for study in done.studies if study.started), done.performed),
        order_numbers=report.order.placer_order_numbers,
        sensitivity=beyond_normal(head.confidentiality),
        replaces=head.replaces,
    )
