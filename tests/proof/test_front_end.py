"""The front end, built twice: the same bytes, so that what is shipped can be made again from what is kept."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.threat("T102")
def test_the_front_end_built_twice_is_the_same(front_end: None, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    built = build.STAMP.parent

    build.npm("run", "build", "--", "--outDir", str(tmp_path / "again"), "--emptyOutDir")

    def digests(folder: Path) -> dict[str, str]:
        files = [file for file in folder.rglob("*") if file.is_file() and file.name != build.STAMP.name]
        return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    again, first = digests(tmp_path / "again"), digests(built)
    assert again
    assert {name: first.get(name) for name in again} == again
