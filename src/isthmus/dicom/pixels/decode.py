"""Decoding: one stored frame to an array of its stored values. Loads codecs of others: for a child process alone.

Colour stays as it is stored, save where decoding gives RGB anyway: lossy JPEG (an inverse transformation is part of looking
at it) and JPEG 2000's own transformations. Arrays are rows × columns (× samples), colour by pixel.

Source: PS3.5 §8.2, Annex A.4; PS3.3 §C.7.6.3.1.2; field-faults F25, F34, F60.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

# The plugins find these when asked; they are loaded here, because a child opens no files once its door is shut.
import gdcm  # noqa: F401
import numpy as np
import numpy.typing as npt
import openjpeg  # noqa: F401
import PIL.Image
import PIL.JpegImagePlugin
import pylibjpeg  # noqa: F401
import rle  # noqa: F401
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from isthmus.dicom import tags
from isthmus.dicom.pixels.decodable import JPEG_BASELINE, JPEG_EXTENDED, MAX_FRAME_BYTES, check_codec, check_size
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.pixels.frames import Image, read_frame, read_image
from isthmus.dicom.windows import Source

try:
    import jpeg_ls
except ImportError:  # there is none for Python 3.14; gdcm decodes JPEG-LS too
    jpeg_ls = None

Array = npt.NDArray[Any]

_LOSSY_JPEG: Final = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
# One library for each, the smaller one where two could: gdcm for what nothing else decodes.
_JPEG_LS: Final = "gdcm" if jpeg_ls is None else "pyjpegls"
LIBRARIES: Final[dict[str, str]] = {
    JPEG_BASELINE: "pillow",
    JPEG_EXTENDED: "pillow",
    "1.2.840.10008.1.2.4.57": "gdcm",
    "1.2.840.10008.1.2.4.70": "gdcm",
    "1.2.840.10008.1.2.4.80": _JPEG_LS,
    "1.2.840.10008.1.2.4.81": _JPEG_LS,
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    "1.2.840.10008.1.2.5": "pylibjpeg",
}
_FLOATS: Final = {tags.FLOAT_PIXEL_DATA: "f4", tags.DOUBLE_FLOAT_PIXEL_DATA: "f8"}


class Decoded(NamedTuple):
    pixels: Array
    photometric: str


def decode_frame(source: Source, image: Image, number: int) -> Decoded:
    """Decode a frame (the first is 1); raises PixelFault, and whatever memory says of a frame that is too large."""
    check_size(image)
    if image.native is None:
        check_codec(image)
    stored = read_frame(source, image, number)
    return _native(image, stored) if image.native is not None else _compressed(image, stored)


def native_type(image: Image) -> np.dtype[Any]:
    """Give the type of a sample as it lies in the file."""
    order = "<" if image.syntax.little_endian else ">"
    if image.pixel_tag in _FLOATS:
        return np.dtype(order + _FLOATS[image.pixel_tag])
    return np.dtype(f"{order}{'i' if image.signed else 'u'}{image.bits_allocated // 8}")


def _native(image: Image, stored: bytes) -> Decoded:
    shape = (image.rows, image.columns)
    if image.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little", count=image.frame_bits)
        return Decoded(bits.reshape(shape), image.photometric)
    kind = native_type(image)
    flat = np.frombuffer(stored, kind).astype(kind.newbyteorder("="), copy=False)
    if image.stored_samples == 2:
        return Decoded(_full(flat, shape), "YBR_FULL" if image.photometric == "YBR_FULL_422" else image.photometric)
    if image.samples == 1:
        return Decoded(flat.reshape(shape), image.photometric)
    if image.planar == 1:
        return Decoded(np.moveaxis(flat.reshape(image.samples, *shape), 0, -1), image.photometric)
    return Decoded(flat.reshape(*shape, image.samples), image.photometric)


def _full(flat: Array, shape: tuple[int, int]) -> Array:
    """Give each pixel the two colour differences it shares with its neighbour. Source: PS3.3 §C.7.6.3.1.2."""
    if shape[1] % 2:
        raise PixelFault("bad-shape", "an odd number of columns with subsampled colour")
    pairs = flat.reshape(-1, 4)
    full = np.empty((len(pairs), 2, 3), flat.dtype)
    full[:, :, 0] = pairs[:, :2]
    full[:, :, 1] = pairs[:, 2:3]
    full[:, :, 2] = pairs[:, 3:4]
    return full.reshape(*shape, 3)


def _compressed(image: Image, stored: bytes) -> Decoded:
    uid = image.syntax.uid
    said: Any = {
        "rows": image.rows,
        "columns": image.columns,
        "number_of_frames": 1,
        "samples_per_pixel": image.samples,
        "photometric_interpretation": image.photometric,
        "planar_configuration": image.planar,
        "bits_allocated": image.bits_allocated,
        "bits_stored": image.bits_stored,
        "pixel_representation": int(image.signed),
        "pixel_keyword": "PixelData",
        "decoding_plugin": LIBRARIES[uid],
    }
    one = encapsulate([stored], has_bot=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels, found = get_decoder(uid).as_array(one, index=0, raw=uid not in _LOSSY_JPEG, **said)
        except (RuntimeError, ValueError, AttributeError, TypeError, NotImplementedError, OSError, KeyError) as exc:
            raise PixelFault("not-decoded") from exc
    photometric = str(found["photometric_interpretation"])
    if image.samples == 3 and photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        photometric = photometric.removesuffix("_422")  # a decoded array has a colour for every pixel
    return Decoded(pixels, photometric)


def frame_task(source: Source, options: Mapping[str, object]) -> Iterator[bytes]:
    """Give the native little-endian bytes of frame `frame`: what `application/octet-stream` promises. Source: field-faults F34."""
    number = options.get("frame", 1)
    if not isinstance(number, int):
        raise PixelFault("option")
    decoded = decode_frame(source, read_image(source), number)
    yield little_endian_bytes(decoded.pixels)


def little_endian_bytes(pixels: Array) -> bytes:
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()


PIL.Image.MAX_IMAGE_PIXELS = MAX_FRAME_BYTES
PIL.Image.preinit()
