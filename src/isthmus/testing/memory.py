"""How much memory processes held at most while something went on, as Linux counts it.

Source: proc(5), VmHWM and VmRSS.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Mapping
from pathlib import Path

EVERY_S = 0.02


class Watched:
    """Looks at processes for as long as the block lasts; `peak_mib` has what each held at most of resident memory."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes, self._over = processes, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak_mib: dict[str, float] = {}

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY_S):
            for name, process in self._processes.items():
                with contextlib.suppress(OSError):  # it has ended
                    status = Path(f"/proc/{process}/status").read_text("ascii", "replace")
                    found = re.search(r"VmHWM:\s+(\d+) kB", status)
                    if found is not None:
                        self.peak_mib[name] = max(self.peak_mib.get(name, 0.0), int(found[1]) / 1024)
