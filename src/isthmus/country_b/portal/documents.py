"""The examinations of the confirmed person: one timeline of studies and reports.

The answer is kept in this process for a minute, so that a filter asks nobody again.

Source: portal design §4 (examinations); ITI-67.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from urllib.parse import urlencode

from isthmus.country_b.flights import changed, stopped
from isthmus.country_b.portal import stops
from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.timeline import Filters, Row, chips, is_pdf, kept, rows_of
from isthmus.country_b.portal.words import ShownStatus, shown_status
from isthmus.country_b.recent import DOCUMENT_AGE, FRESH_AGE, LIST_AGE
from isthmus.country_b.visit import LIFE as VISIT_LIFE
from isthmus.errors import (
    Absence,
    ArrivalRefused,
    DocumentNotFound,
    ImagesNotFound,
    IsthmusError,
    RequestProblem,
    Unavailable,
    Withdrawn,
)
from isthmus.model.documents import Document
from isthmus.model.identifiers import checked_id, checked_uid
from isthmus.model.imaging import Manifest
from isthmus.model.pairing import pair
from isthmus.model.queries import Demand, DocumentQuery, ImagesQuery
from isthmus.pages.language import Language
from isthmus.pages.render import HEADERS
from isthmus.transport.answers import Answer

STATUSES_ASKED = ("current", "superseded")
SEEN, SILENT = "seen", "silent"


@dataclass(frozen=True, slots=True)
class Plate:
    """A report on its plate: how it is called, what it is worth, whose it is."""

    href: str
    title: str
    language: str  # of the title, when it is not the page's
    titled: bool  # whether its title is shown: when it does not stand beside the study's own
    status: ShownStatus | None
    facts: tuple[str, ...]
    id: str
    link: str  # by what it belongs to its study


@dataclass(frozen=True, slots=True)
class Shown:
    """One row as the template needs it."""

    row: Row
    date: str
    time: str
    ago: str
    title_language: str
    study_href: str
    images: str
    facts: tuple[str, ...]
    reports: tuple[Plate, ...]
    older: tuple[Plate, ...]
    maybe: tuple[Plate, ...]
    together: str  # said when a report is about more than this study


async def listing(ask: Ask, *, again: bool = False, age: timedelta = LIST_AGE) -> Sequence[Document]:
    """The documents of this visit's person. Raises what asking raises."""
    recent, visit = ask.desk.recent, ask.visiting.id
    held: Sequence[Document] | None = recent.get(visit, "list", age)
    if held is None or again:
        query = DocumentQuery(statuses=STATUSES_ASKED)
        held = await ask.desk.verbs.find_documents(ask.visiting, ask.country, query)
        recent.put(visit, "list", held)
        recent.put(visit, SEEN, _seen(ask) | {name for d in held for name in (d.id, *d.study_instance_uids)})
    return held


async def fresh(ask: Ask, *, again: bool = False) -> Sequence[Document]:
    """The list as it is now, before something that is here already is shown once more.

    A country that does not answer takes nothing away: what it listed some minutes ago stands.
    """
    recent, visit = ask.desk.recent, ask.visiting.id
    held: Sequence[Document] | None = recent.get(visit, "list", DOCUMENT_AGE)
    if held is not None and recent.get(visit, SILENT, FRESH_AGE):
        return held
    try:
        return await listing(ask, again=again, age=FRESH_AGE)
    except Unavailable:
        if held is None:
            raise
        recent.put(visit, SILENT, True)
        return held


def _seen(ask: Ask) -> frozenset[str]:
    """What this visit was told of so far: ids of documents, and studies."""
    return ask.desk.recent.get(ask.visiting.id, SEEN, VISIT_LIFE) or frozenset()


def gone(ask: Ask, name: str, otherwise: Absence) -> Absence:
    """What to say of a document or study that the list does not have: that it was there, or that it is not."""
    if name in _seen(ask):
        return Withdrawn("it was in the list of this visit and is not any more", country=ask.country)
    return otherwise


async def manifest(ask: Ask, entry: Document) -> Manifest:
    """The manifest of a study, fetched or as it came minutes ago. Raises what asking raises."""
    name = f"manifest {entry.id}"
    held: Manifest | None = ask.desk.recent.get(ask.visiting.id, name, DOCUMENT_AGE)
    if held is None:
        held, body = await ask.desk.verbs.get_manifest(ask.visiting, ask.country, entry)
        ask.desk.recent.put(ask.visiting.id, name, held, 4 * len(body))
    return held


async def study_gone(ask: Ask, study: str) -> Absence:
    """What is here of a study that the list has no more is put away."""
    await ask.desk.flights.put_away(ask.visiting, study)
    ask.desk.recent.drop(ask.visiting.id, f"keys {study}")
    return gone(ask, study, ImagesNotFound("this patient has no such study here", country=ask.country))


async def now_listed(ask: Ask, study: str) -> Document | None:
    """The manifest under which the list has a study now."""
    manifests = (d for one in pair(await fresh(ask)) if (d := one.manifest) is not None)
    return next((d for d in manifests if d.study_instance_uids[0] == study), None)


