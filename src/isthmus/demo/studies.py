"""The studies of the demonstration: which original serves under which label, for whom, when, and in which words.

A source may serve twice; the label salts its UIDs, so that the two are different studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from isthmus.demo.people import PEOPLE
from isthmus.model.people import Patient

NAMESPACE = UUID("6d1d4b1e-2c0b-5c3e-9c67-0d4a5b7b2a11")


@dataclass(frozen=True, slots=True)
class Source:
    """What is the same whenever an original serves: body part, and our words for each of its series."""

    study: str  # the original's Study Instance UID
    body_part: str
    series: Mapping[str, str]  # by the subfolder a series lies in
    renumber: bool = False  # give instances the numbers 1, 2, 3 …


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """One study of one invented patient."""

    label: str
    person: str
    source: str
    started: datetime
    accession: str
    description: str

    @property
    def patient(self) -> Patient:
        return PEOPLE[self.person]

    @property
    def study_instance_uid(self) -> str:
        return uid_of(self.label, SOURCES[self.source].study)


def uid_of(label: str, original: str) -> str:
    """The UID that replaces an original's under a label: the same at every start.

    Source: PS3.5 B.2 (UIDs from UUIDs); RFC 4122 §4.3.
    """
    return f"2.25.{uuid5(NAMESPACE, f'{label}|{original}').int}"


SOURCES: dict[str, Source] = {
    "ct_mado_study_b": Source(
        "1.2.250.1.59.40211.22756022.2.1.102",
        "HEAD",
        {"Series_B_1": "Axial, bone kernel, 2 mm", "Series_B_2": "Key images"},
    ),
    "mr_t1_studyforrest": Source(
        "1.2.826.0.1.3680043.2.1143.2592092611698916978113112155415165916", "HEAD", {"": "T1-weighted, axial"}
    ),
    "mr_head_three_series": Source(
        "1.2.392.200036.9116.4.2.9143.1467.20191203091257574.1.2",
        "HEAD",
        {
            "DTI_AX_30d": "Diffusion, rotated 30 degrees",
            "DTI_COR_20d": "Diffusion, tilted 20 degrees",
            "DTI_ortho": "Diffusion, axial",
        },
    ),
    "mr_transfer_syntaxes": Source(
        "1.3.12.2.1107.5.2.32.35131.30000014022817282751500000052", "HEAD", {"": "Echo planar, mosaic"}, renumber=True
    ),
    "dx_chest_nih": Source(
        "1.3.6.1.4.1.11129.5.5.112507010803284478207522016832191866964708", "CHEST", {"": "Frontal view"}
    ),
    "us_multiframe_jpeg": Source(
        "1.2.840.113543.6.6.1.1.4.2415947926921624359.20123533248", "HEART", {"": "Apical view after exercise"}
    ),
    "pt_flt_breast": Source(
        "1.3.6.1.4.1.14519.5.2.1.7009.2401.541147157881199293470020980360",
        "BREAST",
        {"": "PET, attenuation corrected"},
    ),
    "mg_phantom": Source(
        "2.25.115864702231891698158727233448486572898", "BREAST", {"": "SYNTHETIC PHANTOM, left cranio-caudal"}
    ),
}

# label: person, source, start with the offset of that day, accession number, description
_TABLE: dict[str, tuple[str, str, str, str, str]] = {
    "ct-eleni": (
        "eleni", "ct_mado_study_b", "2026-10-14T08:31:17+03:00", "AA26-104117", "CT of the head without contrast",
    ),
    "mr-markos": (
        "markos", "mr_head_three_series", "2026-09-22T10:33:19+03:00", "AA26-098230", "MR of the head, diffusion",
    ),
    "dx-anton": (
        "anton", "dx_chest_nih", "2026-11-03T09:20:00+02:00", "AA26-110042", "Radiograph of the chest, frontal",
    ),
    "us-mirela": (
        "mirela", "us_multiframe_jpeg", "2026-05-18T09:14:08+03:00", "AA26-051877", "Stress echocardiography",
    ),
    "pt-sofia": (
        "sofia", "pt_flt_breast", "2026-06-11T14:52:25+03:00", "AA26-061309", "PET of the breast, fluorothymidine",
    ),
    "mg-danae": (
        "danae", "mg_phantom", "2026-08-27T10:15:00+03:00", "AA26-082756", "Mammogram, SYNTHETIC PHANTOM",
    ),
    "mr-irini": (
        "irini", "mr_t1_studyforrest", "2025-02-06T14:15:00+02:00", "AA25-020618", "MR of the head, T1-weighted",
    ),
    "ct-irini": (
        "irini", "ct_mado_study_b", "2026-10-29T08:31:17+02:00", "AA26-102994", "CT of the head, follow-up",
    ),
    "mr-lazaros": (
        "lazaros", "mr_t1_studyforrest", "2026-04-09T14:15:00+03:00", "AA26-040921", "MR of the head",
    ),
    "dx-petra": (
        "petra", "dx_chest_nih", "2026-07-15T09:20:00+03:00", "AA26-071503", "Radiograph of the chest, before surgery",
    ),
    "mr-petra": (
        "petra", "mr_transfer_syntaxes", "2026-03-04T13:38:34+02:00", "AA26-030466", "MR of the head, functional",
    ),
    "us-iason": (
        "iason", "us_multiframe_jpeg", "2026-02-19T09:14:08+02:00", "AA26-021935", "Stress echocardiography",
    ),
    "mr-twin-a": (
        "twin-a", "mr_transfer_syntaxes", "2026-01-27T13:38:34+02:00", "AA26-012788", "MR of the head, echo planar",
    ),
    "us-twin-b": (
        "twin-b", "us_multiframe_jpeg", "2026-06-24T09:14:08+03:00", "AA26-062450", "Stress echocardiography",
    ),
    "ct-rosalie": (
        "rosalie", "ct_mado_study_b", "2026-07-21T08:31:17+03:00", "AA26-072104", "CT of the head without contrast",
    ),
    "mr-rosalie": (
        "rosalie", "mr_t1_studyforrest", "2026-07-21T14:15:00+03:00", "AA26-072131", "MR of the head, T1-weighted",
    ),
    "dx-stefanos": (
        "stefanos", "dx_chest_nih", "2026-09-08T09:20:00+03:00", "AA26-090815", "Radiograph of the chest, frontal",
    ),
    "ct-rada": (
        "rada", "ct_mado_study_b", "2026-11-14T02:31:17+02:00", "AA26-111402", "CT of the head, emergency",
    ),
    "dx-ilias": (
        "ilias", "dx_chest_nih", "2026-05-05T09:20:00+03:00", "AA26-050573", "Radiograph of the chest, frontal",
    ),
    "us-ottilie": (
        "ottilie", "us_multiframe_jpeg", "2026-03-12T09:14:08+02:00", "AA26-031260", "Stress echocardiography",
    ),
    "mr-nerea": (
        "nerea", "mr_t1_studyforrest", "2026-08-12T14:15:00+03:00", "AA26-081290", "MR of the head, T1-weighted",
    ),
    "dx-nerea": (
        "nerea", "dx_chest_nih", "2026-02-03T09:20:00+02:00", "AA26-020354", "Radiograph of the chest, frontal",
    ),
    "us-nerea": (
        "nerea", "us_multiframe_jpeg", "2025-10-21T09:14:08+03:00", "AA25-102117", "Stress echocardiography",
    ),
    "mg-nerea": (
        "nerea", "mg_phantom", "2025-03-18T10:15:00+02:00", "AA25-031866", "Mammogram, SYNTHETIC PHANTOM",
    ),
}  # fmt: skip

STUDIES: dict[str, DemoStudy] = {
    label: DemoStudy(label, person, source, datetime.fromisoformat(started), accession, description)
    for label, (person, source, started, accession, description) in _TABLE.items()
}
