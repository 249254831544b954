"""What a FHIR answer looks like, and which `Accept` it satisfies. JSON only; FHIR 4.0 only.

Source: R4 http; wire.md §1.2.
"""

from __future__ import annotations

from isthmus.errors import UnsupportedRequest
from isthmus.transport.answers import Answer

FHIR_JSON = "application/fhir+json; charset=utf-8"
_FHIR_TYPES = ("application/fhir+json", "application/json", "text/json", "application/*", "*/*")


def ranges(accept: str | None) -> list[tuple[str, dict[str, str]]]:
    """Media ranges with their parameters, those with q=0 left out; everything when nothing is said."""
    found = []
    for part in (accept or "*/*").split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        known = dict(p.lower().split("=", 1) for p in parameters if "=" in p)
        if not known.get("q", "1").strip("0."):
            continue
        found.append((name.lower(), {key.strip(): value.strip(' "') for key, value in known.items()}))
    return found


def check_fhir(accept: str | None) -> None:
    """Raises UnsupportedRequest when FHIR R4 in JSON is not among what is accepted."""
    for name, parameters in ranges(accept):
        if name in _FHIR_TYPES and parameters.get("fhirversion", "4.0") in ("4.0", "4.0.1"):
            return
    raise UnsupportedRequest("this border gives application/fhir+json; fhirVersion=4.0", reason="media")


def accepts(accept: str | None, media_type: str) -> bool:
    """Whether a document may come in its own media type."""
    plain = media_type.partition(";")[0].strip().lower()
    wanted = (plain, f"{plain.partition('/')[0]}/*", "*/*")
    return any(name in wanted for name, _ in ranges(accept))


def fhir_answer(body: bytes, *headers: tuple[str, str], status: int = 200) -> Answer:
    """A FHIR resource as answer."""
    return Answer(status, (("Content-Type", FHIR_JSON), *headers), (body,))