async def has_changed(ask: Ask, study: str, entry: Document | None) -> bool:
    """Whether the study stands under another manifest than when it was first opened in this visit."""
    return entry is not None and await ask.desk.spool.noted(ask.visiting.id, *changed(study)) == entry.id


async def still_part(ask: Ask, query: ImagesQuery) -> None:
    """Whether the country still lists the study, and this image in it. Raises Withdrawn, ImagesNotFound."""
    study, wanted = query.study_instance_uid, (query.series_instance_uid, query.sop_instance_uid)
    entry = await now_listed(ask, study)
    if entry is None:
        raise await study_gone(ask, study)
    await ask.desk.flights.stands(ask.visiting, study, entry.id)
    described = (await manifest(ask, entry)).study
    if wanted not in {(s.series_instance_uid, i.sop_instance_uid) for s in described.series for i in s.instances}:
        if await has_changed(ask, study, entry):
            raise Withdrawn("the image was in the study and is not any more", country=ask.country)
        raise ImagesNotFound("the study has no such image", country=ask.country)


async def still_open(ask: Ask, study: str) -> None:
    """Raises ArrivalRefused when an image of another person came under the study: then it stays shut for this visit."""
    number = await ask.desk.spool.noted(ask.visiting.id, *stopped(study))
    if number is not None:
        raise ArrivalRefused(
            "an image of another person came", reason="wrong-patient", country=ask.country, exchange_id=number
        )


async def still_listed(ask: Ask, report: str, *, again: bool = False) -> Document:
    """The report's entry now. Raises Withdrawn when the list has it no more, DocumentNotFound when it never had."""
    entry = next((document for document in await fresh(ask, again=again) if document.id == report), None)
    if entry is None:
        ask.desk.recent.drop(ask.visiting.id, f"report {report}", f"content {report}")
        raise gone(ask, report, DocumentNotFound("no such document of this patient", country=ask.country))
    return entry


# what a page that is open asks by itself


@dataclass(frozen=True, slots=True)
class News:
    """What is to be said on an open page, and what it shows from then on."""

    newer: str = ""  # address of the version that replaced the report
    superseded: bool = False
    grown: str = ""  # address at which the study is opened as it is now


async def standing(ask: Ask) -> Answer:
    """What a page in view asks now and then: nothing while what it shows stands, else what is to be said of it.

    `report` and its `status`, `study` and its `manifest` are what the page shows. A country that is silent takes nothing away.
    Raises Withdrawn, and ArrivalRefused (wrong-patient): then nothing of it may stay on the screen.
    """
    query = dict(ask.query)
    report, study = query.get("report", ""), query.get("study", "")
    news = News()
    if report and not await _as_shown(ask, checked_id(report), query.get("status", "current")):
        entry = await still_listed(ask, report, again=True)
        newer = next((d.id for d in await listing(ask) if d.replaces == report), "")
        if entry.status != "current" or newer:
            query["status"], at = entry.status, f"{ask.at_visit}/reports/{newer}" if newer else ""
            news = News(newer=at, superseded=True)
    if study:
        await still_open(ask, checked_uid(study))
        before = checked_id(query.get("manifest", ""))
        if not await _as_shown(ask, before, "current") and (now := await _grown(ask, study, before)) is not None:
            if not now:
                return stops.changed(ask)
            query["manifest"] = now
            news = replace(news, grown=f"{ask.at_visit}/studies/{study}")
    if not (news.superseded or news.grown):
        return Answer(204, HEADERS, ())
    query.pop("idle", None)
    return ask.page("standing.html", news=news, address=f"{ask.at_visit}/standing?{urlencode(query)}")


async def _grown(ask: Ask, study: str, before: str) -> str | None:
    """The manifest under which the study has all that it had and more; "" when it has not all, None when it is the same. Raises Withdrawn."""
    held: Manifest | None = ask.desk.recent.get(ask.visiting.id, f"manifest {before}", VISIT_LIFE)
    await fresh(ask, again=True)
    entry = await now_listed(ask, study)
    if entry is None:
        raise await study_gone(ask, study)
    if entry.id == before:
        return None
    await ask.desk.flights.stands(ask.visiting, study, entry.id)
    after = await manifest(ask, entry)
    more = held is not None and bool(_instances(held)) and _instances(held) <= _instances(after)
    return entry.id if more else ""


def _instances(held: Manifest) -> set[str]:
    return {i.sop_instance_uid for s in held.study.series for i in s.instances}


async def _as_shown(ask: Ask, document: str, status: str) -> bool:
    """Whether the country lists a document as the page shows it: one question a while, however many pages are open.

    Whatever goes wrong with the question says nothing of the document. A country that cannot be asked so is asked for the list.
    """
    recent, visit, name = ask.desk.recent, ask.visiting.id, f"standing {document}"
    held: asyncio.Task[Document | None] | None = recent.get(visit, name, ask.desk.standing_age)
    if held is None:
        held = asyncio.create_task(_entry_now(ask, document))
        held.add_done_callback(lambda asked: asked.cancelled() or asked.exception())  # also when nobody waits any more
        recent.put(visit, name, held)
    try:
        entry = await asyncio.shield(held)
    except IsthmusError:
        return True
    return entry is not None and entry.status == status


