"""National codes → EU codes, by the table an operator supplies for a source; what the table does not know stays as it came, and is counted.

The table is a CSV with the header `kind,system,code,eu_system,eu_code,eu_display`. `kind` is procedure, body-part or region; `system` and
`code` are as written in the source (a coding scheme designator, or nothing for a term of Body Part Examined); eu_system is a URI.

Source: architecture.md §5.4 (sources); requirements.md §4; PS3.3 §8.2.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

from isthmus.errors import SettingsProblem
from isthmus.model.codes import Code
from isthmus.model.queries import REGIONS

PROCEDURE, BODY_PART, REGION = "procedure", "body-part", "region"
KINDS: Final = (PROCEDURE, BODY_PART, REGION)
COLUMNS: Final = ("kind", "system", "code", "eu_system", "eu_code", "eu_display")
MAX_ROWS: Final = 100_000

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A national code that no table knows, as it came."""

    kind: str
    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class NationalCodes:
    """A source's table. `fingerprint` changes when the table does, so that what was described by it is described again."""

    codes: Mapping[Key, Code] = field(default_factory=lambda: MappingProxyType({}))
    fingerprint: str = ""

    def find(self, kind: str, system: str, code: str) -> Code | None:
        return self.codes.get((kind, system.strip().upper(), code.strip().upper()))


NO_CODES: Final = NationalCodes()


def read_codes(file: Path) -> NationalCodes:
    """Read a table. Raises SettingsProblem that names file, line and what is wrong: a table in doubt maps nothing."""
    try:
        raw = file.read_bytes()
        rows = list(csv.reader(raw.decode("utf-8-sig").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _problem(file, 0, f"cannot be read: {error}") from error
    if not rows or tuple(name.strip() for name in rows[0]) != COLUMNS:
        raise _problem(file, 1, f"the header is {','.join(COLUMNS)}")
    if len(rows) > MAX_ROWS:
        raise _problem(file, MAX_ROWS, f"more than {MAX_ROWS} rows")
    codes: dict[Key, Code] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        key, code = _row(file, number, [cell.strip() for cell in row])
        if codes.setdefault(key, code) != code:
            raise _problem(file, number, "the code stands here twice, with two EU codes")
    return NationalCodes(codes, sha256(raw).hexdigest())


def _row(file: Path, number: int, row: list[str]) -> tuple[Key, Code]:
    if len(row) != len(COLUMNS):
        raise _problem(file, number, f"{len(row)} columns instead of {len(COLUMNS)}")
    kind, system, code, eu_system, eu_code, eu_display = row
    if kind not in KINDS:
        raise _problem(file, number, f"kind is one of {', '.join(KINDS)}")
    if not code or not eu_code or ":" not in eu_system:
        raise _problem(file, number, "code, eu_code and eu_system (a URI) are needed")
    if kind == REGION and (eu_code not in REGIONS or eu_system != REGIONS[eu_code].system):
        raise _problem(file, number, "a region is one of the ten SNOMED CT codes of the manifest")
    known = REGIONS[eu_code].display if kind == REGION else None
    return (kind, system.upper(), code.upper()), Code(eu_system, eu_code, eu_display or known)


def _problem(file: Path, line: int, what: str) -> SettingsProblem:
    where = f", line {line}" if line else ""
    return SettingsProblem(f"the table of national codes {file.name}{where}: {what}", key="codes")
