"""Who is the patient: the country's own fields, the one person it finds beside what was typed, and the professional's word.

Source: portal design §4 (find a patient, confirm); interfaces.md §12; trust.md §2.5.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import SequenceMatcher

import re2
from markupsafe import Markup, escape

from isthmus.country_b.patients import TRAITS
from isthmus.country_b.portal.ask import Ask, identifier_labels
from isthmus.country_b.portal.words import BASES, RECOGNISED, SEXES, Offer, sex
from isthmus.country_b.visit import Visit, new_visit, place_of
from isthmus.dicom.names import fold
from isthmus.errors import InsufficientRights, IsthmusError, MalformedRequest, PatientNotFound
from isthmus.model.context import Purpose, Representative, TreatmentRelationship
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.masks import MaskIdentifier, SearchMask
from isthmus.model.people import Patient
from isthmus.model.queries import PatientQuery
from isthmus.pages.language import Language
from isthmus.transport.answers import Answer
from isthmus.trust.encoding import base64url
from isthmus.trust.trustlist import Participant

NOTICE_VERSION = "1"
FIELDS = {"family": "family", "given": "given", "birthdate": "birth-date", "gender": "gender"}  # trait: field's name
AT_THE_FORM = ("no-match", "multiple-matches", "search-mask", "search-mask-value", "value", "rate")


@dataclass(frozen=True, slots=True)
class Tile:
    """One country one may ask."""

    code: str
    name: str
    shares: str


@dataclass(frozen=True, slots=True)
class Line:
    """One trait: as the country answers, as it was typed, and what comparing them says."""

    name: str
    answered: str
    native: str
    native_language: str
    typed: Markup
    differs: bool
    same: str
    is_id: bool = False


# the form


async def find_page(ask: Ask) -> Answer:
    return _form(ask, ask.query.get("country", ""), {}, {})


async def find(ask: Ask) -> Answer:
    """Ask the country. One person is found, or nobody: never a list."""
    participants = {p.country: p for p in ask.desk.directory.countries}
    country, typed = ask.form.get("country", ""), dict(ask.form)
    participant = participants.get(country)
    if participant is None or ask.form.get("mask") != country:
        return _form(ask, country, typed, {})
    query, problems = read_query(ask.form, participant.mask, ask.spoken)
    if query is None:
        return _form(ask, country, typed, problems, status=400)
    who = ask.signed_in.professional
    here = place_of(who, ask.desk.settings.country)
    visit = replace(new_visit(who, here, Purpose.TREAT, ask.desk.clock(), ask.desk.roles), typed=query)
    try:
        patient = await ask.desk.verbs.find_patients(visit, country, query)
    except IsthmusError as error:
        if error.reason not in AT_THE_FORM:
            raise
        words = ask.spoken.say(error.meaning.words)
        return _form(ask, country, typed, {}, status=error.meaning.status, trouble=words)
    visit = visit.found(country, patient)
    await ask.desk.visits.keep(visit)
    return ask.to(f"/visits/{visit.id}/confirm")


def read_query(
    fields: Mapping[str, str], mask: SearchMask, spoken: Language
) -> tuple[PatientQuery | None, dict[str, str]]:
    """What was typed, as the country's mask wants it; or what is wrong with it, field by field, before anything is sent."""
    problems: dict[str, str] = {}
    found = {}
    for trait, member in TRAITS.items():
        value = " ".join(fields.get(FIELDS[trait], "").split())
        if not value and mask.required(trait):
            problems[FIELDS[trait]] = spoken.say("Fill in this field. Nothing has been sent yet.")
        found[member] = value if trait in mask.traits else ""
    if found["birth_date"]:
        iso = read_date(found["birth_date"])
        if iso is None:
            problems["birth-date"] = spoken.say("Not a date. Write year, month and day, like 1961-03-14.")
        found["birth_date"] = iso or ""
    if found["gender"] not in ("", *SEXES):
        problems["gender"] = spoken.say("Choose one of the list.")
    identifier = read_identifier(fields.get("identifier", ""), fields.get("kind", ""), mask)
    if identifier is None:
        problems["identifier"] = spoken.say(
            "The number does not have the form that the country uses. Nothing has been sent yet."
        )
    if problems or identifier is None:
        return None, problems
    given = (found["given"],) if found["given"] else ()
    return (
        PatientQuery(
            (identifier,), found["family"] or None, given, found["birth_date"] or None, found["gender"] or None
        ),
        {},
    )


