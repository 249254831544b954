"""Metadata of images: an offer, as silent as the images about what may not be seen."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from isthmus.audit.account import Account
from isthmus.errors import ImagesNotFound
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import ImagesQuery
from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import CT, EMPTY, HIDDEN, MR, RESTRICTED, SEEN, Register, fill

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("WAD-14")]
OFFERED = ("imaging-report", "imaging-manifest", "imaging-pixels", "imaging-metadata")
PATHS = (f"/studies/{CT}", f"/studies/{CT}/series/{CT}.1", f"/studies/{CT}/series/{CT}.1/instances/{CT}.1.2")


class DescribingRegister(Register):
    """A register that has metadata ready."""

    async def get_metadata(self, patient: PatientIdentifier, query: ImagesQuery) -> bytes:
        instances = await self.get_images(patient, query)
        told = [{"00080018": {"vr": "UI", "Value": [one.sop_instance_uid]}} for one in instances]
        return gzip.compress(orjson.dumps(told))


@pytest.fixture
async def describing(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    async with PracticeBorder(tmp_path / "describing", register=DescribingRegister()) as made:
        fill(made.register, tmp_path)
        yield made


async def asked(border: PracticeBorder, path: str, token: str, **headers: str) -> Reply:
    said = {"accept": "application/dicom+json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await border.ask(f"/dicom-web{path}/metadata", token=token, headers=said)


async def test_a_study_a_series_and_an_instance_are_described_plain_and_compressed(describing: PracticeBorder) -> None:
    token, _ = await describing.care(SEEN)

    for path, count in zip(PATHS, (3, 3, 1), strict=True):
        plain = await asked(describing, path, token)
        packed = await asked(describing, path, token, accept_encoding="br, gzip;q=0.5")
        neither = await asked(describing, path, token, accept_encoding="gzip;q=0")

        assert (plain.status, plain.headers["content-type"]) == (200, "application/dicom+json")
        assert "content-encoding" not in plain.headers.keys() | neither.headers.keys()
        assert packed.headers["content-encoding"] == "gzip"
        assert len(plain.json()) == count
        assert gzip.decompress(packed.body) == plain.body == neither.body
    told = Account(describing.state, describing.master, describing.settings.folder).exchanges(1)[0]
    assert (told.transaction, told.outcome) == ("RAD-107", "complete")


async def test_where_it_is_not_offered_there_is_no_such_path(
    describing: PracticeBorder, border: PracticeBorder
) -> None:
    describing.offer(*OFFERED[:3])

    for made in (describing, border):  # not offered; offered, but the source has none
        token, _ = await made.care(SEEN)
        unknown = await made.ask(f"/dicom-web/studies/{CT}/thumbnail", token=token)
        for path in PATHS:
            reply = await asked(made, path, token)
            assert (reply.status, reply.json()["issue"][0]["code"]) == (404, "not-supported")
            assert _but_exchange(reply) == _but_exchange(unknown)


def _but_exchange(reply: Reply) -> bytes:
    return reply.body.replace(reply.headers["x-request-id"].encode(), b"")


async def test_restricted_is_absent_also_here(describing: PracticeBorder) -> None:
    describing.say(RESTRICTED, "restrict-study", HIDDEN)
    token, _ = await describing.care(RESTRICTED)
    nobody, _ = await describing.care(EMPTY)
    mine, _ = await describing.care(SEEN)

    replies = [
        await asked(describing, f"/studies/{HIDDEN}", token),
        await asked(describing, "/studies/2.25.7777", token),
        await asked(describing, f"/studies/{HIDDEN}", nobody),
        await asked(describing, f"/studies/{HIDDEN}", mine),
        await asked(describing, f"/studies/{CT}/series/{MR}.1", mine),
    ]

    assert [reply.status for reply in replies] == [404] * 5
    assert len({_but_exchange(reply) for reply in replies[:4]}) == 1


async def test_what_is_not_given_is_refused_before_anything_is_looked_up(describing: PracticeBorder) -> None:
    token, _ = await describing.care(SEEN)
    describing.register.asked.clear()

    media = await asked(describing, PATHS[0], token, accept="application/dicom+xml")
    uid = await asked(describing, "/studies/1..2", token)
    parameter = await describing.ask(
        f"/dicom-web{PATHS[0]}/metadata", token=token, query={"includefield": "all"},
        headers={"accept": "application/dicom+json"},
    )  # fmt: skip

    assert [(r.status, r.code) for r in (media, uid, parameter)] == [(406, "media"), (400, "malformed"), (400, "param")]
    assert describing.register.asked == []


async def test_a_token_without_images_reaches_no_metadata(describing: PracticeBorder) -> None:
    token = await describing.token()

    reply = await asked(describing, PATHS[0], token)

    assert (reply.status, reply.code) == (403, "scope")


async def test_whoever_does_not_offer_images_offers_no_metadata(describing: PracticeBorder) -> None:
    token, _ = await describing.care(SEEN)
    describing.offer("imaging-report", "imaging-manifest", "imaging-metadata")

    reply = await asked(describing, PATHS[0], token)

    assert reply.status == 501
    assert ImagesNotFound.default_reason not in reply.body.decode()
