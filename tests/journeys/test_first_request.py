"""From nothing to the first accepted request across the border, by following the page of instructions to the letter."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "trust.md"
SECTION = "## From nothing to the first request"
MOST_S = 120


def commands() -> str:
    """What the page says to type, in its order."""
    section = PAGE.read_text("utf-8").split(SECTION)[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.S))


def elsewhere(script: str) -> str:
    """The same at other ports: the page's may be taken where tests run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base = min(probe.getsockname()[1], 65000)
    return script.replace("--port-base 8710", f"--port-base {base} --portal-port 0").replace(":8712/", f":{base + 2}/")


@pytest.fixture
def group() -> Iterator[list[int]]:
    """Process groups that a test started; ended afterwards."""
    started: list[int] = []
    yield started
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_page_leads_from_pki_init_to_a_found_patient_within_two_minutes(tmp_path: Path, group: list[int]) -> None:
    script = "set -e\n" + elsewhere(commands()) + "\necho ended well\n"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    began = time.monotonic()

    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE,
        stderr=(tmp_path / "errors").open("wb"), text=True, start_new_session=True,
    )  # fmt: skip
    group.append(shell.pid)
    assert shell.stdout is not None
    said = []
    for line in shell.stdout:
        said.append(line)
        if line == "ended well\n" or time.monotonic() - began > MOST_S:
            break
    took_s = time.monotonic() - began

    errors = (tmp_path / "errors").read_text("utf-8")
    assert said[-1:] == ["ended well\n"], errors
    assert "Protopapas" in "".join(said)
    assert took_s < MOST_S
    listed = subprocess.run(
        ["isthmus", "--config", "pki/aa/isthmus.toml", "audit", "list"], cwd=tmp_path, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "ITI-78" in listed.stdout
    assert "complete" in listed.stdout
