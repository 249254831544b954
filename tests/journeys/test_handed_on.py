"""A national repository that was away while a professional of Country B looked has every event of it when it is back, across a kill -9."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.audit.receivers import FhirReceiver, free_port, wait_for

from isthmus.demo.people import PEOPLE
from isthmus.testing.two_countries import at_hand

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def test_no_event_of_a_visit_is_missing_in_the_national_repository(at_rest: Path, tmp_path: Path) -> None:
    receiver = FhirReceiver(free_port())
    with at_hand(tmp_path / "pair", at_rest) as countries:
        a = countries.a
        with a.settings.file.open("a", encoding="utf-8") as settings:
            settings.write(f'\n[[audit.forward]]\nname = "national"\nkind = "fhir"\nurl = "{receiver.url}"\n')
        countries.demo.start()
        since = countries.since()
        async with countries.b.visit(PEOPLE["eleni"]) as visit:
            await visit.find_documents()
        numbers = {pair.a.exchange_id for pair in since.pairs() if pair.a is not None}
        os.kill(a.pid, signal.SIGKILL)
        countries.demo.stop()
        countries.demo.start()

        with receiver.there():
            wait_for(lambda: numbers <= _told(receiver))

    assert len(numbers) >= 4
    first = list(dict.fromkeys(one for event in receiver.taken for one in _names(event) if one in numbers))
    assert set(first) == numbers


def _told(receiver: FhirReceiver) -> set[str]:
    return {one for event in list(receiver.taken) for one in _names(event)}


def _names(event: dict[str, object]) -> list[str]:
    entities = event["entity"]
    assert isinstance(entities, list)
    return [one["what"]["identifier"]["value"] for one in entities if one["type"]["code"] == "XrequestId"]
