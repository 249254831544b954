"""A source as it is configured, tried: the contract's questions, what works, what differs, and what to ask its vendor.

Nothing is changed at the source; here, manifests are made as for any other question. No patient data is told.

Source: interfaces.md §2, §7; field-faults F36, F37, F38.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Any, Final

from isthmus.config import Settings
from isthmus.errors import (
    DocumentNotFound,
    ImagesNotFound,
    ImagesPreparing,
    IsthmusError,
    NationalInfrastructureUnavailable,
)
from isthmus.model.amounts import amount
from isthmus.model.documents import WITHDRAWN, Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.pieces import Arriving, FileRange, StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.national.opening import Opening, open_source
from isthmus.national.pacs import PacsImages
from isthmus.national.remarks import NOBODYS_ISSUER, Finding, remarks
from isthmus.sources import Source

KINDS: Final = ("patients", "reports", "images")
WORKS, DIFFERS, FAILS, NOT_ASKED = "works", "differs", "fails", "not asked"
MIB: Final = 1 << 20
NO_STUDY: Final = "2.25.404"
NO_STUDY_FOUND: Final = (
    "no study of the patient is found",
    "Take a patient who has one; look whether patient_issuer is the system of --patient without urn:oid:.",
)
LOOK_AT: Final = {
    "": "Look at address, credentials and firewall, then at the source's own log.",
    "dimse": "Look at host, port and firewall, and at both AE titles: the PACS must be called by its own and know ours. Its log says more.",
}
_FULL_WIDTH: Final = {ord("0") + n: 0xFF10 + n for n in range(10)}


class Wrong(Exception):
    """A source does what no source may: what it is, and what to ask for."""

    def __init__(self, what: str, ask: str) -> None:
        super().__init__(what)
        self.what, self.ask = what, ask


class NothingToAsk(Exception):
    """A question that cannot be put: what for, is not there."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question, and what came of it."""

    source: str
    kind: str
    question: str
    outcome: str
    detail: str = ""


@dataclass
class Trial:
    """One source of a kind: what was asked, and what was found."""

    source: Source
    kind: str
    answered: list[Answered] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unavailable: bool = False
    instances: int = 0  # read, to compare them
    size_bytes: int = 0

    def note(self, question: str, outcome: str, detail: str = "") -> None:
        self.answered.append(Answered(self.source.name, self.kind, question, outcome, detail))

    def find(self, severity: str, what: str, ask: str) -> None:
        self.findings.append(Finding(self.source.name, severity, what, ask))


@dataclass
class Given:
    """What is asked of, and about whom."""

    opened: Any
    patient: PatientIdentifier | None
    study: str | None
    nobody: PatientIdentifier
    documents: Sequence[Document] = ()
    instances: int = 0
    size_bytes: int = 0


Question = Callable[[Given], Awaitable[str]]


async def try_source(
    source: Source, kind: str, opening: Opening, patient: PatientIdentifier | None, study: str | None
) -> Trial:
    """Ask everything of one source. What does not answer ends the trial of it."""
    trial, opened = Trial(source, kind), open_source(source, kind, opening)
    system = patient.system if patient is not None else source.patient_system
    given = Given(opened, patient, study, PatientIdentifier(system, f"isthmus{token_hex(4)}"))
    try:
        for words, needs_patient, ask in QUESTIONS[kind]:
            if needs_patient and patient is None:
                trial.note(words, NOT_ASKED, "needs --patient")
            elif not await _asked(trial, given, words, ask):
                return trial
        if kind == "images" and patient is not None and given.study is None:
            trial.find("warning", *NO_STUDY_FOUND)
        if isinstance(opened, PacsImages) and patient is not None:
            unlabelled = open_source(replace(source, patient_issuer=NOBODYS_ISSUER), kind, opening)
            trial.findings += await remarks(source, opened, unlabelled, patient, given.study)
            await unlabelled.close()
    finally:
        trial.instances, trial.size_bytes = given.instances, given.size_bytes
        if (close := getattr(opened, "close", None)) is not None:
            await close()
    return trial


