"""Radiation dose, in the procedure section. Source: ObservationRadiationDoseEuImaging; REP-18."""

from __future__ import annotations

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.report.dose import Dose
from isthmus.wire.described import study_uid
from isthmus.wire.report.binding import Binder, Opened


def write_dose(binder: Binder) -> list[Node]:
    """Give a reference to the Observation of each dose whose study the report is about."""
    studies = binder.report.study_instance_uids
    of = [(dose, dose.study_instance_uid or next(iter(studies), None)) for dose in binder.report.doses]
    return [
        binder.add(
            f"dose-{number}",
            {
                "resourceType": "Observation",
                "status": "final",
                "code": concept(coding(binder.pack.systems["loinc"], binder.pack.codes["radiation_dose"])),
                "subject": binder.ref("patient"),
                "valueString": dose.text,
                "derivedFrom": [binder.ref(f"study-{uid}")],
            },
        )
        for number, (dose, uid) in enumerate(of)
        if uid in studies
    ]


def read_doses(opened: Opened) -> tuple[Dose, ...]:
    doses = []
    for node in opened.entries("procedure", "Observation"):
        coded = any(c.get("code") == opened.pack.codes["radiation_dose"] for c in el.codings(node, "code"))
        value = el.text(node, "valueString")
        if coded and value is not None:
            doses.append(Dose(value, study_uid(opened.find(node, "derivedFrom") or {}, opened.pack)))
    return tuple(doses)
