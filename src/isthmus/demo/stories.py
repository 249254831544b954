"""The stories of the demonstration: who has what, what they said about it, and what Country B must see of it.

A restricted study hides its report too; an opt-out hides everything. Country by country, `nodes.py` registers the people, imports
images and reports, sets the directives, and writes the ready file from these tables.

Source: interfaces.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import DemoReport, reports
from isthmus.demo.studies import STUDIES, DemoStudy
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient

REGISTER_HEADER = "system,value,family,given,birth_date,gender"


@dataclass(frozen=True, slots=True)
class Story:
    """One patient's story. `restricted` are labels of studies."""

    story_id: str
    person: str
    story: str
    restricted: tuple[str, ...] = ()
    opted_out: bool = False

    @property
    def patient(self) -> Patient:
        return PEOPLE[self.person]

    @property
    def studies(self) -> tuple[str, ...]:
        """Labels of the studies Country B must see."""
        mine = [label for label, study in STUDIES.items() if study.person == self.person]
        return () if self.opted_out else tuple(label for label in mine if label not in self.restricted)

    @property
    def reports(self) -> tuple[str, ...]:
        """Ids of the reports Country B must see: each version of a report is one."""
        mine = [report for report in reports().values() if report.person == self.person]
        return () if self.opted_out else tuple(r.id for r in mine if not set(r.studies) & set(self.restricted))


STORIES: tuple[Story, ...] = (
    Story("study-with-report", "eleni", "a CT study and its report, with key images marked"),
    Story("study-with-report", "markos", "an MR study of three series and its report, in Greek"),
    Story("study-with-report", "anton", "a chest radiograph and its report"),
    Story("study-without-report", "mirela", "an ultrasound study alone, no report yet"),
    Story("study-with-report", "sofia", "a PET study and its report, in Greek"),
    Story("study-with-report", "danae", "a mammogram of a synthetic phantom and its report"),
    Story("report-without-study", "oskar", "a report alone: the images stayed at another hospital"),
    Story("two-studies", "irini", "two studies: a CT and the MR that was its prior, each with its report"),
    Story("only-study-restricted", "lazaros", "the only study is restricted by the patient", ("mr-lazaros",)),
    Story("one-of-two-restricted", "petra", "two studies, one of them restricted by the patient", ("mr-petra",)),
    Story("opted-out", "iason", "opted out of sharing across the border", opted_out=True),
    Story("nothing", "noemi", "nothing there"),
    Story("twin-a", "twin-a", "a twin: the same name and birth date as another patient"),
    Story("twin-b", "twin-b", "the other twin: the same name and birth date"),
    Story("one-report-two-studies", "rosalie", "one report about two studies, a CT and an MR of one day, in German"),
    Story("amended", "stefanos", "two reports on one study: the second is an amendment and replaces the first"),
    Story("preliminary", "rada", "a preliminary report of the night, not signed yet, in Bulgarian"),
    Story("pdf-only", "ilias", "a study and its report as a PDF alone, in Greek"),
    Story("cda", "ottilie", "a study and its report as a CDA document, in German"),
    Story("two-studies", "nerea", "four studies of four regions over two years, no reports"),
)

# Country CC offers reports alone: its images stay at home.
REPORTS_ONLY: tuple[Story, ...] = (
    Story("reports-only-country", "benno", "a report on the knee, in German; the country offers reports only"),
    Story("reports-only-country", "yordan", "a report on the abdomen, in Bulgarian; the country offers reports only"),
    Story("reports-only-country", "wilma", "two reports on the chest; the country offers reports only"),
)

TOLD = {"AA": STORIES, "CC": REPORTS_ONLY}


def ready_patients(country: str) -> list[dict[str, Any]]:
    """The `patients` of the ready file. Source: interfaces.md §3."""
    return [
        {
            "country": country,
            "identifier": {"system": s.patient.identifier.system, "value": s.patient.identifier.value},
            "family": s.patient.name.family,
            "given": list(s.patient.name.given),
            "birthDate": s.patient.birth_date,
            "gender": s.patient.gender,
            "studies": len(s.studies),
            "reports": len(s.reports),
            "story_id": s.story_id,
            "story": s.story,
        }
        for s in TOLD.get(country, ())
    ]


def register_rows(country: str = "AA") -> list[str]:
    """The patient register as CSV lines under `REGISTER_HEADER`, as `import-patients` reads them."""
    people = (story.patient for story in TOLD[country])
    return [
        ",".join(
            (p.identifier.system, p.identifier.value, p.name.family, " ".join(p.name.given), p.birth_date, p.gender)
        )
        for p in people
    ]


def told_studies(country: str = "AA") -> list[DemoStudy]:
    """The studies whose images are imported."""
    people = {story.person for story in TOLD[country]}
    return [study for study in STUDIES.values() if study.person in people]


def told_reports(country: str = "AA") -> list[DemoReport]:
    """The reports to import, versions of one in their order."""
    people = {story.person for story in TOLD[country]}
    return sorted((r for r in reports().values() if r.person in people), key=lambda r: (r.family, r.version))


def report_files(country: str = "AA") -> list[tuple[Path, PatientIdentifier, tuple[str, ...]]]:
    """The documents to import, each with its patient and the studies it is about."""
    return [(r.document, r.patient.identifier, r.study_instance_uids) for r in told_reports(country)]


def directives(country: str = "AA") -> list[tuple[PatientIdentifier, str, str | None]]:
    """What patients said: `opt-out`, or `restrict-study` with a Study Instance UID."""
    said: list[tuple[PatientIdentifier, str, str | None]] = []
    for story in TOLD[country]:
        if story.opted_out:
            said.append((story.patient.identifier, "opt-out", None))
        said += [(story.patient.identifier, "restrict-study", STUDIES[x].study_instance_uid) for x in story.restricted]
    return said