async def _asked(trial: Trial, given: Given, words: str, ask: Question) -> bool:
    """One question; False when the source does not answer at all."""
    try:
        trial.note(words, WORKS, await ask(given))
    except NothingToAsk as nothing:
        trial.note(words, NOT_ASKED, str(nothing))
    except Wrong as wrong:
        trial.note(words, FAILS, wrong.what)
        trial.find("error", wrong.what, wrong.ask)
    except ImagesPreparing as later:
        trial.note(words, DIFFERS, f"being prepared; come back in {later.facts.get('retry_after_s')} s")
        trial.find("information", "the study is near-line: it was asked for", "Try again with it when it is there.")
    except NationalInfrastructureUnavailable as error:
        trial.note(words, FAILS, str(error))
        if "counted" not in error.facts:
            trial.unavailable = True
            trial.find("error", str(error), LOOK_AT.get(trial.source.kind, LOOK_AT[""]))
            return False
        ask_for = (
            "Ask why a search gives fewer rows than the source itself counts; no study is offered until it gives all."
        )
        trial.find("error", f"fewer rows than counted: {error}", ask_for)
    except IsthmusError as error:
        trial.note(words, FAILS, str(error))
        trial.find("error", str(error), "Ask what the source does for exactly this question.")
    return True


async def nobody_has_images(given: Given) -> str:
    if await given.opened.find_documents(DocumentQuery(patient=given.nobody)):
        raise Wrong("a number that nobody has finds documents", "Ask for searches by PatientID to match exactly.")
    return ""


async def listed(given: Given) -> str:
    assert given.patient is not None
    given.documents, again = [
        [d for d in await given.opened.find_documents(DocumentQuery(patient=given.patient)) if d.status != WITHDRAWN]
        for _ in range(2)
    ]
    if any(document.patient != given.patient for document in given.documents):
        raise Wrong("documents of other patients are listed", "Ask for searches that give this patient's alone.")
    if again != given.documents:
        raise Wrong("asked twice, the list differs", "Ask for a stable order, and whether something arrives just now.")
    studies = {uid for document in given.documents if document.kind.is_manifest for uid in document.study_instance_uids}
    given.study = given.study or next(iter(sorted(studies)), None)
    return f"{amount(len(given.documents), 'document')}, {amount(len(studies), 'study', 'studies')}"


async def other_issuers(given: Given) -> str:
    assert given.patient is not None
    for near in nearly(given.patient):
        if await given.opened.find_documents(DocumentQuery(patient=near)):
            raise Wrong(
                "an identifier that is nearly the patient's finds documents",
                "Ask for exact matching, without wildcards.",
            )
    return ""


async def documents_stay(given: Given) -> str:
    if not given.documents or given.patient is None:
        return "there is none"
    one, two = [await given.opened.get_document(given.patient, given.documents[0].id) for _ in range(2)]
    given.size_bytes += len(one.body) + len(two.body)
    if one.body != two.body or not one.body:
        raise Wrong("a document is other bytes each time, or none", "Ask for documents that stay as they were made.")
    return amount(len(one.body), "byte")


async def no_such_document(given: Given) -> str:
    for wrong in ("", "x", "-1", "99999999999999999999"):
        try:
            await given.opened.get_document(given.patient or given.nobody, wrong)
        except DocumentNotFound:
            continue
        raise Wrong("an id that is none gives a document", "Ask for 404 for what does not exist.")
    return ""


async def strangers_images(given: Given) -> str:
    for patient, study in ((given.patient or given.nobody, NO_STUDY), (given.nobody, given.study or NO_STUDY)):
        try:
            await given.opened.get_images(patient, ImagesQuery(study))
        except ImagesNotFound:
            continue
        raise Wrong(
            "a study that is not the patient's is given",
            "Ask for searches that match PatientID and StudyInstanceUID together.",
        )
    return ""


async def images(given: Given) -> str:
    if given.study is None or given.patient is None:
        raise NothingToAsk("the patient has no study")
    query = ImagesQuery(given.study)
    one, two = [await given.opened.get_images(given.patient, query) for _ in range(2)]
    if [i.sop_instance_uid for i in one] != [i.sop_instance_uid for i in two]:
        raise Wrong("asked twice, the instances come in another order", "Ask for InstanceNumber in rows of instances.")
    told = {d.instance_count for d in given.documents if given.study in d.study_instance_uids and d.status == "current"}
    if told - {None, len(one)}:
        raise Wrong("the manifest counts other instances than are given", "Ask whether the study changes just now.")
    return f"{amount(len(one), 'instance')} in {len({i.series_instance_uid for i in one})} series"


async def image_bytes(given: Given) -> str:
    if given.study is None or given.patient is None:
        raise NothingToAsk("the patient has no study")
    found = await given.opened.get_images(given.patient, ImagesQuery(given.study))
    began, size = monotonic(), 0
    for instance in (found[0], found[-1]):
        one, two = await _digest(instance), await _digest(instance)
        given.instances, given.size_bytes = given.instances + 1, given.size_bytes + one[1] + two[1]
        if one != two:
            raise Wrong(
                "an instance is other bytes each time", "Ask for images as they are stored, not changed on the way."
            )
        size += 2 * one[1]
    return f"{size / MIB:.1f} MiB, {size / MIB / max(monotonic() - began, 1e-6):.0f} MiB/s"


