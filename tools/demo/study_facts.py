"""What a report says about a study: read from the re-labelled images, or from the source text when they are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

import pydicom

from isthmus.demo.relabel import originals_of, relabelled
from isthmus.demo.reports import DemoReport
from isthmus.demo.studies import SOURCES, STUDIES, uid_of

# DICOM body part: SNOMED CT site and region with their terms. Source: IHE-MADO1; PS3.16 CID 4.
SITES = {
    "HEAD": (("69536005", "Head"), ("774007", "Head and neck")),
    "CHEST": (("816094009", "Chest"), ("67734004", "Upper trunk")),
    "HEART": (("80891009", "Heart"), ("80891009", "Heart")),
    "BREAST": (("76752008", "Breast"), ("76752008", "Breast")),
    "ABDOMEN": (("818981001", "Abdomen"), ("63337009", "Lower trunk")),
}
NOT_ACQUIRED = ("KO", "SR", "PR")


@dataclass
class Instance:
    uid: str
    sop_class: str
    number: int | None
    frames: int | None
    original: str


@dataclass
class Series:
    uid: str
    number: int
    modality: str
    description: str
    started: str
    instances: list[Instance] = field(default_factory=list)


@dataclass
class Facts:
    uid: str
    accession: str
    started: str  # with offset
    description: str
    modality: str
    body_part: str
    series: list[Series] = field(default_factory=list)


def facts_of(report: DemoReport, label: str) -> Facts:
    """The study of a label."""
    if label not in STUDIES:
        there = report.source["elsewhere"][label]
        return Facts(
            uid_of(label, "elsewhere"),
            there["accession"],
            there["started"],
            there["description"],
            there["modality"],
            there["body_part"],
        )
    study = STUDIES[label]
    series: dict[str, Series] = {}
    offset = study.started.isoformat()[-6:]
    for path in originals_of(study):
        dataset = pydicom.dcmread(BytesIO(relabelled(path, study)), stop_before_pixels=True)
        day, time = (
            str(dataset.get("SeriesDate") or dataset.StudyDate),
            str(dataset.get("SeriesTime") or dataset.StudyTime),
        )
        started = f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}{offset}"
        one = series.setdefault(
            dataset.SeriesInstanceUID,
            Series(
                dataset.SeriesInstanceUID,
                int(dataset.SeriesNumber),
                dataset.Modality,
                dataset.SeriesDescription,
                started,
            ),
        )
        number, frames = dataset.get("InstanceNumber"), dataset.get("NumberOfFrames")
        one.instances.append(
            Instance(
                dataset.SOPInstanceUID,
                dataset.SOPClassUID,
                None if number is None else int(number),
                None if frames is None else int(frames),
                "/".join(path.parts[-2:]),
            )
        )
    for one in series.values():
        one.instances.sort(key=lambda i: (i.number or 0, i.uid))
    ordered = sorted(series.values(), key=lambda s: (s.number, s.uid))
    modality = next(s.modality for s in ordered if s.modality not in NOT_ACQUIRED)
    body_part = SOURCES[study.source].body_part
    return Facts(
        study.study_instance_uid,
        study.accession,
        study.started.isoformat(),
        study.description,
        modality,
        body_part,
        ordered,
    )
