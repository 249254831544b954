"""Safety: medication, reactions, allergies and pregnancy, both directions.

A reaction in the examination is an AdverseEvent; what is to be known of it ever after is an AllergyIntolerance beside it, from which
a receiver feeds its own warnings. Read are both, as one.

Source: AdverseEventEuImaging; ObservationGestationalAgeEuImaging; R4 AllergyIntolerance, MedicationAdministration; data set A.5.2, A.5.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.report.safety import Ingredient, Medication, Pregnancy, Reaction
from isthmus.model.report.statements import Quantity, Statement
from isthmus.wire.described import read_codings
from isthmus.wire.report.binding import Binder, Opened, absent, read_concept, write_code, write_statement
from isthmus.wire.report.statements import read_quantity, write_quantity
from isthmus.wire.report.words import moment

MEDICATIONS: Final = ("MedicationAdministration", "MedicationRequest", "MedicationStatement")
SEVERITIES: Final[Mapping[str, str]] = {
    "mild": "mild", "moderate": "moderate", "severe": "severe", "255604002": "mild", "371923003": "moderate",
    "6736007": "moderate", "371924009": "severe", "24484000": "severe", "442452003": "severe",
}  # fmt: skip
"""Severities as R4 has them; of eHDSISeverity, which has six, the next graver one."""


_ONE: Final = Quantity(1, code="1")  # R4 has no strength but in some amount of the product


def write_medication(medication: Medication, binder: Binder, part_of: list[Node]) -> Node:
    """A MedicationAdministration, with a Medication where there is more to tell than which. `part_of` are procedures."""
    product = binder.hold(
        {
            "resourceType": "Medication",
            "extension": [{"url": binder.pack.extensions["product_name"], "valueString": medication.brand}]
            if medication.brand
            else None,
            "code": write_statement(Statement(medication.name, medication.code)),
            "form": write_code(medication.form) if medication.form else None,
            "ingredient": [_write_ingredient(one, binder) for one in medication.ingredients],
        }
    )
    route, dose = medication.route, medication.dose
    amount = write_quantity(dose, binder) if dose else absent(binder)
    dosage = el.without_nothing({"route": write_code(route) if route else None, "dose": amount})
    return {
        "resourceType": "MedicationAdministration",
        "partOf": part_of,
        "status": "completed",
        "medicationReference": product,
        "subject": binder.ref("patient"),
        "effectiveDateTime": medication.given,
        "_effectiveDateTime": None if medication.given else absent(binder),
        "note": [{"text": medication.note}] if medication.note else None,
        "dosage": dosage if route or dose else None,
    }


def _write_ingredient(ingredient: Ingredient, binder: Binder) -> Node:
    amount, per = ingredient.strength, ingredient.per or _ONE
    ratio = (
        {"numerator": write_quantity(amount, binder), "denominator": write_quantity(per, binder)} if amount else None
    )
    return el.without_nothing({"itemCodeableConcept": write_statement(ingredient.substance), "strength": ratio})


def line_of_medication(medication: Medication) -> str:
    """What was given, as a line of the narrative."""
    dose = medication.dose.shown if medication.dose else ""
    codes = [code.display or code.code for code in (medication.form, medication.route) if code]
    parts = [one.shown for one in medication.ingredients]
    given = moment(medication.given)
    return ", ".join(filter(None, (medication.name, medication.brand, *parts, dose, *codes, given, medication.note)))


def read_medication(node: Node, opened: Opened) -> Medication | None:
    """Read what was given, or asked for, and its product; None when it is not named."""
    product = opened.find(node, "medicationReference") or {}
    named = read_concept(product, "code") or read_concept(node, "medicationCodeableConcept")
    brand = el.extensions(product, opened.pack.extensions["product_name"])
    if named is None:
        return None
    dosage = el.child(node, "dosage") or el.child(node, "dosageInstruction")
    return Medication(
        name=named.text,
        code=named.code,
        brand=el.text(brand[0], "valueString") if brand else None,
        ingredients=tuple(_read_ingredients(product, opened)),
        form=read_codings(el.codings(product, "form")),
        route=read_codings(el.codings(dosage, "route")),
        dose=read_quantity(el.child(dosage, "dose") or el.child(dosage, "doseAndRate", "doseQuantity"), opened),
        given=el.text(node, "effectiveDateTime")
        or el.text(node, "effectivePeriod", "start")
        or el.text(node, "authoredOn"),
        note=el.text(node, "note", "text"),
    )


def _read_ingredients(product: Node, opened: Opened) -> Iterable[Ingredient]:
    for one in el.children(product, "ingredient"):
        substance = read_concept(one, "itemCodeableConcept")
        if substance is not None:
            amount, per = (el.child(one, "strength", end) for end in ("numerator", "denominator"))
            of = read_quantity(per, opened)
            yield Ingredient(substance, read_quantity(amount, opened), None if of == _ONE else of)


def write_allergy(reaction: Reaction, binder: Binder) -> Node:
    """An AllergyIntolerance: what must be known at the next examination."""
    systems, agent = binder.pack.systems, reaction.agent
    met = el.without_nothing(
        {
            "manifestation": [write_statement(one) for one in reaction.manifestations] or [absent(binder)],
            "onset": reaction.onset,
            "severity": reaction.severity,
        }
    )
    certain = concept(coding(systems["allergy_certainty"], reaction.certainty)) if reaction.certainty else None
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": concept(coding(systems["allergy_status"], "active")),
        "verificationStatus": certain,
        "type": reaction.kind,
        "criticality": reaction.criticality,
        "code": write_statement(agent) if agent else None,
        "patient": binder.ref("patient"),
        "note": [{"text": reaction.text}] if reaction.text else None,
        "reaction": [met] if reaction.manifestations or reaction.onset or reaction.severity else None,
    }


def read_allergy(node: Node, opened: Opened) -> Reaction | None:
    """Read an AllergyIntolerance; None when it names nothing."""
    agent, met = read_concept(node, "code"), el.child(node, "reaction")
    text = el.text(node, "note", "text") or el.text(met, "description") or ""
    seen = [
        Statement(code.text, code.code)
        for reaction in el.children(node, "reaction")
        for one in el.children(reaction, "manifestation")
        if (code := read_concept({"code": one}, "code")) is not None
    ]
    if not text and agent is None and not seen:
        return None
    certain = read_codings(el.codings(node, "verificationStatus"))
    return Reaction(
        text=text,
        agent=agent or read_concept(met, "substance"),
        kind=el.text(node, "type"),
        manifestations=tuple(seen),
        severity=el.text(met, "severity"),
        criticality=el.text(node, "criticality"),
        certainty=certain.code if certain else None,
        onset=el.text(met, "onset") or el.text(node, "onsetDateTime"),
    )


def write_reaction(reaction: Reaction, binder: Binder, during: list[Node]) -> Node:
    """An AdverseEvent; with an AllergyIntolerance where more is known than that it happened."""
    severity = reaction.severity
    known = reaction.agent or reaction.kind or reaction.manifestations or reaction.criticality or reaction.certainty
    return {
        "resourceType": "AdverseEvent",
        "actuality": "actual",
        "event": {"text": reaction.text or line_of_reaction(reaction)},
        "subject": binder.ref("patient"),
        "date": reaction.onset,
        "severity": concept(coding(binder.pack.systems["adverse_event_severity"], severity)) if severity else None,
        "suspectEntity": [{"instance": one} for one in during],
        "subjectMedicalHistory": [binder.hold(write_allergy(reaction, binder))] if known else None,
    }


def read_reaction(node: Node, opened: Opened) -> Reaction | None:
    """Read an AdverseEvent and the allergies it names; None when neither says anything."""
    allergies = (
        read_allergy(found, opened)
        for found in opened.closed.follow(node, "subjectMedicalHistory")
        if found.get("resourceType") == "AllergyIntolerance"
    )
    allergy = next((one for one in allergies if one is not None), None)
    event = read_concept(node, "event")
    if allergy is None and event is None:
        return None
    told = read_codings(el.codings(node, "severity"))
    severity = SEVERITIES.get(told.code) if told else None
    known = allergy or Reaction("")
    conditions = (read_concept(found, "code") for found in opened.closed.follow(node, "resultingCondition"))
    seen = known.manifestations or tuple(one for one in conditions if one is not None)
    return Reaction(
        text=known.text or (event.text if event and event.text != line_of_reaction(known) else ""),
        agent=known.agent,
        kind=known.kind,
        manifestations=seen,
        severity=known.severity or severity,
        criticality=known.criticality,
        certainty=known.certainty,
        onset=el.text(node, "date") or known.onset,
    )


def line_of_reaction(reaction: Reaction) -> str:
    """What happened, as a line of the narrative."""
    agent = [reaction.agent.text] if reaction.agent else []
    seen = [one.text for one in reaction.manifestations]
    graded = (reaction.kind, reaction.severity, reaction.criticality, reaction.certainty)
    return ", ".join(dict.fromkeys(filter(None, (reaction.text, *agent, *seen, *graded, moment(reaction.onset)))))


def write_pregnancy(pregnancy: Pregnancy, binder: Binder) -> list[tuple[str, Node]]:
    """Observations of the status and of the gestational age, each with its name."""
    pack, age = binder.pack, pregnancy.gestational_age
    shared = {
        "resourceType": "Observation",
        "status": "final",
        "subject": binder.ref("patient"),
        "effectiveDateTime": pregnancy.observed,
    }
    status = {
        "code": concept(coding(pack.systems["loinc"], pack.codes["pregnancy_status"])),
        "valueCodeableConcept": write_statement(pregnancy.status),
    }
    told = [("pregnancy", shared | status)]
    if age is not None:
        code = concept(coding(pack.systems["snomed"], pack.codes["gestational_age"]))
        told.append(("gestational-age", shared | {"code": code, "valueQuantity": write_quantity(age, binder)}))
    return told


def read_pregnancy(nodes: Iterable[Node], opened: Opened) -> tuple[Pregnancy | None, list[Node]]:
    """Read it of these Observations; give also those that are of something else."""
    codes, others = opened.pack.codes, []
    status, age, observed = None, None, None
    for node in nodes:
        told = {c.get("code") for c in el.codings(node, "code")}
        if codes["pregnancy_status"] in told and status is None:
            words = el.text(node, "valueString")
            status = read_concept(node, "valueCodeableConcept") or (Statement(words) if words else None)
            observed = el.text(node, "effectiveDateTime")
        elif codes["gestational_age"] in told and age is None:
            age = read_quantity(el.child(node, "valueQuantity"), opened)
        else:
            others.append(node)
    return (Pregnancy(status or Statement(""), age, observed) if status or age else None), others


def line_of_pregnancy(pregnancy: Pregnancy, binder: Binder) -> str:
    age = pregnancy.gestational_age
    told = f"{binder.words['gestational_age']}: {age.shown}" if age else ""
    return "; ".join(filter(None, (pregnancy.status.text, told)))
