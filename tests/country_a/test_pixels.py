"""Images for who cannot take what is stored: decoded, labelled truly, and never whole where something lacks."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from sqlalchemy import Connection
from tests.country_a.test_streams import last_of
from tests.dicom.pixels.test_decode import RLE, rle
from tests.dicom.pixels.writing import fragments, picture

from isthmus.audit.account import Account
from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import opened
from isthmus.dicom.part10 import file_meta
from isthmus.model.pieces import FileRange, StoredInstance
from isthmus.storage.schema.audit import audit_trail
from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import CT, SEEN
from isthmus.wire.images import EXPLICIT_LE, PartEnd, PartReader, PartStart, boundary_of

pytestmark = pytest.mark.anyio
Sample = Callable[[str], Path]
PART = 'multipart/related; type="application/dicom"'
STORED, ONLY_EXPLICIT = f"{PART}; transfer-syntax=*", f"{PART}; transfer-syntax={EXPLICIT_LE}"
J2K, H264 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.102"
SAMPLES = {
    "jpeg-lossless": "ct_mado_study_b/Series_B_1/I0.dcm",
    "jpeg-2000": "mr_transfer_syntaxes/9_j2k_lossless.dcm",
    "rle": "mr_transfer_syntaxes/4_rle.dcm",
    "jpeg-ls": "mr_transfer_syntaxes/7_jpegls_a.dcm",
    "jpeg-baseline": "transfer_syntaxes_small/SC_rgb_jpeg_dcmtk.dcm",
    "high-throughput": "transfer_syntaxes_small/HTJ2KLossless_08_RGB.dcm",
    "multi-frame-jpeg": "us_multiframe_jpeg/gcp_us_10frames.dcm",
    "multi-frame-rle": "transfer_syntaxes_small/SC_rgb_rle_2frame.dcm",
}


@dataclass(frozen=True)
class Part:
    """One instance as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def syntax(self) -> str:
        """What the part says of itself."""
        return self.headers["content-type"].partition("transfer-syntax=")[2]


def stored_files(sample: Sample, folder: Path) -> list[Path]:
    """One file of every compression. One public sample lacks UIDs, without which nothing is taken in."""
    files = [sample(f"dicom/{name}") for name in SAMPLES.values()]
    for number, file in enumerate(files):
        image = pydicom.dcmread(file)
        if "SeriesInstanceUID" not in image:
            image.StudyInstanceUID = image.SeriesInstanceUID = "2.25.1"
            files[number] = folder / file.name
            image.save_as(files[number])
    return files


def parts_of(reply: Reply) -> list[Part]:
    boundary = boundary_of(reply.headers["content-type"])
    assert boundary is not None
    reader, parts = PartReader(boundary), list[Part]()
    for event in reader.feed(reply.body):
        if isinstance(event, PartStart):
            parts.append(Part(dict(event.headers), b""))
        elif not isinstance(event, PartEnd):
            parts[-1] = Part(parts[-1].headers, parts[-1].body + bytes(event))
    if reply.whole:
        reader.close()
    return parts


def put(border: PracticeBorder, files: Sequence[Path | bytes], syntax: str = "", *, video: bool = False) -> None:
    """Let the CT study consist of these files."""
    border.register.instances[SEEN.identifier] = [
        _stored(border, number, file, syntax, video) for number, file in enumerate(files, 1)
    ]


