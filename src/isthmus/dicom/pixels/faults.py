"""What can be wrong with pixels, as words of a fixed list."""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, str]] = {
    "no-image": "The instance holds no image.",
    "no-frame": "The image has no frame of this number.",
    "bad-shape": "Rows, columns, samples and bits describe no image that can be decoded.",
    "large-frame": "A frame, or the decoded image, is larger than accepted.",
    "frames-unclear": "It cannot be told where the frames begin; only the whole instance can be given.",
    "short-pixels": "Pixel Data holds less than rows, columns and frames say.",
    "recode-first": "The instance is deflated; its frames are found in its Explicit VR Little Endian form.",
    "no-codec": "Nothing here decodes this compression.",
    "twelve-bit": "JPEG Extended with 12 bits a sample is not decoded here.",
    "video": "Video is delivered as it is; single frames are not taken out of it.",
    "not-decoded": "The compressed frame cannot be decoded.",
    "not-compressed": "The instance is not compressed.",
    "colour": "The colour space of the image is not one that is shown here.",
    "option": "The picture asked for cannot be made.",
}


class PixelFault(ValueError):
    """Pixels that cannot be had; `detail` names attributes and sizes, never a value of the patient."""

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise KeyError(reason)
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
