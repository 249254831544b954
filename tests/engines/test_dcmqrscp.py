"""dcmtk's own PACS: another peer for C-GET, and one that tells less of its instances than a manifest needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.archive.conftest import NOW, settings_in
from tests.engines.test_dimse import MINE, STRANGER, data_set

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.queries import DocumentQuery
from isthmus.national.opening import open_sources
from isthmus.national.sources import Sources
from isthmus.storage.database import open_index
from isthmus.testing.engines.dcmqrscp import Dcmqrscp, dcmqrscp
from isthmus.testing.studies import CT_IMAGE, SyntheticStudy
from isthmus.transport.dimse.arrivals import SUCCESS, Arrival
from isthmus.transport.dimse.outbound import SERIES_UID, STUDY_UID, Asked, Peer, echo, get

STUDY = SyntheticStudy(91, MINE, instances=12, series_size=8, rows=64, columns=64)
THEIRS = SyntheticStudy(92, STRANGER, instances=2, rows=16, columns=16)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dcmqrscp]:
    folder = tmp_path_factory.mktemp("dcmqrscp")
    with dcmqrscp(folder) as running:
        for study in (STUDY, THEIRS):
            running.load(study.write(folder / f"made-{study.seed}"))
        yield running


@pytest.fixture
def sources(tmp_path: Path, pacs: Dcmqrscp) -> Iterator[Sources]:
    settings = settings_in(tmp_path)
    source = replace(
        settings.sources.images[0], kind="dimse", name="pacs", host=pacs.host, port=pacs.dicom_port, peer_ae_title=pacs.ae_title,
    )  # fmt: skip
    index = open_index(settings)
    opened = open_sources(replace(settings, sources=replace(settings.sources, images=(source,))), index, lambda: NOW)
    yield opened
    asyncio.run(opened.close())
    index.close()


def test_a_pacs_that_does_not_tell_classes_is_said_to_and_never_an_empty_list(sources: Sources) -> None:
    with pytest.raises(NationalInfrastructureUnavailable, match="SOP class"):
        asyncio.run(sources.find_documents(DocumentQuery(patient=MINE.identifier)))


class Kept:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def begun(self, arrival: Arrival) -> None: ...

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        self.files[arrival.sop_instance_uid] = b"".join(iter(arrival.read, b""))
        arrival.release()
        return SUCCESS, ""

    def broken(self, arrival: Arrival) -> None:
        arrival.release()


@pytest.mark.parametrize("number", [0, 8])
def test_a_series_comes_whole_by_c_get(pacs: Dcmqrscp, tmp_path: Path, number: int) -> None:
    kept, uids = Kept(), range(8) if number == 0 else range(8, 12)
    asked = Asked("SERIES", {STUDY_UID: STUDY.study_instance_uid, SERIES_UID: STUDY.series_instance_uid(number)})
    peer = Peer(pacs.host, pacs.dicom_port, pacs.ae_title, "ISTHMUS")

    (outcome,) = get(peer, tmp_path, asked, {STUDY.sop_instance_uid(n): CT_IMAGE for n in uids}, kept)

    assert (outcome.claims_success, outcome.completed) == (True, len(uids))
    assert {uid: data_set(file)[-STUDY.pixel_bytes :] for uid, file in kept.files.items()} == {
        STUDY.sop_instance_uid(n): b"".join(STUDY.pieces(n))[-STUDY.pixel_bytes :] for n in uids
    }


def test_it_answers_an_echo(pacs: Dcmqrscp, tmp_path: Path) -> None:
    echo(Peer(pacs.host, pacs.dicom_port, pacs.ae_title, "ISTHMUS"), tmp_path)
