"""What this border does: told to every country it knows, before any token.

Source: R4 capabilities; SMART backend services; wire.md §1.3; CAP-01 to CAP-06.
"""

from __future__ import annotations

from isthmus import __version__
from isthmus.country_a.media import check_fhir, fhir_answer
from isthmus.country_a.passes import Known
from isthmus.transport.answers import Answer, json_answer
from isthmus.transport.inbound import Request
from isthmus.trust.trustlist import Participant
from isthmus.wire.capability import write_capability, write_smart_configuration

MADE = "2026-11-25"  # when what is told below last changed


def get_capability(known: Known, request: Request, ours: Participant, base: str) -> Answer:
    """Answer `/fhir/metadata`."""
    check_fhir(request.accept)
    body = write_capability(base=base, services=ours.services, pack=known.pack, software_version=__version__, date=MADE)
    return fhir_answer(body)


def get_smart_configuration(known: Known, request: Request, ours: Participant) -> Answer:
    """Answer `/.well-known/smart-configuration`."""
    return json_answer(200, write_smart_configuration(token_endpoint=ours.endpoints.token), "application/json")
