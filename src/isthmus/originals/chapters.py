"""Chapters: which section of an outline is which chapter of the report; what is none stays a section, with its words and its images.

One table for every form, for DICOM and CDA name their sections by the same two code systems. A number that was measured is a finding
wherever it stands.

Source: PS3.16 CID 7001 (report headings), CID 6203 and TID 1500; PS3.20 §9; wire.md §2.2; data set A.2 to A.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from isthmus.model.codes import DCM, LOINC, SNOMED, Code
from isthmus.model.report.document import Section
from isthmus.model.report.examination import Recommendation
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.safety import Medication
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Finding, Quantity, Statement
from isthmus.model.report.statements import Part as Member
from isthmus.originals.outline import MEDICATION, Part, Told
from isthmus.originals.outline import PROCEDURE as PROCEDURE_ENTRY

HISTORY, REASON, ORDER, PROCEDURE, COMPARISON = "history", "reason", "order", "procedure", "comparison"
FINDINGS, IMPRESSION, RECOMMENDATION = "findings", "impression", "recommendation"
COMMUNICATION, DOSE, CATALOGUE = "communication", "dose", "catalogue"
SECTIONS: Final[dict[tuple[str, str], str]] = {
    **{(DCM, code): HISTORY for code in ("121060",)},
    **{(LOINC, code): HISTORY for code in ("11329-0", "10164-2", "11348-0", "10160-0", "48765-2")},
    **{(DCM, code): REASON for code in ("121109", "121110")},
    **{(LOINC, code): REASON for code in ("18785-6", "42349-1", "29299-5", "10154-3")},
    **{(DCM, "121062"): ORDER, (LOINC, "55115-0"): ORDER},
    **{(DCM, code): PROCEDURE for code in ("121064", "121065", "121058")},
    **{(LOINC, code): PROCEDURE for code in ("55111-9", "47519-4", "29554-3")},
    **{(DCM, code): COMPARISON for code in ("121066", "121068", "121069")},
    **{(LOINC, code): COMPARISON for code in ("18834-2", "55114-3")},
    **{(DCM, code): FINDINGS for code in ("121070", "121071", "126010")},
    **{(LOINC, code): FINDINGS for code in ("59776-5", "18782-3")},
    **{(DCM, code): IMPRESSION for code in ("121072", "121073", "121076", "121077")},
    **{(LOINC, code): IMPRESSION for code in ("19005-8", "55110-1", "59768-2", "51848-0")},
    **{(DCM, code): RECOMMENDATION for code in ("121074", "121075")},
    **{(LOINC, code): RECOMMENDATION for code in ("18783-1", "18776-5")},
    **{(DCM, "121291"): COMMUNICATION, (LOINC, "73568-8"): COMMUNICATION},
    **{(DCM, "121290"): DOSE, (LOINC, "73569-6"): DOSE},
    **{(DCM, "121181"): CATALOGUE, (DCM, "111028"): CATALOGUE},
}
"""Headings, and the elements below them, which stand alone where a document has no headings."""
EUROPEAN: Final = {
    HISTORY: "11329-0",
    ORDER: "55115-0",
    REASON: "55115-0",
    PROCEDURE: "55111-9",
    COMPARISON: "18834-2",
    FINDINGS: "59776-5",
    IMPRESSION: "19005-8",
    RECOMMENDATION: "18783-1",
    COMMUNICATION: "73568-8",
    DOSE: "55111-9",
}
GENERIC: Final = frozenset(
    {"121060", "121071", "121073", "121075", "121077", "121110", "121065", "121069", "121058", "ASSERTION"}
)
"""Elements whose name says no more than the section in which they stand."""
_SITE: Final = frozenset({(SNOMED, "363698007"), ("", "G-C0E3")})
_SIDE: Final = frozenset({(SNOMED, "272741003"), ("", "G-C171")})
_METHOD: Final = frozenset({(SNOMED, "370129005"), ("", "G-C036")})
_LABEL: Final = (DCM, "112039")  # tracking identifier


@dataclass(slots=True)
class Chapters:
    """What an outline tells, by chapter."""

    history: list[Statement] = field(default_factory=list)
    reasons: list[Statement] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    procedures: list[Statement] = field(default_factory=list)
    technique: list[str] = field(default_factory=list)
    comparison: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    impressions: list[Finding] = field(default_factory=list)
    recommendations: list[Recommendation] = field(default_factory=list)
    communication: list[str] = field(default_factory=list)
    dose: list[str] = field(default_factory=list)
    medications: list[Medication] = field(default_factory=list)
    taken: list[Medication] = field(default_factory=list)  # before the examination
    key_images: dict[KeyImage, None] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)


def chapters_of(body: Part) -> Chapters:
    """Sort a document into its chapters. Nothing is left out, and nothing is said that was not."""
    reader = _Sorter()
    reader.alone(body)
    for part in body.parts:
        reader.part(part)
    return reader.found


class _Sorter:
    def __init__(self) -> None:
        self.found = Chapters()

    def alone(self, body: Part) -> None:
        """What a document tells outside of any section."""
        rest: list[Told] = []
        for told in body.told:
            chapter = SECTIONS.get(_key(told.code))
            if chapter is not None and chapter != CATALOGUE:
                self.enter(chapter, told, "")
            elif not self.only_images(told, told.name):
                rest.append(told)
        if rest:
            self.unknown(Part(body.title, body.code, tuple(rest)))

    def part(self, part: Part, above: str | None = None) -> None:
        """A section, of its own chapter or that of the section it stands in."""
        own = SECTIONS.get(_key(part.code))
        chapter = own or above
        if chapter is None:
            self.unknown(part)
            return
        if chapter == CATALOGUE:
            self.catalogue(part)
            return
        if part.narrative and own is not None:
            code = Code(LOINC, EUROPEAN[chapter])
            self.found.sections.append(Section(part.title, code, part.narrative, ()))
        if part.lines and not self.is_covered(part, chapter):
            self.enter(chapter, Told(text="\n".join(part.lines)), part.title if own is None else "")
        if chapter in (FINDINGS, IMPRESSION) and any(_is_measured(told) for told in part.told) and own is None:
            self.group(part, chapter)
        else:
            for told in part.told:
                if not self.only_images(told, part.title):
                    self.enter(chapter, told, part.title if own is None else "")
        for inner in part.parts:
            self.part(inner, chapter)

    def is_covered(self, part: Part, chapter: str) -> bool:
        """Whether what is told in a section says all that stands in its words; of findings it is enough that something is told."""
        told = " ".join(" ".join(_shown(part.told)).split())
        if chapter == FINDINGS and told:
            return True
        return all(" ".join(line.split()) in told for line in part.lines)

    def enter(self, chapter: str, told: Told, heading: str) -> None:
        """Put one thing where it belongs; `heading` is the section inside the chapter."""
        found = self.found
        if told.kind == MEDICATION:
            (found.taken if chapter == HISTORY else found.medications).append(_medication(told))
            return
        if told.kind == PROCEDURE_ENTRY and chapter not in (HISTORY, RECOMMENDATION):
            found.procedures.append(Statement(told.name, told.code))
            chapter, told = PROCEDURE, replace(told, name="", code=None)
        images = dict.fromkeys(image for one in _every(told) for image in one.images)
        if chapter in (FINDINGS, IMPRESSION):
            finding = _finding(told, heading)
            if finding.shown or finding.images:
                (found.findings if chapter == FINDINGS else found.impressions).append(finding)
            return
        found.key_images |= images
        said = _statement(told, heading)
        if not said.text:
            return
        lines = [said.text, *_shown(told.more)]
        if chapter in (HISTORY, REASON):
            every = [said, *(_statement(one, "") for top in told.more for one in _every(top) if one.shown)]
            (found.history if chapter == HISTORY else found.reasons).extend(every)
        elif chapter == RECOMMENDATION:
            found.recommendations.append(Recommendation("\n".join(lines), said.code))
        elif chapter == PROCEDURE and said.code is not None:
            found.procedures.append(said)
            found.technique += lines[1:]
        else:
            place = {
                ORDER: found.requested,
                PROCEDURE: found.technique,
                COMPARISON: found.comparison,
                COMMUNICATION: found.communication,
                DOSE: found.dose,
            }[chapter]
            place += lines
        found.findings += [_finding(one, said.text) for one in told.more if _is_measured(one) and chapter != DOSE]

    def group(self, part: Part, chapter: str) -> None:
        """Values that belong together, as one finding: a measured lesion. Source: PS3.16 TID 1411, 1501."""
        label = next((told.text for told in part.told if _key(told.code) == _LABEL), "") or part.title
        kept = tuple(told for told in part.told if _key(told.code) != _LABEL)
        whole = _finding(Told(name=label, more=kept), "")
        (self.found.findings if chapter == FINDINGS else self.found.impressions).append(whole)

    def only_images(self, told: Told, comment: str) -> bool:
        """Whether something told is a picture and nothing else: it is then a key image of the report."""
        if told.text or told.value or told.more:
            return False
        for image in told.images:
            self.found.key_images.setdefault(_commented(image, comment))
        return bool(told.images) or not told.shown

    def unknown(self, part: Part) -> None:
        """A section that is no chapter: kept as it is; what is measured in it is a finding too."""
        self.found.sections.append(_section(part))
        for told in _inside(part):
            for one in _every(told):
                if _is_measured(one):
                    self.found.findings.append(_finding(one, part.title))
                for image in one.images:
                    self.found.key_images.setdefault(_commented(image, one.name or part.title))

    def catalogue(self, part: Part) -> None:
        """A list of objects: what is said of them is kept, the objects themselves are in the manifest."""
        kept = _section(part)
        if kept.lines or kept.sections:
            self.found.sections.append(kept)


def _section(part: Part) -> Section:
    inner = tuple(
        section for one in part.parts if (section := _section(one)).lines or section.narrative or section.sections
    )
    lines = () if part.narrative else tuple(_shown(part.told))
    return Section(
        part.title or (part.code.display if part.code else None) or "", part.code, part.narrative, lines, None, inner
    )


def _inside(part: Part) -> Iterator[Told]:
    yield from part.told
    for inner in part.parts:
        yield from _inside(inner)


def _every(told: Told) -> Iterator[Told]:
    yield told
    for one in told.more:
        yield from _every(one)


def _shown(told: Iterable[Told]) -> Iterator[str]:
    """Everything that is told, each in a line."""
    for top in told:
        for one in _every(top):
            if one.shown:
                yield one.shown


def _key(code: Code | None) -> tuple[str, str]:
    return (code.system, code.code) if code else ("", "")


def _is_measured(told: Told) -> bool:
    return isinstance(told.value, Quantity)


def _named(told: Told, heading: str) -> str | None:
    """What something told is about: its own name, unless that is the section's over again."""
    own = "" if told.code is not None and told.code.code in GENERIC else told.name
    return ": ".join(filter(None, (heading, own))) or None


