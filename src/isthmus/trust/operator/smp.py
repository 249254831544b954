"""What today's network publishes of a country (SMP service metadata, international search mask), as a draft of its entry in the list.

The XML signature is **not verified** here, and what the metadata do not hold is not guessed: a draft is never signed by itself. It comes
in suspended, without keys for statements, with a remark for everything that a person has to see to.

Source: trust.md §2.2 (production mapping); requirements.md §6.3; T72.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import re2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.errors import IsthmusError, SettingsProblem
from isthmus.originals.cda.tree import read_tree
from isthmus.trust.certificates import spki_sha256
from isthmus.trust.trustlist import origin

SMP = "{http://docs.oasis-open.org/bdxr/ns/SMP/2016/05}"
ISM = "{http://ec.europa.eu/sante/ehncp/ism}"
DSIG = "{http://www.w3.org/2000/09/xmldsig#}"
FHIR_SERVICE, MASK_SERVICE = "urn:ehealth:fhirservice", "urn:ehealth:ism::internationalsearchmask"
PACK = "eu-2026-09"
_PARTICIPANT = re.compile(r"urn:ehealth:([a-z]{2}):ncp-idp")
_AS_THE_EU_WRITES = {"GR": "EL", "GB": "UK"}
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_TRAITS = {"label.ism.familyname": "family", "label.ism.firstname": "given", "label.ism.givenname": "given"}


@dataclass
class Draft:
    """An entry that nobody has signed: `participant` as the list writes it, and what has to be looked at before it is used."""

    participant: dict[str, Any]
    remarks: list[str] = field(default_factory=list)


def draft_from(files: Mapping[str, bytes]) -> Draft:
    """Read one country's metadata, by name of the file. Raises SettingsProblem for what is no such file, or of two countries."""
    found: dict[str, list[tuple[str, Element]]] = {}
    draft: Draft | None = None
    for name, content in files.items():
        for information in _informations(name, content):
            ncp_id = _text(information, f"{SMP}ParticipantIdentifier").lower()
            if draft is None:
                draft = _begun(name, ncp_id)
            elif draft.participant["ncp_id"] != ncp_id:
                raise SettingsProblem(f"{name} is about another country than the file before it", reason="usage")
            draft.remarks.append(f"{name}: its XML signature was not verified here; {_signer(content)}")
            service = _text(information, f"{SMP}DocumentIdentifier").lower().partition("##")[0]
            found.setdefault(service, []).append((name, information))
    if draft is None:
        raise SettingsProblem("give one file or more with SMP service metadata", reason="usage")
    for service, entries in found.items():
        for name, information in entries:
            _take(draft, service, name, information)
    return _finished(draft)


def _begun(name: str, ncp_id: str) -> Draft:
    match = _PARTICIPANT.fullmatch(ncp_id)
    if match is None:
        raise SettingsProblem(
            f"{name} is not about a National Contact Point: its participant has another form", reason="usage"
        )
    code = match[1].upper()
    country = _AS_THE_EU_WRITES.get(code, code)
    return Draft(
        {
            "ncp_id": ncp_id, "country": country, "status": "suspended", "roles": ["A", "B"],
            "name": {"en": f"Country {country}"}, "pack": PACK, "endpoints": {}, "tls": [], "keys": [],
            "services": [], "search_mask": {"identifiers": [], "traits": {}},
        }
    )  # fmt: skip


def _informations(name: str, content: bytes) -> Iterator[Element]:
    try:
        tree = read_tree(content)
    except IsthmusError as error:
        raise SettingsProblem(f"{name}: {error}", reason="usage") from error
    if tree.tag not in (f"{SMP}SignedServiceMetadata", f"{SMP}ServiceMetadata"):
        raise SettingsProblem(f"{name} is no SMP service metadata (BDXR, 2016/05)", reason="usage")
    found = list(tree.iter(f"{SMP}ServiceInformation"))
    if len(found) != 1:  # a redirection is not followed
        raise SettingsProblem(
            f"{name} has no service information of its own; a redirection is not followed", reason="usage"
        )
    return iter(found)


def _take(draft: Draft, service: str, name: str, information: Element) -> None:
    endpoints = list(information.iter(f"{SMP}Endpoint"))
    for endpoint in endpoints:
        _certificate(draft, name, endpoint)
    if service == FHIR_SERVICE:
        _endpoints(draft, name, endpoints)
    elif service == MASK_SERVICE:
        masks = list(information.iter(f"{ISM}patientSearch"))
        if len(masks) != 1:
            raise SettingsProblem(f"{name} has no search mask, or more than one", reason="usage")
        _mask(draft, masks[0])
    else:
        draft.remarks.append(f"{name}: the service {service or 'without name'} has no place in the list")


def _endpoints(draft: Draft, name: str, endpoints: list[Element]) -> None:
    """The FHIR base as published; the others by the base paths of this border, which the country has to confirm."""
    if len(endpoints) != 1:
        raise SettingsProblem(f"{name} has no endpoint, or more than one", reason="usage")
    address = _text(endpoints[0], f"{SMP}EndpointURI").rstrip("/")
    try:
        origin(address)
    except ValueError as error:
        raise SettingsProblem(f"{name}: {error}", reason="usage") from error
    base = address.removesuffix("/fhir")
    draft.participant["endpoints"] = {
        "fhir": address, "token": f"{base}/oauth/token", "dicomweb": f"{base}/dicom-web", "ncp": f"{base}/ncp",
    }  # fmt: skip
    draft.remarks.append(
        f"only the FHIR address is published: ask {urlsplit(address).hostname} for token, dicomweb and ncp"
    )


