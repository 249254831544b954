"""Country A's own answers are watched: a whole visit, refusals included, gives the watcher nothing to count."""

from __future__ import annotations

import pytest
from tests.conformance.test_watch import counted

from isthmus.config import Conformance
from isthmus.conformance.watch import Said, Watch
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import SEEN

pytestmark = pytest.mark.anyio


class Noting(Watch):
    """Looks at every answer as closely as it can, and notes which there were."""

    def __init__(self) -> None:
        super().__init__(Conformance(sample=1.0, whole=1.0, severity="information"))
        self.transactions: list[str] = []

    def see(self, said: Said, depth: object) -> None:
        assert said.country == "AA"
        self.transactions.append(said.transaction)
        super().see(said, self.chosen())


async def test_all_that_a_visit_hears_is_judged_beside_it_and_nothing_is_found(border: PracticeBorder) -> None:
    watch = border.app.watch = Noting()
    before = counted("AA")

    token, handle = await border.care(SEEN)
    listed = await border.ask(
        "/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}", "status": "current"}
    )
    for entry in listed.entries:
        address = "/fhir/" + "/".join(entry["content"][0]["attachment"]["url"].split("/")[-2:])
        await border.ask(address, token=token, headers={"accept": entry["content"][0]["attachment"]["contentType"]})
    await border.ask("/fhir/Bundle/nothing", token=token)
    await border.ask("/fhir/Bundle/nothing")
    await border.ask("/fhir/metadata", certificate=None)
    watch.close()

    assert {"ITI-71", "ITI-78", "ITI-67", "ITI-68", "capability"} <= set(watch.transactions)
    assert counted("AA") == before
