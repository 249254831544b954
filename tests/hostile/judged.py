"""What a face is asked by schemathesis, and what is wrong with an answer, if anything is.

Source: trust.md §2.7; interfaces.md §5, §6, §9, §12.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import schemathesis
from schemathesis.config import (
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from tests.hostile.described import FACES, described
from tests.hostile.running import Face

from isthmus.country_a.api import TOKEN_PATH
from isthmus.country_b.local.app import OURS
from isthmus.errors import MEANINGS

schemathesis.serializer.alias("application/dicom", "application/octet-stream")
ANSWERED = {200, 204, 206, 303, 304}
BROUGHT = {201, 202, 409}  # what came is told one by one, also when none of it is kept
REFUSED = {meaning.status for meaning in MEANINGS.values() if 400 <= meaning.status < 500}
SAID = {(meaning.code, meaning.status) for meaning in MEANINGS.values()}


def schema_of(name: str, *, examples: int, systematic: bool = False) -> Any:
    """A face as schemathesis sees it, always the same cases; `systematic` also tries each bound of each parameter."""
    generation = GenerationConfig(max_examples=examples, deterministic=True, database="none")
    phases = PhasesConfig(coverage=CoveragePhaseConfig(enabled=systematic))
    project = ProjectConfig(generation=generation, phases=phases)
    config = SchemathesisConfig(seed=1, projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(described(name, FACES[name]()), config=config)


def put(case: Any, face: Face, name: str) -> None:
    """Ask with all credentials and with none; every answer is well said."""
    for trusted in (True, False):
        response = case.call(base_url=face.at, session=face.session(trusted=trusted), allow_redirects=False)
        problem = well_said(response, name=name, trusted=trusted, face=face)
        assert problem is None, (problem, trusted, response.status_code, response.headers, response.content[:300])


def well_said(response: Any, *, name: str, trusted: bool, face: Face) -> str | None:
    """What is wrong with an answer, if anything is."""
    status, body = response.status_code, response.content
    if status not in ANSWERED | REFUSED | (BROUGHT if name == "intake" else set()):
        return "no status of the table"
    if b"Traceback" in body or b'File "' in body:
        return "it tells of the inside"
    if status < 400 or response.request.method == "HEAD":
        return None
    if not body:
        return "a refusal that says nothing"
    page = b"<!doctype html>" in body[:20]  # leads back to the address that was asked
    told = [
        word for word in face.untold if word.encode() in body and not (page and word in unquote(response.request.url))
    ]
    if told and (name != "portal" or not trusted):
        return "a refusal that names the patient"
    return _as_promised(name, response)


def _as_promised(name: str, response: Any) -> str | None:
    """The form of a refusal that this face promises: a page, an OperationOutcome, the error of a token endpoint."""
    said_media, path = response.headers.get("content-type", ""), urlsplit(response.request.url).path
    media = (said_media[0] if isinstance(said_media, list) else said_media).partition(";")[0]
    if name == "portal" or (name == "visit" and OURS.fullmatch(path) is None):
        return None if media == "text/html" else "no page"
    if name == "border" and path == "/ncp/witness/add-checkpoint" and media == "text/plain":
        return None  # C2SP's own form, once a peer is known
    said = orjson.loads(response.content)
    if name == "intake" and response.status_code == 409:
        return None if media == "application/dicom+json" else "no list of what came"
    if name == "intake" and not path.startswith("/fhir"):
        return None if media == "application/json" and "error" in said else "no error"
    if name == "operations":
        return None if media == "application/json" and said.keys() == {"error"} else "no error"
    if name == "border" and path == TOKEN_PATH:
        return None if media == "application/json" and "error" in said else "no error of a token endpoint"
    if media != "application/fhir+json" or said["resourceType"] != "OperationOutcome":
        return "no OperationOutcome"
    code = said["issue"][0]["details"]["coding"][0]["code"]
    return None if (code, response.status_code) in SAID else "a code with another's status"
