"""What hurts is found, with what to do; and a node that is well has nothing said of it but that it is for practice."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from isthmus.commands.root import run
from isthmus.config import Settings, read_settings
from isthmus.operations.doctor import Examined, Finding, examine
from isthmus.operations.kernel import clock_is_set
from isthmus.operations.peers import Asked
from isthmus.testing.border import Clock
from isthmus.trust import pki
from isthmus.trust.directory import Directory
from isthmus.trust.keys import new_signing_key, write_signing_key

COUNTRIES = ("AA", "BB")


class Node:
    """A practice node and what a doctor finds about it."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.made = pki.init(folder, countries=COUNTRIES, ports=pki.default_ports(COUNTRIES), now=self.clock.now)
        self.settings = read_settings(self.made.settings["AA"], {})
        self.peers: list[Asked] = [Asked("BB", seq=1, skew_s=0.0)]

    def file(self, name: str) -> Path:
        return self.settings.folder / name

    def findings(self, *, prod: bool = False, settings: Settings | None = None) -> list[Finding]:
        settings = settings or self.settings
        directory = Directory(settings, None, self.clock)
        directory.refresh()
        return examine(Examined(settings, directory, self.peers, self.clock.now, prod))

    def worse(self, **how: Any) -> list[str]:
        """What is said of it that is more than information; what the machine's own clock and disk give is left out."""
        return [
            f"{found.severity}: {found.what}"
            for found in self.findings(**how)
            if found.severity != "information" and "time service" not in found.what and "disk" not in found.what
        ]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "pki")


def test_a_node_that_is_well_has_nothing_worse_than_its_stand_ins(node: Node) -> None:
    told = [found.what for found in node.findings()]

    assert node.worse() == []
    assert any("made for practice" in what for what in told)
    assert any('env = "demo"' in what for what in told)


@pytest.mark.threat("T79")
def test_by_productions_measure_every_stand_in_is_an_error(node: Node) -> None:
    told = node.worse(prod=True)

    for words in ("made for practice: ", 'env = "demo"', "invented country AA", "hold_h", "directives"):
        assert any(what.startswith("error: ") and words in what for what in told), words


def _mode(node: Node) -> None:
    os.chmod(node.file("keys/sig.jwk"), 0o644)


def _no_key(node: Node) -> None:
    node.file("keys/hpa.jwk").unlink()


def _mismatch(node: Node) -> None:
    other = (node.made.out / "bb/keys/tls.key").read_bytes()
    node.file("keys/tls.key").write_bytes(other)


def _unlisted(node: Node) -> None:
    node.file("keys/sig.jwk").unlink()
    write_signing_key(node.file("keys/sig.jwk"), new_signing_key("aa-sig-9", demo=True))


def _refused(node: Node) -> None:
    good = node.made.trust_list.read_text()
    node.made.trust_list.write_text(good[:-9] + "AAAAAAAAA")


def _suspended(node: Node) -> None:
    pki.set_status(node.made.out, "AA", "suspended", now=node.clock.now)


def _ends(node: Node) -> None:
    node.clock.forward(days=84)


def _ended(node: Node) -> None:
    node.clock.forward(days=91)


def _away(node: Node) -> None:
    node.peers = [Asked("BB", problem="no connection")]


def _skewed(node: Node) -> None:
    node.peers = [Asked("BB", seq=1, skew_s=-12.0)]


HURTS: dict[str, tuple[Callable[[Node], None], str]] = {
    "a key that others can read": (_mode, "error: .*sig.jwk has mode 0644"),
    "a key that is not there": (_no_key, "error: the key file .*hpa.jwk cannot be read"),
    "a certificate without its key": (_mismatch, "error: .*do not belong together"),
    "a key that the list does not name": (_unlisted, "error: our key aa-sig-9 does not count"),
    "a list that is not right": (_refused, "error: the trust list is refused"),
    "our own suspension": (_suspended, "error: AA is suspended in the trust list"),
    "a certificate that ends": (_ends, "warning: TLS certificate ends in [56] days"),
    "a certificate that has ended": (_ended, "error: TLS certificate has ended"),
    "a country out of reach": (_away, "warning: BB does not answer: no connection"),
    "a clock that is off": (_skewed, "warning: the clock of BB is -12 s from ours"),
}


@pytest.mark.parametrize(("hurt", "words"), HURTS.values(), ids=HURTS.keys())
def test_what_hurts_is_found(hurt: Callable[[Node], None], words: str, node: Node) -> None:
    hurt(node)

    told = node.worse()

    assert any(re.match(words, what) for what in told), told


def test_a_disk_that_fills_is_found(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(node.settings.folder)
    full = type(real)(1000, 970, 30)
    monkeypatch.setattr("shutil.disk_usage", lambda place: full)

    assert any("error: 3% of the disk" in f"{f.severity}: {f.what}" for f in node.findings())


def test_the_kernel_says_whether_the_clock_is_kept_or_that_it_cannot_be_asked() -> None:
    assert clock_is_set() in (True, False, None)


def test_the_command_answers_for_a_node_that_does_not_run_and_is_strict_when_asked(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--config", str(node.settings.file), "doctor", "--json"]

    lenient = run(command)
    said = json.loads(capsys.readouterr().out)
    strict = run([*command, "--prod", "--strict", "--offline"])
    capsys.readouterr()
    node.file("keys/env.key").unlink()
    without_master = run(command)
    told = json.loads(capsys.readouterr().out)

    assert (lenient, strict, without_master) == (0, 6, 0)
    assert any("BB does not answer" in found["what"] for found in said["findings"])
    assert len(said["settings_sha256"]) == 64
    assert any("master key" in found["what"] and found["severity"] == "error" for found in told["findings"])


def test_an_end_of_the_list_itself_is_no_end_of_a_certificate(node: Node) -> None:
    node.clock.now += timedelta(days=50)

    told = node.worse(settings=replace(node.settings))

    assert any("past half of its life" in what for what in told)
