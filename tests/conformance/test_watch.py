"""A watch on live traffic: what does not fulfil a cheap requirement is counted, and nothing else is said or held up."""

from __future__ import annotations

from typing import Any

from isthmus import telemetry
from isthmus.conformance.evidence import Exchange
from isthmus.conformance.watch import WAITING_MAX, Watch
from isthmus.wire.packs.pack import load_pack

PACK = load_pack()
WRAPPED = Exchange(
    path="/fhir/Bundle/1", answer=b'{"resourceType": "Binary"}', headers={"content-type": "application/fhir+json"}
)


def counted(country: str) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["requirement"], sample.labels["severity"]): sample.value
        for family in telemetry.UNFULFILLED.collect()
        for sample in family.samples
        if sample.labels.get("peer") == country and sample.name.endswith("_total")
    }


def seen(
    country: str, exchange: Exchange, *, sample: float = 1.0, severity: str = "warning", dice: float = 0.5
) -> None:
    watch = Watch(sample, severity, dice=lambda: dice)
    watch.see(country, "ITI-68", PACK, lambda: exchange)
    watch.close()


def test_a_document_that_comes_wrapped_is_counted_by_requirement() -> None:
    seen("W1", WRAPPED)

    assert counted("W1")["RET-01", "error"] == 1


def test_what_is_not_in_the_sample_is_not_looked_at() -> None:
    seen("W2", WRAPPED, sample=0.1, dice=0.2)

    assert counted("W2") == {}


def test_what_cannot_be_judged_breaks_nothing_and_is_said() -> None:
    watch = Watch(1.0, "warning")

    def broken() -> Exchange:
        raise ValueError

    watch.see("W3", "ITI-68", PACK, broken)
    watch.close()

    assert counted("W3") == {("ValueError", "warning"): 1}


def test_a_watch_that_cannot_keep_up_looks_away() -> None:
    asked: list[Any] = []

    class Never:
        def submit(self, *of: object) -> None:
            asked.append(of)

    watch = Watch(1.0, "warning")
    watch._worker = Never()  # type: ignore[assignment]  # a worker that never comes to it
    for _ in range(WAITING_MAX + 5):
        watch.see("W4", "ITI-68", PACK, lambda: WRAPPED)

    assert len(asked) == WAITING_MAX
