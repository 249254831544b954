"""The long proof of manifests: ten thousand instances from the index, beside what highdicom and pydicom take for the same."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import pydicom
import pytest
from sqlalchemy import insert, select
from tests.archive.conftest import Node, dicom, settings_in

from isthmus.archive.studies import describe
from isthmus.model.imaging import Manifest
from isthmus.model.people import Organisation
from isthmus.sources import Source
from isthmus.storage.database import open_index
from isthmus.storage.schema.archive import instances
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import write_manifest
from isthmus.wire.packs.pack import load_pack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PACK, SOURCE, STUDY = load_pack(), Source(institution="General"), "2.25.10"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder: Path = tmp_path_factory.mktemp("manifests")
    settings = settings_in(folder)
    database = open_index(settings)
    yield Node(settings, database)
    database.close()


def _filled(node: Node, most: int) -> Iterator[int]:
    """The index with ten times as many instances each time: rows of one that was brought, under numbers of their own."""
    node.bring(dicom())
    first = node.database.read_now(lambda c: dict(c.execute(select(instances)).mappings().one()))
    held, wanted = 1, most // 10
    while wanted <= most:
        rows = [
            first | {"id": n + 1, "sop_instance_uid": f"2.25.9{n:06}", "number": n, "series_instance_uid": f"2.25.11{n % 10}"}
            for n in range(held, wanted)
        ]  # fmt: skip
        _insert(node, rows)
        held, wanted = wanted, wanted * 10
        yield held


def _insert(node: Node, rows: list[dict[str, Any]]) -> None:
    node.database.write_now(lambda connection: connection.execute(insert(instances), rows))


def _taken_ms(work: Callable[[], Any], times: int = 5) -> float:
    """The least of several, in processor time: the machine may be shared."""
    taken = []
    for _ in range(times):
        started = process_time()
        work()
        taken.append(process_time() - started)
    return min(taken) * 1000


def _manifest(node: Node) -> Manifest:
    described = node.database.read_now(lambda c: describe(c, STUDY, SOURCE))
    assert described is not None
    return Manifest("2.25.1", described.study, "2026-03-02T10:05:00Z", "2.999.8.1", Organisation("General"))


def test_ten_thousand_instances_are_described_from_the_index_within_the_budget(node: Node) -> None:
    taken: dict[int, tuple[float, float]] = {}
    for held in _filled(node, 10_000):
        taken[held] = (
            _taken_ms(lambda: write_manifest(_manifest(node), PACK)),
            _taken_ms(lambda: write_kos(_manifest(node), PACK)),
        )
    manifest = _manifest(node)
    body = write_kos(manifest, PACK)
    read = pydicom.dcmread(io.BytesIO(body))
    pydicom_ms = _taken_ms(lambda: read.copy().save_as(io.BytesIO()) if list(read.iterall()) else None, 1)
    highdicom_ms = _taken_ms(lambda: _by_highdicom(manifest), 1)
    (few_fhir, few_kos), (fhir, kos) = taken.values()

    print(f"10 000 instances from the index: FHIR {fhir:.0f} ms, KOS {kos:.0f} ms")
    print(f"the same KOS: pydicom {pydicom_ms:.0f} ms, highdicom {highdicom_ms:.0f} ms")
    again = io.BytesIO()
    read.save_as(again)
    assert again.getvalue() == body, "pydicom writes the same bytes"
    assert sum(len(series.instances) for series in manifest.study.series) == 10_000
    assert fhir < 500, "the budget is 50 ms; a shared machine gets more"
    assert kos < 600, "the budget is 60 ms; a shared machine gets more"
    assert highdicom_ms > 50 * _taken_ms(lambda: write_kos(manifest, PACK))
    assert fhir < 20 * max(few_fhir, 5), "linear"
    assert kos < 20 * max(few_kos, 5), "linear"


def _by_highdicom(manifest: Manifest) -> bytes:
    """The same instances in a key object selection of highdicom, which needs a data set of each."""
    from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
    from highdicom.sr import CodedConcept

    evidence = []
    for series in manifest.study.series:
        for instance in series.instances:
            one = pydicom.Dataset()
            one.SOPClassUID, one.SOPInstanceUID = instance.sop_class_uid, instance.sop_instance_uid
            one.StudyInstanceUID, one.SeriesInstanceUID = STUDY, series.series_instance_uid
            one.PatientID = one.PatientName = one.AccessionNumber = one.StudyID = "1"
            one.PatientBirthDate, one.PatientSex, one.ReferringPhysicianName = "19700101", "F", ""
            one.StudyDate, one.StudyTime, one.Modality, one.Rows, one.Columns = "20260302", "091400", "CT", 1, 1
            evidence.append(one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = KeyObjectSelection(CodedConcept("113030", "DCM", "Manifest"), evidence)
        made = KeyObjectSelectionDocument(
            evidence, content, "2.999.1", 1, "2.999.2", 1, manufacturer="x", institution_name="y"
        )
        file = io.BytesIO()
        made.save_as(file)
    return file.getvalue()
