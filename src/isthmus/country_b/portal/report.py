"""A report: impression first, the rest folded, the original as signed beside it. And a structured object of a study as text, whatever its
template.

What is not in the reader's language stands in its own, marked. Foreign narrative is cleaned before it is shown.

Source: portal design §4 (report); requirements.md §9 (9 to 12); ITI-68; field-faults F27.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from isthmus.country_b.issued import read_issued
from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.documents import (
    foreign,
    listing,
    manifest,
    now_listed,
    still_listed,
    still_open,
    still_part,
)
from isthmus.country_b.portal.pictures import key_image_links, places_in, said, study_links, tree_link
from isthmus.country_b.portal.words import READER, SECTIONS, plate_of, shown_status
from isthmus.country_b.recent import DOCUMENT_AGE
from isthmus.country_b.spool import Spooled
from isthmus.dicom.header import KEY_OBJECT_SELECTION
from isthmus.errors import CountryMisanswered, DocumentNotFound, UnsupportedRequest
from isthmus.model.codes import LOINC, Code
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import checked_id, checked_uid
from isthmus.model.imaging import Instance
from isthmus.model.queries import ImagesQuery
from isthmus.model.report.document import ImagingReport, Section
from isthmus.originals.sr.tree import told_tree
from isthmus.pages.cleaning import clean
from isthmus.terminology.display import Term, Words
from isthmus.transport.answers import Answer
from isthmus.wire.report.document import original_of

STRUCTURED = "1.2.840.10008.5.1.4.1.1.88."  # what every class of structured reports begins with. Source: PS3.4 B.5
IMPRESSION, RECOMMENDATION = "19005-8", "18783-1"  # LOINC, shown first and not again
FIRST = {"impression": IMPRESSION, "recommendation": RECOMMENDATION}
"""Sections of the report are coded, so that their headings are words of the reader's language like those of all others; what the portal
itself puts together (findings with an image, measurements) is named in the language of the interface."""
SHUT = ("Content-Security-Policy", "default-src 'none'; sandbox")
SUFFIXES = {
    "application/pdf": "pdf",
    "application/fhir+json": "json",
    "application/fhir+xml": "xml",
    "text/xml": "xml",
    "application/dicom": "dcm",
}
ISSUED_ALONE = (DocumentKind.REPORT_PDF, DocumentKind.REPORT_CDA)


@dataclass(frozen=True, slots=True)
class Read:
    """A report with the bytes it came in, and what issued form is inside."""

    report: ImagingReport
    media_type: str
    original: bytes


@dataclass(frozen=True, slots=True)
class Fold:
    """A section as it came, folded. `words` is its name in the reader's language, where it is one of the known."""

    words: Term | None
    title: str
    narrative: Markup
    lines: tuple[str, ...]
    inside: tuple[Fold, ...]


async def read(ask: Ask, report_id: str) -> Read:
    """The report, fetched or as it came minutes ago. Raises DocumentNotFound, also for what is listed as no report."""
    name = f"report {checked_id(report_id)}"
    held: Read | None = ask.desk.recent.get(ask.visiting.id, name, DOCUMENT_AGE)
    if held is None:
        entry = next((d for d in await listing(ask) if d.id == report_id), None)
        if entry is not None and entry.kind.is_manifest:
            raise DocumentNotFound("this document is no report", country=ask.country)
        if entry is not None and entry.kind in ISSUED_ALONE:
            held = await _issued(ask, entry)
        else:
            report, body = await ask.desk.verbs.get_report(ask.visiting, ask.country, report_id)
            held = Read(report, *original_of(body))
        ask.desk.recent.put(ask.visiting.id, name, held, 3 * len(held.original))
    return held


async def _issued(ask: Ask, entry: Document) -> Read:
    """A report that exists only as it was issued; a CDA document is read in a child."""
    body = await ask.desk.verbs.get_binary(ask.visiting, ask.country, entry)

    async def parse(document: bytes) -> bytes:
        return await ask.desk.sandbox.run("cda", document, error=CountryMisanswered)

    return Read(*await read_issued(parse, ask.visiting.patient_in(ask.country), entry, body))


async def report_page(ask: Ask) -> Answer:
    report_id = checked_id(ask.parts["report"])
    await still_listed(ask, report_id, again=True)
    return ask.page("report.html", **await facts(ask, report_id))


async def original(ask: Ask) -> Answer:
    """The original as issued, byte for byte; to be drawn by our reader or kept, never opened by the browser itself."""
    await still_listed(ask, checked_id(ask.parts["report"]))
    found = await read(ask, ask.parts["report"])
    name = f"report.{SUFFIXES.get(found.media_type, 'bin')}"
    headers = (
        ("Content-Type", found.media_type),
        ("Content-Disposition", f'attachment; filename="{name}"'),
        ("Cache-Control", "no-store"),
        SHUT,
    )
    return Answer(200, headers, (found.original,))


def is_tree(instance: Instance) -> bool:
    """Whether an instance is a tree of content items that is read as text: any structured report, dose and findings of a program too."""
    uid = instance.sop_class_uid
    return uid.startswith(STRUCTURED) and uid != KEY_OBJECT_SELECTION


