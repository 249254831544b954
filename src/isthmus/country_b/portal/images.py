"""A study: its facts, its series, and the viewer with the instances it asks for.

Opening a study fetches one picture of each series and what marks its key images; nothing else comes unasked.

Source: portal design §4 (study, viewer); web/README.md; trust.md §2.9; field-faults F58.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from isthmus.country_b.flights import explained, item_of, stopped
from isthmus.country_b.marks import Mark
from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.documents import (
    Plate,
    foreign,
    fresh,
    has_changed,
    manifest,
    plate,
    still_open,
    still_part,
    study_gone,
)
from isthmus.country_b.portal.keys import is_image, is_light, key_lines, marks_of, why_of
from isthmus.country_b.portal.pictures import ImageLink, places_in, seen_in
from isthmus.country_b.portal.report import facts, is_tree, read
from isthmus.country_b.portal.timeline import Row, rows_of
from isthmus.country_b.portal.words import VIEWER, modality_term, sex
from isthmus.country_b.recent import DOCUMENT_AGE
from isthmus.country_b.spool import Spooled
from isthmus.errors import ImagesNotFound, UnsupportedRequest
from isthmus.model.codes import Code
from isthmus.model.identifiers import checked_id, checked_uid
from isthmus.model.imaging import Instance, Series, Study
from isthmus.model.pairing import pair
from isthmus.model.pieces import Arriving
from isthmus.model.queries import ImagesQuery
from isthmus.pages.render import HEADERS
from isthmus.terminology.display import Term
from isthmus.transport.answers import Answer

CHUNK = 1 << 18
SHUT = ("Content-Security-Policy", "default-src 'none'; sandbox")
EDGE = 128  # of a thumbnail, drawn half as large
WHY_MAX = 120  # characters of a finding, in the corner of its image
FOR_THE_VIEWER_S = 2.0  # how long the first picture may wait for the key images


@dataclass(frozen=True, slots=True)
class Opened:
    """A study of this visit's person: its row in the list, and what its manifest says."""

    row: Row
    study: Study
    reports: tuple[Plate, ...]


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """A series as pages show it. `drawn` is false when nothing of it is an image."""

    series: Series
    kind: Term
    site: Term  # body part, missing where none is said
    side: Term
    count: str
    drawn: bool
    thumbnail: str  # address, "" when none is to be had
    alt: str
    marked: int
    texts: tuple[tuple[str, str], ...]  # address and name of each structured report in it, which is read as text


async def opened(ask: Ask, *, again: bool = False) -> Opened:
    """The study that the address names; with `again` the country is asked whether it still lists it.

    Raises Withdrawn when it does no more, ImagesNotFound when it never did, and ArrivalRefused when an image of another person came
    under it: then it stays shut for this visit.
    """
    uid = checked_uid(ask.parts["study"])
    await still_open(ask, uid)
    for row in rows_of(pair(await fresh(ask, again=again)), ask.spoken, ask.words):
        if row.manifest is not None and row.manifest.study_instance_uids[0] == uid:
            await ask.desk.flights.stands(ask.visiting, uid, row.manifest.id)
            study = (await manifest(ask, row.manifest)).study
            if study.study_instance_uid != uid:
                break
            reports = (*row.reports, *row.maybe)
            return Opened(row, study, tuple(plate(ask, report, row) for report in reports))
    raise await study_gone(ask, uid)


async def study_page(ask: Ask) -> Answer:
    found, spoken = await opened(ask, again=True), ask.spoken
    study, entry = found.study, found.row.manifest
    listed = entry.instance_count if entry is not None else None
    address = f"{ask.at_visit}/studies/{study.study_instance_uid}"
    marks = await marks_of(ask, study)
    await ask.look_up([study.procedure_code, *_coded(study)])
    return ask.page(
        "study.html",
        row=found.row,
        study=study,
        procedure=ask.words.term(study.procedure_code),
        regions=[ask.words.term(region) for region in study.regions],
        title_language=foreign(found.row.language, ask),
        date=spoken.date(found.row.started),
        time=spoken.time(found.row.started),
        reports=found.reports,
        series=_lines(ask, study, address, marks.found),
        keys=key_lines(ask, study, address, marks.found),
        keys_whole=marks.whole,
        counts=_counts(ask, found),
        differs=(listed, study.instance_count) if listed not in (None, study.instance_count) else None,
        code=ask.country,
        country=ask.country_name(ask.country),
        offer=ask.offer,
        address=address,
        manifest_id=entry.id if entry is not None else "",
        changed=await has_changed(ask, study.study_instance_uid, entry),
        explained=await _explained(ask, study.study_instance_uid),
    )


