"""Radiation dose, in the procedure section: in words as the profile asks, and in values beside them.

Source: ObservationRadiationDoseEuImaging; REP-18.
"""

from __future__ import annotations

from typing import Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.report.dose import Dose, Exposure
from isthmus.model.report.statements import Quantity
from isthmus.wire.described import study_uid
from isthmus.wire.report.binding import Binder, Opened, read_concept, write_code
from isthmus.wire.report.statements import read_quantity, write_quantity

HOLDS: Final = {
    "A.5 dose": "Observation[73569-6].valueString; values: .component",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


def write_dose(binder: Binder, part_of: list[Node]) -> list[Node]:
    """Give a reference to the Observation of each dose whose study the report is about."""
    studies = binder.report.study_instance_uids
    of = [(dose, dose.study_instance_uid or next(iter(studies), None)) for dose in binder.report.doses]
    return [
        binder.add(f"dose-{number}", _write(dose, str(uid), binder, part_of))
        for number, (dose, uid) in enumerate(of)
        if uid in studies
    ]


def _write(dose: Dose, uid: str, binder: Binder, part_of: list[Node]) -> Node:
    pack, device = binder.pack, dose.device
    return {
        "resourceType": "Observation",
        "partOf": part_of,
        "status": "final",
        "code": concept(coding(pack.systems["loinc"], pack.codes["radiation_dose"])),
        "subject": binder.ref("patient"),
        "valueString": dose.text or "; ".join(exposure.shown for exposure in dose.exposures),
        "device": binder.imaging_device(device) if device else None,
        "component": [
            {"code": write_code(exposure.name), "valueQuantity": write_quantity(exposure.value, binder)}
            for exposure in dose.exposures
        ],
        "derivedFrom": [binder.ref(f"study-{uid}")],
    }


def lines_of_doses(binder: Binder) -> list[str]:
    """What the narrative says: the words, and the values that they do not tell."""
    lines = []
    for dose in binder.report.doses:
        said = [dose.text, *(one.shown for one in dose.exposures), dose.device.shown if dose.device else ""]
        lines.append(f"{binder.words['dose']}: {'; '.join(filter(None, said))}")
    return lines


def read_doses(opened: Opened) -> tuple[Dose, ...]:
    """Read every dose of the procedure section, with those of its values that have a number."""
    doses = []
    for node in opened.entries("procedure", "Observation"):
        coded = any(c.get("code") == opened.pack.codes["radiation_dose"] for c in el.codings(node, "code"))
        exposures = tuple(
            Exposure(name.code, value)
            for component in el.children(node, "component")
            if (name := read_concept(component, "code")) is not None
            and name.code is not None
            and isinstance(value := read_quantity(el.child(component, "valueQuantity"), opened), Quantity)
        )
        text = el.text(node, "valueString")
        if coded and (text is not None or exposures):
            uid = study_uid(opened.find(node, "derivedFrom") or {}, opened.pack)
            doses.append(Dose(text or "", uid, exposures, opened.device(opened.find(node, "device"))))
    return tuple(doses)
