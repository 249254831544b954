"""The reader's language: messages, dates, numbers, names of countries and languages.

Message ids are English; a catalogue per language lies under `locales/`. A calendar date is what was written, never shifted by a
zone; a time is shown as it stands at its place.

Source: field-faults F13; portal design §6; RFC 9110 §12.5.4.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Container
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib import resources
from io import BytesIO

from babel import Locale
from babel.dates import format_date, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations

from isthmus.terminology.display import LANGUAGES as TERMS_IN

TERM_LANGUAGES = TERMS_IN  # of coded words
LANGUAGES = {"en": "English", "el": "Ελληνικά"}
_LOCALES = {"en": "en_GB"}  # English is written the European way
INVENTED = ("AA", "BB", "CC")  # countries of demo and test
_TERRITORIES = {"EL": "GR", "UK": "GB"}
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?(?:T(\d{2}:\d{2}).*)?")


def N_(message: str) -> str:
    """Marks a message id that is translated later, where it is shown."""
    return message


class Language:
    """One language of the pages."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.name = LANGUAGES[code]
        self.locale = Locale.parse(_LOCALES.get(code, code))
        self.catalogue = _catalogue(code)
        self.count = self.catalogue.ngettext

    def say(self, message: str) -> str:
        """The message in this language. Nothing stays nothing: a catalogue keeps its own header under the empty message."""
        return self.catalogue.gettext(message) if message else ""

    def date(self, written: str | None) -> str:
        """The calendar date of a FHIR date or dateTime, as written there; month as word; partial dates stay partial."""
        match = _DATE.fullmatch(written or "")
        if match is None:
            return written or ""
        year, month, day, _ = match.groups()
        try:
            if day:
                return format_date(dt.date(int(year), int(month), int(day)), "medium", self.locale)
            if month:
                return format_date(dt.date(int(year), int(month), 1), "LLL y", self.locale)
        except ValueError:
            return written or ""
        return str(year)

    def time(self, written: str | None) -> str:
        """Hour and minute as they stand at the place where they were written; nothing when there are none."""
        match = _DATE.fullmatch(written or "")
        return (match[4] or "") if match else ""

    def ago(self, written: str | None, today: dt.date) -> str:
        """How long before today, by the calendar, for half a year; beside a date, never instead of it."""
        match = re.match(r"\d{4}-\d{2}-\d{2}", written or "")
        if match is None:
            return ""
        try:
            gone = today - dt.date.fromisoformat(match[0])
        except ValueError:
            return ""
        if not 0 <= gone.days <= 183:
            return ""
        if gone.days == 0:
            return self.say("today")
        return format_timedelta(-gone, threshold=2, add_direction=True, locale=self.locale)

    def number(self, value: float, digits: int = 0) -> str:
        return format_decimal(round(value, digits), locale=self.locale)

    def megabytes(self, size_bytes: int) -> str:
        """In MB: one digit behind the point under ten, at least 0.1."""
        size = max(size_bytes / 1e6, 0.1)
        return f"{self.number(size, 1 if size < 10 else 0)} MB"

    def territory(self, country: str) -> str:
        """The name of a country by its CountryCode (EL is Greece); the code itself when it names none."""
        return str(self.locale.territories.get(_TERRITORIES.get(country, country), country))

    def country(self, code: str, named: str = "") -> str:
        """The reader's word for a country; an invented one is called what somebody named it, else by its code."""
        if code in INVENTED:
            return named or self.say("Country %(code)s") % {"code": code}
        return self.territory(code)

    def language(self, tag: str) -> str:
        """The name of a language by its tag."""
        return str(self.locale.languages.get(tag.partition("-")[0].lower(), tag))

    def age(self, birth_date: str, today: dt.date) -> int | None:
        """Whole years; none for a partial date."""
        try:
            born = dt.date.fromisoformat(birth_date)
        except ValueError:
            return None
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

    def clock(self, moment: dt.datetime) -> str:
        """Hour and minute of a moment on this machine's clock."""
        return f"{moment.astimezone():%H:%M}"


@cache
def language(code: str) -> Language:
    """The language of this code; English for one we do not have."""
    return Language(code if code in LANGUAGES else "en")


def choose(accepted: str, kept: str = "") -> Language:
    """The reader's own choice, else the best of Accept-Language, else English."""
    if kept in LANGUAGES:
        return language(kept)
    return language(_best(accepted, LANGUAGES))


def choose_terms(accepted: str, kept: str = "", interface: str = "") -> str:
    """The language of coded terms, of the 24: the reader's own choice, else the interface's where that was chosen, else the best accepted.

    The interface itself has fewer languages; a term in the reader's stands in it with its own `lang`.
    """
    for chosen in (kept, interface):
        if chosen in TERM_LANGUAGES:
            return chosen
    return _best(accepted, TERM_LANGUAGES)


def own_name(code: str) -> str:
    """What a language calls itself."""
    return str(Locale.parse(code).get_display_name(code))


def _best(accepted: str, known: Container[str]) -> str:
    best, best_quality = "en", 0.0
    for item in accepted.split(",")[:20]:
        tag, _, rest = item.strip().partition(";")
        code = tag.partition("-")[0].lower()
        match = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", rest)
        quality = float(match[1]) if match else (0.0 if rest else 1.0)
        if code in known and quality > best_quality:
            best, best_quality = code, quality
    return best


def _catalogue(code: str) -> NullTranslations | GNUTranslations:
    """The compiled catalogue; a checkout that has none yet compiles the text in memory."""
    if code == "en":
        return NullTranslations()
    folder = resources.files("isthmus.pages").joinpath("locales", code, "LC_MESSAGES")
    compiled, text = folder.joinpath("isthmus.mo"), folder.joinpath("isthmus.po")
    if compiled.is_file() and not text.is_file():
        return GNUTranslations(BytesIO(compiled.read_bytes()))
    buffer = BytesIO()
    write_mo(buffer, read_po(BytesIO(text.read_bytes()), locale=code))
    buffer.seek(0)
    return Translations(buffer)
