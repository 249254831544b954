"""How much memory this process has taken at most. Source: proc(5)."""

from __future__ import annotations

import re
from pathlib import Path


def peak_kib(*, anew: bool = False) -> int:
    """The most of it, in KiB; since now, if `anew`."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0