def _coded(study: Study) -> Iterator[Code | None]:
    for series in study.series:
        yield series.body_site
        yield series.laterality


def _lines(ask: Ask, study: Study, address: str, marks: tuple[Mark, ...]) -> list[SeriesLine]:
    lines = []
    for series in study.series:
        here = f"{address}/series/{series.series_instance_uid}"
        kind, marked = modality_term(series.modality, ask.words), 0
        for mark in marks:
            marked += mark.series_instance_uid == series.series_instance_uid
        number = "–" if series.number is None else series.number
        lines.append(
            SeriesLine(
                series,
                kind,
                ask.words.term(series.body_site),
                ask.words.term(series.laterality),
                ask.spoken.number(len(series.instances)),
                any(is_image(i) for i in series.instances),
                f"{here}/thumbnail" if ask.sees_images and _typical(series) else "",
                ask.spoken.say("%(kind)s, series %(n)s") % {"kind": kind.words, "n": number},
                marked,
                tuple(_texts(ask, series, here)),
            )
        )
    return lines


def _texts(ask: Ask, series: Series, here: str) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(filter(is_tree, series.instances), 1):
        name = ask.spoken.say("Read structured report %(n)s") % {"n": number if one.number is None else one.number}
        yield f"{here}/instances/{one.sop_instance_uid}/text", name


