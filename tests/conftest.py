"""What all tests share: where the public sample files lie, two countries made once, and proofs only when asked for."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from isthmus.testing.two_countries import prepare

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = Path(os.environ.get("ISTHMUS_SAMPLES", Path(__file__).resolve().parents[2] / "shared" / "data"))
os.environ.pop(
    "COLUMNS", None
)  # what a command says to a pipe has no edge, however wide the terminal is where tests run
MISSING = re.compile(
    r"is not installed|(is|are) not here|is not built|is not in web/node_modules|no R4 schema|set ISTHMUS_"
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A test whose counterpart is missing is skipped on a laptop; where CI runs, it must be there."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if MISSING.search(reason):
            report.outcome, report.longrepr = "failed", f"where CI runs, its counterpart must be there: {reason}"
    return report


@pytest.fixture
def sample() -> Callable[[str], Path]:
    """Give the path of a public sample file; skip, saying which, when the sample set is not here."""

    def find(name: str) -> Path:
        path = SAMPLES / name
        if not path.exists():
            pytest.skip(f"public sample {name} is not here (set ISTHMUS_SAMPLES to the sample set)")
        return path

    return find


@pytest.fixture(scope="session")
def front_end() -> None:
    """The front end as it is built: skips where there is none, and fails where web/ has changed since, which no page would say."""
    made = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert made is not None
    assert made.loader is not None
    build = importlib.util.module_from_spec(made)
    made.loader.exec_module(build)
    if not build.STAMP.exists():
        pytest.skip("the front end is not built (python hatch_build.py)")
    if build.STAMP.read_text(encoding="utf-8") != build.fingerprint():
        pytest.fail("the front end was built before web/ changed: python hatch_build.py", pytrace=False)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-proof", action="store_true", help="run the long proofs too (make proof)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-proof"):
        return
    for item in items:
        if Path(__file__).parent / "proof" in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="a long proof: make proof"))


@pytest.fixture(scope="session")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two practice countries with every story in it, never started: to be copied. Made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "at-rest"
    with (folder.parent / "at-rest.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            made = folder.with_name("at-rest.part")
            shutil.rmtree(made, ignore_errors=True)
            prepare(made)
            made.rename(folder)
    return folder