def _statement(told: Told, heading: str) -> Statement:
    """What is told, in words and a code."""
    name = _named(told, heading)
    code = told.value if isinstance(told.value, Code) else None
    bare = Told(text=told.text, value=told.value).shown
    return Statement(": ".join(filter(None, (name, bare))), code)


def _finding(told: Told, heading: str) -> Finding:
    """What is told as a finding; of what is told of it in turn the site, the side and the method have places of their own."""
    more = [one for top in told.more for one in _every(top)]
    by = {_kind(one): one for one in reversed(more)}
    rest = [one for one in told.more if _kind(one) == ""]
    images = tuple(dict.fromkeys(image for one in (told, *more) for image in one.images))
    generic = told.code is not None and told.code.code in GENERIC
    coded = told.value if isinstance(told.value, Code) else None
    text = told.text
    value: Quantity | Statement | None = told.value if isinstance(told.value, Quantity) else None
    if coded is not None and not generic:
        value = Statement(coded.display or coded.code, coded)
    elif coded is not None:
        text = "; ".join(filter(None, (coded.display or coded.code, text)))
    site, side, method = by.get("site"), by.get("side"), by.get("method")
    return Finding(
        text=text,
        code=coded if generic else told.code if told.value is not None else None,
        images=images,
        name=_named(told, heading),
        value=value,
        interpretations=told.interpretations,
        site=_site(site, side) if site else None,
        method=_statement(Told(text=method.text, value=method.value), "") if method else None,
        observed=told.observed,
        parts=tuple(member for one in rest for member in _members(one)),
    )