async def _digest(instance: StoredInstance) -> tuple[str, int]:
    """Of the bytes as they arrive: nothing is held."""
    content, found, size = instance.content, hashlib.sha256(), 0
    if isinstance(content, FileRange):
        return await asyncio.to_thread(_of_file, content)
    assert isinstance(content, Arriving)
    async for piece in content.open():
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


def _of_file(place: FileRange) -> tuple[str, int]:
    found, left = hashlib.sha256(), place.size_bytes
    with Path(place.path).open("rb") as file:
        file.seek(place.offset)
        while left and (piece := file.read(min(left, MIB))):
            found.update(piece)
            left -= len(piece)
    return found.hexdigest(), place.size_bytes - left


async def nobody_registered(given: Given) -> str:
    if await given.opened.find_patients(PatientQuery((given.nobody,))):
        raise Wrong("a number that nobody has finds a person", "Ask for searches by identifier to match exactly.")
    return ""


async def registered(given: Given) -> str:
    assert given.patient is not None
    found = await given.opened.find_patients(PatientQuery((given.patient,)))
    if [person.identifier for person in found] != [given.patient]:
        raise Wrong(
            f"the identifier finds {amount(len(found), 'person')}, not the one who was looked for",
            "Ask how the number and its issuer are written there.",
        )
    (person,) = found
    others = (
        PatientQuery((given.patient,), birth_date="1871-01-18"),
        PatientQuery((given.patient,), family=person.name.family[:-1]),
    )
    for other in others:
        if await given.opened.find_patients(other):
            raise Wrong("part of a name, or another birth date, finds the person", "Ask for exact matching of traits.")
    return ""


async def nearly_registered(given: Given) -> str:
    assert given.patient is not None
    for near in nearly(given.patient):
        if await given.opened.find_patients(PatientQuery((near,))):
            raise Wrong(
                "an identifier that is nearly the patient's finds a person",
                "Ask for exact matching, without wildcards.",
            )
    return ""


_DOCUMENTS: Final[tuple[tuple[str, bool, Question], ...]] = (
    ("it answers, and a number that nobody has finds nothing", False, nobody_has_images),
    ("a patient's documents are listed, the same twice", True, listed),
    ("what nearly is an identifier finds nothing", True, other_issuers),
    ("a document is the same bytes twice", True, documents_stay),
    ("an id that is none is not found", False, no_such_document),
)
QUESTIONS: Final[dict[str, tuple[tuple[str, bool, Question], ...]]] = {
    "patients": (
        ("it answers, and a number that nobody has finds nobody", False, nobody_registered),
        ("a patient is found by identifier, and not by part of a name", True, registered),
        ("what nearly is an identifier finds nobody", True, nearly_registered),
    ),
    "reports": _DOCUMENTS,
    "images": (
        *_DOCUMENTS,
        ("images of nobody and of strangers are not found", False, strangers_images),
        ("a study's images are listed, in one order", True, images),
        ("images come whole, the same bytes twice", True, image_bytes),
    ),
}
"""By kind: the question, whether it needs a patient, and how it is asked."""


def nearly(known: PatientIdentifier) -> Sequence[PatientIdentifier]:
    """Other identifiers that a source may take for this one: as a pattern, as a list, without padding, in another case."""
    value = known.value
    values = [
        "*", "%", f"{value}*", f"{value[:-1]}*", f"{value[:-1]}?", f"{value[:-1]}%", f"{value[:-1]}_", value[:-1], f"{value}0",
        f"{value}\\{value}", f"{value},{value}", f"{value}^", f"{value} x", f"x|{value}", f"{value}'--",
        value.swapcase(), value.translate(_FULL_WIDTH),
    ]  # fmt: skip
    systems = [f"{known.system}.1", known.system[:-1], f"{known.system}|", "*"]
    others = [*(replace(known, value=one) for one in values if one), *(replace(known, system=one) for one in systems)]
    return [other for other in others if other != known]


def chosen(settings: Settings, name: str | None) -> list[tuple[str, Source]]:
    """The sources by kind, those of a name where one is given; none, when there is none of it."""
    every = [(kind, source) for kind in KINDS for source in getattr(settings.sources, kind)]
    return [(kind, source) for kind, source in every if name in (None, source.name)]
