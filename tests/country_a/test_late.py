"""Images whose syntax shows only when they arrive: what a PACS holds, sent as true as what lies in the archive."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from tests.archive.conftest import dicom
from tests.country_a.test_pixels import (
    INSTANCE,
    J2K,
    ONLY_EXPLICIT,
    PART,
    SAMPLES,
    STORED,
    Sample,
    asked,
    parts_of,
    same_image,
)
from tests.country_a.test_streams import last_of
from tests.dicom.pixels.test_decode import RLE

from isthmus.dicom.syntaxes import IMPLICIT_LE
from isthmus.errors import ImagesPreparing, NationalInfrastructureUnavailable
from isthmus.model.pieces import Arriving
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import CT, SEEN
from isthmus.wire.images import EXPLICIT_LE

pytestmark = pytest.mark.anyio
IMPLICIT = dicom(1, syntax=IMPLICIT_LE)
Stream = Callable[[], AsyncIterator[bytes]]


def streamed(body: bytes, *, fails: Exception | None = None) -> Stream:
    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]
        if fails is not None:
            raise fails

    return stream


def put(border: PracticeBorder, *streams: Stream) -> None:
    """Let the CT study consist of instances that are still to arrive."""
    like = border.register.instances[SEEN.identifier][0]
    border.register.instances[SEEN.identifier] = [
        replace(
            like, sop_instance_uid=f"{CT}.1.{number}", transfer_syntax_uid="", content=Arriving(stream),
            size_bytes=None, sha256=None,
        )
        for number, stream in enumerate(streams, 1)
    ]  # fmt: skip


def files_of(sample: Sample) -> list[Path]:
    return [sample(f"dicom/{name}") for name in SAMPLES.values()]


@pytest.mark.requirement("WAD-04")
async def test_what_crosses_unchanged_is_told_by_its_own_syntax(border: PracticeBorder, sample: Sample) -> None:
    files = files_of(sample)
    put(border, *(streamed(file.read_bytes()) for file in files))

    reply = await asked(border, STORED)

    parts = parts_of(reply)
    assert (reply.status, reply.whole) == (200, True)
    assert [part.body for part in parts] == [file.read_bytes() for file in files]
    stored = [pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID for file in files]
    assert [part.syntax for part in parts] == stored
    event = last_of(border)
    assert (event.outcome, event.instances, event.bytes) == ("complete", len(files), len(reply.body))


@pytest.mark.requirement("WAD-02", "WAD-03")
async def test_what_may_not_cross_is_written_anew_on_its_way(border: PracticeBorder) -> None:
    put(border, streamed(IMPLICIT))

    for accept in ("", STORED, ONLY_EXPLICIT):
        (part,) = parts_of(await asked(border, accept))

        assert (part.syntax, part.headers["ncp-recoded-from"]) == (EXPLICIT_LE, IMPLICIT_LE)
        after = pydicom.dcmread(BytesIO(part.body))
        assert after.file_meta.TransferSyntaxUID == EXPLICIT_LE
        assert after.PixelData == pydicom.dcmread(BytesIO(IMPLICIT)).PixelData


@pytest.mark.requirement("WAD-10")
async def test_who_can_take_nothing_else_gets_it_decoded(border: PracticeBorder, sample: Sample) -> None:
    file = sample(f"dicom/{SAMPLES['jpeg-2000']}")
    put(border, streamed(file.read_bytes()))

    (part,) = parts_of(await asked(border, ONLY_EXPLICIT))
    bare = await asked(border, "application/dicom", INSTANCE)

    assert (part.syntax, part.headers["ncp-recoded-from"]) == (EXPLICIT_LE, J2K)
    assert same_image(file.read_bytes(), part.body)
    assert bare.body == part.body
    assert bare.headers["ncp-recoded-from"] == J2K


@pytest.mark.fault("F25")
async def test_what_no_codec_decodes_travels_as_it_is_or_is_refused(border: PracticeBorder, sample: Sample) -> None:
    undecodable = sample("dicom/xa_wg04/XA1_JPLY.dcm").read_bytes()  # JPEG with twelve bits
    put(border, streamed(undecodable))

    replies = [await asked(border, accept) for accept in ("", STORED, ONLY_EXPLICIT)]

    assert [reply.status for reply in replies] == [200, 200, 406]
    assert [parts_of(reply)[0].body for reply in replies[:2]] == [undecodable, undecodable]


async def test_a_syntax_that_is_not_accepted_is_406_before_a_byte(border: PracticeBorder) -> None:
    put(border, streamed(IMPLICIT))

    several = await asked(border, f"{PART}; transfer-syntax={RLE}")
    bare = await asked(border, f"application/dicom; transfer-syntax={RLE}", INSTANCE)

    assert [(reply.status, reply.code) for reply in (several, bare)] == [(406, "media")] * 2


@pytest.mark.fault("F39")
@pytest.mark.parametrize(
    "second",
    [
        pytest.param(streamed(b"", fails=NationalInfrastructureUnavailable("gone")), id="does not come"),
        pytest.param(streamed(b"nothing of the kind"), id="is none"),
        pytest.param(
            streamed(dicom(2) + bytes(100_000), fails=NationalInfrastructureUnavailable("gone")), id="breaks off"
        ),
    ],
)
async def test_what_breaks_in_the_middle_cuts_the_study(border: PracticeBorder, second: Stream) -> None:
    put(border, streamed(dicom(1)), second, streamed(dicom(3)))

    reply = await asked(border, STORED)

    first = parts_of(reply)[0].body  # less what might have been a boundary
    assert (reply.status, reply.whole, len(first) > 500) == (200, False, True)
    assert dicom(1).startswith(first)
    assert last_of(border).outcome == "incomplete"


async def test_what_lacks_from_the_start_is_an_answer_in_words(border: PracticeBorder) -> None:
    put(border, streamed(b"", fails=ImagesPreparing("near-line", retry_after_s=9)))

    replies = [await asked(border, STORED), await asked(border, "application/dicom; transfer-syntax=*", INSTANCE)]

    assert [(reply.status, reply.code, reply.headers["retry-after"]) for reply in replies] == [
        (503, "preparing", "9")
    ] * 2


async def test_what_is_written_anew_lies_with_the_node_and_leaves_nothing(border: PracticeBorder) -> None:
    folder = border.folder / "aa" / "arriving"
    during: list[str] = []
    long = dicom(1, syntax=IMPLICIT_LE, TextValue="x" * 200_000)

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(long), 1000):
            yield long[at : at + 1000]
        during.extend(os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))

    put(border, stream)

    reply = await asked(border, STORED)

    assert reply.whole
    assert any(name.startswith(str(folder)) for name in during)
    assert list(folder.iterdir()) == []
