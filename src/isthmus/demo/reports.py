"""The invented reports: one source text each, and the two forms made of it by `tools/demo/make_reports.py`.

`data/reports/ID.toml` is the source; `ID.json` the FHIR document Bundle that Country A imports; `ID.pdf` the report as issued,
which also lies inside the Bundle. Both are committed; nothing is made at start.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from isthmus.demo.people import PEOPLE
from isthmus.demo.provenance import DATA
from isthmus.demo.studies import STUDIES, uid_of
from isthmus.model.people import Patient

REPORTS = DATA / "reports"


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
    def bundle(self) -> Path:
        return REPORTS / f"{self.id}.json"

    @property
    def pdf(self) -> Path:
        return REPORTS / f"{self.id}.pdf"

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
