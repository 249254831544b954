"""A decimal keeps the digits it was written with: through the document, and to who reads it."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.originals.made import cda, code, heading, number, report, section
from tests.originals.test_nothing_lost import made
from tests.wire.test_reports import REPORT

from isthmus.errors import CountryMisanswered
from isthmus.fhir import elements as el
from isthmus.model.numbers import Written, written
from isthmus.model.report.statements import Finding, Quantity
from isthmus.terminology.mapping import NO_CODES, Transcoder
from isthmus.terminology.reports import transcode_document
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report, write_report

PACK = load_pack()
DIGITS = ["1.50", "0.000001", "120", "120.0", "12345678901234567.89", "-0.10"]


def _document(digits: str) -> bytes:
    """A report as another wrote it, with one value."""
    finding = Finding(text="", name="Diameter", value=Quantity(77777.5, "mm", "mm"))
    examination = replace(REPORT.examination, findings=(finding,))
    return write_report(replace(REPORT, examination=examination), PACK).replace(b"77777.5", digits.encode())


@pytest.mark.fault("F30")
@pytest.mark.parametrize("digits", DIGITS)
def test_a_value_is_shown_and_written_again_with_its_digits(digits: str) -> None:
    report_ = read_report(_document(digits), PACK)

    (finding,) = report_.examination.findings
    assert isinstance(finding.value, Quantity)
    assert finding.value.shown == f"{digits} mm"
    assert f'"value":{digits}'.encode() in write_report(report_, PACK)


@pytest.mark.fault("F30")
@pytest.mark.parametrize("digits", ["19.00", "0.50", "12"])
def test_a_value_of_an_original_has_its_digits_in_the_document(digits: str) -> None:
    diameter, unit = code("81827009", "SCT", "Diameter"), code("mm", "UCUM", "mm")
    entry = (
        '<entry><observation><code code="81827009" codeSystem="2.16.840.1.113883.6.96" displayName="Diameter"/>'
        f'<value xsi:type="PQ" value="{digits}" unit="mm"/></observation></entry>'
    )

    bodies = [
        made(report(heading("121070", "Findings", number(diameter, digits, unit)))),
        made(cda(section("59776-5", "Befund", "x", entry))),
    ]

    assert [f'"value":{digits},'.encode() in b or f'"value":{digits}}}'.encode() in b for b in bodies] == [True, True]
    assert [f"{digits} mm".encode() in body for body in bodies] == [True, True]


@pytest.mark.fault("F30")
def test_codes_that_are_mapped_leave_the_digits_of_values() -> None:
    body = _document("1.50").replace(b"http://snomed.info/sct", b"urn:oid:2.999.7")

    told = transcode_document(body, Transcoder(NO_CODES))

    assert told != body
    assert b'"value":1.50' in told


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_any_decimal_comes_back_in_its_digits(value: object) -> None:
    digits = f"{value:f}"

    node = el.read_object(f'{{"a":{digits}}}'.encode(), digits=True)

    assert (el.write_object(node), node["a"]) == (f'{{"a":{digits}}}'.encode(), float(digits))


@pytest.mark.parametrize("said", ["+1.5", ".5", "007", "1.5E+3"])
def test_a_number_that_json_would_write_otherwise_has_its_value_alone(said: str) -> None:
    assert (written(said), isinstance(written(said), Written)) == (float(said), False)


def test_what_is_no_json_is_no_json_with_digits_either() -> None:
    for body in (b'{"a":NaN}', b'{"a":01}', b'{"a":1.}', b'{"a":' + b"1" * 5000 + b"}"):
        with pytest.raises(ValueError, match=r"."):
            orjson.loads(body)
        with pytest.raises(CountryMisanswered):
            el.read_object(body, digits=True)
