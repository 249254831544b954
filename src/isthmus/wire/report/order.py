"""Order and history. Source: ServiceRequestOrderEuImaging; REP-12; data set A.2, A.3."""

from __future__ import annotations

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.report.order import Order
from isthmus.model.report.statements import Statement
from isthmus.wire.described import accession_identifier, order_identifier, order_numbers
from isthmus.wire.report.binding import Binder, Opened, order_name, read_concept, read_statement
from isthmus.wire.report.words import moment

_HISTORY = ("Condition", "Observation", "MedicationAdministration", "MedicationRequest", "Device", "DeviceUseStatement")


def write_order(binder: Binder) -> Node:
    """The order section: a ServiceRequest for each accession number, which has room for one."""
    order, words = binder.report.order, binder.words
    if order == Order(history=order.history):
        return binder.section("order", [], [])
    entries = [
        binder.add(order_name(number), _request(binder, [accession_identifier(number, binder.pack)]))
        for number in order.accession_numbers
    ]
    lines = [order.requested or "", *(reason.text for reason in order.reasons)]
    lines += [f"{words['accession']}: {number.value}" for number in order.accession_numbers]
    lines += [f"{words['order_number']}: {number.value}" for number in order.placer_order_numbers]
    lines += [f"{words['requester']}: {order.requester.shown}"] if order.requester else []
    lines += [f"{words['placed']}: {moment(order.placed)}"] if order.placed else []
    return binder.section("order", lines, entries or [binder.add("order", _request(binder, []))])


def _request(binder: Binder, accession: list[Node]) -> Node:
    order, pack = binder.report.order, binder.pack
    placed = [order_identifier(number, pack) for number in order.placer_order_numbers]
    return {
        "resourceType": "ServiceRequest",
        "identifier": [*accession, *placed],
        "status": "completed",
        "intent": "order",
        "category": [concept(coding(pack.systems["snomed"], pack.codes["imaging_order"]))],
        "code": {"text": order.requested} if order.requested else None,
        "subject": binder.ref("patient"),
        "authoredOn": order.placed,
        "requester": binder.person(order.requester) if order.requester else None,
        "reasonCode": [_reason(reason) for reason in order.reasons],
    }


def _reason(reason: Statement) -> Node:
    code = reason.code
    return concept(*([coding(code.system, code.code, code.display)] if code else []), words=reason.text)


def write_history(binder: Binder) -> Node:
    """The history section, a Condition for each statement."""
    history = binder.report.order.history
    entries = [
        binder.add(
            f"history-{number}",
            {"resourceType": "Condition", "code": _reason(statement), "subject": binder.ref("patient")},
        )
        for number, statement in enumerate(history)
    ]
    return binder.section("history", [statement.text for statement in history], entries, listed=len(history) > 1)


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
    reasons = (read_concept({"code": reason}, "code") for reason in el.children(request, "reasonCode"))
    history = (read_statement(node) for node in opened.entries("history", *_HISTORY))
    return Order(
        accession_numbers=accessions,
        placer_order_numbers=placers,
        requested=el.text(request, "code", "text"),
        placed=el.text(request, "authoredOn"),
        requester=opened.person(opened.find(request, "requester")),
        reasons=tuple(reason for reason in reasons if reason is not None),
        history=tuple(statement for statement in history if statement is not None),
    )
