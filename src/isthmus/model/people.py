"""People and organisations: the patient, the professional, where they work."""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.model.identifiers import PatientIdentifier


@dataclass(frozen=True, slots=True)
class HumanName:
    """One name in one script. A patient may have several (Latin, Greek, ideographic)."""

    family: str
    given: tuple[str, ...] = ()
    language: str | None = None  # of the script, when it is not Latin

    def __repr__(self) -> str:
        return "HumanName(…)"


@dataclass(frozen=True, slots=True)
class Patient:
    """A person as Country A's register knows them. The first name is the one in Latin script where there is one."""

    identifier: PatientIdentifier
    names: tuple[HumanName, ...]
    birth_date: str  # ISO date, maybe partial: a calendar date, never an instant
    gender: str  # male | female | other | unknown
    handle: str | None = None  # the border's opaque name for this patient, for one peer and professional
    former: tuple[PatientIdentifier, ...] = ()  # no longer valid, and still in what was issued before a merge

    @property
    def name(self) -> HumanName:
        return self.names[0]

    def __repr__(self) -> str:
        return f"Patient({self.identifier!r})"


@dataclass(frozen=True, slots=True)
class Organisation:
    """A hospital or practice."""

    name: str
    identifier: str | None = None
    system: str | None = None


@dataclass(frozen=True, slots=True)
class HealthProfessional:
    """Who sits at the screen, as Country B's identity service vouches for.

    `role` is an ISCO-08 code; `acr` the eIDAS level of assurance as a URI; `session` a digest of the portal session's id.
    """

    sub: str
    name: str
    role: str
    organisation: Organisation
    facility_type: str = "Hospital"
    acr: str = "http://eidas.europa.eu/LoA/substantial"
    auth_time: int = 0  # seconds since 1970
    amr: tuple[str, ...] = ("pwd",)
    session: str = ""
    national_identifier: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"HealthProfessional(role={self.role})"
