"""Every setting of a node: one frozen value, read once at start, handed to whoever needs a part of it.

One TOML file per node, relative paths meant from its folder; every key can be overridden by `ISTHMUS_SECTION__KEY`; an unknown
key is an error that names it and the nearest known one; a secret may be given as `file:PATH`.

Source: interfaces.md §8.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from isthmus.errors import SettingsProblem
from isthmus.providers import Provider, check_providers
from isthmus.sections import Audit, Intake, check_audit, check_intake, setting
from isthmus.sources import Source, Sources, check_sources

ASK_AGAIN_S = 5  # the least: each is an exchange
ENVIRONMENTS = ("demo", "test", "prod")


@dataclass(frozen=True, kw_only=True)
class Border:
    """The mutual-TLS listener where Country A answers (and every node shows its capability)."""

    host: str = setting("address to listen on", "127.0.0.1")
    port: int = setting("port to listen on", 8443)
    public: str = setting(
        "how peers address it: scheme, host, port and path before /fhir; links are made from this alone"
    )


@dataclass(frozen=True, kw_only=True)
class Portal:
    """The pages of Country B. Plain HTTP only outside `env = "prod"`."""

    host: str = setting("address to listen on", "127.0.0.1")
    port: int = setting("port to listen on", 8700)
    public: str = setting("how browsers address it; other Host headers are refused")
    credits: str = setting("file with attributions that the About page shows, a line each", "")
    ask_again_s: float = setting(
        "how often an open report or study, while it is in view, asks whether the country still gives it; 0: only when somebody does something there",
        60.0,
        unit="s",
    )


@dataclass(frozen=True, kw_only=True)
class Citizen:
    """The pages of Country A's patients: what they share, who looked. Plain HTTP only outside `env = "prod"`."""

    host: str = setting("address to listen on", "127.0.0.1")
    port: int = setting("port to listen on", 8703)
    public: str = setting("how browsers address it; other Host headers are refused")


@dataclass(frozen=True, kw_only=True)
class Ohif:
    """An unpacked OHIF beside the portal, for whoever wants its tools: under an address of its own, opened with a visit's token."""

    host: str = setting("address to listen on", "127.0.0.1")
    port: int = setting("port to listen on", 8702)
    public: str = setting("how browsers address it; another host name or port than the portal's")
    folder: str = setting("the folder `dist` of the npm package @ohif/app")


@dataclass(frozen=True, kw_only=True)
class Operations:
    """The local listener: /healthz, /readyz, /metrics."""

    host: str = setting("address to listen on", "127.0.0.1")
    port: int = setting("port to listen on", 8701)


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Where the signed trust list lies and who may sign it."""

    list: str = setting("the signed trust list: a file, or an https address", "trustlist.jws")
    list_authority: str = setting(
        "file with the authority of that address's certificate (PEM); empty: those of the system", ""
    )
    fetch_s: float = setting("how often an https address is asked", 60.0, unit="s")
    operator_keys: tuple[str, ...] = setting(
        "files with the list operator's public keys (JWK): current, next", ("operator.jwk",)
    )
    poll_s: float = setting(
        "how often the file, and what another process of the node accepted, is looked at", 5.0, unit="s"
    )
    hold_h: float = setting(
        "how long a new key, origin or participant waits before it counts, unless the participant countersigned it",
        24.0,
        unit="h",
    )
    min_seq: int = setting("lowest sequence number accepted at first use", 0)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The node's own keys: PEM files, mode 0600."""

    tls_certificate: str = setting("certificate of the border and of our client", "keys/tls.pem")
    tls_key: str = setting("its private key", "keys/tls.key")
    sig: str = setting("signs client assertions and treatment relationships (private JWK, ES256)", "keys/sig.jwk")
    at: str = setting("signs access tokens (ES256); Country A", "keys/at.jwk")
    hpa: str = setting("signs assertions on professionals (ES256); Country B", "keys/hpa.jwk")
    log: str = setting(
        "signs the checkpoints of the trail, and those of other countries that were seen (Ed25519)", "keys/log.jwk"
    )
    env: str = setting("256-bit master key that wraps data keys and derives ids", "keys/env.key")
    consent: str = setting("signs directives; only where the node is itself the consent service", "")


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """Who signs in at the portal."""

    accounts: str = setting("file of demo accounts (env demo and test only)", "")
    struck_off: str = setting(
        "file of professionals who may not ask any more, an identifier a line; followed while it changes", ""
    )
    providers: tuple[Provider, ...] = setting(
        "An identity service that professionals sign in with. It may be repeated; the first is the one the page begins with.",
        (),
    )