def _stored(border: PracticeBorder, number: int, file: Path | bytes, syntax: str, video: bool) -> StoredInstance:
    if isinstance(file, bytes):
        path = border.folder / f"made-{number}.dcm"
        path.write_bytes(file)
    else:
        path, file = file, file.read_bytes()
        syntax = str(pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    place = FileRange(str(path), 0, len(file))
    digest = hashlib.sha256(file).hexdigest()
    return StoredInstance(
        CT, f"{CT}.1", f"{CT}.1.{number}", syntax, place, len(file), digest, video=video
    )  # fmt: skip


async def asked(border: PracticeBorder, accept: str, tail: str = "", **more: str) -> Reply:
    token, _ = await border.care(SEEN)
    return await border.ask(f"/dicom-web/studies/{CT}{tail}", token=token, headers={"accept": accept}, **more)  # type: ignore[arg-type]  # method alone


def same_image(stored: bytes, came: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(
            np.array_equal(pydicom.dcmread(BytesIO(stored)).pixel_array, pydicom.dcmread(BytesIO(came)).pixel_array)
        )


def missing_in_trail(border: PracticeBorder) -> object:
    """What the last outcome says that lacked."""

    def last(connection: Connection) -> object:
        *_, row = rows(connection, audit_trail.c.kind == "outcome")
        said, _ = opened(row, MonthKeys(border.master).unsealer(connection))
        return (said or {}).get("missing")

    return border.state.read_now(last)


INSTANCE = f"/series/{CT}.1/instances/{CT}.1.1"


@pytest.mark.requirement("WAD-02", "WAD-03", "WAD-10")
@pytest.mark.fault("F33")
@pytest.mark.parametrize("accept", ["", "*/*", PART, ONLY_EXPLICIT])
async def test_every_compression_arrives_decoded_where_no_syntax_or_explicit_is_accepted(
    border: PracticeBorder, sample: Sample, accept: str
) -> None:
    files = stored_files(sample, border.folder)
    put(border, files)

    reply = await asked(border, accept)

    assert (reply.status, reply.whole) == (200, True)
    parts = parts_of(reply)
    assert [part.syntax for part in parts] == [EXPLICIT_LE] * len(files)
    for file, part in zip(files, parts, strict=True):
        before, after = pydicom.dcmread(file, stop_before_pixels=True), pydicom.dcmread(BytesIO(part.body))
        assert after.file_meta.TransferSyntaxUID == EXPLICIT_LE
        assert after.SOPInstanceUID == before.SOPInstanceUID
        assert part.headers["ncp-recoded-from"] == before.file_meta.TransferSyntaxUID
        assert same_image(file.read_bytes(), part.body), file.name
        assert not {"content-length", "content-digest"} & part.headers.keys()
    assert "content-length" not in reply.headers
    event = last_of(border)
    assert (event.outcome, event.instances, event.bytes) == ("complete", len(files), len(reply.body))


@pytest.mark.requirement("WAD-04")
async def test_as_stored_no_child_is_started_and_every_byte_is_the_stored_one(
    border: PracticeBorder, sample: Sample
) -> None:
    files = stored_files(sample, border.folder)
    put(border, files)

    parts = parts_of(await asked(border, STORED))

    assert [part.body for part in parts] == [file.read_bytes() for file in files]
    assert border.sandbox.children == ()


@pytest.mark.requirement("WAD-06")
async def test_one_instance_comes_bare_and_decoded_when_asked_so(border: PracticeBorder, sample: Sample) -> None:
    file = sample(f"dicom/{SAMPLES['jpeg-2000']}")
    put(border, [file])

    plain = await asked(border, "application/dicom", INSTANCE)
    stored = await asked(border, f"application/dicom; transfer-syntax={J2K}", INSTANCE)
    head = await asked(border, "application/dicom", INSTANCE, method="HEAD")

    told = {"content-type": f"application/dicom; transfer-syntax={EXPLICIT_LE}", "ncp-recoded-from": J2K}
    assert told.items() <= plain.headers.items()
    assert "content-length" not in plain.headers
    assert same_image(file.read_bytes(), plain.body)
    assert stored.body == file.read_bytes()
    assert (head.status, head.body, head.headers["ncp-recoded-from"]) == (200, b"", J2K)


@pytest.mark.requirement("WAD-05")
@pytest.mark.fault("F33")
async def test_a_list_of_syntaxes_gives_the_stored_one_else_explicit_else_406(
    border: PracticeBorder, sample: Sample
) -> None:
    put(border, [sample(f"dicom/{SAMPLES['jpeg-2000']}")])
    said = {
        f"{PART}; transfer-syntax={RLE};q=1, {PART}; transfer-syntax={J2K};q=0.2": [J2K],
        f"{PART}; transfer-syntax={RLE};q=1, {ONLY_EXPLICIT};q=0.2": [EXPLICIT_LE],
        f"{PART}; transfer-syntax={RLE}": None,
    }

    replies = {accept: await asked(border, accept) for accept in said}

    given = {
        accept: [part.syntax for part in parts_of(r)] if r.status == 200 else None for accept, r in replies.items()
    }
    assert given == said
    refused = replies[f"{PART}; transfer-syntax={RLE}"]
    assert (refused.status, refused.code) == (406, "media")
    assert "transfer-syntax=*" in refused.body.decode()


@pytest.mark.fault("F25")
async def test_video_and_what_no_codec_decodes_travel_as_they_are_or_are_missing(
    border: PracticeBorder, sample: Sample
) -> None:
    undecodable = sample("dicom/xa_wg04/XA1_JPLY.dcm")  # JPEG with twelve bits
    video = file_meta("1.2.840.10008.5.1.4.1.1.77.1.4.1", "2.25.7", H264) + b"video"
    put(border, [undecodable, video], H264, video=True)
    put_video = border.register.instances[SEEN.identifier][1]
    for name, one in (("twelve bits", undecodable.read_bytes()), ("video", video)):
        border.register.instances[SEEN.identifier] = [
            _stored(border, 1, one, H264 if name == "video" else "1.2.840.10008.1.2.4.51", name == "video")
        ]
        replies = [await asked(border, accept, INSTANCE) for accept in ("*/*", STORED, ONLY_EXPLICIT)]

        assert [reply.status for reply in replies] == [200, 200, 406], name
        assert [parts_of(reply)[0].body for reply in replies[:2]] == [one, one]
        assert "transfer-syntax=*" in replies[2].body.decode()

    put(border, [sample(f"dicom/{SAMPLES['rle']}"), undecodable])
    border.register.instances[SEEN.identifier].append(put_video)
    some = await asked(border, ONLY_EXPLICIT)
    assert (some.status, len(parts_of(some)), some.whole) == (206, 1, True)


@pytest.mark.requirement("WAD-08")
@pytest.mark.fault("F39")
async def test_a_blob_that_is_gone_before_the_start_is_206_and_named_in_the_trail(border: PracticeBorder) -> None:
    gone = border.register.instances[SEEN.identifier][1]
    assert isinstance(gone.content, FileRange)
    Path(gone.content.path).unlink()

    reply = await asked(border, STORED)

    assert (reply.status, len(parts_of(reply)), reply.whole) == (206, 2, True)
    assert missing_in_trail(border) == {"count": 1, "named": [gone.sop_instance_uid]}


@pytest.mark.threat("T63")
async def test_pixels_that_would_fill_the_memory_are_missing_before_anything_is_read(
    border: PracticeBorder, sample: Sample
) -> None:
    bomb = picture(fragments(rle(b"\0")), shape=(65535, 65535), bits=(16, 16), syntax=RLE)
    many = picture(fragments(*[rle(b"\0")] * 400), shape=(4000, 4000), frames=400, syntax=RLE)
    put(border, [bomb, many, sample(f"dicom/{SAMPLES['rle']}").read_bytes()], RLE)

    reply = await asked(border, ONLY_EXPLICIT)

    assert (reply.status, len(parts_of(reply))) == (206, 1)


@pytest.mark.threat("T63")
@pytest.mark.fault("F39")
async def test_pixels_that_turn_out_to_be_none_cut_the_study_and_the_node_lives(
    border: PracticeBorder, sample: Sample
) -> None:
    good = sample(f"dicom/{SAMPLES['rle']}").read_bytes()
    put(border, [good, picture(fragments(b"nothing of the kind "), syntax=RLE), good], RLE)

    cut = await asked(border, ONLY_EXPLICIT)
    alone = await asked(border, ONLY_EXPLICIT, f"/series/{CT}.1/instances/{CT}.1.2")
    after = await asked(border, ONLY_EXPLICIT, INSTANCE)

    assert (cut.status, cut.whole, len(parts_of(cut))) == (200, False, 1)
    assert parts_of(after)[0].body.startswith(parts_of(cut)[0].body)
    assert (alone.status, alone.code) == (406, "media")
    assert (after.status, after.whole) == (200, True)
    outcomes = [e.outcome for e in Account(border.state, border.master, border.settings.folder).exchanges(9) if e.transaction == "RAD-107"]  # fmt: skip
    assert outcomes == ["complete", "refused", "incomplete"]


def grey(value: int) -> bytes:
    """A frame of 300 × 320 of one grey, run-length encoded."""
    segment = bytes([129, value]) * 750  # 128 pixels a run
    return ((1).to_bytes(4, "little") + (64).to_bytes(4, "little")).ljust(64, b"\0") + segment


@pytest.mark.fault("F39")
async def test_a_frame_that_breaks_in_the_middle_of_an_instance_cuts_it(border: PracticeBorder) -> None:
    frames = [grey(1), grey(2), b"nothing of the kind "]
    put(border, [picture(fragments(*frames), shape=(300, 320), frames=3, syntax=RLE)], RLE)

    reply = await asked(border, ONLY_EXPLICIT, INSTANCE)

    assert (reply.status, reply.whole) == (200, False)
    assert 96_000 < len(reply.body) < 200_000
    assert last_of(border).outcome == "incomplete"