def read_identifier(text: str, kind: str, mask: SearchMask) -> PatientIdentifier | None:
    """The number under the authority whose form it has; blanks, dots and hyphens between its groups do not matter."""
    chosen = (
        [mask.identifiers[int(kind)]] if kind.isdecimal() and int(kind) < len(mask.identifiers) else mask.identifiers
    )
    for value in (text, re.sub(r"\s", "", text), re.sub(r"[\s.\-]", "", text)):
        for entry in chosen:
            if 0 < len(value) <= 64 and re2.fullmatch(entry.pattern, value):
                return PatientIdentifier(entry.system, value)
    return None


def read_date(text: str) -> str | None:
    """A calendar date: year first as ISO writes it, or day first as Europe does."""
    for pattern in (
        r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})",
        r"(?P<d>\d{1,2})[./ -](?P<m>\d{1,2})[./ -](?P<y>\d{4})",
    ):
        if (match := re.fullmatch(pattern, text)) is not None:
            try:
                return date(int(match["y"]), int(match["m"]), int(match["d"])).isoformat()
            except ValueError:
                return None
    return None


def _form(
    ask: Ask, country: str, typed: dict[str, str], problems: dict[str, str], *, status: int = 200, trouble: str = ""
) -> Answer:
    participants = ask.desk.directory.countries
    if len(participants) == 1:
        country = participants[0].country
    chosen = next((p for p in participants if p.country == country), None)
    return ask.page(
        "find-patient.html",
        status,
        tiles=[_tile(ask, p) for p in participants],
        chosen=chosen.country if chosen else "",
        chosen_name=ask.country_name(chosen.country) if chosen else "",
        kinds=[_label(ask, kind) for kind in chosen.mask.identifiers] if chosen else [],
        traits=chosen.mask.traits if chosen else {},
        sexes={code: sex(code, ask.spoken) for code in SEXES},
        typed=typed,
        problems=problems,
        trouble=trouble,
    )


def _tile(ask: Ask, participant: Participant) -> Tile:
    words = Offer.of(participant.services).words(ask.spoken)
    return Tile(participant.country, ask.country_name(participant.country), words)


def _label(ask: Ask, kind: MaskIdentifier) -> str:
    return kind.label.get(ask.spoken.code) or kind.label.get("en") or ask.spoken.say("Number")


# the person


async def confirm_page(ask: Ask) -> Answer:
    return _confirm(ask)


def _confirm(ask: Ask, *, status: int = 200, untold: bool = False, half: bool = False) -> Answer:
    visit = ask.visiting
    if not visit.patients:
        raise PatientNotFound("nobody was found in this visit yet")
    return ask.page(
        "confirm-person.html",
        status,
        lines=compare(ask, ask.patient, visit.typed),
        name=ask.country_name(ask.country),
        ours=ask.country_name(ask.desk.settings.country),
        code=ask.country,
        untold=untold,
        recognised={code: ask.spoken.say(RECOGNISED[code]) for code in _recognised(ask)},
        bases={code: ask.spoken.say(words) for code, words in BASES.items()},
        typed=ask.form,
        half=half,
    )


def _recognised(ask: Ask) -> list[str]:
    """The ways of recognising a patient that this country accepts, the first of them chosen."""
    accepted = ask.desk.directory.country(ask.country).policy.patient_presence
    return [way for way in RECOGNISED if way in accepted] or ["id-document"]


def read_representative(fields: Mapping[str, str]) -> Representative | None:
    """Who speaks for the patient, where anything of it is filled in. Raises MalformedRequest (required) when a part lacks.

    What was shown does not cross: only its digest does.
    """
    who, basis, shown = (" ".join(fields.get(name, "").split()) for name in ("representative", "basis", "evidence"))
    if not (who or shown):
        return None
    if not who or not shown or basis not in BASES:
        raise MalformedRequest("who speaks for the patient is not said whole", reason="required", path="representative")
    return Representative(who[:200], basis, base64url(hashlib.sha256(shown.encode()).digest()))