@dataclass(frozen=True, kw_only=True)
class Consent:
    """The patient's directives."""

    keys: tuple[str, ...] = setting("files with public keys (JWK) of the national consent service", ())
    regime: str = setting(
        "opt-out: all may cross unless a directive says no; opt-in: nothing without a permission", "opt-out"
    )
    roles: str = setting("file of who may do what, in place of the built-in matrix (consent/roles.toml)", "")
    representatives: tuple[Literal["guardian", "proxy", "next-of-kin"], ...] = setting(
        "whose statement on speaking for a patient counts here: guardian, proxy, next-of-kin; a patient without a document may "
        "then be recognised through them. Others are verified and recorded, and have no effect",
        (),
    )
    v_btg: bool = setting("emergency access also shows what is labelled very restricted (V)", default=False)
    absolute: tuple[str, ...] = setting(
        "subjects of restrictions that emergency access does not lift by law: study, report, label, country, …", ()
    )


@dataclass(frozen=True, kw_only=True)
class Notices:
    """How patients of Country A are told of an emergency access: by mail where they left an address, else by the country's service.

    Without either no emergency is answered in env prod. The words are neutral; whatever happened stands behind the sign-in.
    """

    mail_server: str = setting("host of a mail submission server", "")
    mail_port: int = setting("its port", 587)
    mail_tls: bool = setting("STARTTLS is required, its certificate verified", default=True)
    mail_from: str = setting("sender's address", "")
    mail_user: str = setting("user at the mail server; empty: none", "")
    mail_password: str = setting("password there; best given as file:PATH", "")
    webhook: str = setting(
        "address of the country's notification service: POST of {patient, subject, text} as JSON", ""
    )
    webhook_authorization: str = setting("Authorization header for it; best given as file:PATH", "")
    authority: str = setting("PEM file of the authorities of both; empty: the system's", "")
    page: str = setting("address of the page where patients see who looked; stands for {page} in the text", "")
    subject: str = setting("subject, in the country's languages", "A message about your health data")
    text: str = setting(
        "text, in the country's languages",
        "Your health data were opened in a way that you should know of. Sign in to see who did it, and why: {page}",
    )


@dataclass(frozen=True, kw_only=True)
class Spool:
    """Country B's encrypted store of what arrived, for the time of a visit."""

    folder: str = setting("where it lies", "spool")
    limit_mib: int = setting("all visits together", 4096, unit="MiB")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How often, how much. trust.md §3.6."""

    searches_per_10_min: int = setting("patient searches of one professional", 30)
    failed_searches_per_10_min: int = setting("failed ones, then a doubling wait", 5)
    point_of_care_per_10_min: int = setting("patient searches of one point of care", 300)
    professionals_per_patient: int = setting(
        "different professionals who treat one patient in a day; as many are an alarm, nobody is refused", 10
    )
    tokens_per_s: int = setting("token requests of one peer; burst twice that", 50)
    requests_per_s: int = setting("searches and reads of one peer; burst twice that", 50)
    parallel_images: int = setting("image transfers of one professional at a time", 8)
    parallel_images_peer: int = setting("image transfers of one peer at a time", 64)


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """What is looked at of our answers and other countries' while they pass. Nothing is refused for it; see docs/guides/check.md."""

    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = setting(
        "share of the answers that are looked at, 0 to 1", 0.05
    )
    whole: Annotated[float, msgspec.Meta(ge=0, le=1)] = setting(
        "share of the answers that are held against every requirement, not the cheap ones alone, 0 to 1", 0.01
    )
    severity: Literal["error", "warning", "information"] = setting("the least severity that is counted", "warning")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A node's settings. `folder` is where the file lies; every relative path is meant from there."""

    folder: Path = field(metadata={"hidden": True})
    file: Path = field(metadata={"hidden": True})
    env: str = setting("demo, test or prod")
    country: str = setting("CountryCode as the EU writes it (EL for Greece); AA, BB, CC outside prod only")
    ncp_id: str = setting("this NCPeH in the trust list")
    database: str = setting("state and trail: sqlite:///FILE", "sqlite:///state.sqlite")
    blobs: str = setting("the archive's files: file:///FOLDER", "file:///archive")
    border: Border | None = setting("the border's listener", None)
    portal: Portal | None = setting("the portal's listener", None)
    ohif: Ohif | None = setting("OHIF's listener", None)
    operations: Operations | None = setting("the local listener", None)
    trust: Trust = setting("the trust list", factory=Trust)
    keys: Keys = setting("the node's keys", factory=Keys)
    signin: SignIn = setting("sign-in", factory=SignIn)
    consent: Consent = setting("directives", factory=Consent)
    citizen: Citizen | None = setting("the patients' pages", None)
    audit: Audit = setting("the trail", factory=Audit)
    notices: Notices = setting("how patients are told", factory=Notices)
    sources: Sources = setting("what lies behind Country A", factory=Sources)
    intake: Intake | None = setting("what comes into the archive from outside", None)
    spool: Spool = setting("arrivals", factory=Spool)
    limits: Limits = setting("limits", factory=Limits)
    conformance: Conformance = setting("conformance of other countries' answers", factory=Conformance)

    def path(self, name: str) -> Path:
        """A file or folder the settings name, absolute."""
        return (self.folder / name.removeprefix("file:///")).resolve()

    @property
    def database_file(self) -> Path:
        """The SQLite file of state and trail; the archive's index lies beside it."""
        return self.folder / self.database.removeprefix("sqlite:///")

    @property
    def index_file(self) -> Path:
        return self.database_file.with_name("index.sqlite")

    @property
    def terms_file(self) -> Path:
        return self.database_file.with_name("terminology.sqlite")

    @property
    def answers(self) -> bool:
        """Whether this node has Country A's role: some source lies behind it."""
        return bool(self.sources.patients)


