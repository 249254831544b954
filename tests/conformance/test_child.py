"""Files are judged in a child: one that hangs, eats memory or breaks the judge is a finding, and the others are judged as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from tests.conformance.packed import packed
from tests.engines.judge.definitions import definitions
from tests.wire.made import MANIFEST
from tests.wire.test_reports import REPORT

from isthmus.conformance.child import Judging
from isthmus.conformance.judgement import Judged, judge
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Packages, read_package
from isthmus.dicom.windows import BytesSource, Source
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import write_manifest
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

PACK = load_pack()
NO_TITLE = orjson.loads(write_report(REPORT, PACK))
del NO_TITLE["entry"][0]["resource"]["title"]
FILES = {
    "a manifest": write_manifest(MANIFEST, PACK),
    "the same as key objects": write_kos(MANIFEST, PACK),
    "a report": write_report(REPORT, PACK),
    "a report without title": orjson.dumps(NO_TITLE),
    "text": b"Dear colleague",
    "nothing": b"",
}


def given(body: bytes) -> Callable[[], Source]:
    return lambda: BytesSource(body)


def lingering(file_s: float = 60.0) -> Judging:
    tasks = {"judged": "lingering:judge_task"}
    return Judging(PACK, Packages(), file_s=file_s, tasks=tasks, folders=(str(Path(__file__).parent),))


def told(judged: Judged) -> list[tuple[str, str]]:
    return [(one.requirement, one.statement) for one in judged.findings]


def test_a_child_says_of_every_file_what_is_said_here_and_in_their_order() -> None:
    with Judging(PACK, Packages()) as judging:
        found = list(judging.each([given(body) for body in FILES.values()]))

    assert found == [judge(BytesSource(body), PACK) for body in FILES.values()]
    assert any(one.findings for one in found)


def test_every_sample_of_others_is_judged_in_a_child_as_here(sample: Callable[[str], Path]) -> None:
    files = [one.read_bytes() for one in sorted(sample("index.csv").parent.rglob("*")) if one.is_file()]

    with Judging(PACK, Packages()) as judging:
        found = list(judging.each([given(body) for body in files]))

    assert found == [judge(BytesSource(body), PACK) for body in files]


def test_packages_reach_the_child_and_judge_there_too(tmp_path: Path) -> None:
    packages = Packages([read_package(packed(tmp_path / "drafts.tgz", definitions(PACK)))])
    bodies = [FILES["a report"], FILES["a manifest"], FILES["a report"]]

    with Judging(PACK, packages) as judging:
        found = list(judging.each([given(body) for body in bodies]))

    assert found == [judge(BytesSource(body), PACK, Profiles(packages)) for body in bodies]


def test_a_file_that_hangs_is_a_finding_and_the_others_are_judged() -> None:
    bodies = [FILES["a manifest"], b"%PDF-slow", FILES["a report"], FILES["text"]]

    with lingering(file_s=5.0) as judging:
        first, slow, third, last = judging.each([given(body) for body in bodies])

    assert told(slow) == [("READ-bounds", "took too long: not judged within 5 s")]
    assert [one.kind for one in (first, third, last)] == ["FHIR manifest", "FHIR report", "unreadable"]


def test_a_file_that_eats_memory_is_a_finding_and_the_others_are_judged() -> None:
    with lingering() as judging:
        large, after = judging.each([given(b"%PDF-large"), given(FILES["a report"])])

    assert told(large) == [("READ-bounds", "too large: not judged within 1024 MiB of memory")]
    assert after.kind == "FHIR report"


def test_a_judge_that_breaks_over_a_file_says_so_without_a_word_of_it() -> None:
    with lingering() as judging:
        (odd,) = judging.each([given(b"%PDF-odd")])

    assert told(odd) == [("READ-bounds", "could not be judged (ValueError)")]


def test_a_file_that_is_gone_when_its_turn_comes_is_a_finding() -> None:
    def gone() -> Source:
        raise FileNotFoundError(2, "No such file or directory")

    with Judging(PACK, Packages()) as judging:
        (one,) = judging.each([gone])

    assert told(one) == [("READ-file", "the file cannot be read (No such file or directory)")]


@pytest.mark.parametrize("encoding", ["windows-1253", "iso-8859-7"])
def test_a_cda_in_another_encoding_is_read_as_what_it_is(encoding: str) -> None:
    words = f'<?xml version="1.0" encoding="{encoding}"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Πόρισμα</title></ClinicalDocument>'

    with Judging(PACK, Packages()) as judging:
        (one,) = judging.each([given(words.encode(encoding))])

    assert one.kind == "CDA"
