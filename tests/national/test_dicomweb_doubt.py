"""DICOMweb where an answer looks right and is not: pages that stand still or move, forms that are refused once, archives that keep us waiting."""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import time
from dataclasses import replace
from typing import Any

import pydicom
import pytest
from tests.archive.conftest import dicom
from tests.national.odd_dicomweb import AS_STORED, COUNTS
from tests.national.test_dicomweb import FILES, MINE, STUDY, Behind, behind, of_image, ordered

from isthmus.errors import ContentMismatch, ImagesPreparing, NationalInfrastructureUnavailable
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import ImagesQuery
from isthmus.testing.connector_contract import whole
from isthmus.transport.allowance import Allowance

__all__ = ["behind"]

STUDIES = [f"2.25.3{number}" for number in range(8)]


def studies_of(behind: Behind, **more: Any) -> list[str]:
    images = behind.images(**more)
    return sorted(held.study_instance_uid for held in behind.run(images.pacs.find_studies(MINE)))


def hold_many(behind: Behind) -> None:
    behind.web.files = [dicom(50 + n, study=uid, series=f"{uid}.1") for n, uid in enumerate(STUDIES)]


@pytest.mark.fault("F38")
@pytest.mark.parametrize("size", [1, 3, 4, 8, 100])
def test_pages_that_stand_still_lose_no_study_though_nothing_counts_them(behind: Behind, size: int) -> None:
    hold_many(behind)
    behind.web.ignores_offset = True

    assert studies_of(behind, page_size=size) == STUDIES


@pytest.mark.fault("F38")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("still", [True, False], ids=["standing still", "moving"])
def test_pages_in_another_order_each_time_lose_no_study_and_end(behind: Behind, seed: int, still: bool) -> None:
    hold_many(behind)
    mixed, found = random.Random(seed), behind.web.found

    def shuffled(path: str, parameters: list[tuple[str, str]]) -> list[dict[str, Any]]:
        return mixed.sample(rows := found(path, parameters), len(rows))

    behind.web.found = shuffled  # type: ignore[method-assign]  # a double is bent as it is needed
    behind.web.ignores_offset = still

    assert studies_of(behind) == STUDIES
    assert len([path for path, _, _ in behind.web.asked if path == "studies"]) < 8


@pytest.mark.fault("F38")
def test_rows_that_name_nobody_end_no_search(behind: Behind) -> None:
    """A page of what is nobody's, then one of the patient's."""
    behind.web.all_match = True
    behind.web.files = [dicom(n, study=f"1.2.{n}", PatientID="") for n in range(6)] + FILES

    assert studies_of(behind) == [STUDY]


@pytest.mark.fault("F38")
def test_what_pages_leave_out_is_asked_for_at_once(behind: Behind) -> None:
    """Counted, and short by pages: the source is asked without them before anything is given up."""
    page = behind.web.page

    def short(rows: list[dict[str, Any]], parameters: dict[str, str]) -> list[dict[str, Any]]:
        return page(rows[:2] if "limit" in parameters else rows, parameters)

    behind.web.page = short  # type: ignore[method-assign]  # a double is bent as it is needed

    _, told = behind.told(behind.images())

    assert [one.number for one in told] == [0, 2, 4, 6, 1, 3, 5]


@pytest.mark.fault("F38")
def test_an_offset_beyond_the_end_may_be_refused(behind: Behind) -> None:
    behind.web.refuses_beyond = True
    behind.web.alter = lambda row: {tag: element for tag, element in row.items() if tag not in COUNTS}

    _, told = behind.told(behind.images())

    assert [one.number for one in told] == [0, 2, 4, 6, 1, 3, 5]


@pytest.mark.fault("F38")
def test_a_source_that_says_there_is_more_and_gives_no_more_is_no_answer(behind: Behind) -> None:
    hold_many(behind)
    behind.web.says_more = True
    assert studies_of(behind) == STUDIES

    behind.web.page_max, behind.web.ignores_offset = 5, True

    with pytest.raises(NationalInfrastructureUnavailable, match="lists 5 rows and counts more"):
        studies_of(behind)


@pytest.mark.fault("F36")
def test_one_refusal_changes_nothing_of_how_images_are_asked_for(behind: Behind) -> None:
    """A form that was taken once is the form: what is refused in it is about that one image."""
    times = itertools.count()
    behind.web.takes = lambda accept: accept == "*/*" or (accept == AS_STORED and next(times) != 2)

    assert behind.files(behind.images()) == ordered()
    asked = [accept for path, _, accept in behind.web.asked if of_image(path)]
    assert asked.count(AS_STORED) == 7
    assert asked[-1] == AS_STORED


