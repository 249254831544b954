"""Whether the kernel's clock is kept by a time service: asked of the kernel, without a right to change it.

Source: adjtimex(2); trust.md §6.4.
"""

from __future__ import annotations

import ctypes
import sys

_STA_UNSYNC = 0x40
_STATUS_AT = 5  # longs before `status`: modes (padded), offset, freq, maxerror, esterror
_TIMEX_BYTES = 512  # larger than the kernel's struct


def clock_is_set() -> bool | None:
    """None where the kernel cannot be asked."""
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return None
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: nothing is changed
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    status = int.from_bytes(buffer.raw[_STATUS_AT * 8 : _STATUS_AT * 8 + 4], sys.byteorder, signed=True)
    return not status & _STA_UNSYNC
