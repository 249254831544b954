"""People and organisations: the patient, the professional, where they work."""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.model.assurance import LOA
from isthmus.model.codes import Code
from isthmus.model.identifiers import PatientIdentifier


@dataclass(frozen=True, slots=True)
class HumanName:
    """One name in one script. A patient may have several (Latin, Greek, ideographic)."""

    family: str
    given: tuple[str, ...] = ()
    language: str | None = None  # of the script, when it is not Latin
    prefix: tuple[str, ...] = ()  # Dr, Prof
    suffix: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "HumanName(…)"


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address. `words` is the whole of it, where its parts are not told."""

    lines: tuple[str, ...] = ()
    city: str | None = None
    postal_code: str | None = None
    state: str | None = None
    country: str | None = None  # ISO 3166, or as written
    words: str | None = None
    use: str | None = None  # home | work | temp | old | billing

    def __repr__(self) -> str:
        return "Address(…)"


@dataclass(frozen=True, slots=True)
class Telecom:
    """Where somebody is reached."""

    value: str
    system: str | None = None  # phone | fax | email | pager | url | sms | other
    use: str | None = None  # home | work | temp | old | mobile

    def __repr__(self) -> str:
        return "Telecom(…)"


@dataclass(frozen=True, slots=True)
class Contact:
    """Who is asked or told in the patient's place: guardian, next of kin."""

    name: HumanName
    relationship: Code | None = None
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()

    def __repr__(self) -> str:
        return "Contact(…)"


@dataclass(frozen=True, slots=True)
class Patient:
    """A person as Country A's register knows them. The first name is the one in Latin script where there is one."""

    identifier: PatientIdentifier
    names: tuple[HumanName, ...]
    birth_date: str  # ISO date, maybe partial: a calendar date, never an instant
    gender: str  # male | female | other | unknown
    handle: str | None = None  # the border's opaque name for this patient, for one peer and professional
    former: tuple[PatientIdentifier, ...] = ()  # no longer valid, and still in what was issued before a merge
    others: tuple[PatientIdentifier, ...] = ()  # valid beside the first: insurance card, passport, hospital
    addresses: tuple[Address, ...] = ()  # told by a report alone, like all that follows
    telecoms: tuple[Telecom, ...] = ()
    contacts: tuple[Contact, ...] = ()

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
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """For whom somebody acts: the physician behind a clerk."""

    sub: str
    role: str  # ISCO-08


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
    acr: str = f"{LOA}substantial"
    auth_time: int = 0  # seconds since 1970
    amr: tuple[str, ...] = ("pwd",)
    session: str = ""
    on_behalf_of: Principal | None = None
    place: Organisation | None = None  # where the patient is treated, when it is another than the organisation
    national_identifier: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"HealthProfessional(role={self.role})"
