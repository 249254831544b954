"""The profiles of some packages, each made ready once, with the value sets beside them."""

from __future__ import annotations

from isthmus.conformance.profiles.packages import Packages
from isthmus.conformance.profiles.snapshot import Profile, Unusable, effective
from isthmus.conformance.profiles.valuesets import ValueSets
from isthmus.errors import SettingsProblem


class Profiles:
    """Profiles by their addresses, for as many resources as there are."""

    def __init__(self, packages: Packages) -> None:
        self.packages = packages
        self.sets = ValueSets(packages)
        self._held: dict[str, Profile | str | None] = {}

    def get(self, canonical: str) -> Profile | None:
        """The profile under an address; None where no package has it. Raises Unusable."""
        if canonical not in self._held:
            self._held[canonical] = self._made(canonical)
        held = self._held[canonical]
        if isinstance(held, str):
            raise Unusable(held)
        return held

    def _made(self, canonical: str) -> Profile | str | None:
        found = self.packages.find("StructureDefinition", canonical)
        if found is None:
            return None
        try:
            return effective(found, self.packages)
        except Unusable as reason:
            return str(reason)
        except (SettingsProblem, RecursionError):
            return "it cannot be read"
