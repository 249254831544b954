"""dcmtk's dcmqrscp as the PACS behind Country A: older, plainer and stricter than most, DIMSE alone.

    with dcmqrscp(tmp_path, {"ISTHMUS": 11113}) as pacs:
        pacs.load(files)

Source: stack.md §1.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.testing.engines.counterparts import HOST, free_ports, need

READY_S = 10.0
AE_TITLE = "DCMQRSCP"
_CONFIGURATION = """\
NetworkTCPPort  = {port}
MaxPDUSize      = 16384
MaxAssociations = 16
HostTable BEGIN
{hosts}
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
{ae_title} {storage} RW (1000, 1024mb) ANY
AETable END
"""


@dataclass(frozen=True)
class Dcmqrscp:
    """One that runs: where it is reached, and how it is filled."""

    dicom_port: int
    ae_title: str = AE_TITLE
    host: str = field(default=HOST)

    def load(self, files: Iterable[Path]) -> None:
        """Send it files by C-STORE, its only way in."""
        command = [need("storescu", "dcmtk"), "-aec", self.ae_title, "-R", self.host, str(self.dicom_port), *files]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)


@contextlib.contextmanager
def dcmqrscp(folder: Path, moves_to: Mapping[str, int] | None = None) -> Iterator[Dcmqrscp]:
    """Start one in a folder of its own, wait until it answers, stop it afterwards. `moves_to`: AE titles and ports for C-MOVE."""
    program, (port,) = need("dcmqrscp", "dcmtk"), free_ports(1)
    storage = folder / "dcmqrscp"
    storage.mkdir(parents=True)
    configuration = folder / "dcmqrscp.cfg"
    hosts = "\n".join(f"{title.lower()} = ({title}, {HOST}, {at})" for title, at in (moves_to or {}).items())
    configuration.write_text(_CONFIGURATION.format(port=port, ae_title=AE_TITLE, storage=storage, hosts=hosts), "utf-8")
    process = subprocess.Popen(
        [str(program), "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        _wait(port, process)
        yield Dcmqrscp(port)
    finally:
        process.kill()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("dcmqrscp does not get ready")
