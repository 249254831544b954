"""Everything about a node that will hurt, looked at once: what, how bad, and what to do.

Each row of `CHECKS` is one thing; what it cannot look at is a finding too. `prod` judges by production's measure whatever `env` says.

Source: interfaces.md §2; trust.md §6.1, §6.4, §6.6, T79, T86.
"""

from __future__ import annotations

import hashlib
import shutil
import ssl
import stat
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from isthmus.config import Settings
from isthmus.errors import IsthmusError, SettingsProblem
from isthmus.operations.expiry import expiries
from isthmus.operations.kernel import clock_is_set
from isthmus.operations.peers import SKEW_S, Asked
from isthmus.storage.sealed import MasterKey
from isthmus.trust.certificates import is_demo, own_certificate, spki_sha256
from isthmus.trust.directory import Directory
from isthmus.trust.keys import load_public_key, load_signing_key, thumbprint
from isthmus.trust.turnover.own import Own

Severity = Literal["error", "warning", "information"]
FREE_WARNING, FREE_ERROR = 0.15, 0.05
WAL_BYTES = 256 << 20
UNSEEN = timedelta(hours=24)
HYBRID_FROM = (3, 5)
INVENTED = ("AA", "BB", "CC")
ORDER: tuple[Severity, ...] = ("error", "warning", "information")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know. `about` names it without figures, so that it is the same tomorrow; `word` is the check that found it."""

    severity: Severity
    what: str
    advice: str
    about: str = ""
    word: str = ""


@dataclass(frozen=True)
class Examined:
    """A node, as far as it was looked at. `peers` is what they said, None when they were not asked."""

    settings: Settings
    directory: Directory | None
    peers: list[Asked] | None
    now: datetime
    prod: bool
    witnessed_at: datetime | None = None  # when another country last saw our log

    @property
    def bad(self) -> Severity:
        """How bad a stand-in is."""
        return "error" if self.prod else "information"


def examine(node: Examined, only: Container[str] | None = None) -> list[Finding]:
    """All findings, the worst first; of some checks `only`, by their words."""
    found: list[Finding] = []
    for word, check in CHECKS.items():
        if only is not None and word not in only:
            continue
        try:
            for finding in check(node):
                found.append(replace(finding, word=word))  # what was found before a problem stays
        except IsthmusError as problem:
            advice = "put this right first; the rest of this check was not looked at"
            found.append(Finding("error", str(problem), advice, word=word))
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))


def settings_digest(settings: Settings) -> str:
    """Names the settings file, so that two nodes, or two days, can be compared."""
    return hashlib.sha256(settings.file.read_bytes()).hexdigest()


def _keys(node: Examined) -> Iterator[Finding]:
    keys, settings = node.settings.keys, node.settings
    Own(settings)
    MasterKey.load(settings.path(keys.env))
    wanted = [keys.sig, keys.hpa, *([keys.at] if settings.answers else []), *([keys.consent] if keys.consent else [])]
    demo = [name for name in wanted if load_signing_key(settings.path(name), settings.env).demo]
    if is_demo(own_certificate(settings)):
        demo.append(keys.tls_certificate)
    if demo:
        advice = "make real ones; a node in production refuses these"
        yield Finding(node.bad, f"made for practice: {', '.join(demo)}", advice)
    for name in settings.trust.operator_keys:
        load_public_key(settings.path(name), settings.env, frozenset({"trustlist"}))


def _modes(node: Examined) -> Iterator[Finding]:
    """Files that others of this machine could read or replace."""
    settings = node.settings
    for file in _secrets(settings):
        if not file.exists():
            continue
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            yield Finding("error", f"{file} has mode {mode:04o}: others can read it", f"chmod 600 {file}", file.name)
    mode = stat.S_IMODE(settings.folder.stat().st_mode)
    if mode & 0o022:
        yield Finding(
            "warning", f"{settings.folder} has mode {mode:04o}: others can replace what is in it", "chmod 700", "folder"
        )


def _secrets(settings: Settings) -> list[Path]:
    keys = settings.keys
    names = [keys.tls_key, keys.sig, keys.hpa, keys.at, keys.env, keys.consent, settings.signin.accounts]
    found = [settings.path(name) for name in names if name]
    return [
        *found,
        *(file.with_name(f"{file.stem}.{word}{file.suffix}") for file in found for word in ("next", "previous")),
    ]


def _list(node: Examined) -> Iterator[Finding]:
    """The trust list, and what it says of us."""
    if node.directory is None:
        raise SettingsProblem("the trust list was not looked at")
    for alarm in node.directory.alarms():
        severity: Severity = "warning" if alarm.word in ("half-life", "behind", "long-lived") else "error"
        yield Finding(severity, alarm.message, "see `isthmus trust show`, and the guide on keys and the trust list")
    if node.directory.waiting:
        names = "; ".join(sorted(node.directory.waiting))
        yield Finding("information", f"waits until it counts: {names}", "`isthmus trust show` says until when")
    ours, own = node.directory.ours, Own(node.settings)
    listed = {key.thumbprint: key.status for key in ours.keys}
    for key in (own.sig, own.hpa):
        if listed.get(thumbprint(key.jwk)) not in ("current", "previous"):
            advice = "isthmus keys rotate; until then others refuse what it signs"
            yield Finding("error", f"our key {key.kid} does not count in the trust list", advice, key.kid)
    digest = spki_sha256(own.certificate)
    if not any(key.spki_sha256 == digest and key.holds("client", node.now) for key in ours.tls):
        advice = "isthmus keys rotate --key tls; until then others refuse our connections"
        yield Finding("error", "the key of our TLS certificate does not count in the trust list", advice, "tls")


def _ends(node: Examined) -> Iterator[Finding]:
    for each in expiries(node.settings, node.directory.accepted if node.directory else None):
        days = each.step(node.now)
        if days is not None:
            yield Finding("error" if days <= 1 else "warning", each.sentence(node.now), each.advice)


def _disk(node: Examined) -> Iterator[Finding]:
    """No room means no trail, and no trail means no data."""
    settings = node.settings
    seen = set()
    for name in (settings.folder, settings.path(settings.blobs), settings.path(settings.spool.folder)):
        place = next(folder for folder in (name, *name.parents) if folder.exists())
        if (device := place.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(place)
        free = usage.free / usage.total
        if free < FREE_WARNING:
            severity: Severity = "error" if free < FREE_ERROR else "warning"
            yield Finding(
                severity,
                f"{free:.0%} of the disk of {place} is free",
                "make room: without it nothing is answered",
                place.name,
            )
    wal = settings.database_file.with_name(settings.database_file.name + "-wal")
    if wal.exists() and wal.stat().st_size > WAL_BYTES:
        advice = "look for a reader that never ends; a restart of the node shortens it"
        yield Finding("warning", f"the write-ahead log has {wal.stat().st_size >> 20} MiB", advice, "write-ahead log")


def _clock(node: Examined) -> Iterator[Finding]:
    """By the kernel, and by what the others' clocks say."""
    if (is_set := clock_is_set()) is None:
        yield Finding("information", "whether the clock is kept by a time service cannot be asked here", "see to it")
    elif not is_set:
        severity: Severity = "error" if node.prod else "information"
        yield Finding(severity, "the clock is not kept by a time service", "run chrony with two sources or more")
    for asked in node.peers or ():
        if asked.skew_s is not None and abs(asked.skew_s) > SKEW_S:
            advice = "compare both with a time service; 30 seconds apart, nothing is accepted any more"
            yield Finding(
                "warning", f"the clock of {asked.country} is {asked.skew_s:+.0f} s from ours", advice, asked.country
            )


