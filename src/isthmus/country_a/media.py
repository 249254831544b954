"""What a FHIR answer looks like, and which `Accept` it satisfies. JSON only; FHIR 4.0 only.

Source: R4 http; wire.md §1.2.
"""

from __future__ import annotations

from isthmus.errors import UnsupportedRequest
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request

FHIR_JSON = "application/fhir+json; charset=utf-8"
_FHIR_JSON = "application/fhir+json"
_FHIR_NAMES = (_FHIR_JSON, "application/json", "text/json", "json")  # `_format` has short names
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


def accepted(request: Request) -> str | None:
    """What a retrieval accepts; `_format` stands for the header. Raises UnsupportedRequest for any other parameter.

    Source: R4 http, _format.
    """
    for name, _ in request.query:
        if name != "_format":
            raise UnsupportedRequest("retrieval takes no parameters but _format", reason="param", path=name[:64])
    formats = [value.replace(" ", "+") for _, value in request.query]
    return ",".join(_FHIR_JSON if one.lower() in _FHIR_NAMES else one for one in formats) or request.accept


def wants_fhir(accept: str | None, media_type: str) -> bool:
    """Whether a document of this media type is wanted as FHIR resource, wrapped; of equal wishes as it is.

    Raises UnsupportedRequest when neither is accepted. Source: R4 Binary; RET-02, RET-03; field-faults F40.
    """
    native, plain, fhir = media_type.partition(";")[0].strip().lower(), 0.0, 0.0
    for name, parameters in ranges(accept):
        weight = _weight(parameters.get("q", "1"))
        if name in _FHIR_NAMES:
            fhir = max(fhir, weight)
        if name in (native, f"{native.partition('/')[0]}/*", "*/*"):
            plain = max(plain, weight)
    if not (plain or fhir):
        raise UnsupportedRequest(f"this document is {native}", reason="media")
    return fhir > plain


def _weight(text: str) -> float:
    try:
        return min(float(text), 1.0)
    except ValueError:
        return 1.0


def fhir_answer(body: bytes, *headers: tuple[str, str], status: int = 200) -> Answer:
    """A FHIR resource as answer."""
    return Answer(status, (("Content-Type", FHIR_JSON), *headers), (body,))
