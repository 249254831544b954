"""Mutants of CDA documents and structured reports for a long time, each run with seeds of its own (`make proof`)."""

from __future__ import annotations

import os
import time

import pytest
from tests.originals.mutants import SEEDS, run

SECONDS = float(os.environ.get("ISTHMUS_FUZZ_SECONDS", "300"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 60)
@pytest.mark.parametrize("form", SEEDS)
def test_a_reader_survives_mutants_for_long(form: str) -> None:
    tried = run(form, int(time.time()), SECONDS)

    print(f"{form} for {SECONDS:g} s: {tried}")
