"""What the country lists no more is given to no program either.

Source: interfaces.md §6.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.country_b.local.conftest import Hospital

from isthmus.demo.people import PEOPLE

pytestmark = pytest.mark.anyio
MIRELA = PEOPLE["mirela"]


async def test_a_study_that_is_gone_is_given_to_no_program_and_its_copies_go(hospital: Hospital) -> None:
    study = hospital.portal.country.with_study(MIRELA)
    uid, series = study.study_instance_uid, study.series_instance_uid(0)
    program = await hospital.program()
    one = f"dicom-web/studies/{uid}/series/{series}/instances/{study.sop_instance_uid(0)}"
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    before = await program.get(one, accept=accept)
    spool = hospital.portal.desk.settings.folder / "spool"
    kept = len(list(spool.iterdir()))

    hospital.portal.country.documents[MIRELA.identifier.value] = []
    hospital.portal.clock.now += timedelta(seconds=11)
    after, rows = await program.get(one, accept=accept), await program.json("dicom-web/studies")

    assert (before.status, after.status, rows) == (200, 404, [])
    assert (kept > 0, list(spool.iterdir())) == (True, [])
