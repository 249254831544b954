"""The examinations of the confirmed person: one timeline of studies and reports.

The answer is kept in this process for a minute, so that a filter asks nobody again.

Source: portal design §4 (examinations); ITI-67.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlencode

from isthmus.country_b.portal.ask import Ask
from isthmus.country_b.portal.timeline import Filters, Row, chips, is_pdf, kept, rows_of
from isthmus.country_b.portal.words import STATUSES
from isthmus.country_b.recent import DOCUMENT_AGE, LIST_AGE
from isthmus.model.documents import Document
from isthmus.model.imaging import Manifest
from isthmus.model.pairing import pair
from isthmus.model.queries import DocumentQuery
from isthmus.pages.language import Language
from isthmus.transport.answers import Answer

STATUSES_ASKED = ("current", "superseded")


@dataclass(frozen=True, slots=True)
class Plate:
    """A report on its plate: how it is called, what it is worth, whose it is."""

    href: str
    title: str
    language: str  # of the title, when it is not the page's
    titled: bool  # whether its title is shown: when it does not stand beside the study's own
    status: tuple[str, str, str] | None  # words, shape, icon
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


async def listing(ask: Ask, *, again: bool = False) -> Sequence[Document]:
    """The documents of this visit's person. Raises what asking raises."""
    held: Sequence[Document] | None = ask.desk.recent.get(ask.visiting.id, "list", LIST_AGE)
    if held is None or again:
        query = DocumentQuery(statuses=STATUSES_ASKED)
        held = await ask.desk.verbs.find_documents(ask.visiting, ask.country, query)
        ask.desk.recent.put(ask.visiting.id, "list", held)
    return held


async def manifest(ask: Ask, entry: Document) -> Manifest:
    """The manifest of a study, fetched or as it came minutes ago. Raises what asking raises."""
    name = f"manifest {entry.id}"
    held: Manifest | None = ask.desk.recent.get(ask.visiting.id, name, DOCUMENT_AGE)
    if held is None:
        held, body = await ask.desk.verbs.get_manifest(ask.visiting, ask.country, entry)
        ask.desk.recent.put(ask.visiting.id, name, held, 4 * len(body))
    return held


async def examinations(ask: Ask) -> Answer:
    """The list, as the filters in the address say; words that name a choice move into it."""
    spoken, asked = ask.spoken, Filters.read(ask.request.query)
    swapped = "hx-request" in ask.request.headers
    filters = asked.with_words(whole=not swapped, spoken=spoken)
    here = f"{ask.at_visit}/examinations"
    address = f"{here}?{urlencode(filters.query)}" if filters.any else here
    if filters.query != asked.query and not swapped:
        return ask.to(address)
    rows = rows_of(pair(await listing(ask, again="again" in ask.query)), spoken)
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
    status = STATUSES.get(report.report_status or "") if report.status == "current" else STATUSES["superseded"]
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
