"""The demo's nodes, two or three: processes with their own settings, keys, database and ports, and real mutual TLS between them.

The same code as in production, with keys and passwords made for each folder. A kept folder opens again: accounts, patients and
keys stay, passwords are made anew.

Source: interfaces.md §1-§3.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from isthmus.demo.people import COUNTRY_OF, PEOPLE
from isthmus.demo.provenance import origins
from isthmus.demo.relabel import write_dicom
from isthmus.demo.stories import (
    REGISTER_HEADER,
    TOLD,
    directives,
    ready_patients,
    register_rows,
    told_reports,
    told_studies,
)
from isthmus.errors import NationalInfrastructureUnavailable, SettingsProblem
from isthmus.signin.accounts import Entry, practice_entries, write_accounts
from isthmus.trust.pki import init, sign_again
from isthmus.trust.settings_text import CountryPorts

COUNTRIES = ("AA", "BB")
HOMES = ("AA",)  # with pages for their own patients
CHOICES = (COUNTRIES, ("AA", "BB", "CC"))
OFFERED = {"CC": ("imaging-report",)}  # who is not here offers everything
HOST = "127.0.0.1"
READY_S, STOP_S = 60, 8

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ports:
    """Where the demo listens."""

    portal: int
    countries: Mapping[str, CountryPorts]


def choose_ports(portal: int | None, base: int | None, say: Say, countries: Sequence[str] = COUNTRIES) -> Ports:
    """The ports asked for, or the usual ones; a usual one that is taken is replaced by a free one, and said.

    Raises SettingsProblem when one that was asked for is taken.
    """
    taken: set[int] = set()

    def pick(wanted: int, asked: bool, what: str) -> int:
        port = wanted if wanted and wanted not in taken and _is_free(wanted) else 0
        if not port:
            if asked and wanted:
                raise SettingsProblem(
                    f"port {wanted} for {what} is taken; ask for another one, or 0 for any", reason="usage"
                )
            port = _any_free(taken)
            if wanted:
                say(f"port {wanted} is taken; {what} is at {port}")
        taken.add(port)
        return port

    first = 8710 if base is None else base
    portal_port = pick(8700 if portal is None else portal, portal is not None, "the portal")
    chosen = {}
    for place, country in enumerate(countries):
        at = first + 10 * place if first else 0
        border = pick(at + 1 if at else 0, base is not None, f"the border of {country}")
        local = pick(at + 2 if at else 0, base is not None, f"the local listener of {country}")
        home = (
            pick(at + 3 if at else 0, base is not None, f"the citizens' pages of {country}") if country in HOMES else 0
        )
        chosen[country] = CountryPorts(border=border, operations=local, citizen=home)
    return Ports(portal_port, chosen)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _any_free(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


class Demo:
    """The countries of `ports` in a folder: prepared, started, stopped."""

    def __init__(self, folder: Path, ports: Ports, say: Say, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.ports, self._say = folder, ports, say
        self.countries = tuple(ports.countries)
        self._environment = {**os.environ, **(environment or {})}  # of the nodes' processes
        self.staff, self.citizens = practice_entries(), citizen_entries()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[BinaryIO] = []

    def config(self, country: str) -> Path:
        return self.folder / country.lower() / "isthmus.toml"

    # before

    def prepare(self) -> None:
        """Keys, settings, accounts, patients, images, reports, directives: what is missing of them. Of settings that are there, the ports.

        Raises SettingsProblem for a folder of other countries.
        """
        now = datetime.now(UTC)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (self.folder / "trustlist.jws").exists():
            held = sorted(file.parent.name.upper() for file in self.folder.glob("*/isthmus.toml"))
            if held != sorted(self.countries):
                raise SettingsProblem(
                    f"{self.folder} holds {','.join(held)}: ask for these countries, or choose another folder",
                    reason="usage",
                )
            sign_again(self.folder, ports=self.ports.countries, portal_port=self.ports.portal, now=now)
        else:
            self._say("making keys, certificates and the trust list")
            init(
                self.folder,
                countries=self.countries,
                ports=self.ports.countries,
                portal_port=self.ports.portal,
                services=OFFERED,
                now=now,
            )
            settings = self.config("BB").read_text(encoding="utf-8")
            self.config("BB").write_text(
                settings.replace("[portal]\n", '[portal]\ncredits = "credits.txt"\n'), encoding="utf-8"
            )
        write_accounts(self.folder / "bb" / "accounts.toml", self.staff)
        for country in set(HOMES).intersection(self.countries):
            write_accounts(self.folder / country.lower() / "accounts.toml", self.citizens)
        credits_ = "\n".join(dict.fromkeys(origin.credit for origin in origins().values()))
        (self.folder / "bb" / "credits.txt").write_text(credits_ + "\n", encoding="utf-8")
        for country in self.countries:
            filled = self.folder / country.lower() / "filled"
            if country in TOLD and not filled.exists():
                self._fill(country)
                filled.touch()

    def _fill(self, country: str) -> None:
        with tempfile.TemporaryDirectory(prefix="isthmus-demo-") as name:
            scratch = Path(name)
            register = scratch / "patients.csv"
            register.write_text("\n".join([REGISTER_HEADER, *register_rows(country)]) + "\n", encoding="utf-8")
            self._command(country, "import-patients", register)
            images = [scratch / "dicom"] if told_studies(country) else []
            if images:
                self._say("re-labelling the images for invented patients")
                write_dicom(images[0], told_studies(country))
            self._say(f"filling the archive of Country {country}")
            told = told_reports(country)
            self._command(country, "import", *images, *(r.document for r in told if r.form != "pdf"))
            for report in (r for r in told if r.form == "pdf"):  # a PDF does not say whose it is
                about = [word for uid in report.study_instance_uids for word in ("--study", uid)]
                whose = report.patient.identifier
                self._command(country, "import", report.document, "--patient", f"{whose.system}|{whose.value}", *about)
        for patient, kind, study in directives(country):
            said = ("--opt-out",) if kind == "opt-out" else ("--restrict-study", study or "")
            self._command(country, "consent", "set", "--patient", f"{patient.system}|{patient.value}", *said)

    def _command(self, country: str, *words: object) -> None:
        """A command with a country's settings, as an operator would give it."""
        command = [sys.executable, "-m", "isthmus", "--config", str(self.config(country)), *map(str, words), "--json"]
        done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise NationalInfrastructureUnavailable(
                f"the demo cannot be prepared: `{words[0]}` ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
            )

    # while

    def start(self) -> None:
        """Start the nodes; returns when all answer. Raises NationalInfrastructureUnavailable when one does not."""
        for country in self.countries:
            log = (self.folder / f"{country.lower()}.log").open("ab", buffering=0)
            self._logs.append(log)
            self._running[country] = subprocess.Popen(
                [sys.executable, "-m", "isthmus", "--config", str(self.config(country)), "serve", "--with-parent"],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        for country in self.countries:
            while not self._answers(country):
                if self._running[country].poll() is not None or time.monotonic() > deadline:
                    raise NationalInfrastructureUnavailable(
                        f"Country {country} did not start: {self.last_words(country)}"
                    )
                time.sleep(0.05)

    def _answers(self, country: str) -> bool:
        address = f"http://{HOST}:{self.ports.countries[country].operations}/readyz"
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def last_words(self, country: str) -> str:
        """The end of a node's log, in one line."""
        log = self.folder / f"{country.lower()}.log"
        text = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
        return text.splitlines()[-1][:300] if text else "it said nothing"

    def ended(self) -> str | None:
        """The country whose node ended by itself, if one did."""
        return next((country for country, process in self._running.items() if process.poll() is not None), None)

    def stop(self) -> None:
        """End all nodes within seconds."""
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        for log in self._logs:
            log.close()

    # what others build on

    def ready(self) -> dict[str, Any]:
        """The ready file's content. Source: interfaces.md §3."""
        portal = f"http://{HOST}:{self.ports.portal}"
        accounts = [
            {"login": e.login, "password": e.password, "name": e.name, "role": e.role, "organisation": e.organisation}
            for e in self.staff
        ]
        keys = self.folder / "bb" / "keys"
        client = {"country": "BB", "certificate": str(keys / "tls.pem"), "key": str(keys / "tls.key")}
        return {
            "portal": portal,
            "accounts": accounts,
            "citizens": [
                {"login": e.login, "password": e.password, "name": e.name, "patient": e.patient} for e in self.citizens
            ],
            "countries": {country: self._country(country) for country in self.countries},
            "client": {**client, "authority": str(self.folder / "ca.pem")},
            "patients": [patient for country in self.countries for patient in ready_patients(country)],
        }

    def _country(self, country: str) -> dict[str, Any]:
        ports = self.ports.countries[country]
        border = f"https://{HOST}:{ports.border}"
        return {
            "config": str(self.config(country)),
            "border": border,
            "token": f"{border}/oauth/token",
            "fhir": f"{border}/fhir",
            "dicomweb": f"{border}/dicom-web",
            "operations": f"http://{HOST}:{ports.operations}",
            "pid": self._running[country].pid,
            **({"citizen": f"http://{HOST}:{ports.citizen}"} if ports.citizen else {}),
        }

    def write_ready(self, file: Path) -> None:
        """Write the ready file: mode 0600, and renamed into place when it is whole."""
        part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            json.dump(self.ready(), out, indent=2, ensure_ascii=False)
        part.rename(file)


def citizen_entries() -> tuple[Entry, ...]:
    """An account for each invented patient of a country that has pages for them, with passwords of the moment."""
    return tuple(
        Entry(
            login=key, password=secrets.token_urlsafe(9), name=f"{p.name.given[0]} {p.name.family}", role="patient",
            organisation="", organisation_id="", patient=f"{p.identifier.system}|{p.identifier.value}",
        )
        for key, p in PEOPLE.items()
        if COUNTRY_OF[key] in HOMES
    )  # fmt: skip


def remove(folder: Path) -> None:
    """Delete a demo's temporary folder."""
    shutil.rmtree(folder, ignore_errors=True)
