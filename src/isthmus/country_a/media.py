"""What a FHIR answer looks like, and which `Accept` it satisfies. JSON only; FHIR 4.0 only.

Source: R4 http; wire.md §1.2.
"""

from __future__ import annotations

import re

from isthmus.errors import UnsupportedRequest
from isthmus.model.media import quality
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request

FHIR_JSON = "application/fhir+json; charset=utf-8"
_FHIR_JSON = "application/fhir+json"
_FHIR_NAMES = (_FHIR_JSON, "application/json", "text/json", "json")  # `_format` has short names
_OTHER_NAMES = ("application/json", "text/json")


def ranges(accept: str | None) -> list[tuple[str, dict[str, str]]]:
    """Media ranges with their parameters, `q` among them; everything when nothing is said. What cannot be read is no range."""
    found = []
    for part in (accept or "*/*").split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        known = dict(p.lower().split("=", 1) for p in parameters if "=" in p)
        found.append((name.lower(), {key.strip(): value.strip(' "') for key, value in known.items()}))
    return found


def weights_of(accept: str | None) -> list[tuple[str, float]]:
    """How much each range is wanted; 0 for what is not."""
    return [(name, _weight(parameters.get("q", "1"))) for name, parameters in ranges(accept)]


def takes(accept: str | None, media_type: str, *other_names: str) -> bool:
    """Whether a media type is accepted, by its own name or by another that is asked for plainly."""
    weights = weights_of(accept)
    return quality(media_type, weights) > 0 or any(name in other_names and weight > 0 for name, weight in weights)


def check_fhir(accept: str | None) -> None:
    """Raises UnsupportedRequest when FHIR R4 in JSON is not among what is accepted."""
    weights = [
        (name, _weight(parameters.get("q", "1")))
        for name, parameters in ranges(accept)
        if parameters.get("fhirversion", "4.0") in ("4.0", "4.0.1")
    ]
    if quality(_FHIR_JSON, weights) > 0 or any(name in _OTHER_NAMES and weight > 0 for name, weight in weights):
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
    native = media_type.partition(";")[0].strip().lower()
    weights = weights_of(accept)
    fhir = max((weight for name, weight in weights if name in _FHIR_NAMES), default=0.0)
    plain = quality(native, weights)
    if not (plain or fhir):
        raise UnsupportedRequest(f"this document is {native}", reason="media")
    return fhir > plain


def _weight(text: str) -> float:
    """A weight as it is written; what is none counts as 1, as if nothing was said. Source: RFC 9110 §12.4.2."""
    return min(float(text), 1.0) if re.fullmatch(r"[0-9](\.[0-9]*)?|\.[0-9]+", text) else 1.0


def fhir_answer(body: bytes, *headers: tuple[str, str], status: int = 200) -> Answer:
    """A FHIR resource as answer."""
    return Answer(status, (("Content-Type", FHIR_JSON), *headers), (body,))
