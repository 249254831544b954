"""A PACS that lies over DIMSE: nothing of it is believed, nothing is passed off as whole, nobody else's is given."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.events import Event
from tests.archive.conftest import ISSUER, NOW, dicom, settings_in
from tests.national.lying import PATIENT_ROOT, PENDING, LyingPacs, final

from isthmus.archive import index
from isthmus.errors import (
    ContentMismatch,
    ImagesNotFound,
    ImagesPreparing,
    IsthmusError,
    NationalInfrastructureUnavailable,
    SettingsProblem,
)
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.pieces import Arriving
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national import classes
from isthmus.national.dimse import DimsePacs
from isthmus.national.pacs import PacsImages
from isthmus.sources import Source
from isthmus.storage.database import open_index
from isthmus.testing.engines.counterparts import HOST
from isthmus.transport.dimse.contexts import guessed

T = TypeVar("T")

MINE = PatientIdentifier(f"urn:oid:{ISSUER}", "1234567")
STUDY = "2.25.10"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
FILES = [dicom(number) for number in range(4)]


class Behind:
    """A country behind whose images a PACS lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.liars: list[LyingPacs] = []
        self.settings = settings_in(folder)
        self.index = open_index(self.settings)
        self.closing: list[PacsImages] = []

    def lying(self, *files: bytes, **how: Any) -> LyingPacs:
        self.liars.append(LyingPacs(*(files or FILES), **how))
        return self.liars[-1]

    def images(self, pacs: LyingPacs, **more: Any) -> PacsImages:
        source: Source = replace(
            self.settings.sources.images[0], kind="dimse", name="pacs", host=HOST, port=pacs.port,
            peer_ae_title="LIAR", **{"timeout_s": 1.0, "images_timeout_s": 1.0, **more},
        )  # fmt: skip
        made = PacsImages(self.settings, self.index, source, DimsePacs(self.settings, self.index, source), lambda: NOW)
        self.closing.append(made)
        return made


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    made = Behind(tmp_path)
    yield made
    for images in made.closing:
        run(images.close())
    for liar in made.liars:
        liar.stop()
    made.index.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def came(images: PacsImages) -> tuple[list[bytes], IsthmusError | None]:
    """Whole instances of the study in order, and the error that cut it, if any."""
    files: list[bytes] = []
    try:
        for one in await images.get_images(MINE, ImagesQuery(STUDY)):
            assert isinstance(one.content, Arriving)
            files.append(b"".join([bytes(piece) async for piece in one.content.open()]))
    except IsthmusError as error:
        return files, error
    return files, None


def titles(images: PacsImages, patient: PatientIdentifier = MINE) -> list[str | None]:
    return [document.title for document in run(images.find_documents(DocumentQuery(patient=patient)))]


def test_an_honest_one_gives_all_of_it(behind: Behind) -> None:
    files, error = run(came(behind.images(behind.lying())))

    assert error is None
    assert [one[-32:] for one in files] == [one[-32:] for one in FILES]


def test_a_series_takes_one_association_more_than_its_first_instance(behind: Behind) -> None:
    pacs = behind.lying(*(dicom(number) for number in range(20)))

    files, _ = run(came(behind.images(pacs)))

    assert len(files) == 20
    assert [level for level, _ in pacs.asked].count("GET") == 2


def nothing(event: Event, held: list[Dataset]) -> Iterator[Any]:
    final(event, Completed=len(held), Failed=0, Warning=0)
    yield 0


def nothing_and_says_so(event: Event, held: list[Dataset]) -> Iterator[Any]:
    final(event, Completed=0, Failed=len(held), Warning=0)
    yield 0


def no_counters(event: Event, held: list[Dataset]) -> Iterator[Any]:
    final(event)
    yield 0


def warning(event: Event, held: list[Dataset]) -> Iterator[Any]:
    final(event, 0xB000, Completed=0, Failed=len(held), Warning=0)
    yield 0


def out_of_resources(event: Event, held: list[Dataset]) -> Iterator[Any]:
    final(event, 0xA702)
    yield 0


def hang_up(event: Event, held: list[Dataset]) -> Iterator[Any]:
    event.assoc.abort()
    yield 0


