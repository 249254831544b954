"""DICOMweb as PS3.18 writes it: a case for each sentence of §8 and §10 that a server of retrieval and search must keep.

Source: PS3.18 §8.3.4, §8.6, §8.7, §8.9, §10.4, §10.6; field-faults F32, F33.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import CT, EXPLICIT_LE, MR, SEEN, THEIRS, fill

PART10 = 'multipart/related; type="application/dicom"'
STUDY, SERIES, INSTANCE = (
    f"/studies/{CT}",
    f"/studies/{CT}/series/{CT}.1",
    f"/studies/{CT}/series/{CT}.1/instances/{CT}.1.1",
)
JPEG = "1.2.840.10008.1.2.4.50"


@dataclass(frozen=True)
class Case:
    """One sentence: what is asked, and what comes."""

    section: str
    path: str
    status: int
    accept: str = ""
    query: dict[str, str] = field(default_factory=dict)
    media: str = ""
    method: str = "GET"

    def __str__(self) -> str:
        return f"{self.section} {self.method} {self.path[:14]} {self.accept} {self.query}"


CASES = (
    # retrieval: resources and media types
    Case("8.7.3.2", STUDY, 200, media=PART10), Case("8.7.3.2", SERIES, 200, "*/*", media=PART10),
    Case("8.7.3.2", INSTANCE, 200, "multipart/*", media=PART10),
    Case("8.7.4", STUDY, 200, f"{PART10}; transfer-syntax=*", media=PART10),
    Case("8.7.4", STUDY, 200, "multipart/related;type=application/dicom;transfer-syntax=*", media=PART10),
    Case("8.7.4", STUDY, 200, f"{PART10}; transfer-syntax={EXPLICIT_LE}", media=PART10),
    Case("8.7.4", STUDY, 200, f"{PART10}; transfer-syntax={JPEG};q=1, {PART10}; transfer-syntax={EXPLICIT_LE};q=0.1", media=PART10),
    Case("8.7.4", STUDY, 406, f"{PART10}; transfer-syntax={JPEG}"), Case("8.7.4", STUDY, 406, f"{PART10}; transfer-syntax=*; q=0"),
    Case("8.7.5", STUDY, 406, "application/dicom"), Case("8.7.5", SERIES, 406, "application/dicom"),
    Case("8.7.5", INSTANCE, 200, "application/dicom", media="application/dicom"), Case("8.7.5", STUDY, 406, "image/jpeg"),
    Case("8.7.5", STUDY, 406, 'multipart/related; type="image/jpeg"'), Case("8.7.5", STUDY, 406, "text/html, application/xhtml+xml"),
    Case("10.4.1", "/studies", 200, "application/dicom+json"), Case("10.4.1", "/studies/", 400), Case("10.4.1", f"{STUDY}/", 404),
    Case("10.4.1", f"{STUDY}/frames", 404), Case("10.4.1", f"{INSTANCE}/frames/1", 404), Case("10.4.1", f"{STUDY}/metadata", 404),
    Case("10.4.1", f"{INSTANCE}/rendered", 404), Case("10.4.1", f"{STUDY}/thumbnail", 404), Case("10.4.1", f"{INSTANCE}/bulkdata/x", 404),
    Case("10.4.1", f"/bulkdata/{CT}", 404), Case("10.4.1", "/workitems", 404), Case("10.4.1", "/modality-scheduled-procedure-steps", 404),
    Case("10.4.3", f"/studies/{CT}0", 404, "*/*"), Case("10.4.3", f"/studies/{THEIRS}", 404, "*/*"), Case("10.4.3", f"{STUDY}/series/{MR}.1", 404, "*/*"),
    Case("10.4.3", "/studies/1.2.x", 400, "*/*"), Case("10.4.3", f"{SERIES}/instances/1..2", 400, "*/*"), Case("10.4.3", f"/studies/{'1.2' * 30}",
      400, "*/*"),
    Case("10.4.2", STUDY, 200, method="HEAD", media=PART10),
    # storing, deleting and the rest of the service are of Country A's own side
    Case("10.5.1", "/studies", 404, method="POST"), Case("10.5.1", STUDY, 404, method="POST"), Case("10.3", STUDY, 405, method="DELETE"),
    Case("8.9.1", "/", 405, method="OPTIONS"),
    # search: resources
    *(Case("10.6.1", path, 200, "application/dicom+json", media="application/dicom+json")
      for path in ("/studies", "/series", "/instances", f"{STUDY}/series", f"{STUDY}/instances", f"{SERIES}/instances")),
    Case("10.6.2", "/studies", 200, "application/json", media="application/dicom+json"), Case("10.6.2", "/studies", 200, "*/*"),
    Case("10.6.2", "/studies", 200, "", media="application/dicom+json"), Case("10.6.2", "/studies", 200, method="HEAD"),
    Case("10.6.2", "/studies", 200, "text/html, application/dicom+json;q=0.2"), Case("10.6.2", "/studies", 406, "application/dicom+json;q=0"),
    Case("10.6.2", "/studies", 406, 'multipart/related; type="application/dicom+xml"'), Case("10.6.2", "/studies", 406, "application/dicom"),
    Case("RFC 9110 5.6.1", "/studies", 200, ", ,application/dicom+json ,"), Case("RFC 9110 5.6.1", STUDY, 200, f",{PART10},", media=PART10),
    Case("RFC 9110 12.5.1", "/studies", 406, "application/dicom+json;q=0, */*"), Case("RFC 9110 12.5.1", "/studies", 406, "application/*;q=0, */*"),
    Case("RFC 9110 12.5.1", "/studies", 200, "application/dicom+json;q=0, application/json"), Case("RFC 9110 12.4.2", "/studies", 406, "*/*;q=0.000"),
    Case("RFC 9110 12.4.2", "/studies", 200, "application/dicom+json;q=.1"), Case("RFC 9110 12.4.2", "/studies", 200, "application/dicom+json;q=nan"),
    Case("8.4.1.1", "/studies", 200, "APPLICATION/DICOM+JSON; charset=utf-8"), Case("8.4.1.1", "/studies", 406, "not a media type"),
    Case("8.4.1.1", STUDY, 406, 'multipart/related; type="'), Case("8.7.3.5.3", STUDY, 200, f"{PART10}; charset=utf-8", media=PART10),
    Case("8.7.5", STUDY, 406, 'multipart/related; type="application/octet-stream"'), Case("8.7.5", STUDY, 406,
      'multipart/related; type="application/dicom+xml"'),
    # the border has no parameters of content negotiation: it is asked by programs, which have headers (§8.3.3)
    Case("8.3.3.1", STUDY, 400, "*/*", {"accept": "application/dicom"}), Case("8.3.3.2", STUDY, 400, "*/*", {"charset": "utf-8"}),
    Case("8.3.3.1", "/studies", 400, "*/*", {"accept": "application/dicom+json"}), Case("8.3.3.2", "/studies", 400, "*/*", {"charset": "utf-8"}),
    # search: parameters
    Case("8.3.4.1", "/studies", 200, "*/*", {"0020000d": CT}), Case("8.3.4.1", "/studies", 400, "*/*", {"studydate": "20240101"}),
    Case("8.3.4.1", "/studies", 400, "*/*", {"StudyDate": "2024"}), Case("8.3.4.1", "/studies", 400, "*/*", {"StudyDate": "-"}),
    Case("8.3.4.1", "/studies", 400, "*/*", {"StudyDate": "20240230"}), Case("8.3.4.1", "/studies", 400, "*/*", {"StudyTime": "25"}),
    Case("8.3.4.1", "/studies", 413, "*/*", {"StudyInstanceUID": ",".join(["1.2"] * 5000)}), Case("8.3.4.1", "/studies", 403, "*/*", {"PatientID": "0"}),
    Case("8.3.4.2", "/studies", 400, "*/*", {"fuzzymatching": ""}), Case("8.3.4.3", "/studies", 400, "*/*", {"includefield": ""}),
    Case("8.3.4.3", "/studies", 400, "*/*", {"includefield": "all,"}), Case("8.3.4.4", "/studies", 400, "*/*", {"limit": "9" * 5000}),
    Case("8.3.4.4", "/studies", 204, "*/*", {"offset": "999999999"}), Case("8.3.4.4", "/studies", 400, "*/*", {"limit": "1.0"}),
    Case("8.3.4.1", "/studies", 200, "*/*", {"StudyInstanceUID": f"{CT},{MR}"}), Case("8.3.4.1", "/studies", 200, "*/*", {"0020000D": f"{CT}\\{MR}"}),
    Case("8.3.4.1", "/studies", 204, "*/*", {"StudyInstanceUID": "1.2.3"}), Case("8.3.4.1", "/studies", 400, "*/*", {"StudyInstanceUID": "1.2.*"}),
    Case("8.3.4.1", "/studies", 400, "*/*", {"NoSuchKeyword": "x"}), Case("8.3.4.1", "/studies", 400, "*/*", {"99999999": "x"}),
    Case("8.3.4.1", "/studies", 200, "*/*", {"AccessionNumber": "A1001", "StudyDate": "20240101"}),
    Case("8.3.4.1", "/series", 200, "*/*", {"Modality": "CT", "SeriesNumber": "1"}), Case("8.3.4.1", "/studies", 400, "*/*", {"SeriesNumber": "1"}),
    Case("8.3.4.2", "/studies", 200, "*/*", {"fuzzymatching": "true"}), Case("8.3.4.2", "/studies", 400, "*/*", {"fuzzymatching": "1"}),
    Case("8.3.4.3", "/studies", 200, "*/*", {"includefield": "all"}), Case("8.3.4.3", "/studies", 200, "*/*", {"includefield": "00081030,StudyDescription"}),
    Case("8.3.4.3", "/studies", 200, "*/*", {"includefield": "00081115.00081150"}), Case("8.3.4.3", "/studies", 400, "*/*", {"includefield": "a b"}),
    Case("8.3.4.4", "/studies", 200, "*/*", {"limit": "1"}), Case("8.3.4.4", "/studies", 204, "*/*", {"offset": "99"}),
    Case("8.3.4.4", "/studies", 400, "*/*", {"limit": "-1"}), Case("8.3.4.4", "/studies", 400, "*/*", {"offset": "x"}),
    Case("PS3.4 C.2.2.2.3", "/studies", 200, "*/*", {"StudyDescription": ""}), Case("PS3.4 C.2.2.2.4", "/studies", 200, "*/*", {"AccessionNumber": "?100?"}),
    Case("PS3.4 C.2.2.2.5", "/studies", 200, "*/*", {"StudyDate": "20240101-20240103", "StudyTime": "0800-1000"}),
    Case("10.6.3", f"/studies/{THEIRS}/series", 204, "*/*"), Case("10.6.3", f"{STUDY}/series", 204, "*/*", {"Modality": "MR"}),
    Case("10.6.3", f"{STUDY}/series/{MR}.1/instances", 204, "*/*"), Case("10.6.3", "/studies/1.2.x/series", 400, "*/*"),
)  # fmt: skip


Asking = Callable[[Case], Reply]


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """One border for all cases, and one token."""
    folder, loop = tmp_path_factory.mktemp("border"), asyncio.new_event_loop()
    border = PracticeBorder(folder / "practice", requests_per_s=10_000)
    loop.run_until_complete(border.__aenter__())
    fill(border.register, folder)
    token, _ = loop.run_until_complete(border.care(SEEN))

    def ask(case: Case) -> Reply:
        asked = border.ask(
            f"/dicom-web{case.path}", token=token, query=case.query, headers={"accept": case.accept}, method=case.method
        )
        return loop.run_until_complete(asked)

    yield ask
    loop.run_until_complete(border.__aexit__())
    loop.close()


@pytest.mark.requirement("WAD-01")
@pytest.mark.requirement("WAD-06")
@pytest.mark.requirement("WAD-07")
@pytest.mark.requirement("WAD-14")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_sentence_of_the_standard_holds(asking: Asking, case: Case) -> None:
    reply = asking(case)

    assert reply.status == case.status, reply.body[:300]
    assert reply.headers.get("content-type", "").startswith(case.media)
    if case.status == 204 or case.method == "HEAD":
        assert reply.body == b""
    elif case.status >= 400:
        assert reply.json()["resourceType"] == "OperationOutcome"
        assert SEEN.identifier.value.encode() not in reply.body


@pytest.mark.anyio
@pytest.mark.requirement("WAD-02")
async def test_a_part_names_its_transfer_syntax_and_the_body_ends_with_its_boundary(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask(f"/dicom-web{STUDY}", token=token, headers={"accept": f"{PART10}; transfer-syntax=*"})

    boundary = re.search(r"boundary=\"?([\w.-]+)", reply.headers["content-type"])
    assert boundary is not None
    mark = f"--{boundary[1]}".encode()
    assert reply.body.startswith(mark)
    assert reply.body.rstrip().endswith(mark + b"--")
    assert reply.body.count(b"Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\n") == 3


@pytest.mark.anyio
async def test_rows_of_every_level_agree_with_one_another(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    async def rows(path: str) -> list[dict[str, dict[str, list[object]]]]:
        reply = await border.ask(f"/dicom-web{path}", token=token, headers={"accept": "*/*"})
        found: list[dict[str, dict[str, list[object]]]] = reply.json()
        return found

    for study in await rows("/studies"):
        uid = study["0020000D"]["Value"][0]
        series = await rows(f"/studies/{uid}/series")
        assert study["00201206"]["Value"] == [len(series)]
        assert study["00201208"]["Value"] == [len(await rows(f"/studies/{uid}/instances"))]
        assert study["00080061"]["Value"] == sorted({str(one["00080060"]["Value"][0]) for one in series})
        for one in series:
            below = await rows(f"/studies/{uid}/series/{one['0020000E']['Value'][0]}/instances")
            assert one["00201209"]["Value"] == [len(below)]
