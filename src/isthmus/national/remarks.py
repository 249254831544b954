"""What a PACS leaves out or refuses, in a sentence each, with what to ask its vendor for.

It is asked once more under an issuer that nobody has: rows that then seem the patient's name no issuer themselves.

Source: interfaces.md §7; field-faults F01, F36, F38; stack.md pitfall 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

import orjson

from isthmus.archive.studies import Told
from isthmus.errors import IsthmusError
from isthmus.model.identifiers import PatientIdentifier
from isthmus.national.dicomweb import DicomWeb
from isthmus.national.pacs import Pacs, PacsImages
from isthmus.national.told import Held
from isthmus.sources import Source

NOBODYS_ISSUER: Final = "2.999.0.404"
ERROR, WARNING, INFORMATION = "error", "warning", "information"

Remark = tuple[str, str, str]

_FIELDS: Final = {
    "all": "attributes by name (includefield) are refused; all are asked for",
    "none": "attributes by name (includefield) are refused; what comes by itself is all there is",
}
_ABSENT: Final[dict[str, Remark]] = {
    "study_date": (
        WARNING,
        "StudyDate is missing in rows of studies",
        "Ask for StudyDate: the professional chooses by it.",
    ),
    "accession_number": (
        INFORMATION,
        "AccessionNumber is missing in rows of studies",
        "Ask whether orders have one; reports are joined to studies by it.",
    ),
    "study_description": (
        INFORMATION,
        "StudyDescription is missing in rows of studies",
        "Ask for StudyDescription: without it the list says the modality alone.",
    ),
    "modality": (
        WARNING,
        "Modality is missing in rows of series",
        'Ask for Modality; such a series is offered as "other".',
    ),
    "body_part_examined": (
        INFORMATION,
        "BodyPartExamined is missing in rows of series",
        "Ask for BodyPartExamined; without it the region is said to be the entire body.",
    ),
}
"""What a manifest needs of the words of the index, and what is said when no row has it."""


@runtime_checkable
class LearnsClasses(Protocol):
    """A `Pacs` that may have to learn of which class instances are."""

    @property
    def has_learnt(self) -> bool:
        """Whether it had to so far."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a source: how bad, what, and what to ask for."""

    source: str
    severity: str
    what: str
    ask: str


async def remarks(
    source: Source, images: PacsImages, unlabelled: PacsImages, patient: PatientIdentifier, study: str | None
) -> list[Finding]:
    """What is to be said of a PACS, as it answers about this patient. `unlabelled` is the same with an issuer that nobody has."""
    found: list[Remark] = []
    with suppress(IsthmusError):  # what it does not answer has been said already
        answered = await images.pacs.find_studies(patient)
        held = [one for one in answered if one.patient.identifier == patient]
        others = {o.patient.identifier.system for o in answered if o.patient.identifier.value == patient.value}
        for issuer in sorted(others - {patient.system}):
            found.append(
                (
                    WARNING,
                    f"rows with the patient's number name another issuer than --patient does: {issuer}",
                    "If it is the same issuer, say so in the settings: issuers = { NAME = OID }; its studies are listed then.",
                )
            )
        if len(held) < len(answered):
            found.append(
                (
                    WARNING,
                    "studies of other patients are answered with, and dropped",
                    "Ask for exact matching of PatientID, if these are not the patient's under another issuer.",
                )
            )
        nobodys = replace(patient, system=f"urn:oid:{NOBODYS_ISSUER}")
        if any(one.patient.identifier == nobodys for one in await unlabelled.pacs.find_studies(nobodys)):
            found.append(
                (
                    INFORMATION,
                    "IssuerOfPatientID is not answered: patient_issuer of the settings stands for it",
                    "State patient_issuer; if numbers of several issuers lie there, ask for IssuerOfPatientID in rows of studies.",
                )
            )
        one = next((h for h in held if h.study_instance_uid == study), None)
        found += _of_study(one) if one is not None else ()
        found += _of_instances(await images.pacs.list_instances(one)) if one is not None else ()
    return [Finding(source.name, *remark) for remark in (*found, *_of_dialect(source, images.pacs))]


def _of_study(held: Held) -> Iterator[Remark]:
    if None in held.counts or any(series.instance_count is None for series in held.series):
        yield (
            WARNING,
            "counts of series and instances are missing: an answer that stops short is not noticed",
            "Ask for NumberOfStudyRelatedSeries, NumberOfStudyRelatedInstances and NumberOfSeriesRelatedInstances.",
        )
    said = {name for facts in (held.facts, *(s.facts for s in held.series)) for name in orjson.loads(facts)}
    yield from (remark for name, remark in _ABSENT.items() if name not in said)


def _of_instances(told: Sequence[Told]) -> Iterator[Remark]:
    if told and all(one.frames is None for one in told):
        yield (
            INFORMATION,
            "no NumberOfFrames at instance level",
            "Ask for NumberOfFrames, if the study has multi-frame images: manifests name it.",
        )
    if any(one.number is None for one in told):
        yield (
            WARNING,
            "InstanceNumber is missing in rows of instances",
            "Ask for InstanceNumber: images are ordered by it.",
        )


def _of_dialect(source: Source, pacs: Pacs) -> Iterator[Remark]:
    """What a PACS refused of how we ask, or cannot tell."""
    if isinstance(pacs, LearnsClasses) and pacs.has_learnt:
        yield (
            WARNING,
            "SOP classes of instances are not told: each series is received once to learn them",
            "Ask for SOPClassUID in rows of instances; the first list of a patient waits for it.",
        )
    if not isinstance(pacs, DicomWeb):
        return
    if pacs.always_404:
        yield (
            WARNING,
            "every search is answered with 404: nothing is found, or nothing lies at url",
            "Look at url: below it lies /studies. If it is right, try a patient who has a study.",
        )
    for level, form in pacs.forms.items():
        if form.fields in _FIELDS:
            yield WARNING, f"{level}: {_FIELDS[form.fields]}", "Ask for includefield as PS3.18 §8.3.4 has it."
        if not form.paged:
            yield (
                WARNING,
                f"{level}: limit and offset are refused",
                "Ask for limit and offset as PS3.18 §8.3.4 has them.",
            )
    for level in pacs.unsteady:
        yield (
            WARNING,
            f"{level}: pages overlap, stand still or fall short; all is asked for at once",
            "Ask for offset as PS3.18 §8.3.4 has it, and for one order of rows from page to page.",
        )
    if not source.accept and "transfer-syntax=*" not in pacs.accept:
        yield (
            WARNING,
            "transfer-syntax=* is refused: images may come recoded, not as they are stored",
            "Ask for WADO-RS with transfer-syntax=* (PS3.18 §8.7.3).",
        )
    elif not source.accept and not pacs.accept.startswith('multipart/related; type="application/dicom"'):
        yield INFORMATION, f"images are given for Accept: {pacs.accept}", "Nothing: put it into accept in the settings."
