"""One visit between two countries in this process, asked by Country B's own client: both halves of the evidence of its images."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.audit.log.conftest import Beside
from tests.audit.log.test_rounds import seen_by_bb

from isthmus.audit.evidence.write import Exporter, keep_list
from isthmus.audit.trail import head_key
from isthmus.country_b import images, patients
from isthmus.country_b.client import Client
from isthmus.country_b.receipts import Receipts
from isthmus.country_b.visit import Visit, new_visit
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.errors import CountryUnreachable
from isthmus.model.context import PointOfCare, Purpose, TreatmentRelationship
from isthmus.model.documents import DocumentKind
from isthmus.model.pieces import FileRange, StoredInstance
from isthmus.model.queries import ImagesQuery, PatientQuery
from isthmus.testing.border import DOCTOR, PracticeBorder, Reply
from isthmus.testing.register import SEEN, add, fill
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import InMemory
from isthmus.trust.directory import Directory
from isthmus.trust.turnover.own import Own

MADE = SyntheticStudy(seed=7, patient=SEEN, instances=3, rows=8, columns=8)


class Heard:
    """An answer as Country B's client reads one."""

    def __init__(self, reply: Reply) -> None:
        self.status, self.headers, self._body = reply.status, reply.headers, reply.body

    async def read(self, limit_bytes: int) -> bytes:
        return self._body

    async def stream(self) -> AsyncGenerator[bytes]:
        yield self._body


class InProcess:
    """Country B's way out, that leads straight to Country A's border; or nowhere, or to what it was told to hear."""

    def __init__(self, border: PracticeBorder) -> None:
        self._border, self.fails, self.says = border, False, dict[str, bytes]()

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, **_: Any
    ) -> AsyncIterator[Heard]:
        parts = urlsplit(url)
        if self.fails:
            raise CountryUnreachable("nobody there", country="AA")
        if parts.path in self.says:
            yield Heard(Reply(200, {}, self.says[parts.path]))
            return
        said = {name.lower(): value for name, value in headers.items()}
        reply = await self._border.ask(
            parts.path, method=method, query=parse_qsl(parts.query), body=body or b"", headers=said
        )
        yield Heard(reply)


@dataclass(frozen=True)
class Asked:
    """A visit of Country B's that has fetched a study."""

    bb: Beside
    visit: Visit
    receipts: Receipts
    line: InProcess


async def asked_by(border: PracticeBorder, bb: Beside) -> Asked:
    """Find the patient, confirm the relationship, fetch the study."""
    directory = Directory(bb.settings, bb.state, border.clock)
    directory.refresh()
    line = InProcess(border)
    out: Any = line
    client = Client(
        bb.settings, directory, bb.trail, out, own=Own(bb.settings), clock=border.clock, sandbox=border.sandbox
    )
    now = border.clock()
    doctor = replace(DOCTOR, auth_time=int(now.timestamp()) - 60)
    point = PointOfCare("urn:oid:2.999.2.4.1", "Hospital of Country B", "BB")
    visit = new_visit(doctor, point, Purpose.TREAT, now)
    query = PatientQuery(
        (SEEN.identifier,),
        family=SEEN.name.family,
        given=SEEN.name.given[:1],
        birth_date=SEEN.birth_date,
        gender=SEEN.gender,
    )
    visit = visit.found("AA", await patients.find_patients(client, visit, "AA", query))
    bond = TreatmentRelationship(Purpose.TREAT, "id-document", "AA", now, "1", "en", True, "encounter-1", now, point)
    visit = replace(visit, relationship=bond)
    wanted = ImagesQuery(MADE.study_instance_uid)
    assert len([one async for one in images.get_images(client, visit, "AA", wanted, InMemory())]) == MADE.instances
    return Asked(bb, visit, Receipts(client, bb.state, bb.master), line)


