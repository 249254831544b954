"""A resource held against the profiles it claims, and its extensions against their definitions, as far as packages have them.

Whatever in a profile cannot be applied is told once, as PROFILE-unchecked. A value is described and never quoted. Source: R4 profiling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from isthmus.conformance.profiles.elements import ElementFaults
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Package, Packages, shown
from isthmus.conformance.profiles.places import Place, top
from isthmus.conformance.profiles.report import Report
from isthmus.conformance.profiles.snapshot import CORE_URL, Profile
from isthmus.conformance.r4 import definitions
from isthmus.conformance.requirement import Finding, Severity
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node

MAX_FINDINGS: Final = 500


def profile_faults(node: Node, profiles: Profiles) -> list[Finding]:
    """What a resource does not fulfil of the profiles that it and what stands in it claim, and what was not checked."""
    kind = node.get("resourceType")
    if not isinstance(kind, str) or not definitions.is_resource(kind):
        return []
    walk = _Walk(profiles)
    try:
        walk.through(top(node), None)
    except (Report.Exhausted, RecursionError):
        walk.report.note(
            "the rest of the resource: it is too large or too deep for these profiles", kind, Severity.WARNING
        )
    found = list(dict.fromkeys((*walk.report.found, *walk.report.notes)))
    if len(found) <= MAX_FINDINGS:
        return found
    words = f"more than {MAX_FINDINGS} findings by profiles: the rest is not listed"
    return [*found[:MAX_FINDINGS], Finding("PROFILE-bounds", Severity.ERROR, words, kind, "R4", "Mend the first ones.")]


def package_faults(package: Package, packages: Packages) -> Iterator[Finding]:
    """What of a package itself is to be known: what it needs that is not here, and what an earlier one says already."""
    if lacking := packages.lacking(package):
        yield Finding(
            "PROFILE-dependency",
            Severity.INFORMATION,
            f"depends on what is not given: {lacking}",
            "package.json",
            package.label,
            "Give these packages too; what needs them is told as not checked.",
        )
    if doubled := packages.doubled(package):
        words = f"{doubled} of its definitions stand in an earlier package too, which counts"
        yield Finding(
            "PROFILE-double", Severity.INFORMATION, words, "package", package.label, "Give each package in one version."
        )


class _Walk:
    """One walk through everything in a resource."""

    def __init__(self, profiles: Profiles) -> None:
        self.profiles = profiles
        self.report = Report()
        self.faults = ElementFaults(profiles, self.report)

    def through(self, place: Place, above: Place | None) -> None:
        """A value, and everything that stands in it."""
        self.report.step()
        if isinstance(place.value, dict) and place.value is place.resource:
            self._claims(place)
        for part in place.every():
            if part.type == "Extension":
                self._extension(part, place, above)
            self.through(part, place)

    def _claims(self, place: Place) -> None:
        for claimed in dict.fromkeys(el.texts(el.child(place.node, "meta"), "profile")):
            if claimed.partition("|")[0] == CORE_URL + place.type:
                continue
            profile = self.faults.profile(claimed, f"{place.path}.meta.profile")
            if profile is None:
                continue
            if profile.type not in ancestry(place.type):
                self.report.fault(
                    "PROFILE-type", f"{place.path}.meta.profile", "claims a profile of another type", profile
                )
                continue
            self.report.found += self.faults.apply(place, profile)

    def _extension(self, place: Place, holder: Place, above: Place | None) -> None:
        url = place.node.get("url")
        if not isinstance(url, str) or not (url.startswith("urn:") or "://" in url):
            return  # a part of an extension: its definition knows it
        profile = self.faults.profile(url, place.path)
        if profile is None:
            return
        if profile.type != "Extension":
            self.report.fault("PROFILE-extension", f"{place.path}.url", "an address that is no extension's", profile)
            return
        self.report.found += self.faults.apply(place, profile)
        allowed = self._allowed(holder, above, profile, place.path)
        if allowed is False:
            self.report.fault(
                "PROFILE-extension", place.path, "an extension where its definition does not allow it", profile
            )

    def _allowed(self, holder: Place, above: Place | None, profile: Profile, path: str) -> bool | None:
        """Whether an extension may stand where it does; None where its definition does not tell."""
        if not profile.contexts:
            return None
        here = {holder.full, *ancestry(holder.type)}
        if above is not None:
            last = holder.full.rpartition(".")[2]
            here |= {f"{one}.{last}" for one in ancestry(above.type)}
        unclear = False
        for context in profile.contexts:
            kind, expression = context.get("type"), el.text(context, "expression") or ""
            if kind == "extension":
                if holder.type == "Extension" and holder.node.get("url") == expression:
                    return True
            elif kind == "element" and "/" not in expression:
                if expression.replace("[x]", "") in here or expression == "*":
                    return True
            else:
                unclear = True
        if unclear:
            self.report.note(f"where the extension {shown(profile.url)} may stand", path)
        return None if unclear else False


def ancestry(kind: str) -> Iterable[str]:
    """A type, or place of a definition, and the types it is made from."""
    found = [kind]
    while (shape := definitions.shape(found[-1])) is not None and shape.base and len(found) < 8:
        found.append(shape.base)
    return found if found[-1] in ("Resource", "Element") else [*found, "Element"]
