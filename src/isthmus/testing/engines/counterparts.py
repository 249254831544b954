"""A program of others that a test needs: found, or the test is skipped with a sentence that names what to install."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

HOST = "127.0.0.1"
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"  # not on the path of every account


def need(program: str, package: str | None = None) -> Path:
    """Where a program is. On a laptop without it the test is skipped; where CI runs, tests/conftest.py makes that a failure."""
    found = shutil.which(program) or shutil.which(program, path=SYSTEM_FOLDERS)
    if found is None:
        pytest.skip(f"{program} is not installed (package {package or program})")
    return Path(found)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now: all different, since they are held until the last is found."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
