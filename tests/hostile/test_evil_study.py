"""The corpus as parts of a study that another country sends: nothing of it is kept in the spool, so nothing reaches a viewer.

Source: trust.md §2.9, T63 to T65, T67, T69; RAD-107.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from tests.hostile.corpus import CORPUS, DICOM
from tests.hostile.evil import STUDY, Stage, instance, multipart, part, staged
from tests.hostile.peak import peak_kib

from isthmus.country_b.flights import SpoolShelf, item_of
from isthmus.country_b.images import get_images
from isthmus.country_b.spool import Spool
from isthmus.dicom.faults import REASONS
from isthmus.errors import ArrivalRefused
from isthmus.model.queries import ImagesQuery
from isthmus.storage.database import Database
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.sealed import MasterKey
from isthmus.testing.two_countries import Asking

pytestmark = pytest.mark.anyio
GROWN_MAX_KIB = 160 << 10
NOT_OURS = {"inflation", "empty"}
"""Reasons of the door that the border does not have: nothing deflated crosses it, and a part is never nothing."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "spool.sqlite", STATE)
    database.create()
    yield database
    database.close()


async def _sent(stage: Stage, visit: Asking, spool: Spool, body: bytes) -> str | None:
    """Let the evil country send it behind a good instance; why it was refused."""
    stage.evil.says["images"] = multipart(part(instance(0)), part(body), part(instance(2)))
    shelf, came = SpoolShelf(spool, visit.visit.id), list[str]()
    query = ImagesQuery(STUDY.study_instance_uid)
    try:
        async with contextlib.aclosing(get_images(visit.client, visit.visit, "AA", query, shelf)) as arriving:
            async for one in arriving:
                came.append(one.header.sop_instance_uid)
    except ArrivalRefused as refused:
        assert came == [STUDY.sop_instance_uid(0)]
        return str(refused.facts["why"])
    return None


@pytest.mark.threat("T63")
@pytest.mark.threat("T65")
@pytest.mark.threat("T67")
@pytest.mark.threat("T69")
async def test_the_corpus_in_a_study_of_another_country_is_refused_part_by_part(
    tmp_path: Path, database: Database
) -> None:
    spool = Spool(tmp_path / "spool", database, MasterKey(bytes(32)), partial(datetime.now, UTC), 1 << 30)
    bodies = {hostile.name: hostile.build() for hostile in CORPUS}
    told = dict[str, str | None]()

    async with staged(tmp_path / "countries") as stage, stage.visit() as visit:
        before = peak_kib(anew=True)
        for name, body in bodies.items():
            told[name] = await _sent(stage, visit, spool, body)
        good = (STUDY.study_instance_uid, STUDY.series_instance_uid(0), STUDY.sop_instance_uid(0))
        kept = await spool.holds(visit.visit.id, [item_of(*good), item_of("2.25.66", "2.25.67", "2.25.661")])

    assert len(told) == len(CORPUS)
    assert {name: why for name, why in told.items() if why not in REASONS} == {}
    for hostile in DICOM:
        assert not hostile.reasons or set(hostile.reasons) & NOT_OURS or told[hostile.name] in hostile.reasons
    assert (kept, len(list((tmp_path / "spool").iterdir()))) == ([True, False], 1)
    assert peak_kib() - before < GROWN_MAX_KIB
