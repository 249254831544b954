"""A visit and a program that reads in it: the real service with sessions, spool, trail and child processes; a Country AA made of values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.country_b.portal.fakes import PUBLIC, Browser, FakePortal, Page, portal_in

from isthmus.audit.account import Account
from isthmus.audit.trail import Trail
from isthmus.country_b.local.access import Access
from isthmus.country_b.local.app import Doors, local_app
from isthmus.country_b.local.asked import Local
from isthmus.country_b.local.holdings import Holdings
from isthmus.country_b.portal.app import app_of
from isthmus.demo.people import PEOPLE
from isthmus.model.people import Patient
from isthmus.sandbox import Sandbox
from isthmus.signin.sessions import cookie_name
from isthmus.storage.database import Database, open_state
from isthmus.storage.sealed import MasterKey


@dataclass
class Program:
    """Software of the hospital, with a token."""

    browser: Browser
    visit: str
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, accept: str = "*/*", **headers: str) -> Page:
        return await self.browser.once(
            "GET", f"{self.visit}/{path}", b"", {**self._bare(), "accept": accept, **headers}
        )

    async def post(self, path: str, body: bytes) -> Page:
        form = {"content_type": "application/x-www-form-urlencoded", "accept": "*/*"}
        return await self.browser.once("POST", f"{self.visit}/{path}", body, self._bare() | form)

    async def json(self, path: str) -> Any:
        page = await self.get(path)
        assert page.status == 200, page.text
        return json.loads(page.body)

    def _bare(self) -> dict[str, str]:
        return {"cookie": "", **self.headers}


@dataclass
class Hospital:
    """The portal and the service at one address."""

    portal: FakePortal
    app: Doors
    database: Database
    master: MasterKey
    writing: Trail
    sandbox: Sandbox

    def browser(self) -> Browser:
        return Browser(self.app, "en-GB")

    async def visit(self, patient: Patient = PEOPLE["mirela"], login: str = "radiologist") -> tuple[Browser, str]:
        """A professional in a confirmed visit; and its address."""
        browser = self.browser()
        await browser.sign_in(login)
        await browser.find(patient)
        page = await browser.confirm()
        return browser, page.path.rpartition("/")[0]

    async def token(self, browser: Browser, visit: str, **headers: str) -> Page:
        return await browser.once("POST", f"{visit}/token", b"", {"origin": PUBLIC} | headers)

    async def program(self, patient: Patient = PEOPLE["mirela"], login: str = "radiologist") -> Program:
        browser, visit = await self.visit(patient, login)
        token = json.loads((await self.token(browser, visit)).body)["access_token"]
        return Program(browser, visit, {"authorization": f"Bearer {token}"})

    def stop_trail(self) -> None:
        self.writing.stop()

    def close(self) -> None:
        self.sandbox.close()
        self.writing.stop()
        self.database.close()

    def trail(self, kind: str) -> list[Any]:
        account = Account(self.database, self.master, self.portal.desk.settings.folder)
        return [e for e in account.exchanges(100) if e.transaction == kind]


def hospital_in(folder: Path) -> Hospital:
    """A hospital on a fresh database in a folder; `close` it."""
    portal = portal_in(folder)
    desk, clock = portal.desk, portal.clock
    database, master, sandbox = open_state(desk.settings), MasterKey(bytes(32)), Sandbox()
    trail = Trail(database, master, clock, folder)
    trail.start()
    cookie = cookie_name(desk.settings.country, PUBLIC)
    access = Access(database, desk.sessions, desk.visits, trail, clock, public=PUBLIC, cookie=cookie)
    holdings = Holdings(desk.verbs, desk.flights, desk.recent)
    local = Local(access, holdings, portal.directory, desk.spool, sandbox, PUBLIC, clock, "http://ohif.example:8702")
    return Hospital(portal, Doors(local_app(local), app_of(desk)), database, master, trail, sandbox)


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = hospital_in(tmp_path)
    yield made
    made.close()
