"""What the citizen's pages work with, and one request of a browser: who signed in, whose data these are, in which language.

Whoever signed in is one patient of the country's own register, by exactly the number that the sign-in vouches for, or nobody.

Source: trust.md §2.13, §4.6, T110.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from isthmus.audit.access import PATIENT, Accesses
from isthmus.audit.events import Intent, Outcome
from isthmus.audit.trail import Trail
from isthmus.config import Settings
from isthmus.consent.directives import Directives
from isthmus.consent.emergency import Emergencies
from isthmus.country_a.holdings import Deciding
from isthmus.errors import DocumentNotFound, IsthmusError, MalformedRequest, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HealthProfessional, Patient
from isthmus.model.queries import PatientQuery
from isthmus.national.connector import NationalConnector
from isthmus.pages.forms import read_cookies
from isthmus.pages.language import LANGUAGES, Language, choose
from isthmus.pages.render import moved, page_answer, render
from isthmus.pages.static import Static
from isthmus.signin.provider import SignInProvider
from isthmus.signin.sessions import Session, Sessions, cookie_name, page_token
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request

ROLE = "patient"  # of an account: no code of a profession, so no page for professionals opens
LANGUAGE_COOKIE = "isthmus-language"


@dataclass
class Desk:
    """Everything a page may reach."""

    settings: Settings
    deciding: Deciding
    directives: Directives
    national: NationalConnector
    trail: Trail
    accesses: Accesses
    emergencies: Emergencies
    sessions: Sessions
    provider: SignInProvider
    countries: Callable[[], Mapping[str, str]]  # who may ask: their names by code
    pack: Callable[[], str]  # the drafts in which manifests are made
    clock: Callable[[], datetime]
    static: Static = field(default_factory=Static)

    @property
    def public(self) -> str:
        """How browsers address it: scheme, host and port."""
        if self.settings.citizen is None:
            raise SettingsProblem("the citizen's pages need their section [citizen]", key="citizen")
        parts = urlsplit(self.settings.citizen.public)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def cookie(self) -> str:
        return cookie_name(f"{self.settings.country}-citizen", self.public)

    @property
    def cookie_rules(self) -> str:
        return f"; Path=/; HttpOnly; SameSite=Strict{'; Secure' if self.public.startswith('https') else ''}"


@dataclass
class Ask:
    """What a page needs to answer."""

    desk: Desk
    request: Request
    session: Session | None = None
    patient: Patient | None = None
    form: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        return read_cookies(self.request)

    @cached_property
    def spoken(self) -> Language:
        return choose(self.request.headers.get("accept-language", ""), self.cookies.get(LANGUAGE_COOKIE, ""))

    @cached_property
    def query(self) -> Mapping[str, str]:
        return dict(self.request.query)

    def countries(self) -> Mapping[str, str]:
        """Who may ask: what the reader calls them, by code."""
        return {code: self.spoken.country(code) for code in self.desk.countries()}

    @property
    def me(self) -> PatientIdentifier:
        if self.patient is None:
            raise IsthmusError("a page was asked for without its patient")
        return self.patient.identifier

    @property
    def signed_in(self) -> Session:
        if self.session is None:
            raise IsthmusError("a page was asked for without its session")
        return self.session

    @contextlib.asynccontextmanager
    async def on_record(self, intent: Intent) -> AsyncIterator[None]:
        """What is looked at stands on the trail before it is; no record, no page."""
        opened = await self.desk.trail.open(intent)
        outcome = Outcome(outcome="incomplete")
        try:
            yield
            outcome = Outcome(outcome="complete", status=200)
        except IsthmusError as error:
            outcome = Outcome(outcome="failed", status=error.meaning.status, reason=error.reason)
            raise
        finally:
            await self.desk.trail.close(opened, outcome)

    def intent(self, transaction: str, **details: str) -> Intent:
        """The record of what a patient does with their own data."""
        return Intent(
            side="A", transaction=transaction, exchange_id=self.request.exchange_id, peer=self.desk.settings.ncp_id,
            purpose=PATIENT, patient=self.me, details=details,
        )  # fmt: skip

    def page(self, template: str, status: int = 200, *headers: tuple[str, str], **context: Any) -> Answer:
        token = page_token(self.session) if self.session else ""
        body = render(template, self.spoken, ask=self, languages=LANGUAGES, page_token=token, **context)
        return page_answer(status, body, self.spoken, headers)

    def to(self, path: str, *headers: tuple[str, str]) -> Answer:
        return moved(path, headers)


async def patient_of(desk: Desk, who: HealthProfessional) -> Patient:
    """The one patient who signed in. Raises DocumentNotFound for everybody else: exact match or nothing."""
    try:
        if who.role != ROLE or not who.national_identifier:
            raise DocumentNotFound("not a patient of this country")
        identifier = PatientIdentifier.read(who.national_identifier)
    except MalformedRequest as error:
        raise DocumentNotFound("the sign-in names no patient") from error
    found = [
        one for one in await desk.national.find_patients(PatientQuery((identifier,))) if one.identifier == identifier
    ]
    if len(found) != 1:
        raise DocumentNotFound("not one patient of this country")
    return found[0]
