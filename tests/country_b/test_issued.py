"""Reports as issued at home: a CDA document is read apart."""

from __future__ import annotations

from importlib.resources import files

import pytest

from isthmus.country_b.issued import read_issued
from isthmus.demo.people import PEOPLE
from isthmus.errors import CountryMisanswered
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.sandbox import Sandbox

pytestmark = pytest.mark.anyio
CDA = files("isthmus.demo").joinpath("data/reports/us-ottilie.xml").read_bytes()


def entry(kind: DocumentKind, media_type: str) -> Document:
    uid = Identifier("urn:ietf:rfc:3986", "urn:uuid:1")
    return Document("d1", kind, None, uid, "Stress echocardiography", "2026-03-12", "2026-03-12", media_type)


async def test_a_cda_document_gives_its_sections() -> None:
    sandbox = Sandbox()
    try:
        report, media_type, body = await read_issued(
            lambda data: sandbox.run("cda", data, error=CountryMisanswered),
            PEOPLE["ottilie"],
            entry(DocumentKind.REPORT_CDA, "text/xml"),
            CDA,
        )
    finally:
        sandbox.close()

    assert (media_type, body) == ("text/xml", CDA)
    assert "19005-8" in {s.code.code for s in report.sections if s.code}


async def test_what_is_no_cda_document_is_the_countrys_mistake() -> None:
    sandbox = Sandbox()
    try:
        with pytest.raises(CountryMisanswered):
            await read_issued(
                lambda data: sandbox.run("cda", data, error=CountryMisanswered),
                PEOPLE["ilias"],
                entry(DocumentKind.REPORT_CDA, "text/xml"),
                b"<!DOCTYPE html><html/>",
            )
    finally:
        sandbox.close()
