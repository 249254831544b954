"""A report that exists as it was issued alone: a DiagnosticReport around it, with what is known of it beside its pages.

It has no Composition, since nothing in it is structured: neither author nor section is supplied. Study and order are named by identifier, or
said to be not known.

Source: BundleReportMinimalMetadataEuImaging; wire.md §2.1, W9; REP-19, REP-20, REP-21.
"""

from __future__ import annotations

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.report.document import ImagingReport
from isthmus.wire.described import accession_identifier, order_identifier, study_identifier
from isthmus.wire.packs.pack import Pack
from isthmus.wire.people import write_reported_patient
from isthmus.wire.report import header, presented_form
from isthmus.wire.report.binding import Binder, absent, write_identifier
from isthmus.wire.report.studies import write_regions


def is_minimal(report: ImagingReport) -> bool:
    """Whether all there is of a report is its issued form, and facts beside it."""
    done, head = report.examination, report.header
    told = (done.procedures, done.findings, done.impressions, done.recommendations, done.communication, report.sections)
    named = (head.authors, head.organisation, head.attester, report.comparison, report.doses, report.key_images)
    return bool(report.presented_forms) and not any(told) and not any(named)


def write_minimal(report: ImagingReport, pack: Pack) -> bytes:
    """Write the collection; the same report is the same bytes."""
    binder, head, done = Binder(report, pack), report.header, report.examination
    binder.add("patient", write_reported_patient(head.patient, pack))
    nothing: Node = {"_value": absent(binder)}
    studies: list[Node] = [study_identifier(uid, pack) for uid in report.study_instance_uids]
    orders: list[Node] = [accession_identifier(number, pack) for number in report.order.accession_numbers]
    orders += [order_identifier(number, pack) for number in report.order.placer_order_numbers]
    custodian = head.custodian
    diagnostic = header.common(binder) | {
        "resourceType": "DiagnosticReport",
        "meta": {"profile": [pack.profiles["report_minimal_metadata"]]},
        "extension": write_regions(done.regions, binder),
        "identifier": [write_identifier(head.identifier)],
        "basedOn": [{"type": "ServiceRequest", "identifier": number} for number in orders or [nothing]],
        "status": head.status,
        "code": header.write_type(head) | {"text": head.title},
        "effectiveDateTime": done.performed,
        "issued": head.date if "T" in head.date else None,
        "performer": [binder.organisation(custodian)] if custodian else None,
        "imagingStudy": [{"type": "ImagingStudy", "identifier": number} for number in studies or [nothing]],
        "presentedForm": presented_form.write_forms(report.presented_forms),
    }
    first = {"fullUrl": binder.url("diagnostic-report"), "resource": el.without_nothing(diagnostic)}
    return el.write_object(
        {
            "resourceType": "Bundle",
            "meta": el.without_nothing(
                {"profile": [pack.profiles["report_minimal"]], "security": header.security(head, pack)}
            ),
            "identifier": write_identifier(head.document_identifier or head.identifier),
            "type": "collection",
            "entry": [first, *binder.entries],
        }
    )
