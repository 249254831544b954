"""Every key object selection that we emit fulfils every requirement of its kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.wire.made import MANIFEST, STUDY

from isthmus.conformance.evidence import kos_node
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.model.identifiers import Identifier
from isthmus.wire.kos import with_accession_number, write_kos, write_plain_kos
from isthmus.wire.manifests import read_manifest, write_manifest
from isthmus.wire.packs.pack import load_pack

PACK = load_pack()
assert groups.GROUPS
NUMBERS = tuple(Identifier("urn:oid:2.999.5.1", number) for number in "AB")
BARE = replace(MANIFEST, endpoint_address=None, study=replace(STUDY, accession_numbers=(), placer_order_numbers=()))
EMITTED = {
    "manifest": MANIFEST,
    "by location": replace(MANIFEST, endpoint_address=None),
    "two orders": replace(MANIFEST, study=replace(STUDY, accession_numbers=NUMBERS)),
    "made accession number": with_accession_number(BARE),
    "from FHIR": read_manifest(write_manifest(MANIFEST, PACK), PACK).manifest,
}


@pytest.mark.parametrize("name", EMITTED)
def test_what_we_emit_fulfils_every_requirement(name: str) -> None:
    node = kos_node(write_kos(EMITTED[name], PACK))

    assert examine(Kind.KOS, node, PACK) == []


def test_the_plain_one_lacks_the_image_library_and_nothing_else() -> None:
    found = {finding.requirement for finding in examine(Kind.KOS, kos_node(write_plain_kos(MANIFEST, PACK)), PACK)}

    assert found == {"MKO-09", "MKO-10", "MKO-11"}
