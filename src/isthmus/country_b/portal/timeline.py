"""The list of examinations as it is shown: rows newest first, filters with counts. Pure.

A study and its reports are one row; a missing half is said in words. Superseded reports stand under the one that replaced them.

Source: portal design §4 (examinations); requirements.md §9 (5, 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from isthmus.country_b.portal.words import KINDS, REGIONS, kinds_of, modality_words, plate_of
from isthmus.dicom.names import fold
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.pairing import Examination
from isthmus.pages.language import N_, Language

PERIODS = (("1", N_("1 year"), 1), ("5", N_("5 years"), 5), ("all", N_("all"), 0))
CONTAINS = (("rep", N_("a report")), ("img", N_("images")))


@dataclass(frozen=True, slots=True)
class Row:
    """One examination."""

    manifest: Document | None
    reports: tuple[Document, ...]  # those that count now
    older: tuple[Document, ...]
    started: str
    title: str
    language: str  # of the title, "" when it is not said
    where: str
    modalities: tuple[str, ...]
    regions: frozenset[str]
    kinds: frozenset[str]
    words: str = field(repr=False)  # folded, for the free filter

    @property
    def year(self) -> str:
        return self.started[:4]

    @property
    def plate(self) -> str:
        return plate_of(self.modalities)


def rows_of(examinations: Iterable[Examination], spoken: Language) -> list[Row]:
    return [_row(examination, spoken) for examination in examinations]


def _row(examination: Examination, spoken: Language) -> Row:
    manifest = examination.manifest
    now = tuple(r for r in examination.reports if r.status == "current")
    older = tuple(r for r in examination.reports if r.status != "current")
    of_all = [d for d in (manifest, *now, *older) if d is not None]
    tell = [manifest] if manifest is not None and manifest.modalities else of_all  # a report may be about more studies
    modalities = tuple(dict.fromkeys(m for d in tell for m in d.modalities))
    regions = frozenset(name for name, _, codes in REGIONS for d in tell for c in d.regions if c.code in codes)
    title, language = "", ""
    if manifest is not None and manifest.description:
        title, language = manifest.description, manifest.language or ""
    elif (first := next(iter((*now, *older)), None)) is not None:
        title, language = first.title, first.language or ""
    if not title:
        title = ", ".join(modality_words(m, spoken) for m in modalities) or spoken.say("Examination")
    where = next((d.custodian.name for d in of_all if d.custodian), "")
    region_words = [spoken.say(word) for name, word, _ in REGIONS if name in regions]
    text = [title, where, *(r.title for r in now), *modalities, *(modality_words(m, spoken) for m in modalities)]
    text += [*region_words, examination.started[:4], *(a for r in now for a in r.authors)]
    return Row(
        manifest,
        now,
        older,
        examination.started,
        title,
        language,
        where,
        modalities,
        regions,
        kinds_of(modalities),
        fold(" ".join(text)),
    )


@dataclass(frozen=True, slots=True)
class Filters:
    """What the reader chose. The address says it, so that a view can be kept and shared within the visit."""

    period: str = "all"
    kinds: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    contains: frozenset[str] = frozenset()
    words: str = ""

    @classmethod
    def read(cls, query: Iterable[tuple[str, str]]) -> Filters:
        """What is not one of ours is left out."""
        pairs = list(query)

        def chosen(name: str, known: Iterable[str]) -> frozenset[str]:
            return frozenset(value for key, value in pairs if key == name) & frozenset(known)

        periods = chosen("p", (p for p, _, _ in PERIODS))
        return cls(
            next(iter(periods), "all"),
            chosen("m", (name for name, _, _, _ in KINDS)),
            chosen("r", (name for name, _, _ in REGIONS)),
            chosen("c", (name for name, _ in CONTAINS)),
            next((value.strip()[:100] for key, value in pairs if key == "q"), ""),
        )

    @property
    def any(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Chip:
    """One choice of a filter, with what choosing it would show."""

    value: str
    words: str
    count: int
    chosen: bool


def kept(rows: Sequence[Row], filters: Filters, today: date, *, without: str = "") -> list[Row]:
    """The rows that match; `without` leaves one filter out, for the counts of its chips."""
    tests: dict[str, Callable[[Row], bool]] = {
        "p": lambda r: _in_period(r, filters.period, today),
        "m": lambda r: not filters.kinds or bool(r.kinds & filters.kinds),
        "r": lambda r: not filters.regions or bool(r.regions & filters.regions),
        "c": lambda r: all(_contains(r, what) for what in filters.contains),
        "q": lambda r: all(word in r.words for word in fold(filters.words).split()),
    }
    return [row for row in rows if all(test(row) for name, test in tests.items() if name != without)]


def _in_period(row: Row, period: str, today: date) -> bool:
    years = next(years for name, _, years in PERIODS if name == period)
    if not years:
        return True
    return row.started[:10] >= f"{today.year - years:04d}-{today:%m-%d}"


def _contains(row: Row, what: str) -> bool:
    return bool(row.reports) if what == "rep" else row.manifest is not None


def chips(rows: Sequence[Row], filters: Filters, today: date, spoken: Language) -> dict[str, list[Chip]]:
    """Every filter's choices. A kind or region that nothing here has stands there too, with nought."""
    period_rows = kept(rows, filters, today, without="p")
    kind_rows = kept(rows, filters, today, without="m")
    region_rows = kept(rows, filters, today, without="r")
    other_rows = kept(rows, filters, today, without="c")
    there = {kind for row in rows for kind in row.kinds}
    return {
        "p": [
            Chip(name, spoken.say(words), sum(_in_period(r, name, today) for r in period_rows), name == filters.period)
            for name, words, _ in PERIODS
        ],
        "m": [
            Chip(name, spoken.say(words), sum(name in r.kinds for r in kind_rows), name in filters.kinds)
            for name, _, words, _ in KINDS
            if name != "ot" or "ot" in there
        ],
        "r": [
            Chip(name, spoken.say(words), sum(name in r.regions for r in region_rows), name in filters.regions)
            for name, words, _ in REGIONS
        ],
        "c": [
            Chip(name, spoken.say(words), sum(_contains(r, name) for r in other_rows), name in filters.contains)
            for name, words in CONTAINS
        ],
    }


def is_pdf(report: Document) -> bool:
    return report.kind is DocumentKind.REPORT_PDF
