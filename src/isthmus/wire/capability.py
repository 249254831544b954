"""Capability: what this border does, told before anyone asks; true to what is there.

Source: R4 CapabilityStatement; EU Health Data API; SMART App Launch (configuration); CAP-01 to CAP-05.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.wire import documents, patients
from isthmus.wire.packs.pack import Pack
from isthmus.wire.tokens import CARE_SCOPES, IDENTIFY_SCOPES

ALGORITHMS = ("ES256", "ES384")
_TYPES = {
    "identifier": "token", "family": "string", "given": "string", "birthdate": "date", "gender": "token",
    "patient": "reference", "status": "token", "type": "token", "category": "token", "date": "date", "period": "date",
    "study-instance-uid": "token", "modality": "token",
}  # fmt: skip
_DOCUMENT_SERVICES = frozenset({"imaging-report", "imaging-manifest"})


def write_capability(
    *, base: str, services: Iterable[str], pack: Pack, software_version: str, date: str, name: str = "Isthmus"
) -> bytes:
    """Write the CapabilityStatement of Country A's border, for the services it offers. `date` is when they last changed."""
    resources = [_resource("Patient", ("read", "search-type"), patients.SEARCH_PARAMETERS, pack)]
    if _DOCUMENT_SERVICES & set(services):
        resources += [
            _resource("DocumentReference", ("search-type",), documents.SEARCH_PARAMETERS, pack),
            _resource("Bundle", ("read",), (), pack),
            _resource("Binary", ("read",), (), pack),
        ]
    statement = el.without_nothing(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": date,
            "kind": "instance",
            "instantiates": list(pack.claims["instantiates"]),
            "software": {"name": name, "version": software_version},
            "implementation": {"description": "National contact point for eHealth, imaging", "url": base},
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json"],
            "implementationGuide": list(pack.claims["implementation_guide"]),
            "rest": [
                {
                    "mode": "server",
                    "security": {"service": [concept(coding(pack.systems["security_service"], "SMART-on-FHIR"))]},
                    "resource": resources,
                }
            ],
        }
    )
    return el.write_object(statement)


def _resource(kind: str, interactions: tuple[str, ...], parameters: Iterable[str], pack: Pack) -> Node:
    return el.without_nothing(
        {
            "type": kind,
            "interaction": [{"code": code} for code in interactions],
            "searchParam": [
                {"name": name, "definition": pack.parameters[f"{kind}.{name}"], "type": _TYPES[name]}
                for name in parameters
            ],
        }
    )


def write_smart_configuration(*, token_endpoint: str, issuer: str | None = None) -> bytes:
    """Write where and how a token is had: one grant, one way to show oneself. Source: CAP-05."""
    return el.write_object(
        el.without_nothing(
            {
                "issuer": issuer,
                "token_endpoint": token_endpoint,
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
                "scopes_supported": [*IDENTIFY_SCOPES, *CARE_SCOPES],
                "capabilities": ["client-confidential-asymmetric", "permission-v2", "permission-patient"],
                "tls_client_certificate_bound_access_tokens": True,
            }
        )
    )
