"""A pytest plugin for `make coverage`: what a test reaches is kept under its name, so that a mutant meets the tests that reach it."""

from __future__ import annotations

import coverage
import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    if (running := coverage.Coverage.current()) is not None:
        running.switch_context(item.nodeid)
