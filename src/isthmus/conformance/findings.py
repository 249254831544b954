"""Findings of one run, told: as the JSON that scripts rely on, as lines of a table, as one page that can be handed on.

Source: interfaces.md §2.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

from jinja2 import Environment

from isthmus.conformance.dataset import Coverage
from isthmus.conformance.requirement import Finding, Severity

_NUMBER: Final = re.compile(r"\[\d+\]")
_ORDER: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFORMATION: 2}


@dataclass(frozen=True, slots=True)
class Account:
    """What was judged, and what was found: `judged` has file and kind in their order, `coverage` what each document tells of the data set.

    `notes` are sentences for people: how far it was looked.
    """

    judged: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    coverage: tuple[tuple[str, Coverage], ...] = ()
    notes: tuple[str, ...] = ()
    _by_file: Mapping[str, list[Finding]] = field(init=False, repr=False, compare=False)
    _lacking: Mapping[str, list[Coverage]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_file: dict[str, list[Finding]] = {}
        for one in sorted(self.findings, key=lambda f: (_ORDER[f.severity], f.path, f.requirement)):
            by_file.setdefault(one.file, []).append(one)
        lacking: dict[str, list[Coverage]] = {}
        for file, element in self.coverage:
            if not element.present and element.obligation in ("M", "R"):
                lacking.setdefault(file, []).append(element)
        object.__setattr__(self, "_by_file", by_file)
        object.__setattr__(self, "_lacking", lacking)

    @property
    def summary(self) -> dict[str, int]:
        return {s.value: sum(one.severity is s for one in self.findings) for s in Severity}

    @property
    def has_errors(self) -> bool:
        return any(one.severity is Severity.ERROR for one in self.findings)

    def missing(self, file: str) -> str:
        """The elements that the data set asks for and this document does not tell: `A.1.1.3 (M), …`."""
        return ", ".join(f"{c.element} ({c.obligation})" for c in self._lacking.get(file, ()))

    def of(self, file: str) -> list[Finding]:
        """The findings of a file, the gravest first."""
        return self._by_file.get(file, [])

    def grave(self, file: str) -> list[Finding]:
        """Its errors and warnings."""
        return [one for one in self.of(file) if one.severity is not Severity.INFORMATION]

    def remarks(self) -> list[tuple[Finding, int]]:
        """What is remarked, each once, and of how many files; the finding is that of the first."""
        first: dict[tuple[str, ...], Finding] = {}
        files: Counter[tuple[str, ...]] = Counter()
        for file, _ in self.judged:
            remarked = (f for f in self.of(file) if f.severity is Severity.INFORMATION)
            said = {(f.requirement, _NUMBER.sub("[]", f.path), f.statement): f for f in remarked}
            first = said | first
            files.update(said.keys())
        return [(first[what], files[what]) for what in sorted(first)]

    def as_json(self) -> dict[str, Any]:
        """The answer as scripts read it."""
        return {
            "findings": [_row(one) for one in _in_order(self.findings)],
            "coverage": [
                {"file": file, "element": c.element, "obligation": c.obligation, "present": c.present}
                for file, c in self.coverage
            ],
            "summary": self.summary,
            "files": [{"file": file, "kind": kind} for file, kind in self.judged],
        }

    def as_page(self) -> str:
        """One page of HTML that needs nothing else: no script, no address."""
        source = resources.files("isthmus.conformance").joinpath("findings.html").read_text("utf-8")
        return (
            Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source).render(account=self)
        )


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (f.file, _ORDER[f.severity], f.path, f.requirement))


def _row(one: Finding) -> dict[str, str]:
    return {
        "file": one.file,
        "severity": one.severity.value,
        "rule": one.requirement,
        "source": one.source,
        "path": one.path,
        "message": one.statement,
        "advice": one.advice,
    }
