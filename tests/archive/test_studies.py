"""How a study is described from its rows: written rules, whatever the order of arrival.

Source: field-faults F05, F08, F09, F13, F14.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from tests.archive.conftest import Node, dicom

from isthmus.archive.studies import Described, describe, started
from isthmus.model.identifiers import Identifier
from isthmus.sources import Source

SOURCE = Source(
    accession_issuer="2.999.5.1", time_zone="Europe/Athens", institution="General", institution_id="urn:oid:2.999.6|H1"
)


def _described(node: Node, *files: bytes, source: Source = SOURCE) -> Described:
    node.bring(*files)
    described = node.database.read_now(lambda connection: describe(connection, "2.25.10", source))
    assert described is not None
    return described


def test_a_study_says_what_its_files_say(node: Node) -> None:
    study = _described(node, dicom(2), dicom(1), dicom(3, series="2.25.12", SeriesNumber=None, Modality="MR")).study

    assert [[i.number for i in series.instances] for series in study.series] == [[1, 2], [3]]
    assert (study.description, study.started, study.modalities) == (
        "CT of the chest",
        "2026-01-05T10:15:00+02:00",
        ("CT", "MR"),
    )
    assert [region.display for region in study.regions] == ["Upper trunk"]
    assert study.patient.name.family == "Testova"
    assert study.custodian is not None
    assert (study.custodian.name, study.custodian.identifier, study.custodian.system) == (
        "General",
        "H1",
        "urn:oid:2.999.6",
    )


@pytest.mark.fault("F05")
def test_texts_that_disagree_are_chosen_by_rule_and_not_by_arrival(node: Node, tmp_path_factory: Any) -> None:
    files = [
        dicom(1),
        dicom(2, StudyDescription="A"),
        dicom(3, StudyDescription="A", StudyDate="20260106"),
        dicom(4, StudyDescription="B"),
    ]
    from tests.archive.conftest import settings_in

    from isthmus.storage.database import open_index

    chosen = set()
    for order in list(permutations(files))[::5]:
        settings = settings_in(tmp_path_factory.mktemp("node"))
        database = open_index(settings)
        described = _described(Node(settings, database), *order)
        chosen.add((described.study.description, described.study.started, described.warnings))
        database.close()

    assert len(chosen) == 1
    description, when, warnings = chosen.pop()
    assert (description, when) == ("A", "2026-01-05T10:15:00+02:00")
    assert warnings == ("not all instances agree on study_date", "not all instances agree on study_description")


@pytest.mark.fault("F08")
@pytest.mark.parametrize(
    ("written", "read"),
    [("000123 ", "000123"), (" 000123", "000123"), ("000123", "000123"), ("123", "123"), ("A 12 B", "A 12 B")],
)
def test_accession_numbers_are_texts(node: Node, written: str, read: str) -> None:
    study = _described(node, dicom(AccessionNumber=written)).study

    assert study.accession_numbers == (Identifier("urn:oid:2.999.5.1", read),)


@pytest.mark.fault("F09")
def test_an_accession_number_has_the_files_issuer_else_the_sources_else_none(node: Node) -> None:
    from pydicom.dataset import Dataset

    issuer = Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "2.999.5.2", "ISO"
    files = [
        dicom(1, AccessionNumber="4711", IssuerOfAccessionNumberSequence=[issuer]),
        dicom(2, AccessionNumber="4711"),
    ]

    labelled = _described(node, *files).study
    unlabelled = _described(node, *files, source=replace(SOURCE, accession_issuer="")).study

    assert {n.system for n in labelled.accession_numbers} == {"urn:oid:2.999.5.1", "urn:oid:2.999.5.2"}
    assert {n.system for n in unlabelled.accession_numbers} == {None, "urn:oid:2.999.5.2"}


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("date", "time", "offset", "expected"),
    [
        ("2020-10-25", "00:15:00", "+02:00", "2020-10-25T00:15:00+02:00"),
        ("2020-10-25", "00:15:00", None, "2020-10-25T00:15:00+03:00"),
        ("2026-01-05", "10:15:00.25", None, "2026-01-05T10:15:00.25+02:00"),
        ("2026-01-05", "10:15", None, "2026-01-05T10:15:00+02:00"),
        ("2026-01-05", "10", None, "2026-01-05"),
        ("2026-01-05", None, None, "2026-01-05"),
        ("2026-01", "10:15:00", None, "2026-01"),
        (None, "10:15:00", None, None),
    ],
)
def test_a_start_has_an_offset_only_where_one_is_known(
    date: str | None, time: str | None, offset: str | None, expected: str | None
) -> None:
    assert started(date, time, offset, SOURCE) == expected
    assert started(date, time, None, replace(SOURCE, time_zone="")) == date


@pytest.mark.fault("F14")
def test_a_study_without_a_date_is_described_all_the_same(node: Node) -> None:
    study = _described(node, dicom(StudyDate="00000000")).study

    assert study.started is None


def test_an_institution_in_the_files_has_the_sources_identifier_only_when_it_is_the_same(node: Node) -> None:
    same = _described(node, dicom(1, InstitutionName="GENERAL")).study.custodian
    other = _described(node, dicom(2, InstitutionName="Other"), dicom(3, InstitutionName="Other")).study.custodian

    assert same is not None
    assert same.identifier == "H1"
    assert other is not None
    assert (other.name, other.identifier) == ("Other", None)


def test_without_a_body_part_the_entire_body_is_said_and_warned_of(node: Node) -> None:
    described = _described(node, dicom(BodyPartExamined=None))

    assert [region.code for region in described.study.regions] == ["38266002"]
    assert any("entire body" in warning for warning in described.warnings)


def test_what_is_unassigned_or_in_quarantine_is_no_part_of_a_study(node: Node) -> None:
    node.bring(dicom(1), dicom(2, PatientID=None), dicom(3, PatientID="9"))

    described = node.database.read_now(lambda connection: describe(connection, "2.25.10", SOURCE))

    assert described is not None
    assert described.study.instance_count == 1
