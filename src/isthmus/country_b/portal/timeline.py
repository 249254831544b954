"""The list of examinations as it is shown: rows newest first, filters with counts. Pure.

A study and its reports are one row; a missing half is said in words. A report that no number puts beside a study, though it may be
about it, stands there with a dotted neck. Superseded reports stand under the one that replaced them.

Source: portal design §4 (examinations); requirements.md §9 (5, 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from isthmus.country_b.portal.typed import YEARS_MAX, Typed, read_words, regions_named
from isthmus.country_b.portal.words import KINDS, REGIONS, kinds_of, modality_term, plate_of
from isthmus.dicom.names import fold
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.pairing import Examination, resemblances
from isthmus.pages.language import N_, Language
from isthmus.terminology.display import Words

PERIODS = ("1", "5", "all")  # in years; a number that was typed stands among them
CONTAINS = (("rep", N_("a report")), ("img", N_("images")))


@dataclass(frozen=True, slots=True)
class Row:
    """One examination."""

    manifest: Document | None
    reports: tuple[Document, ...]  # those that count now
    older: tuple[Document, ...]
    maybe: tuple[Document, ...]  # those that a mere likeness puts here
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


def rows_of(examinations: Sequence[Examination], spoken: Language, terms: Words | None = None) -> list[Row]:
    """A row for each; a report that resembles a study has no row of its own, it is shown with each such study."""
    terms = terms or Words(spoken.code)
    told = resemblances(examinations)
    elsewhere = {id(found.report) for found in told}
    return [
        _row(one, [r for found in told if found.study is one for r in found.report.reports], spoken, terms)
        for one in examinations
        if id(one) not in elsewhere
    ]


def _row(examination: Examination, alike: Sequence[Document], spoken: Language, terms: Words) -> Row:
    manifest = examination.manifest
    maybe = tuple(r for r in alike if r.status == "current")
    now = tuple(r for r in examination.reports if r.status == "current")
    older = tuple(r for r in examination.reports if r.status != "current")
    of_all = [d for d in (manifest, *now, *older) if d is not None]
    tell = [manifest] if manifest is not None and manifest.modalities else of_all  # a report may be about more studies
    modalities = tuple(dict.fromkeys(m for d in tell for m in d.modalities))
    regions = frozenset(name for name, _, codes in REGIONS for d in tell for c in d.regions if c.code in codes)
    title, language = "", ""
    named = list(dict.fromkeys(modality_term(m, terms).words for m in modalities))
    if manifest is not None and manifest.description:
        title, language = manifest.description, manifest.language or ""
    elif (first := next(iter((*now, *older)), None)) is not None:
        title, language = first.title, first.language or ""
    if not title:
        title, language = ", ".join(named), terms.language
    title, language = (title, language) if title else (spoken.say("Examination"), spoken.code)
    where = next((d.custodian.name for d in of_all if d.custodian), "")
    regions = regions or regions_named(title)
    region_words = [spoken.say(word) for name, word, _ in REGIONS if name in regions]
    region_words += [terms.term(c).words for d in tell for c in d.regions]
    text = [
        title,
        where,
        *(r.title for r in (*now, *maybe)),
        *modalities,
        *named,
    ]
    text += [*region_words, examination.started[:4], *(a for r in (*now, *maybe) for a in r.authors)]
    return Row(
        manifest,
        now,
        older,
        maybe,
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
    words: str = ""  # as typed

    @classmethod
    def read(cls, query: Iterable[tuple[str, str]]) -> Filters:
        """What is not one of ours is left out."""
        pairs = list(query)

        def chosen(name: str, known: Iterable[str]) -> frozenset[str]:
            return frozenset(value for key, value in pairs if key == name) & frozenset(known)

        periods = [value for key, value in pairs if key == "p" and value in (*PERIODS, *map(str, range(1, YEARS_MAX)))]
        return cls(
            next(iter(periods), "all"),
            chosen("m", (name for name, _, _, _ in KINDS)),
            chosen("r", (name for name, _, _ in REGIONS)),
            chosen("c", (name for name, _ in CONTAINS)),
            next((value.lstrip()[:100] for key, value in pairs if key == "q"), ""),
        )

    def with_words(self, *, whole: bool, spoken: Language) -> Filters:
        """With the words that name a choice turned into it. The last word counts when it is `whole`, or a blank follows it."""
        typed: Typed = read_words(self.words, whole=whole, spoken=spoken)
        return Filters(
            typed.period or self.period,
            self.kinds | typed.kinds,
            self.regions | typed.regions,
            self.contains | typed.contains,
            typed.rest,
        )

    @property
    def query(self) -> list[tuple[str, str]]:
        """The address's members that say this."""
        groups = (("m", self.kinds), ("r", self.regions), ("c", self.contains))
        pairs = [(name, value) for name, chosen in groups for value in sorted(chosen)]
        first = [("p", self.period)] if self.period != "all" else []
        return [*first, *pairs, *([("q", self.words)] if self.words.strip() else [])]

    @property
    def any(self) -> bool:
        return bool(self.query)


