"""What a CDA document says, as lines; and what a hostile one does not get to do."""

from __future__ import annotations

from importlib.resources import files

import pytest

from isthmus.errors import IsthmusError
from isthmus.originals.cda.body import read_body

HEAD = """<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="2.999.9.1"/><recordTarget><patientRole>
<id root="2.999.1.2.1" extension="4711"/><patient><name><given>Eva</given><family>Testova</family></name>
<birthTime value="19700101"/></patient></patientRole></recordTarget>"""


def document(text: str) -> bytes:
    return (
        f"{HEAD}<component><structuredBody><component><section><code code='19005-8' codeSystem='2.16.840.1.113883.6.1'/>"
        f"<title>Impression</title><text>{text}</text></section></component></structuredBody></component></ClinicalDocument>"
    ).encode()


def lines(text: str) -> list[str]:
    found: list[str] = read_body(document(text))["sections"][0]["lines"]
    return found


def test_paragraphs_items_and_rows_become_lines_in_their_order() -> None:
    text = "Before <paragraph>One <content>two</content></paragraph><list><item>a</item><item>b</item></list>"

    assert lines(f"{text}<table><tbody><tr><td>x</td><td>1</td></tr></tbody></table> after") == [
        "Before", "One two", "a", "b", "x · 1", "after",
    ]  # fmt: skip


def test_text_without_markup_is_one_line() -> None:
    assert lines("Nothing &lt;script&gt; acute.") == ["Nothing <script> acute."]


def test_the_demos_document_gives_its_sections_and_holds_no_other_form() -> None:
    data = files("isthmus.demo").joinpath("data/reports/us-ottilie.xml").read_bytes()

    body = read_body(data)

    assert body["form"] is None
    assert {"18726-0", "19005-8"} <= {section["code"] for section in body["sections"]}
    assert all(section["lines"] for section in body["sections"])


@pytest.mark.threat("T72")
@pytest.mark.parametrize(
    "hostile",
    [
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + document("&a;"),
        b"<html/>",
        document("x")[:-30],
        HEAD.encode() + b"<a>" * 200 + b"</a>" * 200 + b"</ClinicalDocument>",
    ],
)
def test_what_is_hostile_or_none_is_refused(hostile: bytes) -> None:
    with pytest.raises(IsthmusError):
        read_body(hostile)
