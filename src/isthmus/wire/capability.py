"""Capability: what this border does, told before anyone asks; true to what is there.

Source: R4 CapabilityStatement; EU Health Data API; SMART App Launch (configuration); CAP-01 to CAP-05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.fhir.parameters import Parameter
from isthmus.wire import documents, patients
from isthmus.wire.packs.pack import Pack
from isthmus.wire.studies import imaging_study, qido
from isthmus.wire.tokens import CARE_SCOPES, IDENTIFY_SCOPES

ALGORITHMS = ("ES256", "ES384")
_DOCUMENT_SERVICES = frozenset({"imaging-report", "imaging-manifest"})
_CHAIN = {"patient": "reference", "patient.identifier": "token"}
_MATCH = {"name": "match", "definition": "http://hl7.org/fhir/OperationDefinition/Patient-match"}
_BOTH, _READ = ("read", "search-type"), ("read",)


def declared(definitions: Mapping[str, Parameter[Any, Pack]], *, subject: bool = False) -> dict[str, str]:
    """Names and kinds of the parameters of a table; a modifier is one of its parameter, not another."""
    own = {name: str(parameter.kind) for name, parameter in definitions.items() if ":" not in name}
    return _CHAIN | ({"subject": "reference"} if subject else {}) | own


def write_capability(
    *, base: str, services: Iterable[str], pack: Pack, software_version: str, date: str, name: str = "Isthmus"
) -> bytes:
    """Write the CapabilityStatement of Country A's border, for the services it offers. `date` is when they last changed."""
    services = frozenset(services)
    resources = [_resource("Patient", _BOTH, patients.SEARCH_PARAMETERS, pack) | {"operation": [_MATCH]}]
    if _DOCUMENT_SERVICES & services:
        resources += [
            _resource("DocumentReference", _BOTH, declared(documents.DEFINITIONS), pack),
            _resource("Bundle", _READ, {}, pack),
            _resource("Binary", _READ, {}, pack),
        ]
    if "imaging-manifest" in services:
        resources.append(_resource("ImagingStudy", _BOTH, declared(imaging_study.DEFINITIONS, subject=True), pack))
    statement = el.without_nothing(
        {
            "resourceType": "CapabilityStatement",
            "name": "IsthmusNationalContactPoint",
            "status": "active",
            "date": date,
            "kind": "instance",
            "instantiates": list(pack.claims["instantiates"]) if "imaging-report" in services else None,
            "software": {"name": name, "version": software_version},
            "implementation": {"description": "National contact point for eHealth, imaging", "url": base},
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json"],
            "implementationGuide": list(pack.claims["implementation_guide"]),
            "rest": [
                {
                    "mode": "server",
                    "documentation": _beside(services),
                    "security": {"service": [concept(coding(pack.systems["security_service"], "SMART-on-FHIR"))]},
                    "resource": resources,
                }
            ],
        }
    )
    return el.write_object(statement)


def _resource(kind: str, interactions: tuple[str, ...], parameters: Mapping[str, str], pack: Pack) -> Node:
    return el.without_nothing(
        {
            "type": kind,
            "interaction": [{"code": code} for code in interactions],
            "searchParam": [
                {"name": name, "definition": pack.parameters[f"{kind}.{name}"], "type": type}
                for name, type in parameters.items()
            ],
        }
    )


def _beside(services: frozenset[str]) -> str:
    """What FHIR has no element for: the controls of a search, and DICOMweb. Source: PS3.18 §8.9."""
    told = ["A search is about one patient; also _count, _sort, _summary=count. Handling is strict."]
    if "imaging-manifest" in services:
        keys = "; ".join(f"{level}: {', '.join(qido.keys_of(level))}" for level in qido.LEVELS)
        told.append(f"QIDO-RS beside the FHIR base, at /dicom-web, with the keys {keys}; limit, offset, includefield.")
    if "imaging-pixels" in services:
        told.append(
            "WADO-RS of studies, series and instances, as stored or in Explicit VR Little Endian, at /dicom-web."
        )
    if {"imaging-pixels", "imaging-metadata"} <= services:
        told.append("Their metadata too, without bulk values, where their source has them ready.")
    return " ".join(told)


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
