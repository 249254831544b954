"""Where everything meets: what a node stands on, followed while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isthmus.commands.root import run
from isthmus.config import read_settings
from isthmus.ground import Ground
from isthmus.trust.certificates import client_context


def test_a_renewed_certificate_is_taken_without_a_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["pki", "init", "--out", str(tmp_path / "practice")])
    ground = Ground.open(read_settings(tmp_path / "practice" / "bb" / "isthmus.toml", {}))
    context = ground.steady(client_context)

    first, again = context(), context()
    os.utime(tmp_path / "practice" / "bb" / "keys" / "tls.pem", (1, 1))
    renewed = context()

    assert again is first
    assert renewed is not first
    ground.state.close()