def test_rows_that_would_be_poorer_for_once_are_no_answer(behind: Behind) -> None:
    """They would make another manifest, and the next answer the first again."""
    images = behind.images()
    first = behind.listed(images)
    behind.web.refuses = frozenset({"includefield"})
    with pytest.raises(NationalInfrastructureUnavailable):
        behind.listed(images)
    behind.web.refuses = frozenset()

    assert behind.listed(images) == first


@pytest.mark.threat("T52")
def test_a_file_that_names_no_issuer_is_of_whom_its_row_names(behind: Behind) -> None:
    other = {"00100021": {"vr": "LO", "Value": ["2.999.77"]}}
    behind.web.alter = lambda row: row | other
    known = PatientIdentifier("urn:oid:2.999.77", MINE.value)
    images = behind.images()

    async def ask() -> list[bytes]:
        return [await whole(one) for one in await images.get_images(known, ImagesQuery(STUDY))]

    assert behind.run(ask()) == ordered()


@pytest.mark.threat("T52")
@pytest.mark.parametrize("said", [{"PatientID": "7654321"}, {"IssuerOfPatientID": "2.999.78"}])
def test_a_file_of_anybody_else_than_its_row_names_is_not_given(behind: Behind, said: dict[str, str]) -> None:
    rows = {"00100020": {"vr": "LO", "Value": [MINE.value]}, "00100021": {"vr": "LO", "Value": ["2.999.77"]}}
    behind.web.all_match = True
    behind.web.files = [dicom(number, **said) for number in range(2)]
    behind.web.alter = lambda row: row | rows
    images = behind.images()

    async def ask() -> None:
        known = PatientIdentifier("urn:oid:2.999.77", MINE.value)
        for one in await images.get_images(known, ImagesQuery(STUDY)):
            await whole(one)

    with pytest.raises(ContentMismatch):
        behind.run(ask())


def away(behind: Behind, *studies: str) -> None:
    def alter(row: dict[str, Any]) -> dict[str, Any]:
        near = row["0020000D"]["Value"][0] in studies
        return row | ({"00080056": {"vr": "CS", "Value": ["NEARLINE"]}} if near else {})

    behind.web.alter = alter


def test_studies_that_are_fetched_from_tape_hold_up_no_image(behind: Behind) -> None:
    hold_many(behind)
    behind.web.files += FILES
    away(behind, *STUDIES)
    behind.web.delays = dict.fromkeys(STUDIES, 1.5)
    images = behind.images(parallel=2, images_timeout_s=5.0)

    async def ask() -> float:
        for study in STUDIES[:4]:
            with pytest.raises(ImagesPreparing):
                await images.get_images(MINE, ImagesQuery(study))
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        (one, *_) = await images.get_images(MINE, ImagesQuery(STUDY, "2.25.11", "2.25.100002"))
        assert await whole(one) == FILES[2]
        return asyncio.get_running_loop().time() - began

    assert behind.run(ask()) < 1.0


def test_a_series_that_cannot_be_asked_for_keeps_no_other_from_it(behind: Behind) -> None:
    away(behind, STUDY)
    behind.web.statuses["2.25.11"] = (200, {"Content-Encoding": "gzip"})
    behind.web.statuses["2.25.12"] = (202, {"Retry-After": "40"})
    behind.web.delays = {"series/2.25.11": 3.0}
    images = behind.images(images_timeout_s=0.3)

    async def ask() -> float:
        for _ in range(2):
            with pytest.raises(ImagesPreparing) as said:
                await images.get_images(MINE, ImagesQuery(STUDY))
            await asyncio.sleep(1.5)
        return float(str(said.value.facts["retry_after_s"]))

    assert behind.run(ask()) == 40.0


def test_the_longest_wait_of_all_series_is_the_study_s(behind: Behind) -> None:
    away(behind, STUDY)
    behind.web.statuses |= {"2.25.11": (202, {"Retry-After": "90"}), "2.25.12": (202, {"Retry-After": "5"})}
    images = behind.images()

    async def ask() -> float:
        for _ in range(2):
            with pytest.raises(ImagesPreparing) as said:
                await images.get_images(MINE, ImagesQuery(STUDY))
            await asyncio.sleep(0.4)
        return float(str(said.value.facts["retry_after_s"]))

    assert behind.run(ask()) == 90.0


