"""Key images as key object selections of a study mark them: which, and why they were chosen.

The content tree says which images are meant, the evidence only where they are. A selection is an object of the study like any other:
it comes checked through the spool, and is read within bounds.

Source: PS3.3 §C.17.6; PS3.16 CID 7010; field-faults F26, F28.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlencode

from isthmus.country_b.marks import Mark, marks_in
from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.recent import DOCUMENT_AGE
from isthmus.dicom.content import Item
from isthmus.dicom.header import KEY_OBJECT_SELECTION
from isthmus.errors import IsthmusError, RequestProblem
from isthmus.model.imaging import Instance, Series, Study
from isthmus.model.queries import ImagesQuery
from isthmus.pages.language import Language
from isthmus.wire.kos import value_type
from isthmus.wire.kos_reading import read_document

SELECTIONS_MAX, MARKS_MAX = 12, 200
SIZE_MAX_BYTES = 4 << 20
FRAMES_MAX = 60  # an instance of more is too much to fetch for a small picture
WAITS_S = 5.0  # a page does not wait longer for what is beside the images


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key image: where it is shown and where it is small, what it is called, why it was chosen."""

    id: str
    href: str
    thumbnail: str
    sop: str
    frame: int | None
    name: str
    why: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Marks:
    """What the selections of a study mark; not `whole` when one of them could not be had in time, or not be read."""

    found: tuple[Mark, ...]
    whole: bool


async def marks_of(ask: Ask, study: Study, *, within_s: float = WAITS_S) -> Marks:
    """The images that are marked in the study, in the order in which they were chosen. Raises ArrivalRefused (wrong-patient).

    What else goes wrong leaves the study as it is: it is told, and tried anew with the next page.
    """
    places = [
        (series.series_instance_uid, instance.sop_instance_uid)
        for series in study.series
        for instance in series.instances
        if instance.sop_class_uid == KEY_OBJECT_SELECTION
    ]
    if not places or not ask.sees_images:
        return Marks((), whole=True)
    name = f"keys {study.study_instance_uid}"
    held: Marks | None = ask.desk.recent.get(ask.visiting.id, name, DOCUMENT_AGE)
    if held is not None:
        return held
    asked = [
        asyncio.create_task(_selection(ask, ImagesQuery(study.study_instance_uid, series, sop)))
        for series, sop in places[:SELECTIONS_MAX]
    ]
    try:
        await asyncio.wait(asked, timeout=within_s)
        read = [task.result() if task.done() else None for task in asked]
    finally:
        for task in asked:
            task.cancel()
    series_of = {i.sop_instance_uid: s.series_instance_uid for s in study.series for i in s.instances}
    pack = ask.desk.verbs.pack(ask.country)
    found = [mark for root in read if root is not None for mark in marks_in(root, series_of, pack)]
    marks = Marks(tuple(dict.fromkeys(found))[:MARKS_MAX], whole=None not in read and len(places) <= SELECTIONS_MAX)
    if marks.whole:
        ask.desk.recent.put(ask.visiting.id, name, marks)
    return marks


async def _selection(ask: Ask, query: ImagesQuery) -> Item | None:
    try:
        with closing(await ask.desk.flights.instance(ask.visiting, ask.country, query, alone=True)) as held:
            if held.size_bytes > SIZE_MAX_BYTES:
                return None
            return (await asyncio.to_thread(lambda: read_document(held.read(0, held.size_bytes))))[1]
    except RequestProblem:  # not as the standard writes it
        return None
    except IsthmusError as error:
        if error.reason == "wrong-patient":
            raise
        return None


def key_lines(ask: Ask, study: Study, address: str, marks: tuple[Mark, ...]) -> list[KeyLine]:
    """The marked images as a page lists them; one that the study does not have is listed without a link."""
    spoken, lines = ask.spoken, []
    places = {i.sop_instance_uid: (s, i) for s in study.series for i in s.instances}
    for number, mark in enumerate(marks, 1):
        series, one = places.get(mark.sop_instance_uid, (None, None))
        query = {"image": mark.sop_instance_uid} | ({"frame": str(mark.frame)} if mark.frame else {})
        here = f"{address}/series/{series.series_instance_uid}" if series else ""
        name = spoken.say("Key image %(n)d") % {"n": number}
        if series is not None and one is not None:
            name = image_name(spoken, series, one, mark.frame) or name
        lines.append(
            KeyLine(
                f"marked-{number}",
                f"{address}/view?{urlencode(query)}" if here else "",
                f"{here}/thumbnail?{urlencode(query)}" if one is not None and is_light(one) else "",
                mark.sop_instance_uid,
                mark.frame,
                name,
                why_of(ask, mark),
                not here,
            )
        )
    return lines


def why_of(ask: Ask, mark: Mark) -> str:
    """Why an image was chosen: what somebody wrote, else the title of the selection in the reader's words."""
    return ask.words.term(mark.title).words if mark.title is not None else mark.why


def image_name(spoken: Language, series: Series, instance: Instance, frame: int | None) -> str:
    """What an image is called by its numbers; "" when it, or its series, has none."""
    if instance.number is None or series.number is None:
        return ""
    name = spoken.say("Image %(n)d, series %(series)d") % {"n": instance.number, "series": series.number}
    return name if frame is None else f"{name}, " + spoken.say("frame %(n)d") % {"n": frame}


def is_image(instance: Instance) -> bool:
    return value_type(instance.sop_class_uid) == "IMAGE"


def is_light(instance: Instance) -> bool:
    """An image that is not too much to fetch for a small picture."""
    return is_image(instance) and (instance.number_of_frames or 1) <= FRAMES_MAX