async def _entry_now(ask: Ask, document: str) -> Document | None:
    query = DocumentQuery(statuses=STATUSES_ASKED, demands=(Demand("_id", ((None, document),)),))
    try:
        found = await ask.desk.verbs.find_documents(ask.visiting, ask.country, query)
    except RequestProblem:
        found = await listing(ask, age=ask.desk.standing_age)
    return next((entry for entry in found if entry.id == document), None)


async def examinations(ask: Ask) -> Answer:
    """The list, as the filters in the address say; words that name a choice move into it."""
    spoken, asked = ask.spoken, Filters.read(ask.request.query)
    swapped = "hx-request" in ask.request.headers
    filters = asked.with_words(whole=not swapped, spoken=spoken)
    here = f"{ask.at_visit}/examinations"
    address = f"{here}?{urlencode(filters.query)}" if filters.any else here
    if filters.query != asked.query and not swapped:
        return ask.to(address)
    rows = rows_of(
        pair(await listing(ask, again="again" in ask.query, age=_age(filters, swapped=swapped))), spoken, ask.words
    )
    found = kept(rows, filters, ask.today)
    shown = [show(ask, row) for row in found]
    return ask.page(
        "examinations.html",
        headers=(("HX-Push-Url", address),) if swapped else (),
        total=len(rows),
        found=len(found),
        years=[(year, list(group)) for year, group in groupby(shown, key=lambda s: s.row.year)],
        filters=filters,
        chips=chips(rows, filters, ask.today, spoken) if rows else {},
        country=ask.country_name(ask.country),
        code=ask.country,
        offer=ask.offer,
        phone=ask.desk.directory.country(ask.country).phone,
    )


def _age(filters: Filters, *, swapped: bool) -> timedelta:
    """A filter asks nobody; whoever comes back to the whole list sees it as it is now."""
    return LIST_AGE if swapped or filters.any else FRESH_AGE


def show(ask: Ask, row: Row) -> Shown:
    spoken, study = ask.spoken, row.manifest
    href = f"{ask.at_visit}/studies/{study.study_instance_uids[0]}" if study else ""
    facts: list[str] = []
    images = ""
    if study is not None:
        images = spoken.say("Images")
        if study.instance_count is not None:
            images = spoken.count("%(n)s image", "%(n)s images", study.instance_count) % {
                "n": spoken.number(study.instance_count)
            }
        if study.series_count is not None:
            facts.append(
                spoken.count("%(n)s series", "%(n)s series", study.series_count)
                % {"n": spoken.number(study.series_count)}
            )
        if study.study_bytes:
            facts.append(spoken.megabytes(study.study_bytes))
        if not ask.offer.images:
            facts.append(spoken.say("described only"))
    return Shown(
        row,
        spoken.date(row.started),
        spoken.time(row.started),
        spoken.ago(row.started, ask.today),
        foreign(row.language, ask),
        href,
        images,
        tuple(facts),
        tuple(plate(ask, report, row) for report in row.reports),
        tuple(plate(ask, report, row) for report in row.older),
        tuple(plate(ask, report, row, titled=True) for report in row.maybe),
        _together(row, spoken),
    )


def _together(row: Row, spoken: Language) -> str:
    studies = max((len(report.study_instance_uids) for report in row.reports), default=1)
    if studies < 2:
        return ""
    return spoken.count("One report for %(n)d study", "One report for %(n)d studies", studies) % {"n": studies}


def plate(ask: Ask, report: Document, row: Row, *, titled: bool = False) -> Plate:
    """A report's plate. Its language is said when it is not the reader's."""
    spoken = ask.spoken
    language = foreign(report.language or "", ask)
    facts = []
    if language:
        words = spoken.language(language)
        facts.append(words if not is_pdf(report) else spoken.say("%(language)s, PDF only") % {"language": words})
    elif is_pdf(report):
        facts.append(spoken.say("PDF only"))
    if report.report_status in ("preliminary", "registered", "partial"):
        facts.append(spoken.say("not yet signed"))
    elif report.authors:
        facts.append(report.authors[0])
    if report.created[:10] != row.started[:10]:
        facts.append(spoken.date(report.created))
    status = shown_status(report.report_status, ask.words, spoken, superseded=report.status != "current")
    return Plate(
        f"{ask.at_visit}/reports/{report.id}",
        report.title,
        language,
        titled or len(row.reports) > 1,
        status,
        tuple(facts),
        report.id,
        _link(report, row, spoken),
    )


def _link(report: Document, row: Row, spoken: Language) -> str:
    named = row.manifest is not None and row.manifest.study_instance_uids[0] in report.study_instance_uids
    return spoken.say("linked by the study number") if named else spoken.say("linked by the order's number")


def foreign(language: str, ask: Ask) -> str:
    """The tag of a language when it is not the page's; nothing when it is, or when none is said."""
    return "" if language.partition("-")[0].lower() in ("", ask.spoken.code) else language