@dataclass(frozen=True, slots=True)
class Chip:
    """One choice of a filter, with what choosing it would show."""

    value: str
    words: str
    count: int
    chosen: bool


def kept(rows: Sequence[Row], filters: Filters, today: date) -> list[Row]:
    """The rows that match all filters; kinds and regions are alternatives among themselves."""
    tests: tuple[Callable[[Row], bool], ...] = (
        lambda r: _in_period(r, filters.period, today),
        lambda r: not filters.kinds or bool(r.kinds & filters.kinds),
        lambda r: not filters.regions or bool(r.regions & filters.regions),
        lambda r: all(_contains(r, what) for what in filters.contains),
        lambda r: all(word in r.words for word in fold(filters.words).split()),
    )
    return [row for row in rows if all(test(row) for test in tests)]


def _in_period(row: Row, period: str, today: date) -> bool:
    return period == "all" or row.started[:10] >= f"{today.year - int(period):04d}-{today:%m-%d}"


def _contains(row: Row, what: str) -> bool:
    return bool(row.reports or row.maybe) if what == "rep" else row.manifest is not None


def chips(rows: Sequence[Row], filters: Filters, today: date, spoken: Language) -> dict[str, list[Chip]]:
    """Every filter's choices. Each counts what it shows with the other filters as they are: a kind or region by itself, what
    is contained together with what else must be. One that nothing here has stands there too, with nought."""

    def count(chosen: Filters) -> int:
        return len(kept(rows, chosen, today))

    there = {kind for row in rows for kind in row.kinds}
    periods = sorted({*PERIODS, filters.period}, key=lambda p: int(p) if p != "all" else YEARS_MAX)
    return {
        "p": [
            Chip(p, _period_words(p, spoken), count(replace(filters, period=p)), p == filters.period) for p in periods
        ],
        "m": [
            Chip(name, spoken.say(words), count(replace(filters, kinds=frozenset({name}))), name in filters.kinds)
            for name, _, words, _ in KINDS
            if name != "ot" or "ot" in there
        ],
        "r": [
            Chip(name, spoken.say(words), count(replace(filters, regions=frozenset({name}))), name in filters.regions)
            for name, words, _ in REGIONS
        ],
        "c": [
            Chip(
                name,
                spoken.say(words),
                count(replace(filters, contains=filters.contains | {name})),
                name in filters.contains,
            )
            for name, words in CONTAINS
        ],
    }


def _period_words(period: str, spoken: Language) -> str:
    if period == "all":
        return spoken.say("all")
    return spoken.count("%(n)d year", "%(n)d years", int(period)) % {"n": int(period)}


def is_pdf(report: Document) -> bool:
    """Whether a PDF is all there is of a report, bare or with facts around it."""
    return report.kind is DocumentKind.REPORT_PDF or report.profile == "report_minimal"
