"""Two countries, each a process: what arrived is signed by both, and each has proof that the other wrote it down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from isthmus.demo.people import PEOPLE
from isthmus.model.documents import DocumentKind
from isthmus.storage.database import open_state
from isthmus.storage.schema.audit_delivery import audit_delivery
from isthmus.storage.schema.audit_log import audit_checkpoint, audit_claim
from isthmus.testing.two_countries import Node, TwoCountries, prepare, two_countries

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PATIENCE_S = 60


def column(node: Node, what: Any, *where: Any) -> list[Any]:
    database = open_state(node.settings)
    try:
        return list(database.read_now(lambda c: c.execute(select(what).where(*where)).scalars().all()))
    finally:
        database.close()


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.5)
    return true()


@pytest.fixture
def countries(at_rest: Path, tmp_path: Path) -> Iterator[TwoCountries]:
    """A pair of their own: everything on their trails is of this journey."""
    prepare(tmp_path / "pair", at_rest)
    with two_countries(tmp_path / "pair") as running:
        yield running


async def test_images_are_signed_for_by_both_and_each_has_proof_of_the_others_record(countries: TwoCountries) -> None:
    async with countries.b.visit(PEOPLE["eleni"]) as visit:
        listed = [one for one in await visit.find_documents() if one.kind is DocumentKind.MANIFEST_FHIR]
        await visit.get_images(listed[0].study_instance_uids[0])

    d, claim = audit_delivery.c, audit_claim.c
    assert until(lambda: [column(node, d.state) for node in (countries.a, countries.b)] == [["settled"], ["settled"]])
    assert column(countries.a, d.digest) == column(countries.b, d.digest)
    assert until(lambda: all(set(column(node, claim.state)) == {"proven"} for node in (countries.a, countries.b)))
    assert all(column(node, audit_checkpoint.c.note) for node in (countries.a, countries.b))
    assert all(node.verified().intact for node in (countries.a, countries.b))
    assert Path(countries.a.settings.folder / "log.signed").exists()
