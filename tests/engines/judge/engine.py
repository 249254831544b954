"""The official validator engine as judge of what we write: HL7's own, in HAPI's wrapping, with base R4 and definitions of ours.

    with judging(folder, definitions(pack)) as judge:
        findings = judge.judge({"manifest": body})["manifest"]

It is kept warm: the first document costs seconds, each further one milliseconds. `ISTHMUS_TEST_JUDGE` names the folder of its jars, which
`.ci/run` fetches by `tools/judge/pom.xml`; nothing of it is shipped.

Source: stack.md §3.7; R4 validation.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from isthmus.testing.engines.counterparts import need

LINES = Path(__file__).parents[3] / "tools" / "judge" / "Judge.java"
WRONG = ("error", "fatal")


@dataclass(frozen=True, slots=True)
class Judged:
    """One thing the engine says."""

    severity: str
    path: str
    id: str
    message: str

    @property
    def wrong(self) -> bool:
        return self.severity in WRONG


class Judge:
    """An engine that runs."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def judge(self, documents: Mapping[str, bytes]) -> dict[str, list[Judged]]:
        """What it says of each; a document that it cannot read is one fatal finding."""
        assert self._process.stdin
        assert self._process.stdout
        said = {}
        for name, body in documents.items():
            file = self._folder / "judged.json"
            file.write_bytes(body)
            self._process.stdin.write(f"{file}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(
                    f"the engine ended; {(self._folder / 'judge.log').read_text(errors='replace')[-500:]}"
                )
            said[name] = [
                Judged(one["severity"], one.get("path") or "", one.get("id") or "", one.get("message") or "")
                for one in json.loads(line)["findings"]
            ]
        return said

    def wrong(self, documents: Mapping[str, bytes]) -> dict[str, list[Judged]]:
        """The documents that it calls wrong, and why."""
        found = {name: [one for one in said if one.wrong] for name, said in self.judge(documents).items()}
        return {name: said for name, said in found.items() if said}


@contextlib.contextmanager
def judging(folder: Path, definitions: Iterable[dict[str, Any]]) -> Iterator[Judge]:
    """Start an engine with definitions beside base R4; end it afterwards. Skips the test where there are no jars, or no JDK."""
    jars = os.environ.get("ISTHMUS_TEST_JUDGE", "")
    if not jars:
        pytest.skip("set ISTHMUS_TEST_JUDGE to a folder with the jars of the validator engine (tools/judge/pom.xml)")
    java = need("java", "default-jdk-headless")
    if shutil.which("javac") is None:
        pytest.skip("javac is not installed (package default-jdk-headless)")
    held = folder / "definitions"
    held.mkdir()
    for number, definition in enumerate(definitions):
        (held / f"{number:03}.json").write_bytes(orjson.dumps(definition))
    command = [str(java), "-Xmx1g", "-cp", f"{jars}/*", str(LINES), str(held)]
    with (folder / "judge.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8")  # fmt: skip
    try:
        yield Judge(process, folder)
    finally:
        process.kill()
        process.communicate()