def silence(event: Event, held: list[Dataset]) -> Iterator[Any]:
    time.sleep(2.0)
    yield 0


@pytest.mark.fault("F47")
@pytest.mark.parametrize(
    ("lie", "errors"),
    [
        (nothing, (ContentMismatch, ImagesNotFound)), (nothing_and_says_so, (ContentMismatch,)),
        (no_counters, (ContentMismatch, ImagesNotFound)), (warning, (ContentMismatch,)), (out_of_resources, (ContentMismatch,)),
        (hang_up, (NationalInfrastructureUnavailable,)), (silence, (NationalInfrastructureUnavailable,)),
    ],
)  # fmt: skip
def test_a_success_that_was_none_is_none(
    behind: Behind, lie: Callable[[Event, list[Dataset]], Any], errors: tuple[type[IsthmusError], ...]
) -> None:
    pacs = behind.lying()
    pacs.retrieve = lie

    files, error = run(came(behind.images(pacs)))

    assert files == []
    assert isinstance(error, errors)


@pytest.mark.fault("F42")
def test_a_pacs_may_be_silent_for_longer_where_it_gives_images(behind: Behind) -> None:
    pacs = behind.lying()
    pacs.retrieve = silence  # for two seconds; then it gives nothing

    _, error = run(came(behind.images(pacs, images_timeout_s=10.0)))

    assert isinstance(error, ContentMismatch | ImagesNotFound)


@pytest.mark.fault("F47")
def test_a_series_that_stops_short_is_cut_and_never_whole(behind: Behind) -> None:
    pacs = behind.lying()

    def all_but_the_last(event: Event, held: list[Dataset]) -> Iterator[Any]:
        given = [one for one in held if one.SOPInstanceUID != pacs.held[-1].SOPInstanceUID]
        yield len(given)
        for one in given:
            yield PENDING, one

    pacs.retrieve = all_but_the_last

    files, error = run(came(behind.images(pacs)))

    assert len(files) == 3
    assert isinstance(error, (ContentMismatch, ImagesNotFound))


@pytest.mark.fault("F47")
def test_one_that_the_series_lacked_is_asked_for_by_itself(behind: Behind) -> None:
    pacs = behind.lying()

    def forgetful(event: Event, held: list[Dataset]) -> Iterator[Any]:
        given = held if len(held) == 1 else held[:-1]
        yield len(given)
        for one in given:
            yield PENDING, one

    pacs.retrieve = forgetful

    assert [len(files) for files in (run(came(behind.images(pacs)))[0],)] == [4]


@pytest.mark.fault("F47")
def test_an_association_that_breaks_in_the_middle_is_made_good(behind: Behind) -> None:
    pacs = behind.lying(*(dicom(number) for number in range(8)))
    broken: list[int] = []

    def once(event: Event, held: list[Dataset]) -> Iterator[Any]:
        yield len(held)
        for number, one in enumerate(held):
            if number == 3 and not broken:
                broken.append(number)
                event.assoc.abort()
                return
            yield PENDING, one

    pacs.retrieve = once

    files, error = run(came(behind.images(pacs)))

    assert (len(files), error, broken) == (8, None, [3])


def test_a_node_that_ends_waits_for_nobody(behind: Behind) -> None:
    pacs = behind.lying()
    pacs.hush_s = 0.3
    images = behind.images(pacs, parallel=1)

    async def ask() -> None:
        tasks = [asyncio.create_task(came(images)) for _ in range(3)]
        await asyncio.sleep(1.0)
        await images.close()
        await asyncio.wait(tasks, timeout=5)
        assert all(task.done() for task in tasks)
        assert [type(error) for task in tasks if (error := task.result()[1])] != []

    started = time.monotonic()
    run(ask())
    assert time.monotonic() - started < 6


@pytest.mark.fault("F47")
def test_a_private_class_comes_as_any_other(behind: Behind) -> None:
    private = "1.3.12.2.1107.5.9.1"
    pacs = behind.lying(*(dicom(number, SOPClassUID=private) for number in range(3)))

    files, error = run(came(behind.images(pacs)))

    assert (len(files), error) == (3, None)


