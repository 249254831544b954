"""The invented reports: one source text each, and the forms made of it by `tools/demo/make_reports.py`.

`data/reports/ID.toml` is the source; `ID.pdf` the report as issued. What Country A imports of it is as its `form` says: `ID.json`, a FHIR
document Bundle with the PDF inside; the PDF alone; or `ID.xml`, a CDA document. All are committed; nothing is made at start.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from isthmus.demo.people import COUNTRIES, COUNTRY_OF, PEOPLE, PracticeCountry
from isthmus.demo.provenance import DATA
from isthmus.demo.studies import STUDIES, uid_of
from isthmus.model.people import Patient

REPORTS = DATA / "reports"
SUFFIXES = {"fhir": ".json", "pdf": ".pdf", "cda": ".xml"}


@dataclass(frozen=True, slots=True)
class DemoReport:
    """A report, the person it is about, and the studies it is about: labels of ours, or elsewhere's."""

    id: str
    person: str
    studies: tuple[str, ...]
    source: dict[str, Any]

    @property
    def patient(self) -> Patient:
        return PEOPLE[self.person]

    @property
    def country(self) -> PracticeCountry:
        return COUNTRIES[COUNTRY_OF[self.person]]

    @property
    def form(self) -> str:
        return str(self.source.get("form", "fhir"))

    @property
    def family(self) -> str:
        """The id of the first version, which all versions share."""
        return str(self.source.get("version_of", self.id))

    @property
    def version(self) -> int:
        return int(self.source.get("version", 1))

    @property
    def status(self) -> str:
        return str(self.source.get("status", "final"))

    @property
    def bundle(self) -> Path:
        return REPORTS / f"{self.id}.json"

    @property
    def pdf(self) -> Path:
        return REPORTS / f"{self.id}.pdf"

    @property
    def document(self) -> Path:
        """The file that Country A imports."""
        return REPORTS / f"{self.id}{SUFFIXES[self.form]}"

    @property
    def study_instance_uids(self) -> tuple[str, ...]:
        """A study that lies elsewhere has a UID too, which no image of the archive has."""
        return tuple(
            STUDIES[label].study_instance_uid if label in STUDIES else uid_of(label, "elsewhere")
            for label in self.studies
        )


@cache
def reports() -> dict[str, DemoReport]:
    """All reports by id."""
    found = {}
    for path in sorted(REPORTS.glob("*.toml")):
        source = tomllib.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = DemoReport(path.stem, source["person"], tuple(source["studies"]), source)
    return found
