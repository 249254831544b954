"""Every group, so that the list is whole."""

from __future__ import annotations

from isthmus.conformance.requirements import (
    audit,
    capability,
    documents,
    images,
    kos,
    manifests,
    patients,
    populated,
    reports,
    search,
    security,
    tolerance,
)

GROUPS = (
    capability,
    patients,
    search,
    documents,
    manifests,
    populated,
    kos,
    images,
    reports,
    security,
    audit,
    tolerance,
)
