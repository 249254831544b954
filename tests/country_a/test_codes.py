"""What the record of an exchange says of what was given: codes that nobody could map, and which table mapped the others; reports as issued."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import opened
from isthmus.model.documents import DocumentKind
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import CT, SEEN

pytestmark = pytest.mark.anyio
BY = "2026-11 1a2b3c4d5e6f"


def last_outcome(border: PracticeBorder) -> dict[str, Any]:
    """The newest closing record."""

    def read(connection: Any) -> dict[str, Any]:
        unseal = MonthKeys(border.master).unsealer(connection)
        newest = next(row for row in rows(connection, newest_first=True) if row.kind == "outcome")
        return opened(newest, unseal)[0] or {}

    return border.state.read_now(read)


def with_unmapped(border: PracticeBorder, study: str, count: int) -> None:
    held = border.register.documents[SEEN.identifier]
    held[:] = [
        replace(d, unmapped=count, mapped_by=BY) if d.kind.is_manifest and d.study_instance_uids == (study,) else d
        for d in held
    ]


@pytest.mark.requirement("MI-TM-04")
async def test_a_list_with_unmapped_codes_counts_them_in_its_closing_record(border: PracticeBorder) -> None:
    with_unmapped(border, CT, 2)
    token, handle = await border.care(SEEN)

    listed = await border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})

    assert listed.status == 200
    assert last_outcome(border)["codes"] == {"unmapped": 2, "mapped_by": [BY]}


async def test_a_manifest_and_the_study_by_any_other_way_count_them_too(border: PracticeBorder) -> None:
    with_unmapped(border, CT, 3)
    token, handle = await border.care(SEEN)
    listed = await border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})
    address = next(
        e["content"][0]["attachment"]["url"]
        for e in listed.entries
        if "fhir-manifest" in str(e["content"]) and CT in str(e["context"])
    )

    for path, query in (
        (address.removeprefix("https://127.0.0.1:8711"), {}),
        ("/fhir/ImagingStudy", {"patient": handle}),
        ("/dicom-web/studies", {}),
    ):
        accept = "application/dicom+json" if "dicom" in path else "application/fhir+json"
        reply = await border.ask(path, token=token, query=query, headers={"accept": accept})

        assert reply.status == 200, path
        assert last_outcome(border)["codes"]["unmapped"] == 3, path


async def test_an_exchange_without_codes_of_the_countrys_own_says_nothing_of_them(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)

    await border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})

    assert "codes" not in last_outcome(border)


async def test_a_report_of_which_no_european_document_could_be_made_is_counted_in_the_record(
    border: PracticeBorder,
) -> None:
    token, handle = await border.care(SEEN)

    await border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})
    listed = last_outcome(border)
    held = border.register.documents[SEEN.identifier]
    held[:] = [document for document in held if document.kind is not DocumentKind.REPORT_PDF]
    await border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})

    assert (listed["as_issued"], "as_issued" in last_outcome(border)) == (1, False)
