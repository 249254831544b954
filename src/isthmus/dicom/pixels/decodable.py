"""What can be decoded here, told by syntax and shape alone. For everybody: no codec is loaded. Source: field-faults F25, F39."""

from __future__ import annotations

from typing import Final

from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import Image, read_image
from isthmus.dicom.windows import AT_IMPORT, Bounds, Source

JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
DECODABLE: Final = frozenset(
    {"1.2.840.10008.1.2.5", JPEG_BASELINE, JPEG_EXTENDED}  # RLE, and lossy JPEG of eight bits
    | {f"1.2.840.10008.1.2.4.{number}" for number in (57, 70)}  # JPEG Lossless
    | {f"1.2.840.10008.1.2.4.{number}" for number in (80, 81)}  # JPEG-LS
    | {f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203)}  # JPEG 2000, High-Throughput too
)
MAX_FRAME_BYTES: Final = 160 * 1024 * 1024
MAX_PIXEL_BYTES: Final = 0xFFFFFFFE
_WHOLE_BITS: Final = frozenset({8, 16, 32})


def decoded_bytes(source: Source, bounds: Bounds = AT_IMPORT) -> int:
    """How large the pixels of a compressed instance will be. Raises PixelFault, DicomFault for what is never decoded.

    What passes may still turn out to be no image of its kind: only decoding tells.
    """
    image = read_image(source, bounds)
    if image.native is not None:
        raise PixelFault("not-compressed")
    check_size(image)
    check_codec(image)
    if image.compressed is None:
        raise PixelFault("frames-unclear")
    size = image.frames * image.rows * image.columns * image.samples * (image.bits_allocated // 8)
    if size > min(MAX_PIXEL_BYTES, bounds.max_image_bytes):
        raise PixelFault("large-frame")
    return size


def check_size(image: Image) -> None:
    """Raise PixelFault when a decoded frame would be larger than is accepted."""
    if image.rows * image.columns * image.samples * max(8, image.bits_allocated) > 8 * MAX_FRAME_BYTES:
        raise PixelFault("large-frame")


def check_codec(image: Image) -> None:
    """Raise PixelFault when the image's compression cannot be decoded here."""
    if image.syntax.video:
        raise PixelFault("video")
    if image.syntax.uid == JPEG_EXTENDED and image.bits_stored > 8:
        raise PixelFault("twelve-bit")
    if image.syntax.uid not in DECODABLE:
        raise PixelFault("no-codec", image.syntax.name)
    if image.bits_allocated not in _WHOLE_BITS:
        raise PixelFault("bad-shape")