def _peers(node: Examined) -> Iterator[Finding]:
    if node.peers is None:
        yield Finding("information", "the other countries were not asked", "leave out --offline")
    newest = node.directory.accepted.seq if node.directory and node.directory.accepted else -1
    for asked in node.peers or ():
        if asked.problem is not None:
            advice = "call the country's desk; see address and firewall"
            yield Finding("warning", f"{asked.country} does not answer: {asked.problem}", advice, asked.country)
        elif asked.seq is not None and asked.seq < newest:
            advice = "within a minute it should follow; else call it"
            yield Finding(
                "information", f"{asked.country} follows list number {asked.seq}, we {newest}", advice, asked.country
            )


def _stand_ins(node: Examined) -> Iterator[Finding]:
    """What is meant for practice, and what a production node refuses. Source: trust.md §2.14."""
    settings = node.settings
    stand_ins = {
        f'env = "{settings.env}"': settings.env != "prod",
        f"the invented country {settings.country}": settings.country in INVENTED,
        "accounts in a file instead of a national identity provider": bool(settings.signin.accounts),
        "a portal by plain HTTP": settings.portal is not None and settings.portal.public.startswith("http://"),
        "trust.hold_h below 24 hours": settings.trust.hold_h < 24,
        "one signing key for directives in the node itself": bool(settings.keys.consent),
    }
    for what, used in stand_ins.items():
        if used:
            yield Finding(node.bad, f"a stand-in is in use: {what}", "replace it before real patients come")


def _cipher(node: Examined) -> Iterator[Finding]:
    if ssl.OPENSSL_VERSION_INFO[:2] < HYBRID_FROM:
        version = ssl.OPENSSL_VERSION.split(" ")[1]
        advice = "from OpenSSL 3.5 on, recorded traffic resists quantum computers too"
        yield Finding("information", f"OpenSSL {version} has no hybrid key exchange", advice)


def _witness(node: Examined) -> Iterator[Finding]:
    """A log that nobody else has seen proves nothing against us."""
    listed = node.directory.accepted if node.directory is not None else None
    if listed is None or all(p.log is None for p in listed.participants if p.ncp_id == node.settings.ncp_id):
        return
    seen = node.witnessed_at
    if seen is None or node.now - seen > UNSEEN:
        what = (
            "no other country has seen our log yet"
            if seen is None
            else f"no other country has seen our log since {seen:%Y-%m-%d %H:%M} UTC"
        )
        advice = "let the node run; if it does, see whether other countries can be reached"
        yield Finding("information" if seen is None else "warning", what, advice)


CHECKS: Mapping[str, Callable[[Examined], Iterator[Finding]]] = {
    "keys": _keys,
    "modes": _modes,
    "list": _list,
    "ends": _ends,
    "disk": _disk,
    "clock": _clock,
    "peers": _peers,
    "stand-ins": _stand_ins,
    "witness": _witness,
    "cipher": _cipher,
}
WATCHED = frozenset({"keys", "modes", "disk", "clock", "peers"})
"""What a running node looks at of itself; list and ends are alarms already."""
