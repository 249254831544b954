"""What the portal works with: the rows it asks, who is signed in, the visits, the spool; one per node.

The rows come as `Verbs`, so that a page can be looked at without a second country.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from isthmus.audit.events import Note
from isthmus.config import Settings
from isthmus.country_b import documents, images, patients
from isthmus.country_b.arrivals import Arrived
from isthmus.country_b.client import Client
from isthmus.country_b.images import Shelf
from isthmus.country_b.portal.fetching import Fetching
from isthmus.country_b.spool import Spool
from isthmus.country_b.visit import Visit, Visits
from isthmus.errors import SettingsProblem
from isthmus.model.documents import Document
from isthmus.model.imaging import Manifest
from isthmus.model.people import Patient
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.model.report.document import ImagingReport
from isthmus.pages.static import Static
from isthmus.signin.provider import SignInProvider
from isthmus.signin.sessions import Sessions
from isthmus.trust.trustlist import Participant

__all__ = ["Countries", "Desk", "Verbs"]


class Countries(Protocol):
    """Who answers now: the part of `trust.directory.Directory` that pages need."""

    @property
    def countries(self) -> tuple[Participant, ...]: ...
    def country(self, code: str) -> Participant: ...


@dataclass(frozen=True)
class Verbs:
    """The rows of Country B, each with its client in hand."""

    find_patients: Callable[[Visit, str, PatientQuery], Awaitable[Patient]]
    find_documents: Callable[[Visit, str, DocumentQuery], Awaitable[Sequence[Document]]]
    get_report: Callable[[Visit, str, str], Awaitable[tuple[ImagingReport, bytes]]]
    get_manifest: Callable[[Visit, str, str], Awaitable[tuple[Manifest, bytes]]]
    get_images: Callable[[Visit, str, ImagesQuery, Shelf], AsyncIterator[Arrived]]

    @classmethod
    def of(cls, client: Client) -> Verbs:
        return cls(
            partial(patients.find_patients, client),
            partial(documents.find_documents, client),
            partial(documents.get_report, client),
            partial(documents.get_manifest, client),
            partial(images.get_images, client),
        )


@dataclass
class Desk:
    """Everything a page may reach."""

    settings: Settings
    verbs: Verbs
    directory: Countries
    note: Callable[[Note], Awaitable[Any]]
    sessions: Sessions
    accounts: SignInProvider
    visits: Visits
    spool: Spool
    clock: Callable[[], datetime]
    fetching: Fetching
    credits: Sequence[str] = ()
    static: Static = field(default_factory=Static)

    @property
    def public(self) -> str:
        """How browsers address the portal: scheme, host and port, no path."""
        if self.settings.portal is None:
            raise SettingsProblem("the portal needs its section [portal]", key="portal")
        parts = urlsplit(self.settings.portal.public)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def cookie(self) -> str:
        """The session's cookie. Cookies ignore ports, so over plain HTTP the name has country and port in it."""
        parts = urlsplit(self.public)
        name = f"isthmus-{self.settings.country}-{parts.port or (443 if parts.scheme == 'https' else 80)}"
        return f"__Host-{name}" if parts.scheme == "https" else name

    @property
    def cookie_rules(self) -> str:
        secure = "; Secure" if self.public.startswith("https") else ""
        return f"; Path=/; HttpOnly; SameSite=Strict{secure}"
