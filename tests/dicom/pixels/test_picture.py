"""Pictures as files, made inside a child."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.dicom.pixels.test_decode import JPEG, RLE, rle
from tests.dicom.pixels.writing import element, fragments, picture

from isthmus.errors import ArrivalRefused
from isthmus.sandbox import MIB, Sandbox

PIXELS = 0x7FE00010


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    box = Sandbox()
    yield box
    box.close()


def opened(written: bytes) -> Image.Image:
    return Image.open(BytesIO(written))


GREYS = element(PIXELS, "OB", bytes([0, 85, 170, 255]))


def test_a_png_holds_the_pixels_exactly(box: Sandbox) -> None:
    png = opened(box.run_now("picture", picture(GREYS), {"media_type": "image/png"}))

    assert (png.format, png.mode, png.size) == ("PNG", "L", (2, 2))
    assert png.tobytes() == bytes([0, 85, 170, 255])


def test_a_thumbnail_keeps_its_shape_and_is_never_larger_than_the_image(box: Sandbox) -> None:
    instance = picture(element(PIXELS, "OB", bytes(200 * 100)), shape=(100, 200))

    sizes = [opened(box.run_now("picture", instance, {"edge": edge})).size for edge in (64, 1000)]

    assert sizes == [(64, 32), (200, 100)]


def test_the_frame_and_the_window_asked_for_are_shown(box: Sandbox) -> None:
    instance = picture(element(PIXELS, "OB", bytes([0, 0, 0, 0, 10, 20, 30, 40])), frames=2)
    options = {"media_type": "image/png", "frame": 2, "center": 25.5, "width": 2}

    assert opened(box.run_now("picture", instance, options)).tobytes() == bytes([0, 0, 255, 255])


@pytest.mark.parametrize("options", [{"media_type": "image/svg+xml"}, {"edge": 0}, {"edge": 99999}, {"frame": "1"}])
def test_a_picture_that_is_not_made_here_is_refused(box: Sandbox, options: dict[str, object]) -> None:
    with pytest.raises(ArrivalRefused, match="option"):
        box.run_now("picture", picture(GREYS), options)


@pytest.mark.parametrize(
    "name",
    [
        "mr_transfer_syntaxes/5_jpeg_lossless_sv1_a.dcm",
        "mr_transfer_syntaxes/7_jpegls_a.dcm",
        "mr_transfer_syntaxes/3_explicit_be.dcm",
        "transfer_syntaxes_small/HTJ2KLossless_08_RGB.dcm",
        "transfer_syntaxes_small/MR_small_RLE.dcm",
        "transfer_syntaxes_small/image_dfl.dcm",
        "us_single_j2k/US1_J2KR.dcm",
        "us_multiframe_ybr/examples_ybr_color.dcm",
        "nm_heart/NM-MONO2-16-13x-heart.dcm",
        "mr_enhanced_siemens_xa10/6_1.dcm",
        "pt_headneck_derived/seg.dcm",
        "rt_small/rtdose.dcm",
    ],
)
def test_every_kind_of_image_is_shown_behind_the_shut_door(
    box: Sandbox, name: str, sample: Callable[[str], Path]
) -> None:
    jpeg = opened(box.run_now("picture", sample(f"dicom/{name}").read_bytes(), {"edge": 128}))

    jpeg.load()

    assert jpeg.format == "JPEG"


def bombs() -> dict[str, bytes]:
    """Small files that would be very large."""
    noise = BytesIO()
    Image.new("L", (8, 8)).save(noise, "JPEG")
    jpeg = noise.getvalue()
    sof = jpeg.index(b"\xff\xc0") + 5
    huge_jpeg = jpeg[:sof] + b"\xff\xff\xff\xff" + jpeg[sof + 4 :]
    many = picture(fragments(rle(b"\0")), shape=(65535, 65535), bits=(16, 16), frames=1000, syntax=RLE)
    large = {"shape": (8000, 8000)}
    return {
        "a JPEG of 65535 × 65535 in 8 × 8": picture(fragments(huge_jpeg), shape=(8, 8), syntax=JPEG),
        "65535 × 65535 × 1000": many,
        "a run of nothing": picture(fragments(rle(b"\0" * 100)), **large, syntax=RLE),  # type: ignore[arg-type]  # shape
        "JPEG 2000 that ends after its size": picture(
            fragments(bytes.fromhex("ff4fff51002900000000ffff0000ffff00000000000000000000ffff0000ffff000000000000000000010f0101")),
            syntax="1.2.840.10008.1.2.4.90",
        ),
    }  # fmt: skip


@pytest.mark.threat("T63")
@pytest.mark.parametrize("bomb", bombs().items(), ids=lambda bomb: bomb[0])
@pytest.mark.parametrize("task", ["picture", "frame", "decoded"])
def test_a_bomb_is_refused_soon(box: Sandbox, bomb: tuple[str, bytes], task: str) -> None:
    with pytest.raises(ArrivalRefused):
        box.run_now(task, bomb[1], deadline_s=5, output_limit_bytes=64 * MIB)
