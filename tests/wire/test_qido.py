"""QIDO-RS: keys as PS3.18 has them, rows as DICOM JSON, and nothing found in every dialect."""

from __future__ import annotations

import re
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.made import MANIFEST_ENTRY, STUDY

from isthmus.errors import ContextMismatch, CountryMisanswered, MalformedRequest, TooLarge, UnsupportedRequest
from isthmus.wire.studies import qido
from isthmus.wire.studies.qido import ATTRIBUTES, LEVELS, Row, is_like, keys_of, matches, read_found, read_search

BASE = "https://ncpeh.aa.example/dicom-web"
PATIENT = ("1234567", "h-42")
SERIES = STUDY.series[0]
ROW = Row(replace(MANIFEST_ENTRY, description="CT head"), SERIES, SERIES.instances[1])
SIGNS = st.text(alphabet="aB*?[]%_.\\^$", max_size=12)


@pytest.mark.threat("T100")
@given(SIGNS, SIGNS)
def test_a_key_is_a_pattern_and_a_stored_value_is_none(text: str, pattern: str) -> None:
    form = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)

    assert is_like(text, pattern) is (re.fullmatch(form, text, re.DOTALL) is not None)


def test_a_pattern_of_stars_ends() -> None:
    assert not is_like("a" * 5000, "*a" * 30 + "b")


@pytest.mark.parametrize("level", LEVELS)
def test_every_key_is_known_by_keyword_and_by_tag(level: qido.Level) -> None:
    by_keyword = {attribute.keyword: attribute for attribute in ATTRIBUTES}
    for keyword in keys_of(level):
        tag = by_keyword[keyword].tag if keyword in by_keyword else qido.PATIENT_ID
        for name in (keyword, tag, tag.upper()):
            assert read_search([(name, "")], level, (), PATIENT).level == level


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("StudyDate", "20260302", True), ("StudyDate", "20260301", False), ("StudyDate", "20260302-20260302", True),
        ("StudyDate", "20260303-", False), ("StudyDate", "-20260301", False), ("StudyTime", "0914", True),
        ("StudyTime", "09-10", True), ("StudyTime", "091401-", False), ("StudyTime", "-0914", True),
        ("ModalitiesInStudy", "CT", True), ("ModalitiesInStudy", "MR\\CT", True), ("ModalitiesInStudy", "ct", False),
        ("Modality", "CT", True), ("Modality", "KO", False), ("SeriesNumber", "1", True), ("SeriesNumber", "01", True),
        ("SeriesNumber", "2", False), ("InstanceNumber", "2", True), ("SOPInstanceUID", "2.999.7.1.1.2", True),
        ("SOPInstanceUID", "1.2,2.999.7.1.1.2", True), ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2", False),
        ("SeriesDescription", "Axial*", True), ("SeriesDescription", "axial*", False), ("StudyDescription", "*", True),
        ("AccessionNumber", "A2026-0042", True), ("AccessionNumber", "A2026-004", False), ("AccessionNumber", "A2026-????", True),
        ("SeriesInstanceUID", "2.999.7.1.1", True), ("StudyInstanceUID", "2.999.7.1", True), ("StudyInstanceUID", "2.999.7.10", False),
    ],
)  # fmt: skip
def test_a_key_matches_as_its_kind_does(name: str, value: str, found: bool) -> None:
    assert matches(ROW, read_search([(name, value)], "instance", (), PATIENT)) is found


def test_a_study_without_a_date_passes_no_date() -> None:
    undated = replace(ROW, study=replace(ROW.study, period_start=None))
    only_year = replace(ROW, study=replace(ROW.study, period_start="2026"))

    for row in (undated, only_year):
        assert not matches(row, read_search([("StudyDate", "19000101-")], "instance", (), PATIENT))
        assert matches(row, read_search([("StudyDate", "")], "instance", (), PATIENT))


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        ([("PatientID", "9")], ContextMismatch), ([("PatientID", "123456?")], ContextMismatch),
        ([("StudyID", "1")], UnsupportedRequest), ([("Rows", "512")], UnsupportedRequest),
        ([("0010,0020", "1")], UnsupportedRequest), ([("StudyDate", "20260230")], MalformedRequest),
        ([("StudyDate", "٢٠٢٦٠١٠١")], MalformedRequest), ([("StudyDate", "20260101"), ("00080020", "20260101")], MalformedRequest),
        ([("limit", "1"), ("limit", "2")], MalformedRequest), ([("SOPInstanceUID", "*")], None), ([("SOPInstanceUID", "1.*")], MalformedRequest),
        ([("Modality", ",".join(["CT"] * 4000))], TooLarge),
    ],
)  # fmt: skip
def test_what_is_refused_and_how(pairs: list[tuple[str, str]], error: type[Exception] | None) -> None:
    if error is None:
        assert read_search(pairs, "instance", (), PATIENT).keys == ()
        return
    with pytest.raises(error):
        read_search(pairs, "instance", (), PATIENT)


@pytest.mark.parametrize("level", LEVELS)
def test_rows_are_dicom_json(level: qido.Level) -> None:
    (row,) = orjson.loads(qido.write_found([ROW], level, base=BASE, handle="h-42"))

    assert list(row) == sorted(row)
    for tag, element in row.items():
        assert re.fullmatch(r"[0-9A-F]{8}", tag)
        assert set(element) <= {"vr", "Value"}
        assert element.get("Value") != []
    assert row["0020000D"] == {"vr": "UI", "Value": ["2.999.7.1"]}
    assert ("00100020" in row) is (level == "study")


def test_several_accession_numbers_are_keys_and_one_is_told() -> None:
    numbers = (*ROW.study.accession_numbers, replace(ROW.study.accession_numbers[0], value="B2"))
    row = Row(replace(ROW.study, accession_numbers=numbers))

    (told,) = orjson.loads(qido.write_found([row], "study", base=BASE, handle="h-42"))

    assert matches(row, read_search([("AccessionNumber", "B2")], "study", (), PATIENT))
    assert told["00080050"] == {"vr": "SH", "Value": ["A2026-0042"]}


@pytest.mark.fault("F37")
@pytest.mark.requirement("WAD-19")
@pytest.mark.parametrize(
    ("status", "body"), [(204, None), (204, b""), (200, b"[]"), (200, b""), (200, b" \n"), (404, b"gone")]
)
def test_nothing_found_is_read_in_every_dialect(status: int, body: bytes | None) -> None:
    assert read_found(status, body) == []


def test_rows_come_back() -> None:
    body = qido.write_found([ROW], "series", base=BASE, handle="h-42")

    (row,) = read_found(200, body)

    assert row["0020000E"] == ("2.999.7.1.1",)
    assert row["00201209"] == (2,)


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"<x/>", b'{"a"'])
def test_what_is_no_array_of_data_sets_is_a_misanswer(body: bytes) -> None:
    with pytest.raises(CountryMisanswered):
        read_found(200, body)