def _kind(told: Told) -> str:
    key = _key(told.code)
    return "site" if key in _SITE else "side" if key in _SIDE else "method" if key in _METHOD else ""


def _site(site: Told, side: Told | None) -> Site:
    code = site.value if isinstance(site.value, Code) else None
    where = side.value if side is not None and isinstance(side.value, Code) else None
    return Site(site.text or (code.display or code.code if code else ""), code, where)


def _members(told: Told) -> Iterator[Member]:
    """A value that belongs to another; what modifies it (a mean, a maximum) goes with its name."""
    modified = "; ".join(filter(None, (Told(text=one.text, value=one.value).shown for one in _modifiers(told))))
    name = Statement(f"{told.name} ({modified})" if modified and told.value else told.name, told.code)
    if isinstance(told.value, Quantity):
        yield Member(name, told.value)
    else:
        words = _statement(Told(text=told.text, value=told.value), "")
        more = modified if told.value is None else ""
        if words.text or more:
            yield Member(name, Statement("; ".join(filter(None, (words.text, more))), words.code))
    for number in _numbers(told):
        yield from _members(number)


def _modifiers(told: Told) -> Iterator[Told]:
    """What is told of something in turn, down to the next number, which has its own."""
    for one in told.more:
        if not _is_measured(one):
            yield one
            yield from _modifiers(one)


def _numbers(told: Told) -> Iterator[Told]:
    """The numbers below something, each without those below it."""
    for one in told.more:
        if _is_measured(one):
            yield one
        else:
            yield from _numbers(one)


def _medication(told: Told) -> Medication:
    dose = told.value if isinstance(told.value, Quantity) else None
    more = "; ".join(filter(None, (told.text, *_shown(told.more))))
    return Medication(told.name or "?", told.code, dose=dose, given=told.observed, note=more or None)


def _commented(image: KeyImage, comment: str) -> KeyImage:
    return image if image.comment or not comment else replace(image, comment=comment)
