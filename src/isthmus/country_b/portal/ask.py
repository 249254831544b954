"""One request of a browser: who asks, in which visit, in which language; and how it is answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from isthmus.consent.roles import Act
from isthmus.country_b.portal.desk import Desk
from isthmus.country_b.portal.words import Offer, sex
from isthmus.country_b.visit import Visit
from isthmus.errors import IsthmusError, ServiceNotOffered
from isthmus.model.codes import Code
from isthmus.model.context import Purpose
from isthmus.model.people import HumanName, Patient
from isthmus.pages.forms import read_cookies
from isthmus.pages.language import LANGUAGES, Language, choose, choose_terms
from isthmus.pages.render import moved, page_answer, render
from isthmus.signin.sessions import Session, page_token
from isthmus.terminology.display import Words, is_draft
from isthmus.transport.answers import Answer
from isthmus.transport.inbound import Request

LANGUAGE_COOKIE, TERMS_COOKIE, THEME_COOKIE = "isthmus-language", "isthmus-terms", "isthmus-theme"
THEMES = ("light", "dark")


@dataclass(frozen=True, slots=True)
class Band:
    """The dark band: whose data this is. On every page that shows any."""

    family: str
    given: str
    native: HumanName | None
    birth_date: str
    born: str
    age: int | None
    sex: str
    identifier: str
    identifier_label: str
    country: str
    visit_id: str
    until: str
    purpose: str
    emergency: bool = False


@dataclass
class Ask:
    """What a page needs to answer."""

    desk: Desk
    request: Request
    parts: Mapping[str, str] = field(default_factory=dict)  # of the path
    session: Session | None = None
    visit: Visit | None = None
    form: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        return read_cookies(self.request)

    @cached_property
    def spoken(self) -> Language:
        return choose(self.request.headers.get("accept-language", ""), self.cookies.get(LANGUAGE_COOKIE, ""))

    @cached_property
    def terms(self) -> str:
        """The language of coded terms: one of the 24, also where the interface has it not."""
        kept, interface = self.cookies.get(TERMS_COOKIE, ""), self.cookies.get(LANGUAGE_COOKIE, "")
        return choose_terms(self.request.headers.get("accept-language", ""), kept, interface)

    @cached_property
    def words(self) -> Words:
        """Words for codes: those of the product, and the imported ones of what was looked up for this page."""
        return Words(self.terms)

    @property
    def draft(self) -> bool:
        """Whether nobody has reviewed the words of that language yet."""
        return is_draft(self.terms)

    async def look_up(self, codes: Iterable[Code | None]) -> None:
        """Have the imported words of these codes at hand too."""
        self.words = await self.desk.dictionary.words(self.terms, codes)

    @property
    def theme(self) -> str:
        chosen = self.cookies.get(THEME_COOKIE, "")
        return chosen if chosen in THEMES else ""

    @property
    def today(self) -> date:
        return self.desk.clock().astimezone().date()

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query's members, the last of a name."""
        return dict(self.request.query)

    @property
    def here(self) -> str:
        """This address, to come back to after a switch of language or theme; the front page after a post."""
        if self.request.method == "POST":
            return "/"
        return self.request.path + (f"?{urlencode(self.request.query)}" if self.request.query else "")

    @property
    def signed_in(self) -> Session:
        if self.session is None:
            raise IsthmusError("a page was asked for without its session")
        return self.session

    @property
    def visiting(self) -> Visit:
        if self.visit is None:
            raise IsthmusError("a page was asked for without its visit")
        return self.visit

    @property
    def country(self) -> str:
        """The country of this visit's patient."""
        return self.visiting.patients[0].country

    @property
    def offer(self) -> Offer:
        """What that country offers now, by the trust list."""
        return Offer.of(self.desk.directory.country(self.country).services)

    @property
    def sees_images(self) -> bool:
        """Whether images can be fetched at all: the country offers them, and the role may."""
        return self.offer.images and Act.PIXELS in self.visiting.acts

    def require_images(self) -> None:
        """Raises ServiceNotOffered, InsufficientRights where none can be fetched."""
        self.visiting.require(Act.PIXELS)
        if not self.offer.images:
            raise ServiceNotOffered("this country does not share images", country=self.country)

    @property
    def offers_emergency(self) -> bool:
        """By role, and by the country's entry of the trust list; never by the patient."""
        physician = Act.BREAK_GLASS in self.visiting.acts
        return physician and self.desk.directory.country(self.country).policy.btg

    @property
    def patient(self) -> Patient:
        return self.visiting.patients[0].patient

    @property
    def at_visit(self) -> str:
        """The address of this visit."""
        return f"/visits/{quote(self.visiting.id)}"

    def country_name(self, code: str) -> str:
        """The reader's word for a country; an invented one is called what the trust list calls it."""
        names = next((p.name for p in self.desk.directory.countries if p.country == code), {})
        return self.spoken.country(code, names.get(self.spoken.code, ""))

    def band(self) -> Band | None:
        """Whose data the page shows; none before the person is confirmed."""
        if self.visit is None or self.visit.relationship is None or not self.visit.patients:
            return None
        patient, spoken = self.patient, self.spoken
        label = next((m for m in self.desk.directory.countries if m.country == self.country), None)
        labels = {} if label is None else identifier_labels(label.mask.identifiers, patient.identifier.system)
        return Band(
            family=patient.name.family,
            given=" ".join(patient.name.given),
            native=next((n for n in patient.names[1:] if n.language), None),
            birth_date=patient.birth_date,
            born=spoken.date(patient.birth_date),
            age=spoken.age(patient.birth_date, self.today),
            sex=sex(patient.gender, spoken),
            identifier=patient.identifier.value,
            identifier_label=labels.get(spoken.code) or labels.get("en") or spoken.say("Number"),
            country=self.country,
            visit_id=self.visit.id,
            until=spoken.clock(self.visit.expires),
            purpose=spoken.say("Treatment")
            if self.visit.purpose is Purpose.TREAT
            else spoken.say("Emergency treatment"),
            emergency=self.visit.purpose is Purpose.BTG,
        )

    def page(
        self, template: str, status: int = 200, headers: tuple[tuple[str, str], ...] = (), **context: Any
    ) -> Answer:
        """A page in the reader's language, with bar and band."""
        body = render(
            template,
            self.spoken,
            ask=self,
            languages=LANGUAGES,
            band=self.band(),
            page_token=page_token(self.session) if self.session else "",
            **context,
        )
        return page_answer(status, body, self.spoken, headers)

    def to(self, path: str, *headers: tuple[str, str]) -> Answer:
        return moved(path, headers)


def identifier_labels(kinds: Any, system: str) -> Mapping[str, str]:
    """What a country calls its identifiers of one authority, by language."""
    return next((dict(kind.label) for kind in kinds if kind.system == system), {})