def _certificate(draft: Draft, name: str, endpoint: Element) -> None:
    """The endpoint's certificate, as a server's key; bounded by its life and that of the service."""
    encoded = "".join(_text(endpoint, f"{SMP}Certificate").split())
    if not encoded:
        return
    try:
        held = x509.load_der_x509_certificate(b64decode(encoded, validate=True))
    except (ValueError, binascii.Error) as error:
        raise SettingsProblem(f"{name} holds a certificate that cannot be read", reason="usage") from error
    begins, ends = held.not_valid_before_utc, held.not_valid_after_utc
    begins = max([begins, *_moments(name, endpoint, "ServiceActivationDate")])
    ends = min([ends, *_moments(name, endpoint, "ServiceExpirationDate")])
    entry = {
        "spki_sha256": spki_sha256(held.public_bytes(Encoding.DER)), "use": ["server"],
        "nbf": int(begins.timestamp()), "exp": int(ends.timestamp()), "status": "current",
    }  # fmt: skip
    if entry not in draft.participant["tls"]:
        draft.participant["tls"].append(entry)
        issuer = held.issuer.rfc4514_string()[:200]
        draft.remarks.append(f"{name}: server certificate issued by {issuer}: its authority has to stand in tls_ca")


def _moments(name: str, endpoint: Element, member: str) -> Iterator[datetime]:
    said = _text(endpoint, f"{SMP}{member}")
    if said:
        try:
            moment = datetime.fromisoformat(said)
        except ValueError as error:
            raise SettingsProblem(f"{name}: {member} is no date", reason="usage") from error
        yield moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


# the search mask


def _mask(draft: Draft, search: Element) -> None:
    mask = draft.participant["search_mask"]
    required = [
        _identifier(draft, mask, each, group)
        for group in search.iter(f"{ISM}identifier")
        for each in group.iter(f"{ISM}id")
    ]
    if sum(required) > 1:
        draft.remarks.append(
            "several identifiers are mandatory together; the list can only say that one of them is needed"
        )
    for trait in search.iter(f"{ISM}textField"):
        label = trait.get("label", "").lower()
        if (known := _TRAITS.get(label)) is not None:
            mask["traits"][known] = _needed(trait)
        else:
            draft.remarks.append(f"the field {label[:60] or 'without label'} has no place in the list's search mask")
    for member, known in (("birthDate", "birthdate"), ("gender", "gender"), ("sex", "gender")):
        for trait in search.iter(f"{ISM}{member}"):
            mask["traits"][known] = _needed(trait)
    if not mask["identifiers"]:
        draft.remarks.append("the search mask has no identifier that the list can hold")


def _identifier(draft: Draft, mask: dict[str, Any], entry: Element, group: Element) -> bool:
    """Add one kind of identifier; whether it is mandatory beside others."""
    domain, label = entry.get("domain", ""), entry.get("label", "")
    if _OID.fullmatch(domain) is None:
        draft.remarks.append(f"the identifier {label[:60]} names no OID as its domain, and is left out")
        return False
    pattern = _pattern(entry)
    try:
        re2.compile(pattern)
    except re2.error:
        draft.remarks.append(f"the form of {domain} is no pattern that RE2 runs, and is left out")
        return False
    words = entry.get("contextualDescription", "") or label.removeprefix("label.ism.")
    mask["identifiers"].append({"system": f"urn:oid:{domain}", "pattern": pattern, "label": {"en": words[:200]}})
    return group.get("type") == "NORMAL" and entry.get("mandatory", "true") == "true"


def _pattern(entry: Element) -> str:
    if written := entry.get("format", ""):
        return f"^{written.removeprefix('^').removesuffix('$')}$" if "|" not in written else f"^(?:{written})$"
    least, most = entry.get("min", "1"), entry.get("max", "64")
    return f"^.{{{least},{most}}}$"


def _needed(trait: Element) -> str:
    return "required" if trait.get("mandatory", "true").lower() == "true" else "optional"


def _finished(draft: Draft) -> Draft:
    participant = draft.participant
    lacking = [word for word in ("endpoints", "tls") if not participant[word]]
    if lacking:
        draft.remarks.append(f"nothing was found for {', '.join(lacking)}: give the file of its FHIR service too")
    draft.remarks += [
        "keys for statements are not published there: take the country's own request (`isthmus keys rotate`), made sure of by another way",
        "roles, services, policy, pack and phone are not published there: set them, and what it uses as a client on connections",
        "it comes in suspended: `isthmus trust resume` when all of this is seen to",
    ]
    return draft


def _signer(content: bytes) -> str:
    """Who claims to have signed it: for a person who verifies it with another tool."""
    subjects = []
    for element in _of(read_tree(content).iter(f"{DSIG}X509Certificate")):
        try:
            held = x509.load_der_x509_certificate(b64decode("".join(element.split()), validate=True))
        except (ValueError, binascii.Error):
            continue
        subjects.append(held.subject.rfc4514_string()[:200])
    return (
        f"it says that it was signed by {' and by '.join(subjects)}"
        if subjects
        else "it has no signature with a certificate"
    )


def _of(elements: Iterable[Element]) -> Iterator[str]:
    return (element.text or "" for element in elements)


def _text(parent: Element, name: str) -> str:
    found = next(parent.iter(name), None)
    return (found.text or "").strip() if found is not None else ""