async def confirm(ask: Ask) -> Answer:
    """The treatment relationship, stated by tick; only then may anything of the person be asked for."""
    if ask.form.get("relationship") != "yes":
        return _confirm(ask, status=400, untold=True)
    if ask.form.get("purpose") not in (Purpose.TREAT.value, Purpose.ETREAT.value):
        raise InsufficientRights("an emergency is declared on a page of its own", reason="purpose")
    try:
        representative = read_representative(ask.form)
    except MalformedRequest:
        return _confirm(ask, status=400, half=True)
    ways = _recognised(ask)
    method = ask.form.get("recognised", ways[0])
    if method not in ways:
        raise MalformedRequest("a way of recognising that is not offered", reason="value", path="recognised")
    now, visit = ask.desk.clock(), replace(ask.visiting, purpose=Purpose(ask.form["purpose"]))
    relationship = TreatmentRelationship(
        purpose=visit.purpose,
        method=method,
        document_country=ask.country,
        verified_at=now,
        notice_version=NOTICE_VERSION,
        notice_language=ask.spoken.code,
        notice_given=True,
        encounter=secrets.token_urlsafe(12),
        confirmed_at=now,
        point_of_care=visit.point_of_care,
        representative=representative,
    )
    if ask.visiting.purpose is Purpose.BTG:  # what an emergency showed is not what treatment shows
        await ask.desk.put_away(visit.id)
    await ask.desk.visits.keep(replace(visit, relationship=relationship))
    return ask.to(f"{ask.at_visit}/examinations")


async def close(ask: Ask) -> Answer:
    """The visit ends, and what was spooled for it goes."""
    visit: Visit = ask.visiting
    await ask.desk.visits.end(visit.id)
    await ask.desk.put_away(visit.id)
    return ask.to("/find")


def compare(ask: Ask, patient: Patient, typed: PatientQuery | None) -> list[Line]:
    """The person as the country knows them, beside what was typed; what was not typed was not asked."""
    spoken = ask.spoken
    native = next((n for n in patient.names[1:] if n.language), None)
    script = (native.language or "") if native else ""
    asked = typed or PatientQuery(())
    number = next((i.value for i in asked.identifiers), "")
    label = identifier_labels(ask.desk.directory.country(ask.country).mask.identifiers, patient.identifier.system)
    rows = (
        (spoken.say("Family name"), patient.name.family, native.family if native else "", asked.family or "", False),
        (
            spoken.say("Given name"),
            " ".join(patient.name.given),
            " ".join(native.given) if native else "",
            " ".join(asked.given),
            False,
        ),
        (
            spoken.say("Date of birth"),
            spoken.date(patient.birth_date),
            "",
            spoken.date(asked.birth_date) if asked.birth_date else "",
            False,
        ),
        (
            spoken.say("Sex"),
            sex(patient.gender, spoken),
            "",
            sex(asked.gender, spoken) if asked.gender else "",
            False,
        ),
        (label.get(spoken.code) or label.get("en") or spoken.say("Number"), patient.identifier.value, "", number, True),
    )
    return [
        _line(name, answered, other, script, given, spoken, is_id=is_id) for name, answered, other, given, is_id in rows
    ]


def _line(name: str, answered: str, native: str, script: str, typed: str, spoken: Language, *, is_id: bool) -> Line:
    if not typed:
        return Line(name, answered, native, script, Markup(""), False, "", is_id)
    marked, differing = differences(typed, answered, native)
    count = spoken.count("One letter differs", "%(n)d letters differ", differing) % {"n": differing}
    same = count if differing else spoken.say("The same")
    return Line(name, answered, native, script, marked, differing > 0, same, is_id)


def differences(typed: str, *answered: str) -> tuple[Markup, int]:
    """What was typed with the letters marked that the answer does not have, and how many letters differ.

    Case and accents do not count: no country tells them apart.
    """
    best: tuple[Markup, int] | None = None
    for answer in filter(None, answered):
        if fold(answer) == fold(typed):
            return escape(typed), 0
        parts, differing = [], 0
        for what, i, j, k, m in SequenceMatcher(
            None, typed.casefold(), answer.casefold(), autojunk=False
        ).get_opcodes():
            piece = typed[i:j]
            parts.append(escape(piece) if what == "equal" else Markup("<mark>{}</mark>").format(piece or "·"))
            differing += 0 if what == "equal" else max(j - i, m - k)
        if best is None or differing < best[1]:
            best = Markup("").join(parts), differing
    return best or (escape(typed), 0)
