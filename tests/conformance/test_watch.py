"""A watch on live traffic: what does not fulfil a requirement is counted, and nothing else is said or held up."""

from __future__ import annotations

from typing import Any

from isthmus import telemetry
from isthmus.config import Conformance
from isthmus.conformance.evidence import Exchange
from isthmus.conformance.watch import WAITING_BYTES_MAX, WAITING_MAX, WHOLE_BYTES_MAX, Depth, Said, Watch
from isthmus.errors import UntrustedCountry
from isthmus.wire.packs.pack import Pack, load_pack

PACK = load_pack()
WRAPPED = Exchange(
    path="/fhir/Bundle/1", answer=b'{"resourceType": "Binary"}', headers={"content-type": "application/fhir+json"}
)
NO_VERSION = Exchange(
    path="/fhir/metadata",
    answer=b'{"resourceType": "CapabilityStatement"}',
    headers={"content-type": "application/fhir+json"},
)
"""CAP-01 looks at all of a capability statement, so it is not cheap."""


def counted(country: str) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["requirement"], sample.labels["severity"]): sample.value
        for family in telemetry.UNFULFILLED.collect()
        for sample in family.samples
        if sample.labels.get("peer") == country and sample.name.endswith("_total")
    }


def said(country: str, exchange: Exchange = WRAPPED, size_bytes: int = 0) -> Said:
    return Said(country, "ITI-68", size_bytes, lambda: PACK, lambda: exchange)


def seen(one: Said, *, sample: float = 1.0, whole: float = 0.0, dice: float = 0.5) -> None:
    watch = Watch(Conformance(sample=sample, whole=whole), dice=lambda: dice)
    watch.see(one, watch.chosen())
    watch.close()


class Never:
    """A worker that never comes to it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def submit(self, *of: object) -> None:
        self.asked.append(of)


def idle() -> tuple[Watch, Never]:
    watch, never = Watch(Conformance(sample=1.0)), Never()
    watch._worker = never  # type: ignore[assignment]  # so that everything waits
    return watch, never


def test_a_document_that_comes_wrapped_is_counted_by_requirement() -> None:
    seen(said("W1"))

    assert counted("W1")["RET-01", "error"] == 1


def test_what_is_not_in_the_sample_is_not_looked_at() -> None:
    seen(said("W2"), sample=0.1, dice=0.2)

    assert counted("W2") == {}


def test_most_answers_are_held_against_the_cheap_requirements_and_a_share_against_every_one() -> None:
    seen(said("W5", NO_VERSION), whole=0.1, dice=0.5)
    seen(said("W6", NO_VERSION), whole=0.1, dice=0.05)

    assert ("CAP-01", "error") not in counted("W5")
    assert ("CAP-01", "error") in counted("W6")


def test_a_large_answer_is_held_against_the_cheap_requirements_alone() -> None:
    seen(said("W7", NO_VERSION, WHOLE_BYTES_MAX + 1), whole=1.0)

    assert ("CAP-01", "error") not in counted("W7")


def test_what_cannot_be_judged_breaks_nothing_and_is_said() -> None:
    def broken() -> Exchange:
        raise ValueError

    seen(Said("W3", "ITI-68", 0, lambda: PACK, broken))

    assert counted("W3") == {("ValueError", "warning"): 1}


def test_a_country_that_left_the_list_meanwhile_is_a_line_and_no_error() -> None:
    def gone() -> Pack:
        raise UntrustedCountry("no country of the list")

    seen(Said("W8", "ITI-68", 0, gone, lambda: WRAPPED))

    assert counted("W8") == {("UntrustedCountry", "warning"): 1}


def test_a_worker_that_takes_nothing_more_breaks_nothing_and_leaves_no_room_taken() -> None:
    watch = Watch(Conformance(sample=1.0))
    watch.see(said("W9"), Depth.CHEAP)
    assert watch._worker is not None
    watch._worker.shutdown(wait=True)

    for _ in range(WAITING_MAX + 5):
        watch.see(said("W9"), Depth.CHEAP)

    assert counted("W9")["RuntimeError", "warning"] == WAITING_MAX + 5


def test_a_watch_that_cannot_keep_up_looks_away() -> None:
    watch, never = idle()

    for _ in range(WAITING_MAX + 5):
        watch.see(said("W4"), Depth.CHEAP)

    assert len(never.asked) == WAITING_MAX


def test_a_watch_holds_no_more_bytes_than_its_bound() -> None:
    watch, never = idle()

    for _ in range(10):
        watch.see(said("W4", size_bytes=WAITING_BYTES_MAX // 4), Depth.CHEAP)

    assert len(never.asked) == 4


def test_what_was_looked_at_makes_room_again() -> None:
    watch = Watch(Conformance(sample=1.0))

    for _ in range(3):
        watch.see(said("W10", size_bytes=WAITING_BYTES_MAX), Depth.CHEAP)
        watch.close()

    assert counted("W10")["RET-01", "error"] == 3