async def tree_page(ask: Ask) -> Answer:
    """A structured object of a study as text, each image it names with a way to it. Raises UnsupportedRequest for what has no tree."""
    ask.require_images()
    parts = ask.parts
    query = ImagesQuery(checked_uid(parts["study"]), checked_uid(parts["series"]), checked_uid(parts["instance"]))
    await still_open(ask, query.study_instance_uid)
    await still_part(ask, query)
    with closing(await ask.desk.flights.instance(ask.visiting, ask.country, query, alone=True)) as held:
        await still_open(ask, query.study_instance_uid)
        given = await ask.desk.sandbox.run("tree", Spooled(held), {}, error=UnsupportedRequest)
    tree, address = told_tree(given), f"{ask.at_visit}/studies/{query.study_instance_uid}"
    entry = await now_listed(ask, query.study_instance_uid)
    places = places_in((await manifest(ask, entry)).study) if entry is not None else {}
    return ask.page(
        "tree.html",
        tree=tree,
        when=_moment(ask, tree.date),
        language=foreign(tree.language or "", ask),
        address=address,
        object=f"{address}/series/{parts['series']}/instances/{parts['instance']}",
        link=lambda reference: tree_link(ask, reference, places, address),
        manifest_id=entry.id if entry is not None else "",
        study=query.study_instance_uid,
    )


async def facts(ask: Ask, report_id: str) -> dict[str, Any]:
    """What the report's page, and the panel beside the images, show of it."""
    found = await read(ask, report_id)
    report, spoken = found.report, ask.spoken
    header, examination = report.header, report.examination
    documents = await listing(ask)
    entry = next((d for d in documents if d.id == report_id), None)
    language = foreign(header.language or "", ask)
    studies = study_links(ask, report, documents, report_id)
    impressions, findings = await said(ask, report, studies)
    words = READER | {"original": READER["original"]}
    keeper = header.custodian or header.organisation
    superseded = entry is not None and entry.status != "current"
    await ask.look_up(_coded(report))
    return {
        "report": report,
        "report_id": report_id,
        "here": f"{ask.at_visit}/reports/{report_id}",
        "title": header.title,
        "plate": plate_of(entry.modalities if entry else ()),
        "language": language,
        "language_name": spoken.language(header.language) if header.language else "",
        "standing": shown_status(header.status, ask.words, spoken, superseded=superseded),
        "preliminary": header.status in ("preliminary", "registered", "partial"),
        "newer": next((f"{ask.at_visit}/reports/{d.id}" for d in documents if d.replaces == report_id), ""),
        "older": f"{ask.at_visit}/reports/{entry.replaces}" if entry is not None and entry.replaces else "",
        "superseded": superseded,
        "when": _moment(ask, header.date),
        "examined": _moment(
            ask, examination.performed or (examination.studies[0].started if examination.studies else "")
        ),
        "where": keeper.name if keeper else "",
        "country": ask.country_name(ask.country),
        "code": ask.country,
        "studies": studies,
        "regions": [ask.words.term(code) for code in _sites(report)],
        "procedures": [ask.words.term(p.name.code) for p in examination.procedures if p.name and p.name.code],
        "offer": ask.offer,
        "impressions": impressions,
        "findings": [one for one in findings if one.images and not one.is_measured],
        "measurements": sorted((one for one in findings if one.is_measured), key=lambda one: not one.is_abnormal),
        "impression_narrative": _first(report.sections, IMPRESSION) if not examination.impressions else Markup(""),
        "recommendation_narrative": Markup("")
        if examination.recommendations
        else _first(report.sections, RECOMMENDATION),
        "recommendations": examination.recommendations,
        "sections": {name: ask.words.term(Code(LOINC, code)) for name, code in FIRST.items()},
        "key_images": list(key_image_links(ask, report, studies)),
        "folds": _folds(report.sections, ask.words),
        "pdf": found.media_type == "application/pdf",
        "only_pdf": found.media_type == "application/pdf" and not (examination.impressions or report.sections),
        "original_size": spoken.megabytes(len(found.original)),
        "reader_words": json.dumps({name: spoken.say(text) for name, text in words.items()}, ensure_ascii=False),
    }


def _coded(report: ImagingReport) -> Iterator[Code | None]:
    """What of a report is coded and shown."""
    done = report.examination
    yield from (statement.code for statement in (*done.impressions, *done.findings))
    yield from (procedure.name.code for procedure in done.procedures if procedure.name)
    yield from _sites(report)


def _sites(report: ImagingReport) -> list[Code]:
    """The regions, then what of the body was examined."""
    done = report.examination
    sites = (site.code for procedure in done.procedures for site in procedure.sites)
    return list(dict.fromkeys(code for code in (*done.regions, *sites) if code is not None))


def _moment(ask: Ask, written: str | None) -> str:
    """Date and time as they stood at their place."""
    return " ".join(filter(None, (ask.spoken.date(written), ask.spoken.time(written))))


def _folds(sections: Sequence[Section], words: Words) -> list[Fold]:
    """The sections that are not shown first: the known in the order in which they are read, then the others."""
    order = list(SECTIONS)
    known = {code: number for number, code in enumerate(order)}
    folds = []
    for section in sorted(sections, key=lambda s: known.get(s.code.code if s.code else "", len(order))):
        code = section.code.code if section.code is not None else ""
        if code in (IMPRESSION, RECOMMENDATION):
            continue
        fold = Fold(
            words.term(section.code) if code in SECTIONS else None,
            section.title,
            clean(section.narrative) if section.narrative else Markup(""),
            section.lines if not section.narrative else (),
            tuple(_folds(section.sections, words)),
        )
        if fold.narrative or fold.lines or fold.inside:
            folds.append(fold)
    return folds


def _first(sections: Sequence[Section], code: str) -> Markup:
    """The section of that code as it was written: its narrative, cleaned, else its lines."""
    for section in sections:
        if section.code is not None and section.code.code == code:
            if section.narrative:
                return clean(section.narrative)
            return Markup("").join(Markup("<p>{}</p>").format(line) for line in section.lines)
    return Markup("")
