"""National codes → EU codes, by the table an operator supplies for a source; what the table does not know stays as it came, and is counted.

The table is a FHIR ConceptMap (`conceptmaps.py`) or a CSV with the header `kind,system,code,eu_system,eu_code,eu_display`, before which a
line `# version …` may stand. `kind` is procedure, body-part or region; `system` and `code` are as written in the source (a coding scheme
designator or its URI, or nothing for a term of Body Part Examined); eu_system is a URI. A code may lie in several regions.

Source: architecture.md §5.4 (sources); requirements.md §4, §5.10; PS3.3 §8.2.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

from isthmus.errors import SettingsProblem
from isthmus.model.codes import DCM, LOINC, SNOMED, Code
from isthmus.model.queries import REGIONS
from isthmus.terminology.conceptmaps import Faulty, read_maps
from isthmus.terminology.regions import NO_TABLE, find_body_part
from isthmus.terminology.rows import BODY_PART, KINDS, REGION, Row

COLUMNS: Final = ("kind", "system", "code", "eu_system", "eu_code", "eu_display")
MAX_ROWS: Final = 100_000
MAX_BYTES: Final = 64 << 20
SCHEMES: Final = {"SCT": SNOMED, "SNOMED-CT": SNOMED, "DCM": DCM, "LN": LOINC}

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

    codes: Mapping[Key, tuple[Code, ...]] = field(default_factory=lambda: MappingProxyType({}))
    fingerprint: str = ""
    version: str = ""

    def find(self, kind: str, system: str, code: str) -> tuple[Code, ...]:
        return self.codes.get((kind, system.strip().upper(), code.strip().upper()), ())

    @property
    def told(self) -> str:
        """Version and the beginning of the digest: what a record says of the table by which something was mapped."""
        return f"{self.version} {self.fingerprint[:12]}".strip()

    def after(self, other: NationalCodes) -> NationalCodes:
        """Both; of a code that both know this one counts."""
        if not self.codes or not other.codes:
            return self if self.codes else other
        digest = sha256(f"{other.fingerprint}\n{self.fingerprint}".encode()).hexdigest()
        version = ", ".join(filter(None, (other.version, self.version)))
        return NationalCodes(MappingProxyType({**other.codes, **self.codes}), digest, version)


NO_CODES: Final = NationalCodes()


class Transcoder:
    """Codes of one description turned into EU codes. What cannot be turned is marked as the original it is, and kept in `unmapped`."""

    def __init__(self, codes: NationalCodes, schemes: Mapping[str, str] = NO_TABLE) -> None:
        self._codes, self._schemes = codes, schemes
        self.unmapped: list[Unmapped] = []

    def code(self, kind: str, parts: Sequence[str] | None) -> Code | None:
        """Value, scheme and meaning as a source has them: the EU code with the original beside it, else the original alone.

        None where there is nothing.
        """
        if not parts:
            return None
        if parts[1] in SCHEMES:
            return Code(SCHEMES[parts[1]], parts[0], parts[2] or None)
        original = self._original(parts)
        found = self._find(kind, parts[1], parts[0])
        if found:
            return replace(found[0], original=original)
        self.unmapped.append(Unmapped(kind, parts[1], parts[0], parts[2]))
        return original

    def body_part(self, coded: Sequence[str] | None, term: str | None) -> Code | None:
        """The body part by its code, else by the term beside it, which travels along as it was written."""
        known = self.code(BODY_PART, coded)
        if known is not None and not known.is_original:
            return known
        found = (*self._find(BODY_PART, "", term), find_body_part(term)) if term else ()
        if found and found[0] is not None:
            return replace(found[0], original=known or Code("", term or "", term, is_original=True))
        return known

    def regions(self, coded: Sequence[str] | None, term: str | None = None) -> tuple[Code, ...]:
        """The regions that the table names for a code, else for a term; empty when it names none."""
        found = self._find(REGION, coded[1], coded[0]) if coded else ()
        return found or (self._find(REGION, "", term) if term else ())

    def leave(self, kind: str, term: str) -> None:
        """Count a word that nobody could map."""
        self.unmapped.append(Unmapped(kind, "", term, term))

    def _find(self, kind: str, scheme: str, code: str) -> tuple[Code, ...]:
        known = self._codes.find(kind, scheme, code)
        return known or (self._codes.find(kind, self._schemes[scheme], code) if scheme in self._schemes else ())

    def _original(self, parts: Sequence[str]) -> Code:
        """A code of the country's own; its system is a URI where the settings know one, else the scheme as it stands."""
        return Code(self._schemes.get(parts[1], parts[1]), parts[0], parts[2] or None, is_original=True)


