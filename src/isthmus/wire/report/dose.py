"""Radiation dose, in the procedure section. Source: ObservationRadiationDoseEuImaging; REP-18."""

from __future__ import annotations

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.report.dose import Dose
from isthmus.wire.described import study_uid
from isthmus.wire.report.binding import Binder, Opened


def write_dose(binder: Binder) -> list[Node]:
    """Give the reference to the Observation, if there is a dose and a study it comes from."""
    dose, studies = binder.report.dose, binder.report.study_instance_uids
    uid = (dose.study_instance_uid if dose else None) or next(iter(studies), None)
    if dose is None or uid not in studies:
        return []
    return [
        binder.add(
            "dose",
            {
                "resourceType": "Observation",
                "status": "final",
                "code": concept(coding(binder.pack.systems["loinc"], binder.pack.codes["radiation_dose"])),
                "subject": binder.ref("patient"),
                "valueString": dose.text,
                "derivedFrom": [binder.ref(f"study-{uid}")],
            },
        )
    ]


def read_dose(opened: Opened) -> Dose | None:
    for node in opened.entries("procedure", "Observation"):
        coded = any(c.get("code") == opened.pack.codes["radiation_dose"] for c in el.codings(node, "code"))
        value = el.text(node, "valueString")
        if coded and value is not None:
            return Dose(value, study_uid(opened.find(node, "derivedFrom") or {}, opened.pack))
    return None
