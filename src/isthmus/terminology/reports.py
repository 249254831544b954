"""A report's national codes turned into EU codes, in the European document that is made of it: the code of home stays beside, marked.

A concept that has a code others know is left as it is. Narrative and free text are never touched.

Source: requirements.md §5.10; wire.md §2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from isthmus.fhir import elements as el
from isthmus.model.codes import DCM, ISCO_08, LOINC, SNOMED
from isthmus.terminology.mapping import Transcoder
from isthmus.terminology.rows import BODY_PART, PROCEDURE

PLACES: Final[dict[str, dict[str, str]]] = {
    "Procedure": {"code": PROCEDURE, "bodySite": BODY_PART},
    "ServiceRequest": {"code": PROCEDURE, "bodySite": BODY_PART},
    "ImagingStudy": {"procedureCode": PROCEDURE},
    "Observation": {"bodySite": BODY_PART},
    "Condition": {"bodySite": BODY_PART},
    "BodyStructure": {"location": BODY_PART},
}
KNOWN: Final = frozenset(
    {
        *(
            SNOMED,
            LOINC,
            DCM,
            ISCO_08,
            "http://radlex.org",
            "http://hl7.org/fhir/sid/icd-10",
            "http://www.whocc.no/atc",
        ),
        *("http://unitsofmeasure.org", "http://standardterms.edqm.eu"),
    }
)
"""Systems that every country reads."""


def transcode_document(body: bytes, transcoder: Transcoder) -> bytes:
    """The document with its codes mapped; the same bytes where there is nothing to map. What nobody could map is in `unmapped`."""
    bundle = el.read_object(body, digits=True)
    changed = False
    for kind, concept in _concepts(bundle):
        changed |= _transcode(kind, concept, transcoder)
    return el.write_object(bundle) if changed else body


def _concepts(bundle: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The concepts that may hold a national code, each with what kind of code it is."""
    for entry in bundle.get("entry", ()):
        resource = entry.get("resource", {})
        for name, kind in PLACES.get(resource.get("resourceType", ""), {}).items():
            held = resource.get(name)
            yield from ((kind, one) for one in (held if isinstance(held, list) else [held]) if isinstance(one, dict))


def _transcode(kind: str, concept: dict[str, Any], transcoder: Transcoder) -> bool:
    codings = [coding for coding in concept.get("coding", ()) if coding.get("code")]
    if not codings or any(coding.get("system") in KNOWN for coding in codings):
        return False
    own = codings[0]
    found = transcoder.code(kind, (own["code"], own.get("system", ""), own.get("display") or concept.get("text") or ""))
    own["userSelected"] = True
    if found is not None and not found.is_original:
        known = {"system": found.system, "code": found.code, "display": found.display}
        concept["coding"] = [{name: value for name, value in known.items() if value}, *concept["coding"]]
    return True
