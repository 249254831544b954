"""What a report says about a study: read from the re-labelled images, or from the source text when they are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any

import pydicom

from isthmus.demo.relabel import originals_of, relabelled
from isthmus.demo.reports import DemoReport
from isthmus.demo.studies import SOURCES, STUDIES, DemoStudy, uid_of
from isthmus.model.codes import SNOMED, Code
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import Instance, Series, Study
from isthmus.model.queries import REGIONS
from isthmus.model.report.key_images import KeyImage

# DICOM body part: SNOMED CT site with its term, and region. Source: IHE-MADO1; PS3.16 CID 4.
SITES = {
    "HEAD": (Code(SNOMED, "69536005", "Head"), "774007"),
    "CHEST": (Code(SNOMED, "816094009", "Chest"), "67734004"),
    "HEART": (Code(SNOMED, "80891009", "Heart"), "80891009"),
    "BREAST": (Code(SNOMED, "76752008", "Breast"), "76752008"),
    "ABDOMEN": (Code(SNOMED, "818981001", "Abdomen"), "63337009"),
    "KNEE": (Code(SNOMED, "72696002", "Knee"), "61685007"),
}
NOT_ACQUIRED = ("KO", "SR", "PR")


@dataclass
class Facts:
    """A study, what its letter says of it, and its images by the original each was made of."""

    study: Study
    accession: str
    modality: str
    site: Code
    images: dict[str, KeyImage] = field(default_factory=dict)

    @property
    def description(self) -> str:
        return self.study.description or ""

    @property
    def started(self) -> str:
        return self.study.started or ""


def facts_of(report: DemoReport, label: str) -> Facts:
    """The study of a label."""
    if label in STUDIES:
        return _archived(report, STUDIES[label])
    there = report.source["elsewhere"][label]
    site, region = SITES[there["body_part"]]
    study = Study(
        uid_of(label, "elsewhere"),
        report.patient,
        (),
        there["started"],
        there["description"],
        (_accession(report, there["accession"]),),
        regions=(REGIONS[region],),
        procedure=there["description"],
        other_modalities=(there["modality"],),
    )
    return Facts(study, there["accession"], there["modality"], site)


def _accession(report: DemoReport, number: str) -> Identifier:
    return Identifier(f"urn:oid:{report.country.accession_issuer}", number)


def _archived(report: DemoReport, study: DemoStudy) -> Facts:
    offset = study.started.isoformat()[-6:]
    site, region = SITES[SOURCES[study.source].body_part]
    read = [(path, _header(path, study)) for path in originals_of(study)]
    read.sort(key=lambda one: (int(one[1].SeriesNumber), str(one[1].SeriesInstanceUID)))
    series, images = [], {}
    for uid, of_series in groupby(read, key=lambda one: str(one[1].SeriesInstanceUID)):
        members = sorted(of_series, key=lambda one: (_number(one[1]) or 0, str(one[1].SOPInstanceUID)))
        first = members[0][1]
        series.append(
            Series(
                uid,
                first.Modality,
                tuple(_instance(dataset) for _, dataset in members),
                int(first.SeriesNumber),
                first.SeriesDescription,
                site if first.Modality not in NOT_ACQUIRED else None,
                started=_moment(first, offset),
            )
        )
        for path, dataset in members:
            image = KeyImage(str(dataset.SOPInstanceUID), uid, study.study_instance_uid, first.Modality)
            images["/".join(path.parts[-2:])] = image
    whole = Study(
        study.study_instance_uid,
        report.patient,
        tuple(series),
        study.started.isoformat(),
        study.description,
        (_accession(report, study.accession),),
        regions=(REGIONS[region],),
        procedure=study.description,
    )
    modality = next(one.modality for one in series if one.modality not in NOT_ACQUIRED)
    return Facts(whole, study.accession, modality, site, images)


def _header(path: Path, study: DemoStudy) -> Any:
    return pydicom.dcmread(BytesIO(relabelled(path, study)), stop_before_pixels=True)


def _number(dataset: Any) -> int | None:
    number = dataset.get("InstanceNumber")
    return None if number is None else int(number)


def _instance(dataset: Any) -> Instance:
    frames = dataset.get("NumberOfFrames")
    return Instance(
        str(dataset.SOPInstanceUID),
        str(dataset.SOPClassUID),
        _number(dataset),
        None if frames is None else int(frames),
    )


def _moment(dataset: Any, offset: str) -> str:
    """When the series began, or its study: date and time of DICOM, with the offset of that day."""
    day = str(dataset.get("SeriesDate") or dataset.StudyDate)
    time = str(dataset.get("SeriesTime") or dataset.StudyTime)
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}{offset}"
