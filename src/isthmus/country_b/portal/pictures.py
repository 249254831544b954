"""From what a report says to the picture of it: key images, and the images that a finding or impression is seen in.

A link stands where the picture can be had, and its id is the place to come back to. A finding whose image is not in the study as this
professional may see it has no link and tells nothing of it: the manifest is asked, once for a visit, when a report names such images.

Source: requirements.md §9 (15); portal design §4 (report, viewer); REP-16; trust.md D9.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.documents import listing, manifest
from isthmus.country_b.portal.keys import WAITS_S, image_name, is_image
from isthmus.errors import IsthmusError
from isthmus.model.codes import Code
from isthmus.model.documents import Document
from isthmus.model.imaging import Instance, Series, Study
from isthmus.model.pairing import pair
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Finding, Quantity
from isthmus.originals.sr.tree import Reference

Places = Mapping[str, tuple[str, Series, Instance]]  # by SOP Instance UID; the text is the study's UID


@dataclass(frozen=True, slots=True)
class StudyLink:
    """A study the report is about, when it can be seen here."""

    href: str
    images: int | None
    title: str


@dataclass(frozen=True, slots=True)
class ImageLink:
    """An image that a report points to: where it is shown, what it is called, why it was chosen."""

    id: str
    href: str
    sop: str
    name: str
    why: str = ""
    frame: int | None = None
    gone: bool = False  # the study does not have it


@dataclass(frozen=True, slots=True)
class Said:
    """A finding or impression, with those of its images that can be seen here."""

    text: str
    code: Code | None
    images: tuple[ImageLink, ...]
    finding: Finding

    @property
    def is_measured(self) -> bool:
        values = (self.finding.value, *(part.value for part in self.finding.parts))
        return any(isinstance(value, Quantity) for value in values)

    @property
    def is_abnormal(self) -> bool:
        return any(code.code not in _AS_EXPECTED for code in self.finding.interpretations)


_AS_EXPECTED = frozenset({"N", "NEG", "ND", "S"})  # of ObservationInterpretation


def study_links(ask: Ask, report: ImagingReport, documents: Sequence[Document], report_id: str) -> dict[str, StudyLink]:
    """The studies that a report is about and that the list has, by their UIDs."""
    if not ask.offer.studies:
        return {}
    listed = {d.study_instance_uids[0]: d for d in documents if d.kind.is_manifest and d.study_instance_uids}
    return {
        uid: StudyLink(
            f"{ask.at_visit}/studies/{uid}" + (f"/view?report={report_id}" if ask.offer.images else ""),
            listed[uid].instance_count,
            listed[uid].description or "",
        )
        for uid in report.study_instance_uids
        if uid in listed
    }


def key_image_links(ask: Ask, report: ImagingReport, studies: Mapping[str, StudyLink]) -> Iterator[ImageLink]:
    """The key images of a report, with a link to each whose study is here."""
    only = next(iter(studies)) if len(studies) == 1 else ""
    for number, image in enumerate(report.key_images, 1):
        study = image.study_instance_uid or only
        shown = study in studies and ask.offer.images
        href = _href(studies[study], image.sop_instance_uid, image.frame) if shown else ""
        name = ask.spoken.say("Key image %(n)d") % {"n": number}
        why = image.comment or image.title or ""
        yield ImageLink(f"key-{number}", href, image.sop_instance_uid, name, why, image.frame)


async def said(ask: Ask, report: ImagingReport, studies: Mapping[str, StudyLink]) -> tuple[list[Said], list[Said]]:
    """The impressions and the findings, all of them, each with links to the images it is seen in."""
    done = report.examination
    named = any(statement.images for statement in (*done.impressions, *done.findings))
    places = await _places(ask, studies) if named and studies and ask.sees_images else {}
    impressions = _with_links(ask, "impression", done.impressions, studies, places)
    findings = _with_links(ask, "finding", done.findings, studies, places)
    return impressions, findings


def _with_links(
    ask: Ask, word: str, statements: Sequence[Finding], studies: Mapping[str, StudyLink], places: Places
) -> list[Said]:
    made = []
    for number, statement in enumerate(statements, 1):
        links: list[ImageLink] = []
        for study, series, instance, frame in seen_in(statement.images, places):
            id_, uid = f"{word}-{number}" + (f"-{len(links) + 1}" if links else ""), instance.sop_instance_uid
            name = image_name(ask.spoken, series, instance, frame) or ask.spoken.say("Image")
            links.append(ImageLink(id_, _href(studies[study], uid, frame), uid, name, frame=frame))
        made.append(Said(statement.shown, statement.code, tuple(links), statement))
    return made


def seen_in(images: Sequence[KeyImage], places: Places) -> Iterator[tuple[str, Series, Instance, int | None]]:
    """Where these images are, of those that are there; a frame that an instance does not have is none."""
    for image in images:
        study, series, instance = places.get(image.sop_instance_uid, ("", None, None))
        if series is None or instance is None or image.study_instance_uid not in (None, study):
            continue
        frames = instance.number_of_frames
        there = image.frame is not None and (frames is None or image.frame <= frames)
        yield study, series, instance, image.frame if there else None


def places_in(study: Study) -> dict[str, tuple[str, Series, Instance]]:
    """The images of a study, by their UIDs."""
    uid = study.study_instance_uid
    return {i.sop_instance_uid: (uid, s, i) for s in study.series for i in s.instances if is_image(i)}


def tree_link(ask: Ask, reference: Reference, places: Places, address: str) -> ImageLink:
    """The image that an item of a structured object refers to; without a way to it where the study does not have it."""
    sop, frame = reference.sop_instance_uid, reference.frame
    _, series, instance = places.get(sop, ("", None, None))
    if series is None or instance is None:
        return ImageLink("", "", sop, ask.spoken.say("Image"), frame=frame, gone=True)
    name = image_name(ask.spoken, series, instance, frame) or ask.spoken.say("Image")
    query = {"image": sop} | ({"frame": frame} if frame else {})
    return ImageLink("", f"{address}/view?{urlencode(query)}", sop, name, frame=frame)


def _href(study: StudyLink, sop: str, frame: int | None) -> str:
    return f"{study.href}&{urlencode({'image': sop} | ({'frame': frame} if frame else {}))}"


async def _places(ask: Ask, studies: Mapping[str, StudyLink]) -> Places:
    """The images of these studies. A study that cannot be described now has none. Raises ArrivalRefused (wrong-patient)."""
    there = {
        one.manifest.study_instance_uids[0]: one.manifest
        for one in pair(await listing(ask))
        if one.manifest is not None
    }
    found = await asyncio.gather(*(_described(ask, uid, there[uid]) for uid in studies if uid in there))
    return {sop: place for study in found if study is not None for sop, place in places_in(study).items()}


async def _described(ask: Ask, uid: str, entry: Document) -> Study | None:
    try:
        async with asyncio.timeout(WAITS_S):
            study = (await manifest(ask, entry)).study
    except TimeoutError:
        return None
    except IsthmusError as error:
        if error.reason == "wrong-patient":
            raise
        return None
    return study if study.study_instance_uid == uid else None
