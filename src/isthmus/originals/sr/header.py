"""What the header of a DICOM structured report says: whose, by whom, when, verified or not, of which study and order.

Source: PS3.3 §A.35, §C.17.2 (SR Document General); PS3.16 TID 1001 to 1004; data set A.1, A.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.model.codes import Code
from isthmus.model.confidentiality import NORMAL, label_of
from isthmus.model.identifiers import Identifier
from isthmus.model.people import Organisation
from isthmus.model.report.header import Attester, Person, Validator
from isthmus.originals.coded import Coding, language_of, system_of
from isthmus.originals.sr.body import evidence
from isthmus.wire import kos_values as values
from isthmus.wire.kos_values import Moment

_STATUS: Final = {
    ("COMPLETE", "VERIFIED"): "final",
    ("COMPLETE", "UNVERIFIED"): "preliminary",
    ("PARTIAL", "VERIFIED"): "partial",
    ("PARTIAL", "UNVERIFIED"): "partial",
}
OBSERVER, ORGANISATION, LANGUAGE, TYPE = "121008", "121009", "121049", "121005"  # DCM: who observes; of what follows


class SrHeader:
    """The header of a document that is an instance, element by element."""

    def __init__(self, root: Item, coding: Coding) -> None:
        self.root, self._coding = root, coding
        self._offset = root.text(tags.TIMEZONE_OFFSET_FROM_UTC)
        self._context = [
            one for one in root.below if one.text(tags.RELATIONSHIP_TYPE) in ("HAS OBS CONTEXT", "HAS CONCEPT MOD")
        ]

    @property
    def study(self) -> str:
        return self.root.text(tags.STUDY_INSTANCE_UID)

    @property
    def identifier(self) -> Identifier:
        return Identifier("urn:dicom:uid", f"urn:oid:{self.root.text(tags.SOP_INSTANCE_UID)}")

    @property
    def confidentiality(self) -> str | None:
        """The constraint that whoever ordered or made it put on it. Source: PS3.3 §C.4.11."""
        label = label_of(self.root.text(tags.CONFIDENTIALITY_CODE).strip())
        return None if label == NORMAL else label

    @property
    def title(self) -> str:
        concept = self.root.code(tags.CONCEPT_NAME_CODE_SEQUENCE)
        said = concept.meaning if concept else ""
        return said or self.root.text(tags.SERIES_DESCRIPTION) or "Imaging report"

    @property
    def type(self) -> Code | None:
        code = self._coding.read(self.root.code(tags.CONCEPT_NAME_CODE_SEQUENCE))
        return code if code is not None and code.system == "http://loinc.org" else None

    @property
    def status(self) -> str:
        flags = (self.root.text(tags.COMPLETION_FLAG), self.root.text(tags.VERIFICATION_FLAG))
        said = _STATUS.get(flags, "unknown")
        preliminary = self.root.text(tags.PRELIMINARY_FLAG) == "PRELIMINARY"
        return "preliminary" if preliminary and said == "final" else said

    @property
    def date(self) -> str:
        return self._moment(self.root, tags.CONTENT_DATE, tags.CONTENT_TIME) or ""

    @property
    def performed(self) -> str | None:
        return self._moment(self.root, tags.STUDY_DATE, tags.STUDY_TIME)

    @property
    def language(self) -> str | None:
        for one in self._context:
            if one.concept == LANGUAGE:
                return language_of(one.first(tags.CONCEPT_CODE_SEQUENCE).code_value)
        return language_of(self.root.first(tags.LANGUAGE_CODE_SEQUENCE).code_value)

    def authors(self) -> tuple[Person, ...]:
        """Who wrote it: the author observers, else the person whose observations they are, else who read the images."""
        root = self.root
        named = [one.name(tags.CONTENT_ITEM_NAME) for one in root.items(tags.AUTHOR_OBSERVER_SEQUENCE)]
        named = named or [one.name(tags.CONTENT_ITEM_NAME) for one in self._context if self._is_observer(one)]
        named = list(filter(None, named)) or root.name(tags.READING_PHYSICIANS).split("\\")
        return tuple(dict.fromkeys(person for name in named if (person := _person(name)) is not None))

    def _is_observer(self, one: Item) -> bool:
        return one.text(tags.VALUE_TYPE) == "PNAME" and one.concept == OBSERVER

    def is_read(self, one: Item) -> bool:
        """Whether this item of the observation context is told by the header already."""
        return one.concept in (OBSERVER, ORGANISATION, LANGUAGE) or (one.concept == TYPE and bool(self.authors()))

    @property
    def organisation(self) -> Organisation | None:
        said = [one.text(tags.TEXT_VALUE) for one in self._context if one.concept == ORGANISATION]
        verified = [one.text(tags.VERIFYING_ORGANIZATION) for one in self.root.items(tags.VERIFYING_OBSERVER_SEQUENCE)]
        name = next(filter(None, (*said, self.root.text(tags.INSTITUTION_NAME), *verified)), "")
        return Organisation(name) if name else None

    @property
    def custodian(self) -> Organisation | None:
        name = self.root.first(tags.CUSTODIAL_ORGANIZATION_SEQUENCE).text(tags.INSTITUTION_NAME)
        return Organisation(name) if name else None

    @property
    def attester(self) -> Attester | None:
        """Who verified it last."""
        when, who = max(self._verified, key=_instant, default=(_NEVER, None))
        return None if who is None else Attester(who, when.fhir())

    @property
    def validators(self) -> tuple[Validator, ...]:
        """Who verified it beside them."""
        last = max(self._verified, key=_instant, default=None)
        return tuple(Validator(who, when.fhir()) for when, who in self._verified if (when, who) != last)

    @cached_property
    def _verified(self) -> list[tuple[Moment, Person]]:
        return [
            (Moment.of_date_time(one.text(tags.VERIFICATION_DATE_TIME)), self._verifier(one, person))
            for one in self.root.items(tags.VERIFYING_OBSERVER_SEQUENCE)
            if (person := _person(one.name(tags.VERIFYING_OBSERVER_NAME))) is not None
        ]

    def _verifier(self, one: Item, person: Person) -> Person:
        """A verifying observer with their number, where a scheme says whose it is, and the organisation they verified for."""
        numbered = one.first(tags.VERIFYING_OBSERVER_IDENTIFICATION_CODE_SEQUENCE)
        explained = self._coding.read(one.code(tags.VERIFYING_OBSERVER_IDENTIFICATION_CODE_SEQUENCE))
        system = system_of(numbered.text(tags.CODING_SCHEME_UID)) or (explained.system if explained else "")
        organisation = one.text(tags.VERIFYING_ORGANIZATION)
        return replace(
            person,
            identifier=Identifier(system, numbered.code_value) if system and numbered.code_value else None,
            organisation=Organisation(organisation) if organisation else None,
        )

    @property
    def replaces(self) -> Identifier | None:
        """The one document of the same study whose content this one takes over: a report issued anew. Source: PS3.3 §C.17.2."""
        found = [(study, sop) for study, _, sop in evidence(self.root, tags.PREDECESSOR_DOCUMENTS_SEQUENCE)]
        if len(found) != 1 or found[0][0] != self.study:
            return None
        return Identifier("urn:dicom:uid", f"urn:oid:{found[0][1]}")

    def requests(self) -> list[Item]:
        return self.root.items(tags.REFERENCED_REQUEST_SEQUENCE) or [self.root]

    def accession_numbers(self) -> tuple[Identifier, ...]:
        return _numbers((*self.requests(), self.root), tags.ACCESSION_NUMBER, tags.ISSUER_OF_ACCESSION_NUMBER_SEQUENCE)

    def placer_order_numbers(self) -> tuple[Identifier, ...]:
        return _numbers(self.requests(), tags.PLACER_ORDER_NUMBER, tags.ORDER_PLACER_IDENTIFIER_SEQUENCE)

    @property
    def requested(self) -> str | None:
        for one in self.requests():
            code = one.code(tags.REQUESTED_PROCEDURE_CODE_SEQUENCE)
            if said := one.text(tags.REQUESTED_PROCEDURE_DESCRIPTION) or (code.meaning if code else ""):
                return said
        return None

    @property
    def requester(self) -> Person | None:
        named = [one.name(tags.REQUESTING_PHYSICIAN) for one in self.requests()]
        return next(filter(None, map(_person, (*named, self.root.name(tags.REFERRING_PHYSICIAN_NAME)))), None)

    def reasons(self) -> Iterator[tuple[str, Code | None]]:
        """Why it was asked for, in words and as a code."""
        for one in self.requests():
            code = self._coding.read(one.code(tags.REASON_FOR_REQUESTED_PROCEDURE_CODE_SEQUENCE))
            said = one.text(tags.REASON_FOR_REQUESTED_PROCEDURE)
            if said or code:
                yield said or (code.display or code.code if code else ""), code

    def _moment(self, item: Item, date: int, time: int) -> str | None:
        return Moment.of_dicom(item.text(date), item.text(time), self._offset).fhir()


_NEVER: Final = Moment.of_date_time("")


def _instant(verified: tuple[Moment, Person]) -> str:
    return verified[0].date_time


def _person(text: str) -> Person | None:
    """The person that a PN names, in the first writing that it has."""
    return next((Person(name) for name in values.read_persons(text)), None)


def _numbers(items: list[Item] | tuple[Item, ...], number: int, issuer: int) -> tuple[Identifier, ...]:
    found: dict[str, str | None] = {}
    for one in items:
        if value := one.text(number):
            found[value] = found.get(value) or values.read_issuer(one.first(issuer))
    return tuple(Identifier(system, value) for value, system in found.items())
