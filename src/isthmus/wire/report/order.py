"""Order, and what was known of the patient. Source: ServiceRequestOrderEuImaging; REP-12; data set A.2, A.3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.identifiers import Identifier
from isthmus.model.report.order import Order
from isthmus.model.report.statements import Finding, Statement
from isthmus.wire.described import accession_identifier, order_identifier, order_numbers, read_codings
from isthmus.wire.people import read_sex_for_clinical_use
from isthmus.wire.report import safety
from isthmus.wire.report.binding import (
    Binder,
    Opened,
    order_name,
    read_concept,
    read_statement,
    write_code,
    write_identifier,
    write_statement,
)
from isthmus.wire.report.statements import line_of, read_finding, write_observation
from isthmus.wire.report.words import moment

FILLER = "FILL"
_OTHERWISE = (
    "Observation",
    "Device",
    "AllergyIntolerance",
    *safety.MEDICATIONS,
)  # what is read as something of its own


HOLDS: Final = {
    "A.2.1": "ServiceRequest.identifier[PLAC], [FILL]",
    "A.2.2": "ServiceRequest.authoredOn",
    "A.2.3": "ServiceRequest.requester → Practitioner.identifier",
    "A.2.4": "ServiceRequest.requester → Practitioner.name",
    "A.2.5": "ServiceRequest.requester → PractitionerRole.specialty",
    "A.2.6": "ServiceRequest.requester → Practitioner.telecom, .address",
    "A.2.7": "ServiceRequest.requester → PractitionerRole.organization, or Organization",
    "A.3.1": "ServiceRequest.reasonCode, extension[reason]",
    "A.3.2": "Composition.section[history].entry → Condition.code",
    "A.3.3": "ServiceRequest.extension[reason].concept.text",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


def write_order(binder: Binder) -> Node:
    """The order section: a ServiceRequest for each accession number, which has room for one."""
    order, words = binder.report.order, binder.words
    told = replace(
        order, history=(), observations=(), medications=(), implants=(), allergies=(), pregnancy=None,
        sex_for_clinical_use=None,
    )  # fmt: skip
    if told == Order() and not binder.report.header.insurances:
        return binder.section("order", [], [])
    entries = [
        binder.add(order_name(number), _request(binder, [accession_identifier(number, binder.pack)]))
        for number in order.accession_numbers
    ]
    code, requester = order.requested_code, order.requester
    organisation = (requester.organisation if requester else None) or order.organisation
    asks = [requester.shown if requester else "", organisation.name if organisation else ""]
    lines = [order.requested or (code.display or code.code if code else ""), *(r.text for r in order.reasons)]
    lines += [f"{words['question']}: {order.question}"] if order.question else []
    lines += [f"{words['accession']}: {number.value}" for number in order.accession_numbers]
    numbers = (*order.placer_order_numbers, *order.filler_order_numbers)
    lines += [f"{words['order_number']}: {number.value}" for number in numbers]
    lines += [f"{words['requester']}: {', '.join(filter(None, asks))}"] if any(asks) else []
    lines += [f"{words['placed']}: {moment(order.placed)}"] if order.placed else []
    lines += [f"{words['priority']}: {order.priority}"] if order.priority else []
    return binder.section("order", lines, entries or [binder.add("order", _request(binder, []))])


def _request(binder: Binder, accession: list[Node]) -> Node:
    order, pack = binder.report.order, binder.pack
    numbers = [order_identifier(number, pack) for number in order.placer_order_numbers]
    kind = {"type": concept(coding(pack.systems["v2_0203"], FILLER))}
    numbers += [kind | write_identifier(number) for number in order.filler_order_numbers]
    asks = binder.person(order.requester) if order.requester else None
    if asks is None and order.organisation:
        asks = binder.organisation(order.organisation)
    reasons = [write_statement(reason) for reason in order.reasons]
    return {
        "resourceType": "ServiceRequest",
        "extension": [
            _reason(one, binder) for one in (*reasons, *([{"text": order.question}] if order.question else []))
        ],
        "identifier": [*accession, *numbers],
        "status": "completed",
        "intent": "order",
        "category": [concept(coding(pack.systems["snomed"], pack.codes["imaging_order"]))],
        "priority": order.priority,
        "code": write_code(order.requested_code, order.requested) if order.requested_code else _words(order.requested),
        "subject": binder.ref("patient"),
        "authoredOn": order.placed,
        "requester": asks,
        "reasonCode": reasons,
        "insurance": [binder.insurance(one) for one in binder.report.header.insurances],
    }


def _words(text: str | None) -> Node | None:
    return {"text": text} if text else None


def _reason(reason: Node, binder: Binder) -> Node:
    """The R5 element in R4: there the clinical question stands, which `reasonCode` could not tell from a reason."""
    told = [{"url": "concept", "valueCodeableConcept": reason}]
    return {"url": binder.pack.extensions["order_reason"], "extension": told}


def write_history(binder: Binder) -> Node:
    """The history section: conditions, observations, medication, implants, allergies, pregnancy."""
    order, words, patient = binder.report.order, binder.words, binder.ref("patient")
    made: list[tuple[str, Node, str]] = [
        (f"history-{n}", {"resourceType": "Condition", "code": write_statement(s), "subject": patient}, s.text)
        for n, s in enumerate(order.history)
    ]
    for n, seen in enumerate(order.observations):
        node = write_observation(seen, binder, [], words["finding"], None) | {"basedOn": None, "category": None}
        made.append((f"known-{n}", node, line_of(seen)))
    for n, given in enumerate(order.medications):
        line = f"{words['medication']}: {safety.line_of_medication(given)}"
        made.append((f"taken-{n}", safety.write_medication(given, binder, []), line))
    for n, allergy in enumerate(order.allergies):
        line = f"{words['allergy']}: {safety.line_of_reaction(allergy)}"
        made.append((f"allergy-{n}", safety.write_allergy(allergy, binder), line))
    if order.pregnancy is not None:
        line = f"{words['pregnancy']}: {safety.line_of_pregnancy(order.pregnancy, binder)}"
        made += [(name, node, line) for name, node in safety.write_pregnancy(order.pregnancy, binder)]
    entries = [binder.add(name, node) for name, node, _ in made]
    lines = list(dict.fromkeys(line for _, _, line in made))
    entries += [binder.device(device, patient=patient) for device in order.implants]
    for device in order.implants:
        more = (device.shown, device.manufacturer, device.model, device.serial_number, device.note)
        lines.append(f"{words['implant']}: {', '.join(dict.fromkeys(filter(None, more)))}")
    return binder.section("history", lines, entries, listed=len(lines) > 1)


def read_order(opened: Opened) -> Order:
    """Read the order by reference, or by identifier alone."""
    closed, pack = opened.closed, opened.pack
    accessions, placers, orders = order_numbers(
        el.children(opened.diagnostic, "basedOn"), opened.diagnostic, closed, pack
    )
    entries = [entry for section in opened.sections("order") for entry in el.children(section, "entry")]
    more = order_numbers(entries, opened.composition, closed, pack)
    accessions, placers = (tuple(dict.fromkeys(a + b)) for a, b in ((accessions, more[0]), (placers, more[1])))
    orders += more[2]
    request = orders[0] if orders else {}
    asks = opened.find(request, "requester")
    reasons, question = _reasons(request, opened)
    code = read_codings(el.codings(request, "code"))
    order = Order(
        accession_numbers=accessions,
        placer_order_numbers=placers,
        requested=el.text(request, "code", "text") or (code.display if code else None),
        placed=el.text(request, "authoredOn"),
        requester=opened.person(asks),
        reasons=reasons,
        filler_order_numbers=tuple(dict.fromkeys(_fillers(orders))),
        requested_code=code,
        organisation=opened.organisation(asks),
        question=question,
        priority=el.text(request, "priority"),
    )
    return _with_history(order, opened)


def _fillers(orders: list[Node]) -> Iterator[Identifier]:
    for order in orders:
        for one in el.children(order, "identifier"):
            value = el.text(one, "value")
            if value is not None and any(c.get("code") == FILLER for c in el.codings(one, "type")):
                yield Identifier(el.text(one, "system"), value)


def _reasons(request: Node, opened: Opened) -> tuple[tuple[Statement, ...], str | None]:
    """The reasons; and the question, which is in words alone and stands among them in R5, not in R4."""
    plain = [read_concept({"code": reason}, "code") for reason in el.children(request, "reasonCode")]
    told = [
        read_concept(part, "valueCodeableConcept")
        for extension in el.extensions(request, opened.pack.extensions["order_reason"])
        for part in el.children(extension, "extension")
        if part.get("url") == "concept"
    ]
    reasons = [reason for reason in plain if reason is not None]
    known = set(reasons)
    new = [reason for reason in told if reason is not None and reason not in known]
    question = next((one for one in new if one.code is None), None)
    reasons += [one for one in new if one is not question]
    return tuple(dict.fromkeys(reasons)), question.text if question else None


def _with_history(order: Order, opened: Opened) -> Order:
    """The order with what the history section says of the patient."""
    pregnancy, seen = safety.read_pregnancy(opened.entries("history", "Observation"), opened)
    observations = (read_finding(node, opened, (), None) for node in seen)
    given = (safety.read_medication(node, opened) for node in opened.entries("history", *safety.MEDICATIONS))
    allergies = (safety.read_allergy(node, opened) for node in opened.entries("history", "AllergyIntolerance"))
    devices = (opened.device(node) for node in (*opened.entries("history", "Device"), *_used(opened)))
    said = (read_statement(node) for node in opened.others("history", *_OTHERWISE))
    return replace(
        order,
        history=tuple(one for one in said if one is not None),
        observations=tuple(one for one in observations if isinstance(one, Finding)),
        medications=tuple(one for one in given if one is not None),
        implants=tuple(one for one in devices if one is not None),
        allergies=tuple(one for one in allergies if one is not None),
        pregnancy=pregnancy,
        sex_for_clinical_use=read_sex_for_clinical_use(opened.find(opened.first, "subject") or {}, opened.pack),
    )


def _used(opened: Opened) -> Iterator[Node]:
    for use in opened.entries("history", "DeviceUseStatement"):
        device = opened.find(use, "device")
        if device is not None:
            yield device