def read_settings(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read a node's settings. Raises SettingsProblem, naming file, key and what to do."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsProblem(f"the settings file {file} does not exist; give one with --config FILE") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsProblem(f"the settings file {file} cannot be read: {error}") from error
    _overlay(raw, environment)
    _known(raw, Settings, "")
    folder = file.resolve().parent
    _secrets(raw, folder)
    try:
        settings = msgspec.convert({**raw, "folder": folder, "file": file.resolve()}, Settings, dec_hook=_as_path)
    except msgspec.ValidationError as error:
        raise SettingsProblem(f"{file.name}: {error}", key=str(error)) from error
    _sensible(settings)
    return settings


def _as_path(kind: type, value: Any) -> Any:
    return Path(value)


def _overlay(raw: dict[str, Any], environment: Mapping[str, str]) -> None:
    """`ISTHMUS_TRUST__POLL_S=5` over what the file says. Lists of sources are left to the file.

    A name with a section is meant for us, known or not; one without only when it is a setting.
    """
    known = {f.name for f in fields(Settings) if not f.metadata.get("hidden")}
    for name, value in environment.items():
        match = re.fullmatch(r"ISTHMUS_([A-Z0-9_]+)", name)
        parts = match[1].lower().split("__") if match else []
        if not parts or (len(parts) == 1 and parts[0] not in known):
            continue
        place: Any = raw
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise SettingsProblem(f"{name} points into a setting that is no section; give it in the file", key=name)
        place[parts[-1]] = _value(value)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(kind: Any) -> Any:
    """The dataclass in `X | None`, `tuple[X, ...]` or `X`, if any."""
    for inner in (kind, *get_args(kind)):
        if is_dataclass(inner):
            return inner
    return None


def _known(raw: Mapping[str, Any], kind: type, where: str) -> None:
    """Every key must be one of ours; the nearest is named."""
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind) if not f.metadata.get("hidden")]
    for key, value in raw.items():
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.0)
            raise SettingsProblem(
                f"unknown setting {where}{key}; the nearest known one is {where}{near[0]}", key=where + key
            )
        inner = _nested(hints[key])
        if inner is not None and get_origin(hints[key]) is tuple:
            for item in value if isinstance(value, list) else []:
                _known(item, inner, f"{where}{key}.")
        elif inner is not None and isinstance(value, dict):
            _known(value, inner, f"{where}{key}.")


def _secrets(raw: dict[str, Any], folder: Path) -> None:
    """`file:PATH` stands for what the file holds. (`file:///…` is an address of a folder and stays.)"""
    for key, value in raw.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                _secrets(inner, folder)
        if isinstance(value, str) and value.startswith("file:") and not value.startswith("file:///"):
            try:
                raw[key] = (folder / value.removeprefix("file:")).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsProblem(f"the file that setting {key} names cannot be read: {error}", key=key) from error


def _sensible(settings: Settings) -> None:
    """What no node starts with."""
    if settings.env not in ENVIRONMENTS:
        raise SettingsProblem('env is one of "demo", "test", "prod"', key="env")
    if not settings.database.startswith("sqlite:///"):
        raise SettingsProblem("database: only sqlite:///FILE is built yet (PostgreSQL is on the list)", key="database")
    if not settings.blobs.startswith("file:///"):
        raise SettingsProblem("blobs: only file:///FOLDER is built yet (S3 is on the list)", key="blobs")
    if re.fullmatch(r"[A-Z]{2}", settings.country) is None:
        raise SettingsProblem("country is two capital letters", key="country")
    if settings.env == "prod" and settings.country in ("AA", "BB", "CC"):
        raise SettingsProblem(
            f'{settings.country} is an invented country and cannot be used in env = "prod"', key="country"
        )
    if settings.portal is not None and settings.portal.ask_again_s and not settings.portal.ask_again_s >= ASK_AGAIN_S:
        raise SettingsProblem(f"portal.ask_again_s is 0, or at least {ASK_AGAIN_S} seconds", key="portal.ask_again_s")
    if settings.consent.regime not in ("opt-out", "opt-in"):
        raise SettingsProblem('consent.regime is "opt-out" or "opt-in"', key="consent.regime")
    check_sources(settings.sources)
    check_providers(settings.signin.providers)
    check_audit(settings.audit, settings.env)
    if settings.intake is not None:
        held_here = {k: _files(getattr(settings.sources, k)) for k in ("reports", "images")}
        check_intake(settings.intake, settings.env, held_here)


def _files(sources: tuple[Source, ...]) -> frozenset[str]:
    """The names of those that are the embedded archive."""
    return frozenset(source.name for source in sources if source.kind == "files")
