"""A study: its facts, its series, and the viewer with the instances it asks for.

Source: portal design §4 (study, viewer); web/README.md; trust.md §2.9.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from isthmus.consent.roles import Act
from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.documents import Plate, foreign, listing, plate
from isthmus.country_b.portal.report import facts, read
from isthmus.country_b.portal.timeline import Row, rows_of
from isthmus.country_b.portal.words import VIEWER, modality_words, sex
from isthmus.country_b.recent import DOCUMENT_AGE
from isthmus.errors import ImagesNotFound
from isthmus.model.identifiers import checked_id, checked_uid
from isthmus.model.imaging import Manifest, Series, Study
from isthmus.model.pairing import pair
from isthmus.model.pieces import Arriving
from isthmus.model.queries import ImagesQuery
from isthmus.pages.render import HEADERS
from isthmus.transport.answers import Answer

PREAMBLE = 128
CHUNK = 1 << 18
SHUT = ("Content-Security-Policy", "default-src 'none'; sandbox")


@dataclass(frozen=True, slots=True)
class Opened:
    """A study of this visit's person: its row in the list, and what its manifest says."""

    row: Row
    study: Study
    reports: tuple[Plate, ...]


async def opened(ask: Ask) -> Opened:
    """The study that the address names. Raises ImagesNotFound when the list has none such."""
    uid = checked_uid(ask.parts["study"])
    for row in rows_of(pair(await listing(ask)), ask.spoken):
        if row.manifest is not None and row.manifest.study_instance_uids[0] == uid:
            manifest = await _manifest(ask, row.manifest.id)
            if manifest.study.study_instance_uid != uid:
                break
            return Opened(row, manifest.study, tuple(plate(ask, report, row) for report in row.reports))
    raise ImagesNotFound("this patient has no such study here", country=ask.country)


async def _manifest(ask: Ask, document_id: str) -> Manifest:
    name = f"manifest {document_id}"
    held: Manifest | None = ask.desk.recent.get(ask.visiting.id, name, DOCUMENT_AGE)
    if held is None:
        held, body = await ask.desk.verbs.get_manifest(ask.visiting, ask.country, document_id)
        ask.desk.recent.put(ask.visiting.id, name, held, 4 * len(body))
    return held


async def study_page(ask: Ask) -> Answer:
    found, spoken = await opened(ask), ask.spoken
    manifest = found.row.manifest
    listed = manifest.instance_count if manifest is not None else None
    return ask.page(
        "study.html",
        row=found.row,
        study=found.study,
        title_language=foreign(found.row.language, ask),
        date=spoken.date(found.row.started),
        time=spoken.time(found.row.started),
        reports=found.reports,
        series=[(s, _kinds(s, ask), spoken.number(len(s.instances))) for s in found.study.series],
        counts=_counts(ask, found),
        differs=(listed, found.study.instance_count) if listed not in (None, found.study.instance_count) else None,
        code=ask.country,
        view=f"{ask.at_visit}/studies/{found.study.study_instance_uid}/view",
    )


def _kinds(series: Series, ask: Ask) -> str:
    return modality_words(series.modality, ask.spoken)


def _counts(ask: Ask, found: Opened) -> str:
    spoken, study, manifest = ask.spoken, found.study, found.row.manifest
    parts = [
        spoken.count("%(n)s series", "%(n)s series", len(study.series)) % {"n": len(study.series)},
        spoken.count("%(n)s image", "%(n)s images", study.instance_count) % {"n": spoken.number(study.instance_count)},
    ]
    size = study.size_bytes or (manifest.study_bytes if manifest else None)
    return ", ".join([*parts, spoken.megabytes(size)] if size else parts)


# the viewer


async def viewer(ask: Ask) -> Answer:
    """The frame around the images: series at the left, the report one came from at the right."""
    ask.visiting.require(Act.PIXELS)
    found, query = await opened(ask), ask.query
    report_id, image, series = query.get("report", ""), query.get("image", ""), query.get("series", "")
    beside: dict[str, Any] = {}
    if report_id and report_id in {r.id for r in (*found.row.reports, *found.row.older)}:
        beside = await facts(ask, checked_id(report_id))
    address = f"{ask.at_visit}/studies/{found.study.study_instance_uid}"
    here = f"{ask.at_visit}/reports/{report_id}" if beside else ""
    description = f"{address}/study.json" + (f"?report={report_id}" if beside else "")
    return ask.page(
        "viewer.html",
        row=found.row,
        title_language=foreign(found.row.language, ask),
        study=found.study,
        date=ask.spoken.date(found.row.started),
        series=[(s, _kinds(s, ask)) for s in found.study.series],
        address=address,
        description=description,
        start_image=checked_uid(image) if image else "",
        start_series=checked_uid(series) if series else "",
        beside=beside,
        reports=found.reports,
        up=here or address,
        report_href=here or (found.reports[0].href if found.reports else ""),
        code=ask.country,
    )


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
            for instance in series.instances
        ],
    }


async def _keys(ask: Ask, study: Study) -> list[dict[str, Any]]:
    """The key images of the report one came from, of those that the study has."""
    report_id = ask.query.get("report", "")
    if not report_id:
        return []
    places = {i.sop_instance_uid: s.series_instance_uid for s in study.series for i in s.instances}
    images = (await read(ask, report_id)).report.key_images
    return [
        {
            "series": places[image.sop_instance_uid],
            "instance": image.sop_instance_uid,
            "frame": None,
            "why": image.comment or image.title or str(number),
        }
        for number, image in enumerate(images, 1)
        if image.sop_instance_uid in places
    ]


async def instance(ask: Ask) -> Answer:
    """One instance that passed every check on its way in; its preamble is zeroed, all else is as it came."""
    parts = ask.parts
    query = ImagesQuery(checked_uid(parts["study"]), checked_uid(parts["series"]), checked_uid(parts["instance"]))
    visit, country, flights = ask.visiting, ask.country, ask.desk.flights

    async def pieces() -> AsyncIterator[bytes]:
        held = await flights.instance(visit, country, query)
        try:
            offset = 0
            while offset < held.size_bytes:
                chunk = await asyncio.to_thread(held.read, offset, CHUNK)
                yield bytes(PREAMBLE) + chunk[PREAMBLE:] if offset == 0 else chunk
                offset += len(chunk)
        finally:
            held.close()

    headers = (
        ("Content-Type", "application/dicom"),
        ("Content-Disposition", f'attachment; filename="{parts["instance"]}.dcm"'),
        ("Cache-Control", "no-store"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        SHUT,
    )
    return Answer(200, headers, (Arriving(pieces),))
