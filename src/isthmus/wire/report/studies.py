"""Studies in a report: what each series shows, and who and what made it. No address of them is in a report.

Source: ImagingStudyEuImaging; REP-15; wire.md §2.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.codes import Code
from isthmus.model.identifiers import plain_uid
from isthmus.model.imaging import Series, Study
from isthmus.model.people import Patient
from isthmus.wire.described import read_study, study_identifier, study_uid, write_series
from isthmus.wire.described import write_procedure as requested
from isthmus.wire.report.binding import Binder, Opened, absent, write_code
from isthmus.wire.report.words import moment

PERFORMER, DEVICE = "PRF", "DEV"
"""What somebody or something was to a series. Source: HL7 ParticipationType."""


def write_regions(regions: Iterable[Code], binder: Binder) -> list[Node]:
    """Region extensions; the spine in the report's own code. Source: wire.md C16, C24."""
    pack = binder.pack
    return [
        {
            "url": pack.extensions["region_report"],
            "valueCodeableConcept": concept(
                coding(
                    region.system,
                    pack.codes["spine_report"] if region.code in pack.aliases["spine"] else region.code,
                    region.display,
                )
            ),
        }
        for region in regions
    ]


def write_studies(binder: Binder) -> Node:
    """The section of the studies; no address in it. A study that nobody names is said to be not known. Source: REP-15, REP-21."""
    studies = binder.report.examination.studies
    if not studies:
        return binder.section("imaging_study", [binder.words["unavailable"]], [binder.add("study", _unknown(binder))])
    entries = [binder.add(f"study-{study.study_instance_uid}", _study(study, binder)) for study in studies]
    lines = [line for study in studies for line in _lines(study, binder)]
    return binder.section("imaging_study", lines, entries)


def _unknown(binder: Binder) -> Node:
    identifier = study_identifier("", binder.pack) | {"value": None, "_value": absent(binder)}
    return {
        "resourceType": "ImagingStudy",
        "identifier": [el.without_nothing(identifier)],
        "status": "unknown",
        "subject": binder.ref("patient"),
    }


def _study(study: Study, binder: Binder) -> Node:
    pack = binder.pack
    return {
        "resourceType": "ImagingStudy",
        "extension": write_regions(study.regions, binder),
        "identifier": [study_identifier(study.study_instance_uid, pack)],
        "status": "available",
        "modality": [coding(pack.systems["dcm"], modality) for modality in study.modalities],
        "subject": binder.ref("patient"),
        "started": study.started,
        "basedOn": binder.based_on(study),
        "numberOfSeries": len(study.series) or None,
        "numberOfInstances": study.instance_count or None,
        "procedureCode": [requested(study, study.procedure)] if study.procedure or study.procedure_code else None,
        "description": study.description,
        "series": [
            write_series(series, pack, frames="frames_report", performers=_performers(series, binder))
            for series in study.series
        ],
    }


def _lines(study: Study, binder: Binder) -> list[str]:
    """A study in words, and who and what made its series."""
    parts = (study.description, "/".join(study.modalities), moment(study.started))
    people = dict.fromkeys(one.shown for series in study.series for one in series.performers)
    devices = dict.fromkeys(one.shown for series in study.series for one in series.devices)
    return [
        ", ".join(part for part in parts if part) or study.study_instance_uid,
        *(f"{binder.words['performer']}: {one}" for one in people if one),
        *(f"{binder.words['device']}: {one}" for one in devices if one),
    ]


def _performers(series: Series, binder: Binder) -> list[Node]:
    def of(code: str, actor: Node) -> Node:
        return {"function": write_code(Code(binder.pack.systems["participation"], code)), "actor": actor}

    people = [of(PERFORMER, binder.person(one)) for one in series.performers]
    return people + [of(DEVICE, binder.imaging_device(one)) for one in series.devices]


def read_studies(opened: Opened, patient: Patient) -> tuple[Study, ...]:
    """The studies that the report is about, also one that is named by identifier alone; who and what made each series."""
    studies: dict[str, Study] = {}
    named = opened.entries("imaging_study", "ImagingStudy")
    for reference in el.children(opened.diagnostic, "imagingStudy"):
        found = opened.closed.find(reference, opened.diagnostic)
        named.append(found if found is not None else {"identifier": reference.get("identifier")})
    for node in named:
        uid = study_uid(node, opened.pack)
        if uid is not None:
            study = read_study(node, opened.closed, patient, opened.pack)
            studies.setdefault(uid, _performed(study, node, opened))
    return tuple(studies.values())


def _performed(study: Study, node: Node, opened: Opened) -> Study:
    """The study with who and what made each series, by what each is: the function only tells what they were to it."""
    actors: dict[str, list[Node]] = {}
    for one in el.children(node, "series"):
        found = (opened.closed.find(el.child(named, "actor"), node) for named in el.children(one, "performer"))
        actors.setdefault(plain_uid(el.text(one, "uid") or ""), []).extend(
            actor for actor in found if actor is not None
        )
    return replace(
        study,
        series=tuple(
            replace(
                series,
                performers=tuple(person for actor in made if (person := opened.person(actor)) is not None),
                devices=tuple(device for actor in made if (device := opened.device(actor)) is not None),
            )
            if (made := actors.get(series.series_instance_uid))
            else series
            for series in study.series
        ),
    )
