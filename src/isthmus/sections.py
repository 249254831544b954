"""How a section of the settings is written down; the sections that say what comes into the archive from outside, and from whom, and
what becomes of the trail.

Nothing is taken from a sender that is not in the list. Whatever an entry says of a sender has to hold, all of it.

Source: interfaces.md §8; trust.md T99.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final, Literal

from isthmus.errors import SettingsProblem

MIB: Final = 1 << 20
AE_TITLE: Final = re.compile(r"(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def setting(help_: str, default: Any = MISSING, *, unit: str = "", factory: Any = MISSING) -> Any:
    """A field with the words that `isthmus.example.toml` and the settings page are made of."""
    metadata = {"help": help_, "unit": unit}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """A modality, PACS or reporting system of the country that may send, and how it is known."""

    name: str = setting("short name in lists and logs; each sender has its own")
    source: str = setting(
        "name of the sources.images (for DICOM) and the sources.reports (for documents) of kind files that it delivers into"
    )
    certificate: str = setting(
        "the certificate it shows: SHA-256 of the DER form in hex, or CN=NAME as tls_authority issued it", ""
    )
    token: str = setting("SHA-256, in hex, of its bearer token; best given as file:PATH", "")
    ae_title: str = setting("DIMSE: its calling AE title", "")
    address: str = setting("the address it calls from, or a network (10.1.2.0/24); empty: any", "")
    requests_per_s: int = setting("requests, or associations; burst twice that", 20)
    parallel: int = setting("requests, or associations, at a time", 4)
    request_limit_mib: int = setting(
        "one request of images; a document by network has at most 16 MiB", 4096, unit="MiB"
    )

    @property
    def certificate_name(self) -> str:
        """The common name it is known by; empty when it is known by digest, or by no certificate."""
        return self.certificate.removeprefix("CN=").strip() if self.certificate.startswith("CN=") else ""

    @property
    def certificate_sha256(self) -> str:
        return "" if self.certificate.startswith("CN=") else _hex(self.certificate)

    @property
    def token_sha256(self) -> str:
        return _hex(self.token)

    def calls_from(self, address: str | None) -> bool:
        """Whether the address a connection comes from is one of its own."""
        if not self.address:
            return True
        try:
            return address is not None and ip_address(address) in ip_network(self.address, strict=False)
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True)
class DropFolder:
    """A folder of this machine in which a system without network interfaces puts its reports."""

    name: str = setting("short name in lists and logs; each folder has its own")
    path: str = setting("the folder that is watched; done and refused are made in it")
    source: str = setting("name of the sources.reports of kind files that it delivers into")
    poll_s: float = setting("how often it is looked at; a file is taken when it has not changed from one look to the next", 5.0, unit="s")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Dimse:
    """C-STORE into the archive, from the senders that have an `ae_title`: each with its address, or its certificate."""

    host: str = setting("address to listen on", "127.0.0.1")
    port: int = setting("port to listen on; 0: none", 0)
    ae_title: str = setting("the AE title that senders call", "ISTHMUS")
    tls: bool = setting("TLS, with certificate, key and authority of [intake]; senders show a certificate", default=False)  # fmt: skip
    associations: int = setting("associations at a time, of all senders", 16)
    silence_s: float = setting("how long a sender may be silent", 30.0, unit="s")


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What comes into the archive from outside: a listener for STOW-RS and FHIR documents, never the border, and watched folders.

    With certificate, key and authority it is mutual TLS. Without, it is plain HTTP for bearer tokens: on loopback, outside `env = "prod"`.
    """

    host: str = setting("address to listen on", "127.0.0.1")
    port: int = setting("port to listen on; 0: only the folders, and DIMSE where it is set", 0)
    public: str = setting("how senders address it: scheme, host, port; other Host headers are refused; empty: host and port", "")  # fmt: skip
    tls_certificate: str = setting("certificate of the listener, PEM", "")
    tls_key: str = setting("its private key, PEM", "")
    tls_authority: str = setting("PEM file of the authorities that issue the senders' certificates", "")
    dimse: Dimse = setting("C-STORE", factory=Dimse)
    senders: tuple[Sender, ...] = setting("who may send", ())
    folders: tuple[DropFolder, ...] = setting("watched folders for reports", ())

    @property
    def tls(self) -> bool:
        return bool(self.tls_certificate)


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A national repository of audit events: every event of the trail is handed to it, in order, and again until it has it."""

    name: str = setting("short name in figures and logs; each has its own, and keeps its place in the trail under it")
    kind: Literal["fhir", "syslog"] = setting(
        "fhir: AuditEvents by POST; syslog: DICOM audit messages over TLS", "fhir"
    )
    url: str = setting("fhir: base address, https://HOST/BASE; syslog: tls://HOST:PORT")
    authorization: str = setting("fhir: value of the Authorization header; best given as file:PATH", "")
    authority: str = setting("PEM file of the authority that issued its certificate; empty: those of the system", "")
    tls_certificate: str = setting("our certificate towards it, PEM", "")
    tls_key: str = setting("its private key, PEM", "")


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The trail: where it is handed on, and how long it is kept."""

    forward: tuple[Forward, ...] = setting("national repositories of audit events", ())
    keep_months: int = setting(
        "how many whole months a record is kept readable after its own; the patient may ask for three years", 37
    )


