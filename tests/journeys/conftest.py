"""Two countries that run: one pair for all journeys that only ask, and pairs of their own for those that change something."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from isthmus.testing.two_countries import TwoCountries, prepare, two_countries

Pair = Callable[..., TwoCountries]


@pytest.fixture(scope="session")
def countries(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    """A pair for whoever leaves it as it was."""
    folder = tmp_path_factory.mktemp("journeys") / "pair"
    prepare(folder, at_rest)
    with two_countries(folder) as running:
        yield running


@pytest.fixture
def own_pair(at_rest: Path, tmp_path: Path) -> Iterator[Pair]:
    """`own_pair(environment=…)`: a pair of one's own, with every story in it."""
    with ExitStack() as stack:

        def start(environment: Mapping[str, str] | None = None) -> TwoCountries:
            prepare(tmp_path / "pair", at_rest)
            return stack.enter_context(two_countries(tmp_path / "pair", environment))

        yield start
