"""Statements: findings, measurements and conditions, as Observation and Condition, both directions.

A quantity is written in UCUM; a side or a change of a site stands in a BodyStructure, which R4 has for it.

Source: ObservationFindingEuImaging; R4 Observation, Condition, BodyStructure; data set A.5.4, A.5.5.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.errors import MalformedRequest
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.codes import Code
from isthmus.model.numbers import Written
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Finding, Part, Quantity, ReferenceRange, Statement, Value
from isthmus.wire.described import read_codings, write_codings
from isthmus.wire.report.binding import Binder, Opened, read_concept, write_code, write_statement
from isthmus.wire.report.words import MEANINGLESS


def write_quantity(quantity: Quantity, binder: Binder) -> Node:
    pack, uncertain = binder.pack, quantity.uncertainty
    doubt = (
        [{"url": pack.extensions["uncertainty"], "valueDecimal": _number(uncertain)}] if uncertain is not None else None
    )
    node = {
        "extension": doubt,
        "comparator": quantity.comparator,
        "unit": quantity.unit,
        "system": pack.systems["ucum"] if quantity.code else None,
        "code": quantity.code,
    }
    return el.without_nothing(node) | {"value": _number(quantity.value)}


def _number(value: float) -> float | int:
    if isinstance(value, Written):
        return value
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else value


def read_quantity(node: Node, opened: Opened) -> Quantity | None:
    """Read a number with its unit; None where there is no number."""
    value, doubt = _decimal(node.get("value")), el.extensions(node, opened.pack.extensions["uncertainty"])
    if value is None:
        return None
    ucum = node.get("system") == opened.pack.systems["ucum"]
    unit, code = el.text(node, "unit"), el.text(node, "code")
    try:
        return Quantity(
            value,
            unit if ucum else unit or code,
            code if ucum else None,
            el.text(node, "comparator"),
            _decimal(doubt[0].get("valueDecimal")) if doubt else None,
        )
    except MalformedRequest:
        return None


def _decimal(value: object) -> float | None:
    if isinstance(value, Written):
        return value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def write_value(value: Value, binder: Binder, *, words: str = "valueCodeableConcept") -> Node:
    """The member that holds a value; `words` is the one for words alone."""
    if isinstance(value, Quantity):
        return {"valueQuantity": write_quantity(value, binder)}
    return (
        {words: value.text}
        if value.code is None and words == "valueString"
        else {"valueCodeableConcept": write_statement(value)}
    )


def read_value(node: Node, opened: Opened) -> Value | None:
    """Read a value that is a number or a code, of whichever of these kinds it is."""
    coded = read_concept(node, "valueCodeableConcept")
    if coded is not None:
        return coded
    whole = el.number(node, "valueInteger")
    return read_quantity(el.child(node, "valueQuantity"), opened) or (None if whole is None else Quantity(whole))


def said_value(node: Node) -> str | None:
    """What a value of any other kind says: text, a date, yes or no, a range."""
    ends = [el.child(node, "valueRange", end) for end in ("low", "high")]
    if any(ends):
        return " – ".join(_said_quantity(end) for end in ends)
    for name in ("valueString", "valueDateTime", "valueTime"):
        if (words := el.text(node, name)) is not None:
            return words
    if isinstance(node.get("valueBoolean"), bool):
        return str(node["valueBoolean"]).lower()
    period = el.child(node, "valuePeriod")
    return " – ".join(filter(None, (el.text(period, "start"), el.text(period, "end")))) or None


def _said_quantity(node: Node) -> str:
    return f"{node.get('value', '')} {el.text(node, 'unit') or el.text(node, 'code') or ''}".strip()


def write_site(site: Site, binder: Binder) -> Node:
    """A part of the body as concept, with a BodyStructure where its side or what is abnormal there is told."""
    code = site.code
    node = concept(*(write_codings(code) if code else []), words=site.text or None)
    if site.laterality or site.morphology:
        structure = binder.hold(
            {
                "resourceType": "BodyStructure",
                "morphology": write_code(site.morphology) if site.morphology else None,
                "location": dict(node),
                "locationQualifier": [write_code(site.laterality)] if site.laterality else None,
                "patient": binder.ref("patient"),
            }
        )
        node["extension"] = [{"url": binder.pack.extensions["body_structure"], "valueReference": structure}]
    return node


def read_site(node: Node, holder: Node, opened: Opened) -> Site | None:
    """Read a concept of `holder` that names a part of the body; None when it names none."""
    told = el.extensions(node, opened.pack.extensions["body_structure"])
    structure = (opened.closed.find(el.child(told[0], "valueReference"), holder) if told else None) or {}
    code = next((c for c in (_code(node), _code(el.child(structure, "location"))) if c), None)
    site = Site(
        el.text(node, "text") or el.text(structure, "location", "text") or "",
        code,
        read_codings(el.codings(structure, "locationQualifier")),
        read_codings(el.codings(structure, "morphology")),
    )
    return site if site != Site("") else None


def _code(node: Node) -> Code | None:
    return read_codings(el.codings({"concept": node}, "concept"))


def read_sites(node: Node, opened: Opened) -> tuple[Site, ...]:
    read = (read_site(one, node, opened) for one in el.children(node, "bodySite"))
    return tuple(site for site in read if site is not None)


def line_of(finding: Finding) -> str:
    """All that a finding says, as a line of the narrative. Source: REP-10."""
    more = [finding.site.shown if finding.site else "", finding.method.text if finding.method else ""]
    more += [code.display or code.code for code in finding.interpretations]
    more += [*(stage.text for stage in finding.stages), finding.certainty or ""]
    return "; ".join(dict.fromkeys(filter(None, (finding.shown, *more))))


def is_condition(finding: Finding) -> bool:
    """True for what is written as Condition: it has a stage or a certainty. Source: data set A.5.5."""
    return bool(finding.stages or finding.certainty)


def write_observation(finding: Finding, binder: Binder, derived: list[Node], otherwise: str, when: str | None) -> Node:
    """An Observation of what was seen or measured; `otherwise` names it where nothing else does."""
    words = finding.name or (None if finding.code else otherwise)
    code = write_code(finding.code, words) if finding.code else {"text": words}
    text, value = finding.text, finding.value
    noted = value is not None and text
    node = {
        "resourceType": "Observation",
        "basedOn": binder.based_on(),
        "status": "final",
        "category": [concept(coding(binder.pack.systems["observation_category"], "imaging"))],
        "code": code,
        "subject": binder.ref("patient"),
        "effectiveDateTime": finding.observed or when,
        "interpretation": [write_code(one) for one in finding.interpretations],
        "note": [{"text": text}] if noted else None,
        "bodySite": write_site(finding.site, binder) if finding.site else None,
        "method": write_statement(finding.method) if finding.method else None,
        "referenceRange": [_write_range(finding.reference, binder)] if finding.reference else None,
        "component": [
            {"code": write_statement(part.name)} | write_value(part.value, binder, words="valueString")
            for part in finding.parts
        ],
        "derivedFrom": derived,
    }
    return node | (write_value(value, binder) if value is not None else {"valueString": text})


def _write_range(reference: ReferenceRange, binder: Binder) -> Node:
    low, high = (write_quantity(end, binder) if end else None for end in (reference.low, reference.high))
    return el.without_nothing({"low": low, "high": high, "text": reference.text})


def write_condition(finding: Finding, binder: Binder, seen_in: list[Node]) -> Node:
    """A Condition with its stages; what only an Observation has room for is told in its note."""
    plain = finding.text or finding.name or ""
    certainty, more = finding.certainty, finding.shown if finding.value is not None or finding.parts else None
    return {
        "resourceType": "Condition",
        "verificationStatus": concept(coding(binder.pack.systems["condition_certainty"], certainty))
        if certainty
        else None,
        "code": write_code(finding.code, plain or None) if finding.code else {"text": plain},
        "bodySite": [write_site(finding.site, binder)] if finding.site else None,
        "subject": binder.ref("patient"),
        "recordedDate": finding.observed,
        "stage": [{"summary": write_statement(stage)} for stage in finding.stages],
        "evidence": [{"detail": seen_in}] if seen_in else None,
        "note": [{"text": more}] if more else None,
    }


def read_finding(node: Node, opened: Opened, images: tuple[KeyImage, ...], when: str | None) -> Finding | None:
    """Read an Observation or a Condition; None when it says nothing. `when` is the time of all that tell no other."""
    code = read_codings(el.codings(node, "code"))
    if node.get("resourceType") == "Condition":
        return _read_condition(node, opened, code, images)
    value = read_value(node, opened)
    notes = [text for note in el.children(node, "note") if (text := el.text(note, "text"))]
    name = el.text(node, "code", "text")
    observed = el.text(node, "effectiveDateTime") or el.text(node, "effectivePeriod", "start")
    finding = Finding(
        text="\n".join(filter(None, (None if value is not None else said_value(node), *notes))),
        code=code,
        images=images,
        name=None if name in MEANINGLESS else name,
        value=value,
        reference=_read_range(el.child(node, "referenceRange"), opened),
        interpretations=tuple(_codes(node, "interpretation")),
        site=read_site(el.child(node, "bodySite"), node, opened),
        method=read_concept(node, "method"),
        observed=None if observed == when else observed,
        parts=tuple(_read_parts(node, opened)),
    )
    return finding if finding.shown else None


def _read_condition(node: Node, opened: Opened, code: Code | None, images: tuple[KeyImage, ...]) -> Finding | None:
    text = el.text(node, "code", "text") or ""
    if not text and code is None:
        return None
    stages = (read_concept(stage, "summary") for stage in el.children(node, "stage"))
    sites = read_sites(node, opened)
    return Finding(
        text=text or (code.display or code.code if code else ""),
        code=code,
        images=images,
        site=sites[0] if sites else None,
        observed=el.text(node, "recordedDate"),
        stages=tuple(stage for stage in stages if stage is not None),
        certainty=next((c.get("code") for c in el.codings(node, "verificationStatus")), None),
    )


def _codes(node: Node, name: str) -> Iterable[Code]:
    """One code of each concept."""
    for one in el.children(node, name):
        if (code := _code(one)) is not None:
            yield code


def _read_range(node: Node, opened: Opened) -> ReferenceRange | None:
    low, high = (read_quantity(el.child(node, end), opened) for end in ("low", "high"))
    found = ReferenceRange(low, high, el.text(node, "text"))
    return found if found != ReferenceRange() else None


def _read_parts(node: Node, opened: Opened) -> Iterable[Part]:
    for component in el.children(node, "component"):
        name, value = read_concept(component, "code"), read_value(component, opened)
        said = said_value(component)
        if name is not None and (value is not None or said is not None):
            yield Part(name, value if value is not None else Statement(said or ""))
