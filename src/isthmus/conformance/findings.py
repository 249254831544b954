"""Findings of one run, told: as the JSON that scripts rely on, as lines of a table, as one page that can be handed on.

Source: interfaces.md §2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from jinja2 import Environment

from isthmus.conformance.dataset import Coverage
from isthmus.conformance.requirement import Finding, Severity

_ORDER: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFORMATION: 2}


@dataclass(frozen=True, slots=True)
class Account:
    """What was judged, and what was found: `judged` has file and kind in their order, `coverage` what each document tells of the data set."""

    judged: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    coverage: tuple[tuple[str, Coverage], ...] = ()

    @property
    def summary(self) -> dict[str, int]:
        return {s.value: sum(one.severity is s for one in self.findings) for s in Severity}

    @property
    def has_errors(self) -> bool:
        return any(one.severity is Severity.ERROR for one in self.findings)

    def missing(self, file: str) -> str:
        """The elements that the data set asks for and this document does not tell: `A.1.1.3 (M), …`."""
        asked = [c for of, c in self.coverage if of == file and not c.present and c.obligation in ("M", "R")]
        return ", ".join(f"{c.element} ({c.obligation})" for c in asked)

    def of(self, file: str) -> list[Finding]:
        """The findings of a file, the gravest first."""
        return sorted(
            (f for f in self.findings if f.file == file), key=lambda f: (_ORDER[f.severity], f.path, f.requirement)
        )

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
