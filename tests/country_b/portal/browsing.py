"""A portal that listens, and a professional who walks through it in Chromium: for what only a browser can show."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.country_b.portal.fakes import LOGIN, PASSWORD, portal_in
from tests.journeys.walking import look_for

from isthmus.country_b.portal.app import app_of
from isthmus.demo.people import PEOPLE
from isthmus.transport.listeners import Listener

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-quic",
]


@contextmanager
def a_browser() -> Iterator[Any]:
    """Chromium; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Served:
    """A portal that listens, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.portal = portal_in(folder)
        settings = self.portal.desk.settings
        assert settings.portal is not None
        self.url = f"http://127.0.0.1:{self.port}"
        self.portal.desk.settings = replace(settings, portal=replace(settings.portal, public=self.url))
        self._loop = asyncio.new_event_loop()
        self._listener = Listener("portal", app_of(self.portal.desk), "127.0.0.1", self.port, tls=None)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listener.start(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._listener.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.portal.desk.sandbox.close()


class Walker:
    """A professional at a page."""

    def __init__(self, browser: Any, served: Served, **context: Any) -> None:
        self.context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 800}} | context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.served = served

    def sign_in(self) -> Any:
        self.page.goto(self.served.url)
        self.page.fill("[name=login]", LOGIN)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("main button")
        return self.page

    def to_list(self, name: str = "markos") -> Any:
        patient, page = PEOPLE[name], self.sign_in()
        look_for(page, patient)
        page.wait_for_selector("h1:has-text('Examinations'), h1:has-text('Εξετάσεις')")
        page.wait_for_load_state()  # its keys are bound once its script has run
        return page
