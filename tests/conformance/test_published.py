"""What others published is found to differ, each in exactly what is known of it.

Source: wire.md §7 (C10 to C13: examples are not normative); notes of the sample set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from isthmus.conformance.evidence import kos_node
from isthmus.conformance.requirement import Kind, document_of, examine
from isthmus.conformance.requirements import all as groups
from isthmus.wire.packs.pack import load_pack

assert groups.GROUPS
PACK = load_pack()
STUDY_B = "fhir/ihe_mado_study_b/mado-{}1.2.250.1.59.40211.22756022.2.1.102-{}.json"
OF_XDS_I = {"MKO-05", "MKO-06", "MKO-07", "MKO-08", "MKO-09", "MKO-10", "MKO-11", "MKO-23"}
IN_BOTH = {"DRC-01", "DRC-04", "DRC-06", "DRC-08", "DRC-12", "DRC-15", "DRC-16", "DRC-20"}
KNOWN = {
    # a manifest whose containers have no ContinuityOfContent, whose counts are texts, whose key objects have no title
    "kos/mado/MADO_KOS_B.dcm": {"MKO-10", "MKO-11", "MKO-14", "MKO-16"},
    # an earlier generator's: no image library, no location
    "kos/mado/MADO_KOS_B_from_binary.dcm": {"MKO-03", "MKO-05", "MKO-08", "MKO-09", "MKO-10", "MKO-11", "MKO-15"},
    # XDS-I.b, before MADO
    "kos/elga/GK17285-KOS.dcm": OF_XDS_I,
    "kos/elga/1.2.826.0.1.3680043.2.1043.693076.0.66982.83.3.1.dcm": OF_XDS_I,
    STUDY_B.format("", "bundle"): {"MFH-03", "MFH-05", "MFH-08"},
    STUDY_B.format("fhir-", "docref"): IN_BOTH,
    STUDY_B.format("kos-", "docref"): IN_BOTH | {"DRC-10"},
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_published_sample_differs_in_what_is_known_of_it(name: str, sample: Callable[[str], Path]) -> None:
    data = sample(name).read_bytes()
    node = {} if name.endswith(".dcm") else orjson.loads(data)
    kind, read = document_of(node, PACK) or ((Kind.ENTRY, node) if node else (Kind.KOS, kos_node(data)))

    found = {finding.requirement for finding in examine(kind, read, PACK)}

    assert found == KNOWN[name]