@pytest.mark.fault("F47")
def test_a_series_of_more_classes_than_fit_into_an_association_comes_whole(behind: Behind) -> None:
    pacs = behind.lying(*(dicom(number, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.2.{number + 1}") for number in range(12)))

    files, error = run(came(behind.images(pacs)))

    assert (len(files), error) == (12, None)


@pytest.mark.fault("F38")
def test_studies_of_others_are_nobodys_business(behind: Behind) -> None:
    pacs = behind.lying(
        *FILES, dicom(9, study="2.25.99", PatientID="1234568"), dicom(8, study="2.25.98", PatientID="1234567A")
    )
    pacs.all_match = True
    images = behind.images(pacs)

    found = run(images.find_documents(DocumentQuery(patient=MINE)))

    assert {document.study_instance_uids for document in found} == {(STUDY,)}
    with pytest.raises(ImagesNotFound):
        run(images.get_images(MINE, ImagesQuery("2.25.99")))


def test_the_case_of_an_identifier_counts(behind: Behind) -> None:
    pacs = behind.lying(dicom(1, PatientID="abc"))
    pacs.all_match = True

    assert titles(behind.images(pacs), replace(MINE, value="ABC")) == []


@pytest.mark.threat("T100")
@pytest.mark.parametrize("value", ["*", "?234567", "1234567\\*"])
def test_a_pattern_is_not_even_asked(behind: Behind, value: str) -> None:
    pacs = behind.lying()

    assert titles(behind.images(pacs), replace(MINE, value=value)) == []
    assert pacs.asked == []


def test_another_issuer_is_another_person(behind: Behind) -> None:
    pacs = behind.lying(dicom(1, IssuerOfPatientID="2.999.77"))

    assert titles(behind.images(pacs)) == []
    assert titles(behind.images(pacs), PatientIdentifier("urn:oid:2.999.77", MINE.value)) != []


@pytest.mark.parametrize(
    ("character_set", "text"),
    [("ISO_IR 100", "Thorax später"), ("ISO_IR 192", "θώρακας"), ("ISO_IR 126", "θώρακας"), ("ISO_IR 144", "грудь")],
)
def test_text_is_read_in_its_own_character_set(behind: Behind, character_set: str, text: str) -> None:
    pacs = behind.lying(dicom(1, SpecificCharacterSet=character_set, StudyDescription=text))

    assert set(titles(behind.images(pacs))) == {text}


def test_attributes_that_are_missing_or_odd_are_missed_and_no_more(behind: Behind) -> None:
    pacs = behind.lying()

    def bare(level: str, row: Dataset) -> Dataset:
        for keyword in (
            "StudyDescription",
            "StudyDate",
            "StudyTime",
            "Modality",
            "SeriesNumber",
            "NumberOfStudyRelatedInstances",
        ):
            if keyword in row:
                del row[keyword]
        return row

    pacs.answer = bare
    images = behind.images(pacs)

    assert len(titles(images)) == 2
    assert run(came(images))[1] is None


@pytest.mark.parametrize("level", ["SERIES", "IMAGE"])
def test_fewer_rows_than_are_counted_are_no_study(behind: Behind, level: str) -> None:
    pacs = behind.lying()
    gone = str(pacs.held[0].SeriesInstanceUID if level == "SERIES" else pacs.held[0].SOPInstanceUID)

    def short(asked: str, row: Dataset) -> Dataset | None:
        row.NumberOfStudyRelatedSeries = 1
        return None if asked == level and gone in (row.get("SeriesInstanceUID"), row.get("SOPInstanceUID")) else row

    pacs.answer = short

    with pytest.raises(NationalInfrastructureUnavailable):
        titles(behind.images(pacs))


def untold(level: str, row: Dataset) -> Dataset:
    """Rows of a PACS that does not say of which class its instances are, and counts none."""
    for keyword in ("SOPClassUID", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances"):
        if keyword in row:
            del row[keyword]
    return row


def retrievals(pacs: LyingPacs) -> int:
    return [level for level, _ in pacs.asked].count("GET")


def test_a_class_that_is_not_told_is_learnt_once_and_for_good(behind: Behind) -> None:
    pacs = behind.lying()
    pacs.answer = untold

    lists = [titles(behind.images(pacs)) for _ in range(2)]  # the second in a node that was started anew

    assert [len(found) for found in lists] == [2, 2]
    assert retrievals(pacs) == 1
    assert run(came(behind.images(pacs)))[1] is None


def test_an_instance_that_arrives_later_is_learnt_too(behind: Behind) -> None:
    pacs = behind.lying()
    pacs.answer = untold
    titles(behind.images(pacs))
    pacs.held.append(dcmread(io.BytesIO(dicom(7, SOPClassUID=SECONDARY_CAPTURE))))

    images = behind.images(pacs)
    titles(images)

    told = run(images.get_images(MINE, ImagesQuery(STUDY)))
    assert len(told) == 5


def test_what_cannot_be_learnt_is_no_shorter_list_and_is_not_received_again_and_again(behind: Behind) -> None:
    pacs = behind.lying(*FILES, dicom(9, SOPClassUID="1.3.12.2.1107.5.9.1"))
    pacs.answer = untold
    images = behind.images(pacs)

    for _ in range(2):
        with pytest.raises(NationalInfrastructureUnavailable, match="SOP class"):
            titles(images)
        tried = retrievals(pacs)

    assert tried == len(guessed("CT"))
    assert retrievals(pacs) == tried


def test_a_series_that_takes_long_is_learnt_while_nobody_waits(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "WAIT_S", 0.1)
    pacs = behind.lying()
    pacs.answer = untold
    pacs.retrieve = slowly
    images = behind.images(pacs)

    with pytest.raises(NationalInfrastructureUnavailable, match="being received once") as told:
        titles(images)
    assert "retry_after_s" not in told.value.facts
    deadline = time.monotonic() + 10
    while not (found := shown(images)) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert len(found) == 2
    assert retrievals(pacs) == 1


def slowly(event: Event, held: list[Dataset]) -> Iterator[Any]:
    yield len(held)
    for one in held:
        time.sleep(0.2)
        yield PENDING, one


def shown(images: PacsImages) -> list[str | None]:
    with suppress(NationalInfrastructureUnavailable):
        return titles(images)
    return []


def test_a_node_that_ends_keeps_what_it_has_learnt(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "WAIT_S", 0.5)
    pacs = behind.lying()
    pacs.answer = untold
    pacs.retrieve = slowly
    images = behind.images(pacs)
    with pytest.raises(NationalInfrastructureUnavailable):
        titles(images)

    run(images.close())

    known = behind.index.read_now(partial(index.learnt_classes, source="pacs", study_instance_uid=STUDY))
    assert 0 < len(known) < 4


def test_a_near_line_study_is_asked_for_and_promised(behind: Behind) -> None:
    pacs = behind.lying()

    def near_line(level: str, row: Dataset) -> Dataset:
        row.InstanceAvailability = "NEARLINE"
        return row

    pacs.answer = near_line
    images = behind.images(pacs)

    with pytest.raises(ImagesPreparing) as told:
        run(images.get_images(MINE, ImagesQuery(STUDY)))

    assert told.value.facts["retry_after_s"]
    deadline = time.monotonic() + 5
    while "GET" not in [level for level, _ in pacs.asked] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [level for level, _ in pacs.asked].count("GET") == 1


def test_patient_root_alone_is_enough(behind: Behind) -> None:
    files, error = run(came(behind.images(behind.lying(roots=(PATIENT_ROOT,)))))

    assert (len(files), error) == (4, None)


def test_an_asker_who_leaves_lets_the_association_go(behind: Behind) -> None:
    pacs = behind.lying(*(dicom(number) for number in range(30)))
    images = behind.images(pacs)

    async def leave() -> None:
        for one in (await images.get_images(MINE, ImagesQuery(STUDY)))[:3]:
            assert isinstance(one.content, Arriving)
            async for _ in one.content.open():
                break

    run(leave())

    files, error = run(came(images))
    assert (len(files), error) == (30, None)


@pytest.mark.parametrize(
    "wrong", [{"retrieve": "push"}, {"retrieve": "move"}, {"ae_title": "A-TITLE-THAT-IS-TOO-LONG"}, {"ae_title": " "}]
)
def test_settings_that_cannot_work_are_refused_at_start(behind: Behind, wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsProblem):
        behind.images(behind.lying(), **wrong)
