"""What is emitted in a pack is read in it, and a type that means two things is told apart by the pack alone.

Source: wire.md §1.4.3, §7 (C1).
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.wire.made import BASE, KOS_ENTRY, MANIFEST, MANIFEST_ENTRY, PDF_ENTRY, REPORT_ENTRY

from isthmus.model.documents import DocumentKind
from isthmus.wire.entries import read_entry, write_entry
from isthmus.wire.manifests import read_manifest, write_manifest
from isthmus.wire.packs.pack import OLDEST_FIRST, Pack, load_pack

PACKS = [load_pack(name) for name in OLDEST_FIRST]
ENTRIES = (REPORT_ENTRY, MANIFEST_ENTRY, KOS_ENTRY, PDF_ENTRY)


@pytest.mark.parametrize("writing", PACKS, ids=lambda pack: pack.name)
@pytest.mark.parametrize("reading", PACKS, ids=lambda pack: pack.name)
def test_an_entry_with_format_or_profile_is_read_in_either_pack(writing: Pack, reading: Pack) -> None:
    for entry in ENTRIES:
        node = orjson.loads(orjson.dumps(write_entry(entry, base=BASE, handle="h", pack=writing)))

        ((read,), forgiven) = read_entry(node, "", base=BASE, pack=reading)

        assert (read.kind, forgiven) == (entry.kind, set())


@pytest.mark.parametrize(
    ("pack", "kind"),
    [("eu-2026-09", DocumentKind.MANIFEST_FHIR), ("ehdsi-9.1", DocumentKind.REPORT_FHIR)],
)
def test_a_bare_type_means_what_its_pack_says_and_that_is_forgiven(pack: str, kind: DocumentKind) -> None:
    node: dict[str, Any] = orjson.loads(
        orjson.dumps(write_entry(REPORT_ENTRY, base=BASE, handle="h", pack=load_pack("ehdsi-9.1")))
    )
    del node["content"][0]["extension"]

    ((read,), forgiven) = read_entry(node, "", base=BASE, pack=load_pack(pack))

    assert (read.kind, forgiven) == (kind, {"kind-by-type"})


def test_a_manifest_once_opened_is_the_same_in_every_pack() -> None:
    written = [write_manifest(MANIFEST, pack) for pack in PACKS]

    assert len(set(written)) == 1
    assert all(
        read_manifest(one, pack) == read_manifest(written[0], PACKS[0])
        for one, pack in zip(written, PACKS, strict=True)
    )
