"""A whole visit with marked values, every logger at DEBUG: nothing of the patient, and no token, stands in clear where it must not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from isthmus.demo.people import PATIENT_SYSTEM
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, prepare, two_countries

MARKED = Patient(
    PatientIdentifier(PATIENT_SYSTEM, "7766554433"), (HumanName("Quatzelphin", ("Wyrmhild",)),), "1913-08-27", "female"
)
STUDY = SyntheticStudy(seed=67, patient=MARKED, instances=3, rows=64, columns=64, description="Xebrulon thorax", accession_number="ZZQ-776655")  # fmt: skip
TYPED = ("Falschquatz", "1914-09-28", "7766554400")  # what is typed wrongly is nobody's to read either
SECRETS = (
    MARKED.identifier.value, MARKED.name.family, MARKED.name.given[0], MARKED.birth_date, MARKED.birth_date.replace("-", ""),
    STUDY.description.split()[0], STUDY.accession_number, *TYPED,
)  # fmt: skip

LOUD = """
import logging, threading, time

def louder():
    while True:
        for logger in (logging.getLogger(), *(l for l in list(logging.root.manager.loggerDict.values()) if hasattr(l, "setLevel"))):
            logger.setLevel(logging.DEBUG)
        time.sleep(0.05)

logging.basicConfig(level=logging.DEBUG)
threading.Thread(target=louder, daemon=True).start()
"""
"""As an operator might turn every logger of a running process to DEBUG."""


@dataclass
class Visited:
    """What is left after the visit, and what was said meanwhile."""

    countries: TwoCountries
    token: str = ""
    said: dict[str, bytes] = field(default_factory=dict)  # command: its standard error
    pixels: bytes = b""
    examinations: str = ""  # the portal's page
    image: bytes = b""  # as the portal gave it
    passwords: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def visited(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    folder = tmp_path_factory.mktemp("marked")
    prepare(folder / "pair", at_rest)
    (folder / "loud").mkdir()
    (folder / "loud" / "sitecustomize.py").write_text(LOUD)
    loud = {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder / "loud"), os.environ.get("PYTHONPATH"))))}
    files = STUDY.write(folder / "made")
    with two_countries(folder / "pair", loud) as countries:
        countries.a.register(MARKED)
        countries.a.take_in(folder / "made")
        seen = Visited(countries, pixels=files[1].read_bytes()[-600:-500])
        visit(seen, folder / "out", {**os.environ, **loud})
        yield seen


def visit(seen: Visited, out: Path, environment: dict[str, str]) -> None:
    """Every verb, what goes wrong included."""
    who = ["--as", "radiologist", "--country", "AA"]
    right = ["--identifier", f"{PATIENT_SYSTEM}|{MARKED.identifier.value}", "--family", MARKED.name.family, "--birth-date", MARKED.birth_date]  # fmt: skip
    wrong = ["--identifier", f"{PATIENT_SYSTEM}|{TYPED[2]}", "--family", TYPED[0], "--birth-date", TYPED[1]]

    def run(name: str, *words: object) -> str:
        ended = seen.countries.b.command("--verbose", *words, environment=environment)
        seen.said[name] = ended.stderr.encode()
        return ended.stdout

    run("find", "visit", *who, *right, "find", "--json")
    listed = json.loads(run("list", "visit", *who, *right, "list", "--json"))
    manifest = listed["examinations"][0]["study"]["documents"]["manifest-fhir"]
    run("get", "visit", *who, *right, "get", manifest, "--form", "manifest-fhir", "--out", out / "m.json")
    run("images", "visit", *who, *right, "images", STUDY.study_instance_uid, "--out", out)
    run("no such document", "visit", *who, *right, "get", "x" * 40, "--out", out / "n")
    run("no such study", "visit", *who, *right, "images", "2.25.404", "--out", out)
    run("nobody", "visit", *who, *wrong, "find")
    run("mask", "visit", *who, *wrong[:2], "--family", TYPED[0], "find")
    run("malformed", "visit", *who, *right[:4], "--birth-date", "Falschquatz 1914-09-28", "find")
    at_the_portal(seen)
    seen.token = json.loads(run("token", "token", *who, *right, "--json"))["access_token"]
    ask_directly(seen)


class Browser:
    """As little of one as the portal's forms need: cookies, redirects, the page's token."""

    def __init__(self, portal: str) -> None:
        self.portal, self.page, self.address = portal, "", portal
        jar = urllib.request.HTTPCookieProcessor()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)

    def get(self, path: str) -> bytes:
        return self._ask(urllib.request.Request(self.portal + path))

    def post(self, path: str, **fields: str) -> bytes:
        token = re.search(r'name="page-token" value="([0-9a-f]*)"', self.page)
        body = urllib.parse.urlencode({"page-token": token[1] if token else "", **fields}).encode()
        return self._ask(urllib.request.Request(self.portal + path, body, {"Origin": self.portal}))

    def _ask(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=20) as answer:
                body, self.address = answer.read(), answer.url
        except urllib.error.HTTPError as refusal:
            with refusal:
                body = refusal.read()
        self.page = body.decode("utf-8", "replace")
        return bytes(body)


def at_the_portal(seen: Visited) -> None:
    """Sign in, find, confirm, list, look at an image; a wrong password and a wrong person before."""
    ready = seen.countries.demo.ready()
    browser, account = Browser(ready["portal"]), ready["accounts"][0]
    seen.passwords = (account["password"], "Falschquatz-password")
    person = {"country": "AA", "mask": "AA", "identifier": MARKED.identifier.value, "family": MARKED.name.family}
    browser.get("/sign-in")
    browser.post("/sign-in", login=account["login"], password="Falschquatz-password")
    browser.post("/sign-in", login=account["login"], password=account["password"])
    browser.post("/find", **{**person, "identifier": TYPED[2], "family": TYPED[0], "birth-date": TYPED[1]})
    browser.get(f"/find?family={MARKED.name.family}&identifier={MARKED.identifier.value}")
    browser.get("/find")
    browser.post("/find", **person, **{"birth-date": MARKED.birth_date})
    visit = browser.address.removeprefix(ready["portal"]).removesuffix("/confirm")
    browser.post(f"{visit}/confirm", relationship="yes", purpose="TREAT")
    seen.examinations = browser.get(f"{visit}/examinations").decode()
    image = f"series/{STUDY.series_instance_uid(0)}/instances/{STUDY.sop_instance_uid(1)}"
    seen.image = browser.get(f"{visit}/studies/{STUDY.study_instance_uid}/{image}")


def ask_directly(seen: Visited) -> None:
    """Names and numbers where none belong: in the address. And a token of nobody."""
    client, fhir = seen.countries.demo.ready()["client"], seen.countries.demo.ready()["countries"]["AA"]["fhir"]
    query = f"identifier={PATIENT_SYSTEM}|{MARKED.identifier.value}&family={MARKED.name.family}&birthdate={MARKED.birth_date}"
    for address in (
        f"{fhir}/Patient?{query}",
        f"{fhir}/Nothing/{MARKED.name.family}",
        f"{fhir}/Patient?{query}&x={TYPED[0]}",
    ):
        for token in (seen.token, "eyJhbGciOiJub25lIn0.e30."):
            words = ["--cacert", client["authority"], "--cert", client["certificate"], "--key", client["key"]]
            subprocess.run(
                ["curl", "-s", *words, "-H", f"Authorization: Bearer {token}", address],
                capture_output=True,
                check=False,
            )


def in_clear(body: bytes, secrets: tuple[str, ...]) -> list[str]:
    low = body.lower()
    return [s for s in secrets if any(s.lower().encode(code) in low for code in ("utf-8", "utf-16-le"))]


def test_the_visit_went_as_it_should(visited: Visited) -> None:
    assert visited.token.count(".") == 2
    outcomes = {e.transaction: e.outcome for e in visited.countries.b.exchanges() if e.outcome == "complete"}
    assert set(outcomes) == {"ITI-71", "ITI-78", "ITI-67", "ITI-68", "RAD-107", "receipt"}
    assert STUDY.description in visited.examinations
    assert visited.pixels in visited.image


@pytest.mark.threat("T51")
@pytest.mark.threat("T85")
@pytest.mark.fault("F67")
def test_the_nodes_and_commands_say_nothing_of_the_patient(visited: Visited) -> None:
    logs = {node.country: node.log.read_bytes() for node in (visited.countries.a, visited.countries.b)}
    told = {**visited.said, **logs}

    assert b"DEBUG" in b"".join(told.values()), "the loggers were not loud"
    assert {
        name: found for name, body in told.items() if (found := in_clear(body, (*SECRETS, *visited.passwords)))
    } == {}
    assert {name for name, body in told.items() if b"eyJ" in body or visited.token.encode() in body} == set()


@pytest.mark.threat("T51")
def test_the_figures_name_nobody(visited: Visited) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    for country in visited.countries.demo.ready()["countries"].values():
        with opener.open(f"{country['operations']}/metrics", timeout=5) as answer:
            body = answer.read()
        assert b"isthmus_exchange" in body
        assert in_clear(body, SECRETS) == []


@pytest.mark.threat("T51")
@pytest.mark.threat("T53")
def test_state_trail_and_spool_keep_nothing_in_clear(visited: Visited) -> None:
    """All of Country B's folder; of Country A's what is not its own archive and register."""
    a, b = visited.countries.a.settings, visited.countries.b.settings
    files = [path for folder in (a.folder, b.folder) for path in folder.rglob("*") if path.is_file()]
    outside = [
        p
        for p in files
        if not p.is_relative_to(a.path(a.blobs)) and not p.name.startswith(("index.sqlite", "register-"))
    ]
    bodies = {path: path.read_bytes() for path in outside}

    assert any(path.name == "state.sqlite" for path in bodies)
    found = {p.name: told for p, body in bodies.items() if (told := in_clear(body, (*SECRETS, *visited.passwords)))}
    assert found == {}
    assert [p.name for p, body in bodies.items() if visited.token.encode() in body or visited.pixels in body] == []


def test_the_process_list_names_nobody(visited: Visited) -> None:
    """Of the nodes: what a command is given on its line is the professional's own."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")

    for node in (visited.countries.a, visited.countries.b):
        for name in ("cmdline", "environ"):
            assert in_clear(Path(f"/proc/{node.pid}/{name}").read_bytes(), SECRETS) == []