@pytest.mark.parametrize("drops", [1, 2])
def test_an_image_whose_request_is_dropped_unanswered_is_asked_for_again(behind: Behind, drops: int) -> None:
    left = itertools.count()
    behind.web.drops = lambda path: of_image(path) and next(left) < drops
    images = behind.images()

    if drops == 1:
        assert behind.files(images, "2.25.11", "2.25.100002") == [FILES[2]]
    else:
        with pytest.raises(NationalInfrastructureUnavailable):
            behind.files(images, "2.25.11", "2.25.100002")


@pytest.mark.threat("T100")
@pytest.mark.parametrize("value", ["12 34", "A+B", "a&b=c;d", "x#y", "Ä/ö:", '"1"', "1.2@x", "it's", "(1)", "$1", "!1"])
def test_whatever_else_an_identifier_holds_is_asked_for_letter_by_letter(behind: Behind, value: str) -> None:
    behind.web.files = [dicom(number, PatientID=value, SpecificCharacterSet="ISO_IR 192") for number in range(2)]
    patient = replace(MINE, value=value)

    assert len(behind.listed(behind.images(), patient)) == 2
    assert behind.web.questions("PatientID")[0] == value
    assert "+" not in "".join(behind.web.targets)


@pytest.mark.fault("F42")
def test_a_source_that_says_nothing_when_it_is_asked_is_given_up_and_not_asked_again(behind: Behind) -> None:
    def late(path: str, parameters: list[tuple[str, str]]) -> list[dict[str, Any]]:
        time.sleep(1.0)
        return []

    behind.web.found = late  # type: ignore[method-assign]  # a double is bent as it is needed

    with pytest.raises(NationalInfrastructureUnavailable, match="does not answer"):
        studies_of(behind, timeout_s=0.3)
    assert len(behind.web.asked) == 1


@pytest.mark.fault("F42")
def test_where_it_gives_images_it_may_be_silent_for_longer(behind: Behind) -> None:
    images = behind.images(timeout_s=0.5, images_timeout_s=10.0)
    one = behind.run(images.get_images(MINE, ImagesQuery(STUDY)))[0]
    behind.web.delays = {"instances/": 1.0}

    assert behind.run(whole(one)) == ordered()[0]


@pytest.mark.fault("F42")
def test_an_answer_that_drips_ends_in_an_error_though_it_is_never_silent(behind: Behind) -> None:
    behind.web.drips_s = 0.02

    with pytest.raises(NationalInfrastructureUnavailable, match="too long for one question"):
        studies_of(behind, search_s=0.5)
    assert len(behind.web.asked) == 1


@pytest.mark.fault("F42")
def test_pages_that_each_come_in_time_and_never_end_are_one_question(behind: Behind) -> None:
    numbers = itertools.count()

    def another(path: str, parameters: list[tuple[str, str]]) -> list[dict[str, Any]]:
        time.sleep(0.05)
        return [dict(pydicom.dcmread(io.BytesIO(dicom(1, study=f"2.25.4{next(numbers)}"))).to_json_dict())]

    behind.web.found = another  # type: ignore[method-assign]  # a double is bent as it is needed
    behind.web.ignores_offset = True

    with pytest.raises(NationalInfrastructureUnavailable, match="too long for one question"):
        studies_of(behind, search_s=1.0)
    assert len(behind.web.asked) > 3


@pytest.mark.fault("F42")
def test_what_a_question_may_bring_is_bounded_over_all_its_pages(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Allowance.__init__, "__defaults__", (3000,))
    hold_many(behind)

    with pytest.raises(NationalInfrastructureUnavailable, match="more bytes than are taken for a question"):
        studies_of(behind, page_size=1)
    assert len(behind.web.asked) > 1


@pytest.mark.fault("F42")
def test_an_image_may_take_longer_than_a_question(behind: Behind) -> None:
    images = behind.images(search_s=0.4)
    behind.told(images)
    one = behind.run(images.get_images(MINE, ImagesQuery(STUDY)))[0]
    behind.web.drips_s = 0.001

    assert behind.run(whole(one)) == ordered()[0]


def test_who_waits_for_a_turn_loses_no_time_by_it(behind: Behind) -> None:
    behind.web.drips_s = 0.0003
    images = behind.images(search_s=2.0, parallel=2)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(images.pacs.find_studies(MINE) for _ in range(8)))

    assert len(behind.run(ask())) == 8
