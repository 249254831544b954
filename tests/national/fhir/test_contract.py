"""A FHIR repository with the archive's images keeps what every national connector must keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.archive.conftest import NOW, Node
from tests.national.fhir.behind import MINE, PDF, STRANGER, Behind, OneLoop, entry, report, studies

from isthmus.model.documents import DocumentKind
from isthmus.national.fhir.repository import Repository
from isthmus.national.opening import Opening
from isthmus.testing.connector_contract import ConnectorContract, Offered
from isthmus.testing.engines.fhir_repository import FhirRepository
from isthmus.testing.studies import SyntheticStudy


@pytest.fixture
def offered(behind: Behind) -> Offered:
    made = [
        SyntheticStudy(seed, patient, instances=3, series_size=2, rows=4, columns=4)
        for seed, patient in ((1, MINE), (2, STRANGER))
    ]
    Node(behind.settings, behind.index).bring(*(b"".join(study.pieces(n)) for study in made for n in range(3)))
    mine, theirs = (study.study_instance_uid for study in made)
    behind.repository.put_binary("b1", "application/fhir+json", report())
    behind.repository.put(entry("d1", ("application/fhir+json", "Binary/b1"), context=studies(mine)))
    behind.repository.put(entry("d2", ("application/pdf", PDF), patient="p2", context=studies(theirs)))
    return Offered(OneLoop(behind), MINE, mine, STRANGER, theirs)


class TestFhir(ConnectorContract):
    @pytest.fixture
    def offered(self, offered: Offered) -> Offered:
        return offered


def test_report_and_study_stand_side_by_side(offered: Offered, behind: Behind) -> None:
    kinds = {
        document.kind for document in behind.listed() if offered.study_instance_uid in document.study_instance_uids
    }

    assert kinds == {DocumentKind.REPORT_FHIR, DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS}


def test_patients_and_reports_of_one_address_are_one_source(behind: Behind) -> None:
    (patients,), (reports,) = behind.connector.patients, behind.connector.reports

    assert isinstance(patients, Repository)
    assert patients is reports


def test_what_is_said_of_reports_counts_though_patients_name_the_repository_first(
    repository: FhirRepository, tmp_path: Path
) -> None:
    made = Behind(tmp_path, repository)
    (patients,), (reports,) = made.settings.sources.patients, made.settings.sources.reports
    sources = replace(made.settings.sources, reports=(replace(reports, report_types=()),))
    opening = Opening(replace(made.settings, sources=sources), made.index, lambda: NOW)

    one, two = opening.repository(patients), opening.repository(sources.reports[0])
    other = opening.repository(replace(patients, authorization="Bearer other"))

    made.close()
    assert one is two
    assert one.source.report_types == ()
    assert other is not one
