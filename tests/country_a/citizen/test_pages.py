"""The citizen's pages: what I share and change, what follows from it, who looked; and nobody but the patient."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from isthmus.audit.access import Accesses
from isthmus.audit.account import Account
from isthmus.config import Citizen
from isthmus.consent.emergency import Emergencies
from isthmus.country_a.citizen.app import ROUTES, citizen_app
from isthmus.country_a.citizen.desk import Desk
from isthmus.country_a.holdings import Deciding
from isthmus.errors import InsufficientRights
from isthmus.model.people import HealthProfessional, Organisation, Patient
from isthmus.signin.provider import Attempt, Elsewhere, Wish
from isthmus.signin.sessions import Sessions
from isthmus.testing.border import PracticeBorder, _spoken
from isthmus.testing.register import CT, EMPTY, MR, SEEN, fill

pytestmark = pytest.mark.anyio
PUBLIC = "http://127.0.0.1:8703"
PASSWORD = "right"


class Provider:
    """Patients, a stranger who is in no register, and a physician; one password."""

    name, label = "accounts", ""
    known = {
        "paula": ("patient", SEEN),
        "nora": ("patient", EMPTY),
        "stranger": ("patient", replace(SEEN, identifier=replace(SEEN.identifier, value="9999999999"))),
        "doctor": ("2212", SEEN),
    }

    async def begin(self, wish: Wish) -> Elsewhere | None:
        return None

    async def finish(self, said: Mapping[str, str], wish: Wish, attempt: Attempt | None) -> HealthProfessional:
        login = said.get("login", "")
        if login not in self.known or said.get("password") != PASSWORD:
            raise InsufficientRights("wrong", reason="sign-in")
        role, patient = self.known[login]
        number = f"{patient.identifier.system}|{patient.identifier.value}"
        return HealthProfessional(login, login.title(), role, Organisation("", ""), national_identifier=number)

    async def close(self) -> None: ...


@dataclass
class Page:
    status: int
    text: str
    headers: dict[str, str]


class Browser:
    """As little of one as forms need."""

    def __init__(self, app: Any, language: str = "en") -> None:
        self._app, self._language, self.cookies, self.page = app, language, dict[str, str](), Page(0, "", {})

    async def get(self, path: str) -> Page:
        return await self._ask("GET", path, b"")

    async def post(self, path: str, fields: Mapping[str, str], *, token: bool = True, origin: str = PUBLIC) -> Page:
        found = re.search(r'name="page-token" value="([0-9a-f]+)"', self.page.text)
        said = {**({"page-token": found[1]} if found and token else {}), **fields}
        return await self._ask("POST", path, urlencode(said).encode(), origin)

    async def sign_in(self, login: str) -> Page:
        await self.get("/sign-in")
        return await self.post("/sign-in", {"login": login, "password": PASSWORD})

    async def _ask(self, method: str, path: str, body: bytes, origin: str = "") -> Page:
        target, _, query = path.partition("?")
        said = {"host": "127.0.0.1:8703", "accept-language": self._language, "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}  # fmt: skip
        said |= {"content-type": "application/x-www-form-urlencoded", "origin": origin} if method == "POST" else {}
        scope = {
            "type": "http", "method": method, "path": target, "raw_path": target.encode(), "query_string": query.encode(),
            "client": ("127.0.0.1", 1), "headers": [(k.encode(), v.encode()) for k, v in said.items() if v], "extensions": {},
        }  # fmt: skip
        reply = await _spoken(self._app, scope, body)
        if (kept := reply.headers.get("set-cookie")) is not None:
            name, _, value = kept.partition(";")[0].partition("=")
            self.cookies[name] = value
        self.page = Page(reply.status, reply.body.decode(), reply.headers)
        if reply.status == 303:
            return await self.get(reply.headers["location"])
        return self.page


@dataclass
class Home:
    border: PracticeBorder
    desk: Desk

    def browser(self, language: str = "en") -> Browser:
        return Browser(citizen_app(self.desk), language)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with PracticeBorder(tmp_path / "practice") as border:
        fill(border.register, tmp_path)
        settings = replace(border.settings, citizen=Citizen(public=PUBLIC))
        deciding = Deciding(
            border.directives,
            border.register,
            settings.consent,
            lambda: border.directory.ours,
            border.clock,
            can_tell=True,
        )
        yield Home(
            border,
            Desk(
                settings, deciding, border.directives, border.register, border.trail, Accesses(border.state, border.master),
                Emergencies(border.state, border.master, border.clock), Sessions(border.state, border.clock), Provider(),
                lambda: {"BB": "Country BB"}, lambda: "eu-2026-09", border.clock,
            ),
        )  # fmt: skip


async def total(border: PracticeBorder, patient: Patient = SEEN) -> int:
    token, handle = await border.care(patient)
    found = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})
    return int(found.json()["total"])


@pytest.mark.threat("T110")
@pytest.mark.parametrize("login", ["stranger", "doctor", "nobody"])
async def test_who_is_no_patient_of_this_country_comes_no_further(home: Home, login: str) -> None:
    page = await home.browser().sign_in(login)

    assert page.status == 403
    assert "Name or password is not right" in page.text
    assert home.border.events() == 0


@pytest.mark.threat("T110")
async def test_a_person_who_left_the_register_meanwhile_is_not_found(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")
    home.border.register.people.remove(SEEN)

    assert [(await browser.get(path)).status for path in ("/consent", "/access", "/access.json")] == [404, 404, 404]


@pytest.mark.threat("T71")
@pytest.mark.parametrize("path", [path for path, route in ROUTES.items() if route.patient and route.get])
async def test_without_a_session_there_is_only_the_way_in(home: Home, path: str) -> None:
    page = await home.browser().get(path)

    assert "Sign in" in page.text
    assert SEEN.name.given[0] not in page.text


async def test_the_page_shows_what_a_doctor_would_see(home: Home) -> None:
    page = await home.browser().sign_in("paula")

    assert page.status == 200
    assert page.text.count("<b>Seen</b>") == 2
    assert "CT of the head" in page.text


async def test_a_study_is_hidden_after_its_preview_and_shared_again(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")

    preview = await browser.get(f"/consent/preview?kind=restrict-study&scope={CT}")
    before = await total(home.border)
    await browser.post("/consent", {"kind": "restrict-study", "scope": CT})
    hidden, listed = await total(home.border), browser.page
    await browser.post("/consent", {"kind": "restrict-study", "scope": CT, "withdraw": "yes"})

    assert re.search(r"<td>Seen</td><td>Hidden</td>", preview.text)
    assert (before, hidden, await total(home.border)) == (5, 2, 5)
    assert "A scan is hidden, with its reports" in listed.text
    assert "<b>Hidden</b>" in listed.text


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"kind": "opt-out", "scope": ""}, 0),
        ({"kind": "restrict-country", "scope": "BB"}, 0),
        ({"kind": "restrict-country", "scope": "CC"}, 5),
        ({"kind": "restrict-period", "scope": "", "first": "2024-01-01", "last": "2024-01-02"}, 2),
        ({"kind": "restrict-organisation", "scope": "AA-H-001"}, 0),
        ({"kind": "restrict-purpose", "scope": "BTG"}, 5),
    ],
)
async def test_every_choice_of_the_page_holds_at_the_border(home: Home, fields: dict[str, str], left: int) -> None:
    browser = home.browser()
    await browser.sign_in("paula")
    await browser.get(f"/consent/preview?{urlencode(fields)}")
    await browser.post("/consent", fields)

    assert await total(home.border) == left


@pytest.mark.parametrize(
    "query", ["kind=restrict-mood&scope=x", "kind=restrict-study&scope=x", "kind=restrict-period&first=2024-02-01&last=2024-01-01", ""]
)  # fmt: skip
async def test_what_says_nothing_changes_nothing(home: Home, query: str) -> None:
    browser = home.browser()
    await browser.sign_in("paula")

    page = await browser.get(f"/consent/preview?{query}")

    assert page.status == 400
    assert "Nothing was changed." in page.text
    assert (await home.border.directives.of(SEEN.identifier)).directives == ()


@pytest.mark.threat("T71")
async def test_a_post_from_elsewhere_or_without_the_pages_token_changes_nothing(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")

    foreign = await browser.post("/consent", {"kind": "opt-out", "scope": ""}, origin="http://evil.example")
    await browser.get("/consent")
    bare = await browser.post("/consent", {"kind": "opt-out", "scope": ""}, token=False)

    assert (foreign.status, bare.status) == (403, 403)
    assert (await home.border.directives.of(SEEN.identifier)).directives == ()


async def test_who_looked_stands_there_with_country_purpose_and_reason(home: Home) -> None:
    await total(home.border)
    await home.border.declare(SEEN)
    browser = home.browser()
    await browser.sign_in("paula")

    page = await browser.get("/access")

    for word in (
        "Dr Practice",
        "Country BB",
        "read the list of your studies and reports",
        "Emergency access.",
        "GCS 7",
    ):
        assert word in page.text
    assert "read this list" in page.text


@pytest.mark.threat("T110")
async def test_nobody_sees_what_is_another_patients(home: Home) -> None:
    await total(home.border)
    browser = home.browser()
    await browser.sign_in("nora")

    page, told = await browser.get("/access"), await browser.get("/access.json")

    assert "Dr Practice" not in page.text
    assert {one["kind"] for one in orjson.loads(told.text)["accesses"]} <= {"own-data", "ITI-81"}


async def test_the_list_can_be_taken_along(home: Home) -> None:
    await total(home.border)
    browser = home.browser()
    await browser.sign_in("paula")

    told, rows = await browser.get("/access.json"), await browser.get("/access.csv")

    assert "ITI-67" in {one["kind"] for one in orjson.loads(told.text)["accesses"]}
    assert rows.headers["content-disposition"] == 'attachment; filename="access.csv"'
    assert "read the list of your studies and reports" in rows.text


async def test_every_look_and_change_is_on_the_trail_with_the_patients_purpose(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")
    await browser.get("/access")
    await browser.post("/consent", {"kind": "opt-out", "scope": ""}) if "page-token" in browser.page.text else None
    home.border.trail.stop()
    account = Account(home.border.state, home.border.master, home.border.settings.folder)

    seen = {(one.transaction, one.purpose) for one in account.exchanges(100)}

    assert {("own-data", "PATRQT"), ("ITI-81", "PATRQT"), ("consent", "PATRQT")} <= seen
    assert account.verify().problems == []
    home.border.trail.start()


async def test_where_the_trail_cannot_be_written_nothing_is_shown(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")
    home.border.trail.stop()

    pages = [await browser.get(path) for path in ("/consent", "/access")]

    assert [page.status for page in pages] == [503, 503]
    assert "CT of the head" not in pages[0].text
    home.border.trail.start()


async def test_an_address_for_notices_is_kept_and_forgotten(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")
    emergencies = home.desk.emergencies

    await browser.post("/address", {"mail": "paula@example.org"})
    kept = emergencies.address_now(SEEN.identifier)
    wrong = await browser.post("/address", {"mail": "paula"})
    await browser.get("/consent")
    await browser.post("/address", {"mail": ""})

    assert (kept, wrong.status, emergencies.address_now(SEEN.identifier)) == ("paula@example.org", 400, None)


async def test_an_address_for_notices_is_kept_with_its_record_or_not_at_all(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")
    await browser.post("/address", {"mail": "paula@example.org"})
    await browser.get("/access")
    told = browser.page.text
    await browser.get("/consent")
    home.border.trail.stop()
    refused = await browser.post("/address", {"mail": "somebody@else.example"})

    assert "where you are told of emergencies was changed" in told
    assert (refused.status, home.desk.emergencies.address_now(SEEN.identifier)) == (503, "paula@example.org")
    home.border.trail.start()


async def test_the_pages_speak_greek(home: Home) -> None:
    page = await home.browser("el").sign_in("paula")

    assert "Τι κοινοποιώ" in page.text
    assert 'lang="el"' in page.text


async def test_who_looked_is_told_in_greek_with_the_doctors_own_words_and_nothing_of_the_catalogue(home: Home) -> None:
    await home.border.declare(SEEN)
    browser = home.browser("el")
    await browser.sign_in("paula")

    page = await browser.get("/access")

    assert "Στη χώρα μου" in page.text  # the patient's own look: by nobody, so without a role
    assert "Αναίσθητος ή δεν μπορεί να απαντήσει: " in page.text
    assert "GCS 7" in page.text
    assert "Χώρα BB" in page.text
    assert "Project-Id-Version" not in page.text


async def test_the_unseen_second_study_stays_as_it_is(home: Home) -> None:
    browser = home.browser()
    await browser.sign_in("paula")

    preview = await browser.get(f"/consent/preview?kind=restrict-study&scope={MR}")

    assert len(re.findall(r"<td>Seen</td><td>Seen</td>", preview.text)) == 1
