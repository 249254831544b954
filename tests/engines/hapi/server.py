"""HAPI's FHIR server as the repository behind Country A: a real one, in memory, of the library's own parts.

    with hapi(tmp_path) as repository:
        repository.put({"resourceType": "Patient", "id": "1", …})
        ...  # repository.url

`ISTHMUS_TEST_HAPI` names the folder of its jars, which `.ci/run` fetches by `pom.xml`; a JDK compiles the few lines around them at start.

Source: R4 http.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus.testing.engines.counterparts import HOST, free_ports, need

READY_S, REQUEST_S = 60.0, 30.0
LINES = Path(__file__).with_name("Hapi.java")


@dataclass(frozen=True)
class Hapi:
    """One that runs. It listens on this machine alone."""

    url: str

    def put(self, node: dict[str, Any]) -> str:
        """Create or update; gives `Type/id`."""
        place = f"{node['resourceType']}/{node['id']}"
        self._ask("PUT", place, json.dumps(node).encode())
        return place

    def put_binary(self, id_: str, media_type: str, body: bytes) -> str:
        data = base64.b64encode(body).decode()
        return self.put({"resourceType": "Binary", "id": id_, "contentType": media_type, "data": data})

    def delete(self, kind: str, id_: str) -> None:
        self._ask("DELETE", f"{kind}/{id_}")

    def _ask(self, method: str, place: str, body: bytes | None = None) -> None:
        request = urllib.request.Request(f"{self.url}/{place}", data=body, method=method)
        request.add_header("Content-Type", "application/fhir+json")
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
            answer.read()


@contextlib.contextmanager
def hapi(folder: Path) -> Iterator[Hapi]:
    """Start one, empty; end it afterwards. Skips the test where there are no jars, or no JDK."""
    jars = os.environ.get("ISTHMUS_TEST_HAPI", "")
    if not jars:
        pytest.skip("set ISTHMUS_TEST_HAPI to a folder with the jars of HAPI's FHIR server (pom.xml beside this page)")
    java, (port,) = need("java", "default-jdk-headless"), free_ports(1)
    if shutil.which("javac") is None:
        pytest.skip("javac is not installed (package default-jdk-headless)")
    log = folder / "hapi.log"
    command = [str(java), "-Xmx512m", "-cp", f"{jars}/*", str(LINES), HOST, str(port)]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        _wait(process, log)
        yield Hapi(f"http://{HOST}:{port}/fhir")
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while b"ready\n" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"HAPI's FHIR server did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.1)
