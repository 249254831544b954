"""What all tests share: where the public sample files lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLES = Path(os.environ.get("ISTHMUS_SAMPLES", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture
def sample() -> Callable[[str], Path]:
    """Give the path of a public sample file; skip, saying which, when the sample set is not here."""

    def find(name: str) -> Path:
        path = SAMPLES / name
        if not path.exists():
            pytest.skip(f"public sample {name} is not here (set ISTHMUS_SAMPLES to the sample set)")
        return path

    return find


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
