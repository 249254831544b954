"""DICOMweb as real PACS speak it: every dialect of nothing, of pages, of forms; nothing is passed off as whole, nobody else's is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.archive.conftest import ISSUER, NOW, dicom, settings_in
from tests.national.odd_dicomweb import AS_STORED, COUNTS, NOTHING, OddDicomWeb, odd_dicomweb

from isthmus.archive.studies import Told
from isthmus.config import Settings
from isthmus.errors import ContentMismatch, ImagesNotFound, ImagesPreparing, NationalInfrastructureUnavailable
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.pieces import Arriving
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national.dicomweb import DicomWeb
from isthmus.national.opening import open_sources
from isthmus.national.pacs import PacsImages
from isthmus.national.told import Held
from isthmus.sources import Source
from isthmus.storage.database import Database, open_index

T = TypeVar("T")

MINE = PatientIdentifier(f"urn:oid:{ISSUER}", "1234567")
STUDY = "2.25.10"
FILES = [dicom(number, series=f"2.25.{11 + number % 2}") for number in range(7)]
THEIRS = dicom(90, study="2.25.90", series="2.25.91", PatientID="12345678", PatientName="Other^Ada")


@dataclass
class Behind:
    """A country whose images lie behind DICOMweb; all questions in one loop, as in a node."""

    settings: Settings
    index: Database
    web: OddDicomWeb
    runner: asyncio.Runner
    opened: list[PacsImages] = field(default_factory=list)

    def source(self, **more: Any) -> Source:
        said = {
            "kind": "dicomweb",
            "name": "pacs",
            "url": self.web.url,
            "timeout_s": 2.0,
            "images_timeout_s": 2.0,
            "page_size": 3,
            **more,
        }
        return replace(self.settings.sources.images[0], **said)

    def images(self, **more: Any) -> PacsImages:
        source = self.source(**more)
        self.opened.append(PacsImages(self.settings, self.index, source, DicomWeb(self.settings, source), lambda: NOW))
        return self.opened[-1]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def listed(self, images: PacsImages, patient: PatientIdentifier = MINE) -> list[Document]:
        return list(self.run(images.find_documents(DocumentQuery(patient=patient))))

    def told(self, images: PacsImages) -> tuple[Held, Sequence[Told]]:
        async def ask() -> tuple[Held, Sequence[Told]]:
            (held,) = await images.pacs.find_studies(MINE)
            return held, await images.pacs.list_instances(held)

        return self.run(ask())

    def files(self, images: PacsImages, *uids: str) -> list[bytes]:
        async def read() -> list[bytes]:
            files = []
            for one in await images.get_images(MINE, ImagesQuery(STUDY, *uids)):
                assert isinstance(one.content, Arriving)
                files.append(b"".join([bytes(piece) async for piece in one.content.open()]))
            return files

        return self.run(read())


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    settings = settings_in(tmp_path)
    with odd_dicomweb(*FILES, THEIRS) as web, asyncio.Runner() as runner:
        made = Behind(settings, open_index(settings), web, runner)
        yield made
        for images in made.opened:
            made.run(images.close())
        made.index.close()


def ordered() -> list[bytes]:
    """The files as series and instance numbers order them: one series number, so by series UID."""
    return [FILES[n] for n in (0, 2, 4, 6, 1, 3, 5)]


def test_the_settings_open_it(behind: Behind) -> None:
    sources = replace(behind.settings.sources, images=(behind.source(),))
    connector = open_sources(replace(behind.settings, sources=sources), behind.index, lambda: NOW)

    listed = behind.run(connector.find_documents(DocumentQuery(patient=MINE)))

    behind.run(connector.close())
    assert [document.kind.value for document in listed] == ["manifest-fhir", "manifest-kos"]


def test_what_lies_there_comes_in_order_and_byte_for_byte(behind: Behind) -> None:
    assert behind.files(behind.images()) == ordered()
    assert behind.files(behind.images(), "2.25.12", "2.25.100003") == [FILES[3]]


@pytest.mark.fault("F37")
@pytest.mark.parametrize("nothing", NOTHING)
def test_every_dialect_of_nothing_is_nothing(behind: Behind, nothing: str) -> None:
    behind.web.nothing = nothing
    nobody = replace(MINE, value="555")

    assert behind.listed(behind.images(), nobody) == []
    assert len(behind.listed(behind.images())) == 2


@pytest.mark.fault("F38")
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"page_max": 2}, id="caps without a word"),
        pytest.param({"ignores_offset": True}, id="ignores pages"),
        pytest.param({"repeats": 1}, id="repeats rows"),
        pytest.param({"times": 3}, id="each row thrice"),
        pytest.param({"refuses": frozenset({"limit", "offset"})}, id="refuses pages"),
        pytest.param({"refuses": frozenset({"includefield"})}, id="refuses fields"),
        pytest.param({"refuses": frozenset({"includefield", "limit"})}, id="refuses both"),
        pytest.param({"json_media": "application/json"}, id="JSON by its plain name"),
        pytest.param({"packed": True}, id="gzip"),
    ],
)
def test_pages_and_forms_in_any_dialect_lose_no_row_and_end(behind: Behind, odd: dict[str, Any]) -> None:
    page_size = 100 if "ignores_offset" in odd else 3
    for name, value in odd.items():
        setattr(behind.web, name, value)

    held, told = behind.told(behind.images(page_size=page_size))

    assert [series.instance_count for series in held.series] == [4, 3]
    assert [one.number for one in told] == [0, 2, 4, 6, 1, 3, 5]
    assert len(behind.web.asked) < 40


@pytest.mark.fault("F38")
def test_without_counts_pages_are_walked_to_the_end(behind: Behind) -> None:
    behind.web.page_max = 2
    behind.web.alter = lambda row: {tag: element for tag, element in row.items() if tag not in COUNTS}

    held, told = behind.told(behind.images(page_size=100))

    assert held.counts == (None, None)
    assert len(told) == 7


@pytest.mark.parametrize("count", COUNTS)
def test_fewer_rows_than_counted_is_no_answer(behind: Behind, count: str) -> None:
    behind.web.alter = lambda row: row | ({count: {"vr": "IS", "Value": [9]}} if count in row else {})

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.told(behind.images())


def test_a_form_that_was_refused_is_not_tried_again(behind: Behind) -> None:
    behind.web.refuses = frozenset({"includefield"})
    images = behind.images()
    first = behind.listed(images)
    asked = len(behind.web.asked)

    assert behind.listed(images) == first
    assert len(behind.web.asked) - asked < asked
    assert not [1 for _, parameters, _ in behind.web.asked[asked:] if "includefield" in dict(parameters)]


def test_numbers_as_text_and_absent_attributes_are_read(behind: Behind) -> None:
    def poor(row: dict[str, Any]) -> dict[str, Any]:
        texts = {t: {"vr": "IS", "Value": [str(row[t]["Value"][0])]} for t in (*COUNTS, "00200013") if t in row}
        return {t: e for t, e in row.items() if t not in ("00100010", "00080020", "00080060", "00200011")} | texts

    behind.web.alter = poor

    held, told = behind.told(behind.images())

    assert held.counts == (2, 7)
    assert [one.number for one in told] == [0, 2, 4, 6, 1, 3, 5]


@pytest.mark.parametrize("said", [b"<html>", b"7", b'["x"]', b"[{]"])
def test_what_is_no_dicom_json_is_no_answer(behind: Behind, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOTHING, "[]", (200, said))

    with pytest.raises(NationalInfrastructureUnavailable):
        behind.listed(behind.images(), replace(MINE, value="555"))


@pytest.mark.parametrize("status", [301, 400, 401, 500, 503])
def test_a_refused_search_is_no_answer(behind: Behind, status: int) -> None:
    behind.web.search_status = status

    with pytest.raises(NationalInfrastructureUnavailable, match=str(status)):
        behind.listed(behind.images())


@pytest.mark.threat("T100")
@pytest.mark.parametrize("value", ["*", "123456?", "1234567*", "1234567\\12345678", "1234567,12345678", "123456%"])
def test_an_identifier_is_never_a_pattern(behind: Behind, value: str) -> None:
    behind.web.patterns = True
    pattern = replace(MINE, value=value)
    images = behind.images()

    assert behind.listed(images, pattern) == []
    with pytest.raises(ImagesNotFound):
        behind.run(images.get_images(pattern, ImagesQuery(STUDY)))
    assert behind.web.questions("PatientID") == []


@pytest.mark.threat("T52")
def test_of_strangers_that_it_answers_with_no_more_is_asked(behind: Behind) -> None:
    behind.web.all_match = True

    assert {d.study_instance_uids for d in behind.listed(behind.images())} == {(STUDY,)}
    assert not [path for path, _, _ in behind.web.asked if "2.25.90/" in path]


@pytest.mark.threat("T52")
def test_the_same_number_of_another_issuer_is_another_person(behind: Behind) -> None:
    behind.web.files = [dicom(number, IssuerOfPatientID="2.999.77") for number in range(3)]

    assert behind.listed(behind.images()) == []
    assert len(behind.listed(behind.images(), PatientIdentifier("urn:oid:2.999.77", MINE.value))) == 2
    assert {"00100021"} <= set(behind.web.questions("includefield"))


@pytest.mark.threat("T52")
def test_an_issuer_that_rows_keep_silent_about_is_found_in_the_file_before_a_byte_is_given(behind: Behind) -> None:
    behind.web.files = [dicom(number, IssuerOfPatientID="2.999.77") for number in range(3)]
    behind.web.refuses = frozenset({"includefield"})

    with pytest.raises(ContentMismatch):
        behind.files(behind.images())


def test_rows_in_another_order_each_time_are_the_same_study(behind: Behind) -> None:
    behind.web.alter = lambda row: (
        row | {"00080080": {"vr": "LO", "Value": [row.get("0020000E", {}).get("Value", [""])[0]]}}
    )
    images = behind.images(page_size=100)
    first = behind.listed(images)

    behind.web.backwards = True

    assert behind.listed(images) == first


@pytest.mark.fault("F36")
@pytest.mark.parametrize(
    ("takes", "bare", "refusal"),
    [
        pytest.param(lambda accept: accept == AS_STORED.replace('"', ""), False, 400, id="without quotes"),
        pytest.param(lambda accept: "transfer-syntax=*" not in accept, False, 406, id="no transfer-syntax=*"),
        pytest.param(lambda accept: accept == "application/dicom; transfer-syntax=*", True, 406, id="bare, as stored"),
        pytest.param(lambda accept: accept == "application/dicom", True, 415, id="bare"),
        pytest.param(lambda accept: accept == "*/*", True, 400, id="anything"),
        pytest.param(lambda accept: True, True, 406, id="bare, whatever is asked"),
    ],
)
def test_an_instance_comes_in_whatever_form_it_is_given_and_that_is_remembered(
    behind: Behind, takes: Callable[[str], bool], bare: bool, refusal: int
) -> None:
    behind.web.takes, behind.web.bare, behind.web.refusal = takes, bare, refusal
    images = behind.images()

    assert behind.files(images) == ordered()
    accepts = [accept for path, _, accept in behind.web.asked if of_image(path)]
    assert [takes(accept) for accept in accepts].count(True) == 7
    assert all(takes(accept) for accept in accepts[-6:])


def of_image(path: str) -> bool:
    return "/instances/" in path


def test_the_settings_say_what_to_accept_and_nothing_else_is_tried(behind: Behind) -> None:
    behind.web.takes, behind.web.bare = lambda accept: accept == "application/dicom", True

    assert behind.files(behind.images(accept="application/dicom")) == ordered()
    assert {accept for path, _, accept in behind.web.asked if of_image(path)} == {"application/dicom"}
    with pytest.raises(NationalInfrastructureUnavailable):
        behind.files(behind.images(accept="application/octet-stream"))


@pytest.mark.fault("F46")
@pytest.mark.parametrize("bare", [False, True])
def test_what_was_packed_on_the_way_is_unpacked(behind: Behind, bare: bool) -> None:
    behind.web.packed, behind.web.bare = True, bare

    assert behind.files(behind.images()) == ordered()


def test_rows_may_be_packed_and_images_are_asked_for_as_they_are(behind: Behind) -> None:
    behind.files(behind.images())

    assert {e for path, e in behind.web.encodings.items() if of_image(path)} == {"identity"}
    assert all("gzip" in e for path, e in behind.web.encodings.items() if not of_image(path))


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"breaks_at": 700}, id="multipart, announced"),
        pytest.param({"breaks_at": 700, "announced": False}, id="multipart, without a length"),
        pytest.param({"breaks_at": 700, "bare": True}, id="bare, announced"),
        pytest.param({"breaks_at": 700, "bare": True, "announced": False}, id="bare, without a length"),
        pytest.param({"breaks_at": 400, "packed": True}, id="packed"),
        pytest.param({"bodies": lambda body: body[: -len("\r\n--xyz--\r\n")]}, id="no closing boundary"),
        pytest.param({"bodies": lambda body: b"--xyz--\r\n"}, id="no part"),
        pytest.param({"bodies": lambda body: body.replace(b"--xyz--", b"--xyz") + body}, id="two parts"),
        pytest.param({"bodies": lambda body: b"<html>"}, id="no multipart at all"),
        pytest.param({"bodies": lambda body: b"--xyz\r\nContent-Type: text/plain\r\n\r\nx\r\n--xyz--"}, id="no DICOM"),
    ],
)
def test_a_body_that_breaks_off_or_is_another_is_said(behind: Behind, odd: dict[str, Any]) -> None:
    for name, value in odd.items():
        setattr(behind.web, name, value)

    with pytest.raises(ContentMismatch):
        behind.files(behind.images(), "2.25.11", "2.25.100002")


@pytest.mark.parametrize("of", ["by seconds", "by date"])
@pytest.mark.parametrize("status", [202, 503])
def test_an_image_that_is_being_prepared_is_said_with_when_to_come_back(behind: Behind, status: int, of: str) -> None:
    when = "33" if of == "by seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=33), usegmt=True)
    behind.web.statuses["instances"] = (status, {"Retry-After": when})

    with pytest.raises(ImagesPreparing) as said:
        behind.files(behind.images())

    assert 31 <= float(str(said.value.facts["retry_after_s"])) <= 33


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, ImagesNotFound),
        (410, ImagesNotFound),
        (503, NationalInfrastructureUnavailable),
        (401, NationalInfrastructureUnavailable),
        (206, ContentMismatch),
    ],
)
def test_an_image_that_is_refused_is_said_for_what_it_is(behind: Behind, status: int, error: type[Exception]) -> None:
    behind.web.statuses["instances"] = (status, {})

    with pytest.raises(error):
        behind.files(behind.images())


def test_a_near_line_study_is_asked_for_once_and_its_words_are_passed_on(behind: Behind) -> None:
    away = {"00080056": {"vr": "CS", "Value": ["NEARLINE"]}}
    behind.web.alter = lambda row: row | away
    behind.web.statuses["2.25.11"] = behind.web.statuses["2.25.12"] = (202, {"Retry-After": "40"})
    images = behind.images()

    async def ask() -> list[object]:
        told: list[object] = []
        for _ in range(3):
            with pytest.raises(ImagesPreparing) as said:
                await images.get_images(MINE, ImagesQuery(STUDY))
            told.append(said.value.facts["retry_after_s"])
            await asyncio.sleep(0.2)
        return told

    assert behind.run(ask()) == [60.0, 40.0, 40.0]
    recalls = [path for path, _, _ in behind.web.asked if path.endswith(("series/2.25.11", "series/2.25.12"))]
    assert sorted(recalls) == [f"studies/{STUDY}/series/2.25.11", f"studies/{STUDY}/series/2.25.12"]


def test_whoever_leaves_early_frees_the_way(behind: Behind) -> None:
    images = behind.images(parallel=1)

    async def leave() -> int:
        taken = 0
        for _ in range(3):
            for one in await images.get_images(MINE, ImagesQuery(STUDY)):
                assert isinstance(one.content, Arriving)
                pieces = one.content.open()
                taken += len(await anext(pieces))
                await pieces.aclose()  # type: ignore[attr-defined]  # ours is a generator
        return taken

    assert behind.run(leave()) > 0


def test_a_pacs_that_is_not_there_is_said(behind: Behind) -> None:
    with pytest.raises(NationalInfrastructureUnavailable):
        behind.listed(behind.images(url="http://127.0.0.1:9/dicom-web"))
