"""The sources that the settings name, opened and joined. A country's own connector is named by dotted path: `module:Class`.

Source: interfaces.md §7.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from isthmus.config import Settings
from isthmus.errors import SettingsProblem
from isthmus.national.dicomweb import DicomWeb
from isthmus.national.fhir.repository import Repository
from isthmus.national.files import Files
from isthmus.national.pacs import PacsImages
from isthmus.national.sources import FindsPatients, GivesDocuments, GivesImages, Sources
from isthmus.sources import Source
from isthmus.storage.database import Database

_VERBS: dict[str, Any] = {"patients": FindsPatients, "reports": GivesDocuments, "images": GivesImages}


class Opening:
    """What a source needs to be opened: handed to a country's own class as `Class(source, opening)`."""

    def __init__(self, settings: Settings, index: Database, clock: Callable[[], datetime]) -> None:
        self.settings, self.index, self.clock = settings, index, clock
        self._files: Files | None = None
        self._repositories: dict[tuple[str, ...], Repository] = {}

    def files(self, source: Source) -> Files:
        """The embedded archive and register: one, however many sources of the kind there are."""
        if self._files is None:
            self._files = Files(self.settings, self.index, self.clock)
        return self._files

    def repository(self, source: Source) -> Repository:
        """A FHIR repository: one, where patients and reports name the same. What is said of its reports is said there."""
        key = _address(source)
        if key not in self._repositories:
            said = next((one for one in self.settings.sources.reports if _address(one) == key), source)
            self._repositories[key] = Repository(self.settings, self.index, said, self.clock)
        return self._repositories[key]


def _address(source: Source) -> tuple[str, ...]:
    return source.kind, source.name, source.url, source.authorization


def _dimse(source: Source, opening: Opening) -> PacsImages:
    from isthmus.national.dimse import DimsePacs  # the library behind it is loaded where it is used

    pacs = DimsePacs(opening.settings, opening.index, source)
    return PacsImages(opening.settings, opening.index, source, pacs, opening.clock)


def _dicomweb(source: Source, opening: Opening) -> PacsImages:
    pacs = DicomWeb(opening.settings, source)
    return PacsImages(opening.settings, opening.index, source, pacs, opening.clock)


_KINDS: dict[str, Callable[[Source, Opening], Any]] = {
    "files": lambda source, opening: opening.files(source),
    "fhir": lambda source, opening: opening.repository(source),
    "dicomweb": _dicomweb,
    "dimse": _dimse,
}


def open_sources(settings: Settings, index: Database, clock: Callable[[], datetime]) -> Sources:
    """Every source of the settings as one connector. Raises SettingsProblem for a class that cannot be had or lacks a verb."""
    opening = Opening(settings, index, clock)
    held = {kind: tuple(open_source(s, kind, opening) for s in getattr(settings.sources, kind)) for kind in _VERBS}
    every = (*settings.sources.images, *settings.sources.reports, *settings.sources.patients)
    zone = next((source.zone for source in every if source.time_zone), UTC)
    return Sources(held["patients"], held["reports"], held["images"], zone)


def open_source(source: Source, kind: str, opening: Opening) -> Any:
    """One source of a kind. Raises SettingsProblem."""
    make = _KINDS.get(source.kind) or _own(source, kind)
    if source.kind in ("fhir", "dicomweb", "dimse"):
        _check(source, kind, opening.settings)
    opened = make(source, opening)
    if not isinstance(opened, _VERBS[kind]):
        raise SettingsProblem(
            f"sources.{kind} {source.name!r}: {source.kind} lacks a verb of {_VERBS[kind].__name__}",
            key=f"sources.{kind}.kind",
        )
    return opened


def _check(source: Source, kind: str, settings: Settings) -> None:
    """What is said of the way to a source must hold. Raises SettingsProblem: nobody shall believe in a TLS that is not there."""
    dimse, url = source.kind == "dimse", urlsplit(source.url)
    files = {key: getattr(source, key) for key in ("authority", "tls_certificate", "tls_key")}
    missing = [key for key, name in files.items() if name and not settings.path(name).is_file()]
    wrong = [
        (
            "url",
            not dimse and (url.scheme not in ("http", "https") or not url.hostname),
            "is no address by http or https",
        ),
        ("tls", any(files.values()) and not source.tls and dimse, "is needed for the certificates that are named"),
        (
            "url",
            any(files.values()) and url.scheme != "https" and not dimse,
            "is not by https, and certificates are named",
        ),
        ("tls", source.tls and not dimse and url.scheme != "https", "is for dimse; here the address says https"),
        ("tls_key", bool(source.tls_key) and not source.tls_certificate, "has no tls_certificate"),
        ("tls_key", bool(source.tls_certificate) and not source.tls_key and not dimse, "is needed for tls_certificate"),
        *((key, True, f"names a file that is not there: {files[key]}") for key in missing),
        *(
            (key, getattr(source, key) <= 0, "is more than nothing")
            for key in ("parallel", "page_size", "timeout_s", "images_timeout_s", "search_s")
        ),
    ]
    for key, holds, what in wrong:
        if holds:
            raise SettingsProblem(f"sources.{kind} {source.name!r}: {key} {what}", key=f"sources.{kind}.{key}")


def _own(source: Source, kind: str) -> Callable[[Source, Opening], Any]:
    module, _, name = source.kind.partition(":")
    try:
        made: Callable[[Source, Opening], Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsProblem(
            f"sources.{kind} {source.name!r}: {source.kind} cannot be imported: {error}", key=f"sources.{kind}.kind"
        ) from error
    return made
