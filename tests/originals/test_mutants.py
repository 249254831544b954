"""Hostile originals: mutants for a while, and the shapes that break readers.

The long form is in `proof/test_originals.py`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from tests.hostile.tried import HANG_S
from tests.originals.made import cda, code, heading, report, section, text
from tests.originals.mutants import SEEDS, SR, run, survives

from isthmus.errors import MalformedRequest
from isthmus.originals.beside import Beside
from isthmus.originals.child import Asked, made_report
from isthmus.sandbox import Sandbox

ASKED = Asked("eu-2026-09", "2026-11-25T10:00:00Z", Beside())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.threat("T63")
@pytest.mark.threat("T72")
@pytest.mark.parametrize("form", SEEDS)
def test_a_reader_survives_mutants_for_twenty_seconds(form: str) -> None:
    tried = run(form, 2, 20.0)

    assert tried.count > tried.read > 100


def deep(levels: int) -> Dataset:
    inner = text(code("121071"), "bottom")
    for _ in range(levels):
        inner = heading("121070", "Findings", inner)
    return inner


SHAPES = {
    "an SR nested too deep": report(deep(40)),
    "an SR with sections as deep as they may be below what is told": report(text(code("121071"), "x", deep(24))),
    "an SR that is cut": SR[:-40],
    "an SR of a hundred thousand items": report(heading("121070", "Findings", *[text(code("121071"), "x")] * 3))
    + b"\0" * 200_000,
    "a CDA nested as deep as it may be": cda(
        "<section>" + "<component><section>" * 40 + "</section></component>" * 40 + "</section>"
    ),
    "a CDA nested too deep": cda(section("59776-5", "B", "<content>" * 200 + "x" + "</content>" * 200)),
    "a CDA with a document type": b'<!DOCTYPE a [<!ENTITY b "c">]>' + cda(),
    "a CDA of many cells": cda(section("59776-5", "B", "<table>" + "<tr><td>x</td></tr>" * 20_000 + "</table>")),
    "a CDA whose words refer to each other": cda(
        section("59776-5", "B", '<content ID="a"><reference value="#a"/></content>')
    ),
}


@pytest.mark.threat("T63")
@pytest.mark.threat("T72")
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_that_breaks_readers_is_read_or_refused(name: str, sandbox: Sandbox) -> None:
    began = time.process_time()

    survives(SHAPES[name])

    assert time.process_time() - began < HANG_S
    with contextlib.suppress(MalformedRequest):
        made_report(sandbox.run_now("report", SHAPES[name], ASKED.options, error=MalformedRequest))
    assert len(sandbox.children) <= 2
