"""Imaging: study, series, instance; and the manifest, which describes a study's content.

Source: PS3.3 A.1.2; MADO.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import Organisation, Patient
from isthmus.model.report.devices import Device
from isthmus.model.report.header import Person

BY_PRODUCTS = frozenset(
    {"SR", "KO", "PR", "SEG", "DOC", "AU", "REG", "RWV", "PLAN", "CTPROTOCOL"}
)  # modalities that are never a study's kind


@dataclass(frozen=True, slots=True)
class Instance:
    """One SOP instance as a manifest lists it."""

    sop_instance_uid: str
    sop_class_uid: str
    number: int | None = None
    number_of_frames: int | None = None  # of multi-frame objects alone
    title: Code | None = None  # document title, when it is a key object selection
    description: str | None = None  # key object description


@dataclass(frozen=True, slots=True)
class Series:
    """A series with its instances, in the order of the index: by number, then UID. No order is promised."""

    series_instance_uid: str
    modality: str  # DCM code
    instances: tuple[Instance, ...]
    number: int | None = None
    description: str | None = None
    body_site: Code | None = None
    laterality: Code | None = None
    started: str | None = None  # FHIR dateTime; with offset only when one is known
    performers: tuple[Person, ...] = ()  # of a report: who made it, and with what
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """An imaging study as Country A describes it."""

    study_instance_uid: str
    patient: Patient
    series: tuple[Series, ...]
    started: str | None = None  # FHIR dateTime
    description: str | None = None
    accession_numbers: tuple[Identifier, ...] = ()
    placer_order_numbers: tuple[Identifier, ...] = ()
    regions: tuple[Code, ...] = ()  # of the ten
    procedure: str | None = None  # what can be shown of the requested procedure, in the words of who requested it
    procedure_code: Code | None = None  # the same as a code that other countries know
    custodian: Organisation | None = None
    size_bytes: int | None = None  # what would cross now
    other_modalities: tuple[str, ...] = ()  # named for the study, by none of its series: a report may list no series

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(sorted({series.modality for series in self.series} | set(self.other_modalities)))

    @property
    def instance_count(self) -> int:
        return sum(len(series.instances) for series in self.series)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A study described for the border: made once, under a UID of its own that follows from its content.

    Source: MADO.
    """

    uid: str
    study: Study
    created: str  # FHIR instant
    location_uid: str  # Retrieve Location UID
    source: Organisation  # author
    device_manufacturer: str = "Isthmus"
    endpoint_address: str | None = None  # None: only the location is told
    warnings: tuple[str, ...] = field(default_factory=tuple)
    unmapped: int = 0  # codes of the country's own that stand in it as they are
    mapped_by: str = ""  # version and digest of the table by which the others were mapped