def read_codes(file: Path) -> NationalCodes:
    """Read a table. Raises SettingsProblem that names file, line and what is wrong: a table in doubt maps nothing."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise _problem(file, 0, f"larger than {MAX_BYTES >> 20} MiB")
        raw = file.read_bytes()
    except OSError as error:
        raise _problem(file, 0, f"cannot be read: {error.strerror or error}") from error
    if raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        try:
            rows, version = read_maps(raw)
        except Faulty as fault:
            raise _problem(file, 0, f"{fault.where}: {fault.what}" if fault.where else fault.what) from fault
    else:
        rows, version = _csv(file, raw)
    return NationalCodes(_joined(file, rows), sha256(raw).hexdigest(), version)


def _joined(file: Path, rows: Iterable[Row]) -> Mapping[Key, tuple[Code, ...]]:
    codes: dict[Key, tuple[Code, ...]] = {}
    for number, row in enumerate(rows, 1):
        if number > MAX_ROWS:
            raise _problem(file, row.line, f"more than {MAX_ROWS} rows", row.place)
        key = (row.kind, row.system.upper(), row.code.upper())
        held = codes.get(key, ())
        if row.kind == REGION and (row.target.code not in REGIONS or row.target.system != SNOMED):
            raise _problem(file, row.line, "a region is one of the ten SNOMED CT codes of the manifest", row.place)
        if held and row.kind != REGION and row.target not in held:
            raise _problem(file, row.line, "the code stands here twice, with two EU codes", row.place)
        named = REGIONS[row.target.code] if row.kind == REGION else row.target
        codes[key] = held if named in held else (*held, named)
    return MappingProxyType(codes)


def _csv(file: Path, raw: bytes) -> tuple[list[Row], str]:
    try:
        lines = raw.decode("utf-8-sig").splitlines()
        version = (
            lines[0].removeprefix("#").strip().removeprefix("version").strip()
            if lines[:1] and lines[0][:1] == "#"
            else ""
        )
        before = 1 if lines[:1] and lines[0][:1] == "#" else 0
        rows = list(csv.reader(lines[before:], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _problem(file, 0, f"cannot be read: {error}") from error
    if not rows or tuple(name.strip() for name in rows[0]) != COLUMNS:
        raise _problem(file, 1 + before, f"the header is {','.join(COLUMNS)}")
    return [
        _row(file, number, [cell.strip() for cell in row])
        for number, row in enumerate(rows[1:], 2 + before)
        if any(cell.strip() for cell in row)
    ], version


def _row(file: Path, number: int, row: list[str]) -> Row:
    if len(row) != len(COLUMNS):
        raise _problem(file, number, f"{len(row)} columns instead of {len(COLUMNS)}")
    kind, system, code, eu_system, eu_code, eu_display = row
    if kind not in KINDS:
        raise _problem(file, number, f"kind is one of {', '.join(KINDS)}")
    if not code or not eu_code or ":" not in eu_system:
        raise _problem(file, number, "code, eu_code and eu_system (a URI) are needed")
    return Row(kind, system, code, Code(eu_system, eu_code, eu_display or None), line=number)


def _problem(file: Path, line: int, what: str, place: str = "") -> SettingsProblem:
    where = f", line {line}" if line else f", {place}" if place else ""
    return SettingsProblem(f"the table of national codes {file.name}{where}: {what}", key="codes")
