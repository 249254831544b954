"""What a border of ours says is overheard: every byte goes its way first, and what is wrong with it is counted under our own country."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.conformance.test_watch import counted

from isthmus.config import Conformance
from isthmus.conformance import overheard
from isthmus.conformance.overheard import Asker, Our, Overheard
from isthmus.conformance.watch import Watch
from isthmus.errors import IsthmusError
from isthmus.transport.answers import Answer, Message, Receive, Scope, Send
from isthmus.wire.packs.pack import load_pack

pytestmark = pytest.mark.anyio
WRAPPED = b'{"resourceType": "Binary"}'
FHIR = (b"content-type", b"application/fhir+json")
SCOPE = {"type": "http", "method": "GET", "raw_path": b"/aa/fhir/Bundle/1", "query_string": b"", "headers": []}


class Says:
    """An app that gives one answer, in these parts."""

    def __init__(self, *parts: bytes, kind: tuple[bytes, bytes] = FHIR, breaks: bool = False) -> None:
        self.parts, self.kind, self.breaks = parts, kind, breaks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [self.kind]})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if self.breaks:
            raise OSError("the line is cut")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def refuse(self, error: IsthmusError) -> Answer:
        return Answer(400)


async def heard(country: str, app: Says, *, sample: float = 1.0, asker: Any = None) -> bytes:
    """What reaches the asker; whatever the watch finds is counted when this returns."""
    our = Our(
        country=country,
        origin="https://a",
        path=lambda path: path.removeprefix("/aa"),
        transaction=lambda path, method: "ITI-68",
        asker=asker or (lambda scope: Asker("thumb", True, load_pack())),
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
    said = bytearray()
    listening = Overheard(app, Watch(Conformance(sample=sample), dice=lambda: 0.5), our)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        said.extend(message.get("body", b""))

    try:
        await listening(SCOPE, receive, send)
    finally:
        listening.watch.close()
    return bytes(said)


async def test_an_answer_that_does_not_fulfil_a_requirement_goes_out_and_is_counted_as_ours() -> None:
    said = await heard("O1", Says(WRAPPED[:9], WRAPPED[9:]))

    assert said == WRAPPED
    assert counted("O1")["RET-01", "error"] == 1


async def test_what_is_not_chosen_is_not_kept() -> None:
    assert await heard("O2", Says(WRAPPED), sample=0.1) == WRAPPED

    assert counted("O2") == {}


async def test_of_an_answer_past_the_bound_the_head_alone_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overheard, "HELD_BYTES", 10)

    assert await heard("O3", Says(WRAPPED)) == WRAPPED

    assert ("RET-01", "error") not in counted("O3")
    assert ("CAP-09", "error") in counted("O3")


async def test_images_pass_and_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    monkeypatch.setattr(Watch, "see", lambda self, said, depth: kept.append(said.size_bytes))

    await heard("O4", Says(b"x" * 1000, kind=(b"content-type", b'multipart/related; type="application/dicom"')))

    assert kept == [0]


async def test_an_answer_that_was_cut_is_not_judged_and_the_fault_goes_its_way() -> None:
    with pytest.raises(OSError, match="cut"):
        await heard("O5", Says(WRAPPED, breaks=True))

    assert counted("O5") == {}


async def test_a_fault_of_who_listens_does_not_reach_the_asker() -> None:
    def broken(scope: Scope) -> Asker:
        raise ValueError

    assert await heard("O6", Says(WRAPPED), asker=broken) == WRAPPED

    assert counted("O6") == {("ValueError", "warning"): 1}