def _typical(series: Series) -> Instance | None:
    """The image in the middle of a series, when it is not too much for a thumbnail."""
    images = [instance for instance in series.instances if is_light(instance)]
    return images[len(images) // 2] if images else None


def _counts(ask: Ask, found: Opened) -> str:
    spoken, study, entry = ask.spoken, found.study, found.row.manifest
    parts = [
        spoken.count("%(n)s series", "%(n)s series", len(study.series)) % {"n": len(study.series)},
        spoken.count("%(n)s image", "%(n)s images", study.instance_count) % {"n": spoken.number(study.instance_count)},
    ]
    size = study.size_bytes or (entry.study_bytes if entry else None)
    return ", ".join([*parts, spoken.megabytes(size)] if size else parts)


# the viewer


async def viewer(ask: Ask) -> Answer:
    """The frame around the images: series at the left, the report one came from at the right."""
    ask.require_images()
    found, query = await opened(ask, again=True), ask.query
    report_id, image, series = query.get("report", ""), query.get("image", ""), query.get("series", "")
    frame = query.get("frame", "")
    beside: dict[str, Any] = {}
    if report_id and report_id in {r.id for r in (*found.row.reports, *found.row.older, *found.row.maybe)}:
        beside = await facts(ask, checked_id(report_id))
    address = f"{ask.at_visit}/studies/{found.study.study_instance_uid}"
    here = f"{ask.at_visit}/reports/{report_id}" if beside else ""
    if beside:
        beside["key_images"] = _present(beside["key_images"], found.study, address)
    description = f"{address}/study.json" + (f"?report={report_id}" if beside else "")
    marks = await marks_of(ask, found.study, within_s=FOR_THE_VIEWER_S)
    await _looked_at(ask, found.study)
    return ask.page(
        "viewer.html",
        row=found.row,
        title_language=foreign(found.row.language, ask),
        study=found.study,
        date=ask.spoken.date(found.row.started),
        series=_lines(ask, found.study, address, marks.found),
        keys=key_lines(ask, found.study, address, marks.found),
        address=address,
        description=description,
        start_image=checked_uid(image) if image else "",
        start_frame=frame if frame.isascii() and frame.isdecimal() and len(frame) < 10 else "",
        start_series=checked_uid(series) if series else "",
        beside=beside,
        reports=found.reports,
        up=here or address,
        report_href=here or (found.reports[0].href if found.reports else ""),
        code=ask.country,
        manifest_id=found.row.manifest.id if found.row.manifest is not None else "",
        changed=await has_changed(ask, found.study.study_instance_uid, found.row.manifest),
        explained=await _explained(ask, found.study.study_instance_uid),
    )


async def _looked_at(ask: Ask, study: Study) -> None:
    """Images that came before are looked at now: the country is told. Source: trust.md §2.6 (M10)."""
    uid = study.study_instance_uid
    items = [item_of(uid, s.series_instance_uid, i.sop_instance_uid) for s in study.series for i in s.instances]
    if any(await ask.desk.spool.holds(ask.visiting.id, items)):
        ask.desk.verbs.looked_again(ask.visiting, ask.country, uid)


def _present(links: list[ImageLink], study: Study, address: str) -> list[ImageLink]:
    """The report's key images; one that this study should have and has not leads nowhere, and says so."""
    here = {i.sop_instance_uid for s in study.series for i in s.instances}
    return [
        replace(link, href="", gone=True) if link.sop not in here and link.href.startswith(f"{address}/") else link
        for link in links
    ]


async def description(ask: Ask) -> Answer:
    """The study as the viewer reads it. Source: web/README.md."""
    found, spoken, patient = await opened(ask), ask.spoken, ask.patient
    address = f"{ask.at_visit}/studies/{found.study.study_instance_uid}"
    native = next((n for n in patient.names[1:] if n.language), None)
    body = {
        "patient": {
            "name": f"{patient.name.family.upper()}, {' '.join(patient.name.given)}",
            "native_name": f"{native.family} {' '.join(native.given)}" if native else None,
            "birth_date": patient.birth_date,
            "sex": sex(patient.gender, spoken),
        },
        "study": {
            "uid": found.study.study_instance_uid,
            "date": found.row.started[:16],
            "description": found.row.title,
            "country": ask.country,
            "custodian": found.row.where,
        },
        "series": [_series(s, address) for s in found.study.series],
        "key_images": await _keys(ask, found.study),
        "words": {name: spoken.say(text) for name, text in VIEWER.items()},
    }
    headers = (("Content-Type", "application/json"), *HEADERS)
    return Answer(200, headers, (json.dumps(body, ensure_ascii=False).encode("utf-8"),))


def _series(series: Series, address: str) -> dict[str, Any]:
    here = f"{address}/series/{series.series_instance_uid}/instances"
    return {
        "uid": series.series_instance_uid,
        "number": series.number,
        "modality": series.modality,
        "description": series.description or "",
        "instances": [
            {
                "uid": instance.sop_instance_uid,
                "number": instance.number,
                "frames": instance.number_of_frames,
                "sop_class": instance.sop_class_uid,
                "url": f"{here}/{instance.sop_instance_uid}",
            }
            | ({"text": f"{here}/{instance.sop_instance_uid}/text"} if is_tree(instance) else {})
            for instance in series.instances
        ],
    }


async def _keys(ask: Ask, study: Study) -> list[dict[str, Any]]:
    """The key images of the report one came from, those that its findings are seen in, then those marked in the study.

    Of those that the study has; why one was chosen is told by each of them.
    """
    report_id = ask.query.get("report", "")
    series_of = {i.sop_instance_uid: s.series_instance_uid for s in study.series for i in s.instances}
    chosen: dict[tuple[str, int | None], dict[str, None]] = {}
    if report_id:
        report = (await read(ask, report_id)).report
        for number, image in enumerate(report.key_images, 1):
            why = image.comment or image.title or str(number)
            chosen.setdefault((image.sop_instance_uid, image.frame), {})[why] = None
        places, done = places_in(study), report.examination
        for statement in (*done.impressions, *done.findings):
            for _, _, instance, frame in seen_in(statement.images, places):
                chosen.setdefault((instance.sop_instance_uid, frame), {})[shorten(statement.text, WHY_MAX)] = None
    for mark in (await marks_of(ask, study, within_s=FOR_THE_VIEWER_S)).found:
        chosen.setdefault((mark.sop_instance_uid, mark.frame), {why_of(ask, mark): None})
    return [
        {"series": series_of[sop], "instance": sop, "frame": frame, "why": "; ".join(whys)}
        for (sop, frame), whys in chosen.items()
        if sop in series_of
    ]


async def _explained(ask: Ask, study: str) -> bool:
    """Whether images that came of the study name the patient a little differently."""
    return await ask.desk.spool.noted(ask.visiting.id, *explained(study)) is not None


async def notes(ask: Ask) -> Answer:
    """What is to be said about the images that came so far, for the pages that show them."""
    study = checked_uid(ask.parts["study"])
    said = {
        "explained": await _explained(ask, study),
        "stopped": await ask.desk.spool.noted(ask.visiting.id, *stopped(study)) is not None,
    }
    return Answer(200, (("Content-Type", "application/json"), *HEADERS), (json.dumps(said).encode(),))


async def instance(ask: Ask) -> Answer:
    """One instance that passed every check on its way in; its preamble is zeroed, all else is as it came."""
    parts = ask.parts
    query = ImagesQuery(checked_uid(parts["study"]), checked_uid(parts["series"]), checked_uid(parts["instance"]))

    async def pieces() -> AsyncIterator[bytes]:
        await still_open(ask, query.study_instance_uid)
        await still_part(ask, query)
        with closing(await ask.desk.flights.instance(ask.visiting, ask.country, query)) as held:
            await still_open(ask, query.study_instance_uid)
            source, offset = Spooled(held), 0
            while offset < source.size_bytes:
                chunk = await asyncio.to_thread(source.read_at, offset, CHUNK)
                yield chunk
                offset += len(chunk)

    ask.require_images()
    name = f'attachment; filename="{parts["instance"]}.dcm"'
    return _arriving(pieces, "application/dicom", ("Content-Disposition", name), SHUT)


def _arriving(pieces: Callable[[], AsyncIterator[bytes]], media_type: str, *more: tuple[str, str]) -> Answer:
    """What is fetched while it is asked for: cut when the asker hangs up."""
    headers = (
        ("Content-Type", media_type),
        ("Cache-Control", "no-store"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        *more,
    )
    return Answer(200, headers, (Arriving(pieces),))


async def thumbnail(ask: Ask) -> Answer:
    """A small picture of a series, or of the image named. Raises ImagesNotFound, UnsupportedRequest when none can be drawn."""
    ask.require_images()
    found, wanted = await opened(ask), checked_uid(ask.parts["series"])
    series = next((s for s in found.study.series if s.series_instance_uid == wanted), None)
    if series is None:
        raise ImagesNotFound("the study has no such series", country=ask.country)
    named, frame = ask.query.get("image", ""), ask.query.get("frame", "")
    one = next((i for i in series.instances if i.sop_instance_uid == named), None) if named else _typical(series)
    if one is None or not is_light(one):
        raise UnsupportedRequest("no thumbnail is made of this", reason="param", path="thumbnail")
    number = int(frame) if frame.isascii() and frame.isdecimal() and len(frame) < 6 else None
    number = number or ((one.number_of_frames or 1) + 1) // 2
    query = ImagesQuery(found.study.study_instance_uid, wanted, one.sop_instance_uid)

    async def pieces() -> AsyncIterator[bytes]:
        yield await _drawn(ask, query, number)

    return _arriving(pieces, "image/png", SHUT)


async def _drawn(ask: Ask, query: ImagesQuery, frame: int) -> bytes:
    name = f"thumbnail {query.sop_instance_uid} {frame}"
    held: bytes | None = ask.desk.recent.get(ask.visiting.id, name, DOCUMENT_AGE)
    if held is None:
        with closing(await ask.desk.flights.instance(ask.visiting, ask.country, query, alone=True)) as kept:
            options = {"edge": EDGE, "media_type": "image/png", "frame": frame}
            held = await ask.desk.sandbox.run("picture", Spooled(kept), options, error=UnsupportedRequest)
        ask.desk.recent.put(ask.visiting.id, name, held, len(held))
    return held