KEEP_MIN_MONTHS: Final = 36  # EHDS Art. 9: at least three years; audit/verify.py holds the trail against it
_SCHEMES: Final = {"fhir": ("https", "http"), "syslog": ("tls",)}


def check_audit(audit: Audit, env: str) -> None:
    """What no node starts with. Raises SettingsProblem."""
    names = [forward.name for forward in audit.forward]
    if len(set(names)) < len(names) or not all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) for name in names):
        raise SettingsProblem("audit.forward: each has a name of its own, of letters, digits, . _ -", key="audit.forward.name")  # fmt: skip
    for forward in audit.forward:
        scheme, _, rest = forward.url.partition("://")
        if scheme not in _SCHEMES[forward.kind] or not rest:
            raise SettingsProblem(f"audit.forward {forward.name!r}: url is {_SCHEMES[forward.kind][0]}://…", key="audit.forward.url")  # fmt: skip
        if scheme == "http" and env == "prod":
            raise SettingsProblem(f"audit.forward {forward.name!r}: without TLS it is for demo and test alone", key="audit.forward.url")  # fmt: skip
    if audit.keep_months < KEEP_MIN_MONTHS:
        raise SettingsProblem(f"audit.keep_months is at least {KEEP_MIN_MONTHS}: three years are the patient's right", key="audit.keep_months")  # fmt: skip


def check_intake(intake: Intake, env: str, sources: Mapping[str, frozenset[str]]) -> None:
    """What no node starts with. `sources`: names of the sources of kind files, by kind. Raises SettingsProblem."""
    _unique([sender.name for sender in intake.senders], "senders")
    _unique([folder.name for folder in intake.folders], "folders")
    _unique([folder.path for folder in intake.folders], "folders")
    for sender in intake.senders:
        _known_by_something(sender)
        if sender.source not in sources["images"] | sources["reports"]:
            raise _wrong(
                f"sender {sender.name!r} delivers into {sender.source!r}, which is no source of kind files",
                "senders.source",
            )
    for folder in intake.folders:
        if folder.source not in sources["reports"]:
            raise _wrong(
                f"folder {folder.name!r} delivers into {folder.source!r}, which is no sources.reports of kind files",
                "folders.source",
            )
    if intake.dimse.port:
        _check_dimse(intake, sources["images"])
    given = [bool(getattr(intake, f"tls_{part}")) for part in ("certificate", "key", "authority")]
    if any(given) != all(given):
        raise _wrong("give tls_certificate, tls_key and tls_authority, or none of them", "tls_certificate")
    if intake.port and not intake.tls:
        if env == "prod":
            raise _wrong("without TLS it is for demo and test alone", "tls_certificate")
        if not _loopback(intake.host):
            raise _wrong(f"without TLS it listens on loopback alone, not on {intake.host}", "host")


def _known_by_something(sender: Sender) -> None:
    if not (sender.certificate or sender.token or sender.ae_title):
        raise _wrong(
            f"sender {sender.name!r} says neither certificate nor token nor ae_title: anybody would be it", "senders"
        )
    digests = {"certificate": sender.certificate_sha256, "token": sender.token_sha256}
    for key, digest in digests.items():
        if digest and _DIGEST.fullmatch(digest) is None:
            raise _wrong(f"sender {sender.name!r}: {key} is no SHA-256 in hex", f"senders.{key}")
    if sender.address:
        try:
            ip_network(sender.address, strict=False)
        except ValueError:
            raise _wrong(
                f"sender {sender.name!r}: address is neither an address nor a network", "senders.address"
            ) from None


def _check_dimse(intake: Intake, images: frozenset[str]) -> None:
    """An AE title alone is no secret: anybody may call himself by it."""
    if intake.dimse.tls and not intake.tls:
        raise _wrong("dimse.tls needs tls_certificate, tls_key and tls_authority", "dimse.tls")
    for key, title in (("dimse", intake.dimse.ae_title), *((f"sender {s.name!r}", s.ae_title) for s in intake.senders)):
        if title and AE_TITLE.fullmatch(title) is None:
            raise _wrong(f"{key}: an AE title has 1 to 16 characters of ASCII", "dimse.ae_title")
    for sender in (one for one in intake.senders if one.ae_title):
        if sender.source not in images:
            raise _wrong(f"sender {sender.name!r} sends by DIMSE into {sender.source!r}, which is no sources.images", "senders.source")  # fmt: skip
        if not sender.address and not (intake.dimse.tls and sender.certificate):
            raise _wrong(
                f"sender {sender.name!r} has an ae_title, but neither address nor, with dimse.tls, certificate",
                "senders.address",
            )


def _unique(names: list[str], what: str) -> None:
    if len(set(names)) < len(names):
        raise _wrong(f"two of {what} have one name or path", what)


def _wrong(sentence: str, key: str) -> SettingsProblem:
    return SettingsProblem(f"intake: {sentence}", key=f"intake.{key}")


def _hex(text: str) -> str:
    """A digest as `sha256sum` or a certificate viewer prints it."""
    words = text.strip().lower().removeprefix("sha256:").split()
    return words[0].replace(":", "") if words else ""


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