@dataclass(frozen=True)
class Told:
    """Both halves, joined; Country A's whole trail; and what a judge brings."""

    joined: Path
    whole: Path
    exchange_id: str
    operator: Path
    logs: tuple[str, str]
    other_visit: Path  # another exchange of the same kind, joined as well


async def visited(border: PracticeBorder, bb: Beside) -> list[str]:
    """Two visits with images, signed for, and proven to both; gives the numbers of their exchanges."""
    border.state.write_now(lambda c: keep_list(c, border.clock()))
    for _ in range(2):
        asked = await asked_by(border, bb)
        assert await asked.receipts.settle() == 1
        border.clock.forward(seconds=1)
    await seen_by_bb(border, bb)
    await bb.rounds.submit(bb.aa)
    await bb.rounds.prove(bb.aa)
    return [one.exchange_id for one in _exchanges(bb) if one.transaction == "RAD-107"]


def _exchanges(bb: Beside) -> Any:
    from isthmus.audit.account import Account

    return Account(bb.state, bb.master, bb.settings.folder).exchanges(100)


async def seen_by_aa_and_proven(border: PracticeBorder, bb: Beside) -> None:
    """AA's half: BB cosigned AA's checkpoint, and AA has BB's records proven."""
    from isthmus.audit.log import claims
    from isthmus.audit.log.rounds import keep_seen
    from isthmus.audit.log.witness import seen

    origin = bb.aa.log.name if bb.aa.log else ""
    note = bb.state.read_now(lambda c: seen(c, origin))
    assert note is not None
    border.state.write_now(lambda c: keep_seen(c, note, border.clock()))
    theirs = border.state.read_now(lambda c: seen(c, bb.key.name))
    assert theirs is not None
    from isthmus.audit.log.nodes import Nodes

    size = theirs.checkpoint.size
    for claim in border.state.read_now(lambda c: claims.waiting(c, bb.key.name, size, 1000)):
        proof = bb.state.read_now(lambda c, seq=claim.leaf.seq: Nodes(c, head_key(bb.master)).included(seq, size))  # type: ignore[misc]  # bound
        assert claims.holds(claim, proof, theirs)
        border.state.write_now(lambda c, one=claim, path=proof: claims.proven(c, one, path, theirs))  # type: ignore[misc]  # bound


def filled(border: PracticeBorder, folder: Path) -> None:
    fill(border.register, folder)
    add(border.register, SEEN, MADE.study_instance_uid, DocumentKind.MANIFEST_FHIR, "CT")
    for number, path in enumerate(MADE.write(folder / "made")):
        content = path.read_bytes()
        border.register.instances[SEEN.identifier].append(
            StoredInstance(
                MADE.study_instance_uid, MADE.series_instance_uid(number), MADE.sop_instance_uid(number), EXPLICIT_LE,
                FileRange(str(path), 0, len(content)), len(content), hashlib.sha256(content).hexdigest(),
            )
        )  # fmt: skip


async def told_in(folder: Path) -> Told:
    async with PracticeBorder(folder / "practice") as border:
        filled(border, folder)
        bb = Beside(border)
        with bb.running():
            last, first = await visited(border, bb)
            await seen_by_aa_and_proven(border, bb)
            assert border.log is not None
            ours = Exporter(
                "AA", border.state, border.master, border.log.head_key, border.log.checkpoints, border.clock
            )
            theirs = Exporter("BB", bb.state, bb.master, head_key(bb.master), bb.checkpoints, border.clock)
            for name, number in (("last", last), ("first", first)):
                theirs.exchange(number, folder / f"{name}-b.zip")
                ours.exchange(number, folder / f"{name}.zip", folder / f"{name}-b.zip")
            ours.whole(folder / "whole.zip")
            logs = (border.log.checkpoints._signer.key.public.vkey, bb.key.public.vkey)
    operator = folder / "practice" / "operator" / "operator.jwk"
    return Told(folder / "last.zip", folder / "whole.zip", last, operator, logs, folder / "first.zip")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(told_in(tmp_path_factory.mktemp("evidence")))
