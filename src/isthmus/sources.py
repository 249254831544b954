"""The sections of the settings that say what lies behind Country A: each source, how it is reached, and what it does not hold itself.

Source: interfaces.md §7, §8.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from isthmus.errors import SettingsProblem
from isthmus.model.identifiers import is_uid
from isthmus.sections import setting

KINDS: Final = {
    "patients": ("files", "fhir"),
    "reports": ("files", "fhir"),
    "images": ("files", "dicomweb", "dimse"),
}
_NEEDS: Final = {"dicomweb": ("url",), "fhir": ("url",), "dimse": ("host", "peer_ae_title")}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of a kind: the embedded archive and register are `files`, all others lie behind this node.

    What files or a PACS do not hold but the border requires is the operator's statement, never invented.
    """

    kind: str = setting(
        "patients: files, fhir; reports: files, fhir; images: files, dicomweb, dimse; or CLASS by dotted path (module:Class)",
        "files",
    )
    name: str = setting("short name in lists and logs; each source of a kind has its own", "archive")
    patient_issuer: str = setting("OID of the authority that issues patient identifiers", "")
    issuers: Mapping[str, str] = setting(
        "an issuer as the files or the PACS name it (IssuerOfPatientID, issuer of an accession number) = its OID",
        factory=dict,
    )
    accession_issuer: str = setting("OID of the authority that issues accession numbers", "")
    placer_issuer: str = setting("OID of the authority that issues placer order numbers", "")
    time_zone: str = setting("IANA name of the zone in which dates and times are meant", "")
    institution: str = setting("name of the institution when the files have none", "")
    institution_id: str = setting("identifier of the institution, SYSTEM|VALUE", "")
    location_uid: str = setting("Retrieve Location UID", "")
    regions: Mapping[str, str] = setting(
        "body part as written in the files = SNOMED CT code of one of the ten regions", factory=dict
    )
    codes: str = setting(
        "table of national codes and the EU codes they stand for: a FHIR ConceptMap, or a CSV of kind, system, code", ""
    )
    coding_schemes: Mapping[str, str] = setting(
        "coding scheme designator as the files write it = URI of the code system, by which the original code crosses",
        factory=dict,
    )
    url: str = setting("dicomweb, fhir: base address", "")
    authorization: str = setting("dicomweb, fhir: value of the Authorization header; best given as file:PATH", "")
    authority: str = setting(
        "PEM file of the authority that issued the source's certificate; empty: those of the system", ""
    )
    tls: bool = setting("dimse: TLS", default=False)
    tls_certificate: str = setting("our certificate towards the source, PEM", "")
    tls_key: str = setting("its private key, PEM", "")
    accept: str = setting("dicomweb: Accept of an image, where the source wants another one", "")
    page_size: int = setting("dicomweb, fhir: rows asked for at once", 200)
    report_resources: tuple[str, ...] = setting(
        "fhir: resources that are reports: DocumentReference, DiagnosticReport (its presented forms), Composition (as $document)",
        ("DocumentReference",),
    )
    report_types: tuple[str, ...] = setting(
        "fhir: types of documents that are imaging reports, SYSTEM|CODE; empty: every type",
        tuple(f"http://loinc.org|{code}" for code in ("85430-7", "18748-4", "68604-8")),
    )
    host: str = setting("dimse: address of the PACS", "")
    port: int = setting("dimse: port of the PACS", 104)
    peer_ae_title: str = setting("dimse: AE title of the PACS", "")
    ae_title: str = setting("dimse: our AE title", "ISTHMUS")
    retrieve: str = setting("dimse: get (C-GET) or move (C-MOVE to a port of ours)", "get")
    move_port: int = setting("dimse: port of ours to which the PACS moves", 0)
    parallel: int = setting("requests, or associations, to the source at a time", 4)
    timeout_s: float = setting(
        "how long the source may be silent when it is asked a question; Country B waits 10 s for the first byte of an answer, so that more helps nobody",
        8.0,
        unit="s",
    )
    images_timeout_s: float = setting(
        "dicomweb, dimse: how long it may be silent where it gives images; Country B waits 30 s between two bytes of them",
        20.0,
        unit="s",
    )
    search_s: float = setting(
        "how long one question to it may take, over all pages and answers, beside waiting for its turn; images take as long as they take",
        60.0,
        unit="s",
    )

    @property
    def zone(self) -> tzinfo:
        return ZoneInfo(self.time_zone)

    def issuer(self, universal: str | None, local: str | None) -> str:
        """Who issued a number: the identifier that stands there, else what the name that stands there means here; "" where none does."""
        return universal or self.issuers.get(local or "", local or "")

    @property
    def patient_system(self) -> str:
        return f"urn:oid:{self.patient_issuer}"

    @property
    def accession_system(self) -> str:
        return f"urn:oid:{self.accession_issuer}"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What lies behind Country A, by kind."""

    patients: tuple[Source, ...] = setting("registers of patients", ())
    reports: tuple[Source, ...] = setting("sources of reports", ())
    images: tuple[Source, ...] = setting("sources of images", ())


def check_sources(sources: Sources) -> None:
    """Raises SettingsProblem for what no node starts with."""
    for kind in KINDS:
        held: tuple[Source, ...] = getattr(sources, kind)
        if len({source.name for source in held}) < len(held):
            raise SettingsProblem(f"two sources.{kind} have one name", key=f"sources.{kind}.name")
        for source in held:
            _check_reachable(source, kind)
            _check_said(source, kind)


def _check_said(source: Source, kind: str) -> None:
    """What the source does not hold and the border requires is said, and is what it is called."""
    key, where = f"sources.{kind}", f"sources.{kind} {source.name!r}"
    wanted = ("patient_issuer", "accession_issuer", "time_zone") if kind == "images" else ()
    if missing := ", ".join(name for name in wanted if not getattr(source, name)):
        why = "files do not hold it and the border requires it"
        raise SettingsProblem(f"{where} does not say {missing}: {why}", key=key)
    for name in ("patient_issuer", "accession_issuer", "placer_issuer"):
        if getattr(source, name).startswith("urn:"):
            raise SettingsProblem(f"{where}: {name} is an OID, without urn:oid:", key=f"{key}.{name}")
    for name, oid in source.issuers.items():
        if not is_uid(oid):
            raise SettingsProblem(f"{where}: issuers says {oid!r} for {name!r}, which is no OID", key=f"{key}.issuers")
    try:
        source.time_zone and source.zone  # noqa: B018  # known to the machine?
    except (KeyError, ValueError, OSError):
        raise SettingsProblem(f"{where}: time_zone {source.time_zone!r} is no IANA name", key=key) from None


def _check_reachable(source: Source, kind: str) -> None:
    """A source is of a kind there is, and says where it lies."""
    if source.kind not in KINDS[kind] and ":" not in source.kind:
        near = difflib.get_close_matches(source.kind, KINDS[kind], n=1, cutoff=0.0)[0]
        meant = [other for other, known in KINDS.items() if source.kind in known]
        hint = f"{source.kind!r} is for {' and '.join(meant)}" if meant else f"the nearest is {near!r}"
        raise SettingsProblem(
            f"sources.{kind} {source.name!r}: kind is {', '.join(KINDS[kind])} or module:Class; {hint}",
            key=f"sources.{kind}.kind",
        )
    missing = [name for name in _NEEDS.get(source.kind, ()) if not getattr(source, name)]
    if missing:
        raise SettingsProblem(
            f"sources.{kind} {source.name!r} does not say {', '.join(missing)}: {source.kind} needs it",
            key=f"sources.{kind}.{missing[0]}",
        )
