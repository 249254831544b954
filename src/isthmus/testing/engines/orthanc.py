"""Orthanc as the PACS behind Country A: a real one, by DIMSE and by DICOMweb, that starts in seconds and forgets everything.

    with orthanc(tmp_path) as pacs:
        pacs.load(files)
        ...  # pacs.host, pacs.dicom_port, pacs.ae_title; pacs.dicomweb

It listens on this machine alone. Whoever shall receive by C-MOVE is made known with `know`.

Source: stack.md §1.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from isthmus.testing.engines.counterparts import HOST, free_ports, need

READY_S, REQUEST_S = 30.0, 60.0
PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")


@dataclass(frozen=True)
class Orthanc:
    """One that runs: where it is reached, what it answers to, and how it is filled."""

    process: subprocess.Popen[bytes]
    log: Path
    dicom_port: int
    http_port: int
    ae_title: str
    account: tuple[str, str] | None = None
    host: str = field(default=HOST)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        """Where QIDO-RS, WADO-RS and STOW-RS begin."""
        return f"{self.url}/dicom-web"

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Its own REST interface. Gives what the JSON says, None for an empty answer; an error of urllib for a refusal."""
        request = urllib.request.Request(f"{self.url}{path}", data=body, method=method)  # noqa: S310 - our own, on this machine
        if self.account is not None:
            told = base64.b64encode(":".join(self.account).encode()).decode()
            request.add_header("Authorization", f"Basic {told}")
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:  # noqa: S310 - as above
            said = answer.read()
        return json.loads(said) if said else None

    def load(self, files: Iterable[Path | bytes]) -> int:
        """Give it files; gives how many it took. A folder stands for every file in it."""
        taken = 0
        for file in files:
            if isinstance(file, bytes):
                self.ask("POST", "/instances", file)
                taken += 1
            elif file.is_dir():
                taken += self.load(sorted(one for one in file.rglob("*") if one.is_file()))
            else:
                self.ask("POST", "/instances", file.read_bytes())
                taken += 1
        return taken

    def know(self, ae_title: str, port: int, **more: object) -> None:
        """Make a peer known, to whom it may send (C-STORE, C-MOVE)."""
        peer = {"AET": ae_title, "Host": HOST, "Port": port, **more}
        self.ask("PUT", f"/modalities/{ae_title.lower()}", json.dumps(peer).encode())

    def forget_everything(self) -> None:
        """Delete what it holds."""
        for patient in self.ask("GET", "/patients"):
            self.ask("DELETE", f"/patients/{patient}")

    def stop(self) -> None:
        """End it at once: nothing of it is kept, and asked politely it takes seconds."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def orthanc(
    folder: Path,
    *,
    ae_title: str = "ORTHANC",
    account: tuple[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Orthanc]:
    """Start one in a folder of its own, wait until it answers, stop it afterwards.

    `account`: user and password that HTTP then asks for. `settings` stand over ours, in Orthanc's own words.
    """
    program, plugin = need("Orthanc", "orthanc"), _dicomweb_plugin()
    folder = folder / f"orthanc-{ae_title.lower()}"
    folder.mkdir(parents=True)
    dicom_port, http_port = free_ports(2)
    said = _configuration(folder, plugin, ae_title, dicom_port, http_port, account)
    file, log = folder / "orthanc.json", folder / "orthanc.log"
    file.write_text(json.dumps({**said, **(settings or {})}, indent=1), "utf-8")
    with log.open("wb") as lines:
        process = subprocess.Popen([str(program), str(file)], cwd=folder, stdout=lines, stderr=subprocess.STDOUT)
    running = Orthanc(process, log, dicom_port, http_port, ae_title, account)
    try:
        _wait(running)
        yield running
    finally:
        running.stop()


def _configuration(
    folder: Path, plugin: Path, ae_title: str, dicom_port: int, http_port: int, account: tuple[str, str] | None
) -> dict[str, object]:
    return {
        "Name": ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(plugin)],
        "RemoteAccessAllowed": True,  # else it refuses whoever logs in; the ports are those of this machine
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": ae_title,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "AuthenticationEnabled": account is not None,
        "RegisteredUsers": dict([account]) if account else {},
        "OverwriteInstances": True,
        "StableAge": 1,
        "SaveJobs": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Host": f"{HOST}:{http_port}", "EnableWado": False},
    }


def _dicomweb_plugin() -> Path:
    for folder in map(Path, PLUGINS):
        for found in sorted(folder.glob("libOrthancDicomWeb.so*")):
            return found
    pytest.skip("Orthanc's DICOMweb plugin is not installed (package orthanc-dicomweb)")


def _wait(running: Orthanc) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise RuntimeError(f"Orthanc ended at once: {running.log.read_text('utf-8', 'replace')[-2000:]}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            running.ask("GET", "/system")
            return
        time.sleep(0.1)
    raise RuntimeError("Orthanc does not get ready")
