"""Every group, so that the list is whole."""

from __future__ import annotations

from isthmus.conformance.requirements import capability, documents, kos, manifests, patients, reports, search, studies

GROUPS = (capability, documents, kos, manifests, patients, reports, search, studies)
