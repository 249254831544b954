"""Queries: what is asked, in the domain's words."""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.model.codes import Code
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.intervals import DateFilter


@dataclass(frozen=True, slots=True)
class PatientQuery:
    """Who is looked for: identifiers (all must fit), and traits. Exact after folding; no part of a name ever matches.

    The last members are for whoever answers the border: a connector may leave them out, Country A compares again.
    """

    identifiers: tuple[PatientIdentifier, ...]
    family: str | None = None
    given: tuple[str, ...] = ()
    birth_date: str | None = None
    gender: str | None = None
    whole_names: tuple[str, ...] = ()  # each a family name, a given name, or all of them
    told_by_names: tuple[str, ...] = ()  # traits of the mask that one of the whole names stands for
    exact: tuple[tuple[str, str], ...] = ()  # family, given or name, and the value that stands there unfolded

    def __repr__(self) -> str:
        return "PatientQuery(…)"


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing asked, by the name of its parameter: the values are alternatives, every demand must hold."""

    name: str
    tokens: tuple[tuple[str | None, str], ...] = ()  # system or None, and code; text and references without system
    dates: tuple[DateFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """What is looked for about one patient: all members together, the values of one member as alternatives.

    `types` and `categories` are (system or None, code); empty means not asked. What has no member of its own is a demand.
    """

    patient: PatientIdentifier | None = None  # set by Admitted.confine from what was attested
    patient_handle: str | None = None  # as asked: Patient/{handle}
    patient_identifier: PatientIdentifier | None = None  # as asked by the chain
    statuses: tuple[str, ...] = ("current",)
    types: tuple[tuple[str | None, str], ...] = ()
    categories: tuple[tuple[str | None, str], ...] = ()
    dates: tuple[tuple[DateFilter, ...], ...] = ()  # each member a repetition (AND) of alternatives (OR)
    periods: tuple[tuple[DateFilter, ...], ...] = ()
    study_instance_uids: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    count: int = 50
    cursor: str | None = None  # opaque, as given
    asked: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # name and value as asked, for the self link
    demands: tuple[Demand, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()  # parameter, and whether the latest comes first
    counted: bool = False  # only how many
    pack: str | None = None  # inside Country A: the drafts in which manifests are wanted


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """Which studies of one patient are looked for, described as FHIR ImagingStudy."""

    patient: PatientIdentifier | None = None
    patient_handle: str | None = None
    patient_identifier: PatientIdentifier | None = None
    demands: tuple[Demand, ...] = ()
    count: int = 20
    cursor: str | None = None
    asked: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    order: tuple[tuple[str, bool], ...] = ()
    counted: bool = False


@dataclass(frozen=True, slots=True)
class ImagesQuery:
    """A study, one of its series, or one instance."""

    study_instance_uid: str
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its documents, how many there are in all, and where the next begins (None: no next)."""

    documents: tuple[Document, ...]
    total: int
    next_cursor: str | None = None


REGIONS: dict[str, Code] = {
    code: Code("http://snomed.info/sct", code, display)
    for code, display in {
        "63337009": "Lower trunk",
        "38266002": "Entire body",
        "53120007": "Upper limb",
        "61685007": "Lower limb",
        "67734004": "Upper trunk",
        "774007": "Head and neck",
        "113257007": "Cardiovascular system",
        "80891009": "Heart",
        "76752008": "Breast",
        "1141981001": "Vertebral column",
    }.items()
}
"""The ten regions of a manifest. Source: IHE-MADO1, 1.3.6.1.4.1.19376.1.1.86.1."""
