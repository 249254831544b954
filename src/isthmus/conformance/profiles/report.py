"""What is found while profiles are applied: faults, and what could not be checked, once each."""

from __future__ import annotations

from typing import Final

from isthmus.conformance.profiles.packages import shown
from isthmus.conformance.profiles.snapshot import Profile
from isthmus.conformance.requirement import Finding, Severity

MAX_STEPS: Final = 3_000_000
UNCHECKED: Final = "PROFILE-unchecked"
_ADVICE: Final = {
    "PROFILE-cardinality": "Give as many values as the profile asks for.",
    "PROFILE-value": "Write exactly what the profile fixes, or at least what its pattern has.",
    "PROFILE-code": "Use a code of the value set, which is binding in this profile.",
    "PROFILE-slice": "Give each value the marks of the slice that it is meant for.",
    "PROFILE-type": "Give a value of a type that the profile allows.",
    "PROFILE-reference": "Let the reference lead to a resource that fulfils the profile named there.",
    "PROFILE-extension": "Use the extension as its definition says, and where it says.",
    UNCHECKED: "Judge this by other means, or give the package that has it.",
}


class Report:
    """The findings of one resource."""

    class Exhausted(Exception):
        """More steps than one resource may take."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self._notes: dict[str, Finding] = {}
        self._steps = 0

    @property
    def notes(self) -> list[Finding]:
        return list(self._notes.values())

    def step(self) -> None:
        """Count one value held against one element. Raises Exhausted."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Report.Exhausted

    def fault(self, rule: str, path: str, words: str, profile: Profile) -> None:
        self.found.append(fault(rule, path, words, profile))

    def note(self, words: str, path: str, severity: Severity = Severity.INFORMATION) -> None:
        """Tell once what is not checked."""
        if words not in self._notes:
            self._notes[words] = Finding(UNCHECKED, severity, f"not checked: {words}", path, "R4", _ADVICE[UNCHECKED])


def fault(rule: str, path: str, words: str, profile: Profile, severity: Severity = Severity.ERROR) -> Finding:
    """A finding by a profile: its package is the source, its address stands in the words."""
    advice = _ADVICE.get(rule, "Make the resource fulfil this rule of the profile.")
    return Finding(rule, severity, f"{words} ({shown(profile.url)})", path, profile.source, advice)
