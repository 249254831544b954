"""Two countries that run, for every journey that leaves them as they were; those that change something start a pair of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.testing.two_countries import TwoCountries, prepare, two_countries


@pytest.fixture(scope="session")
def countries(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    folder = tmp_path_factory.mktemp("journeys") / "pair"
    prepare(folder, at_rest)
    with two_countries(folder) as running:
        yield running
