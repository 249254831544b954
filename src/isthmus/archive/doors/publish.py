"""A report published by FHIR: read, brought to `reports.py`, and answered with the verdict's reason.

Source: ITI-105; ITI-65; interfaces.md §11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from isthmus.archive.folders import HEAD_BYTES, form_of
from isthmus.archive.reports import Envelope, Reports
from isthmus.archive.verdicts import ACCEPTED, QUARANTINED, REASONS, REFUSED, Verdict, held
from isthmus.errors import UnsupportedRequest
from isthmus.model.identifiers import PatientIdentifier
from isthmus.originals.publish import Published, read_publication, write_result, write_transaction
from isthmus.sources import Source
from isthmus.transport.answers import Answer, json_answer
from isthmus.transport.inflow import Inflow

BODY_LIMIT_BYTES: Final = 24 << 20  # a document of 16 MiB, in base64, and what is said of it
MEDIA_TYPE: Final = "application/fhir+json"
_TAKEN: Final = (MEDIA_TYPE, "application/json")
_CONFLICTS: Final = frozenset({"other-document", "older-version", "other-source", "unknown-replaced"})


@dataclass(frozen=True, slots=True)
class Result:
    """What was published, and its verdict."""

    published: Published
    verdict: Verdict


def is_publication(segments: list[str], content_type: str | None) -> bool:
    """Whether a path is that of a publication. Raises UnsupportedRequest for a body that is no FHIR JSON."""
    if segments not in (["fhir"], ["fhir", "DocumentReference"]):
        return False
    if (content_type or "").partition(";")[0].strip().lower() not in _TAKEN:
        raise UnsupportedRequest(f"documents are published as {MEDIA_TYPE}", reason="body-media", path="Content-Type")
    return True


def publish(inflow: Inflow, reports: Reports, source: Source) -> Result:
    """Take a document in; a thread's work. Raises MalformedRequest, UnsupportedRequest, TooLarge, transport.inflow.Cut."""
    published = read_publication(b"".join(iter(inflow.read, b"")))
    patient = _whose(published, source)
    if isinstance(patient, str):
        return Result(published, held(REFUSED, "document", patient))
    form = form_of(published.body[:HEAD_BYTES])
    if form != published.form:
        return Result(published, held(REFUSED, "document", "unknown-form", "it is not what its content type says"))
    envelope = Envelope(
        patient,
        published.studies,
        published.accession_numbers,
        published.unique_id,
        published.title,
        published.created,
        published.language,
        published.replaces,
        published.confidentiality,
    )
    return Result(published, reports.take(published.body, form, "document", envelope))


def _whose(published: Published, source: Source) -> PatientIdentifier | str:
    """The one identifier of the source's issuer, or the only one there is; else why not."""
    if not published.patients:
        return "no-patient"
    issued = [one for one in published.patients if one.system == source.patient_system] if source.patient_issuer else []
    named = issued or list(published.patients)
    return named[0] if len(named) == 1 else "several-patients"


def answer_of(result: Result, base: str) -> Answer:
    """201 kept, 200 kept already, 202 held for the operator, 409 another document stands in the way, 422 not to be taken."""
    verdict = result.verdict
    words = REASONS[verdict.reason] if verdict.reason is not None else "Kept."
    outcome = write_result(verdict.reason, words, kept=verdict.outcome == QUARANTINED)
    if verdict.outcome == REFUSED:
        refused = 413 if verdict.reason == "too-large" else 409 if verdict.reason in _CONFLICTS else 422
        return json_answer(refused, outcome, MEDIA_TYPE)
    if verdict.outcome == QUARANTINED:
        return json_answer(202, outcome, MEDIA_TYPE)
    location = f"{base}/DocumentReference/{verdict.document}"
    status = 201 if verdict.outcome == ACCEPTED else 200
    if result.published.entries:
        said = "201" if status == 201 else "200"
        return json_answer(200, write_transaction(result.published.entries, said, location), MEDIA_TYPE)
    return json_answer(status, outcome, MEDIA_TYPE, (("Location", location),))
