"""Every key object selection that we emit fulfils every requirement of its kind; what is broken on purpose is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.wire.made import MANIFEST, STUDY

from isthmus.conformance.requirement import REQUIREMENTS, Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.conformance.evidence import kos_node
from isthmus.fhir.elements import Node
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


EVIDENCE = ("0040A375", 0, "00081115", 0)
LIBRARY = ("0040A730", 3)
GROUP = (*LIBRARY, "0040A730", 3)


def _at(node: Any, *path: Any) -> Any:
    for name in path:
        node = node[name]
    return node


def _with(value: Any, *path: Any) -> Callable[[Node], None]:
    def change(node: Node) -> None:
        _at(node, *path[:-1])[path[-1]] = value

    return change


def _without(*path: Any) -> Callable[[Node], None]:
    def change(node: Node) -> None:
        del _at(node, *path[:-1])[path[-1]]

    return change


def _first(name: str, *path: Any) -> Callable[[Node], None]:
    """Take away the first content item of a concept below this one."""

    def change(node: Node) -> None:
        below = _at(node, *path)["0040A730"]
        below.remove(next(one for one in below if one.get("0040A043", [{}])[0].get("00080100") == PACK.kos[name][0]))

    return change


MUTANTS: dict[str, tuple[Callable[[Node], None], ...]] = {
    "MKO-01": (_with("1.2.840.10008.1.2", "syntax"), _with("1.2.3", "0020000D"), _with("1.2.3", "00080016")),
    "MKO-02": (
        lambda n: _at(n, *EVIDENCE)["00081199"].append(_at(n, *EVIDENCE, "00081199", 0)),
        _with(MANIFEST.uid, *EVIDENCE, "00081199", 0, "00081155"),
        _with("none", *EVIDENCE, "00081199", 0, "00081155"),
    ),
    "MKO-03": (_without(*EVIDENCE, "0040E011"), _with("ACME", *EVIDENCE, "0040E011")),
    "MKO-04": (_with("https://aa.example/dicom-web/studies/1.2.3", *EVIDENCE, "00081190"),),
    "MKO-05": (_without("00100024"), _with("8", "00101002", 0, "00100020"), _without("00101002")),
    "MKO-06": (_without("00080020"), _without("00080030"), _without("00080201")),
    "MKO-07": (_without("00080070"), _without("00080080"), _with("CT", "00080060")),
    "MKO-08": (
        lambda n: n["0040A370"].append(n["0040A370"][0]),
        _without("0040A370", 0, "00080051"),
        _without("0040A370", 0, "00400026"),
        _without("0040A370"),
    ),
    "MKO-09": (_with("113000", "0040A043", 0, "00080100"), _without("0040A504")),
    "MKO-10": (
        _first("library"),
        _first("modality", *LIBRARY),
        _first("region", *LIBRARY),
        _first("study_series", *LIBRARY),
        _without(*GROUP, "0040A050"),
        lambda n: n["0040A375"][0]["00081115"].pop(),
    ),
    "MKO-11": (
        _first("group", *LIBRARY),
        _first("modality", *GROUP),
        _first("series_uid", *GROUP),
        _first("series_instances", *GROUP),
        lambda n: _at(n, *EVIDENCE)["00081199"].pop(),
    ),
    "MKO-13": (lambda n: _at(n, *GROUP)["0040A730"][-1]["0040A730"].pop(0),),
    "MKO-14": (lambda n: _at(n, *LIBRARY, "0040A730", -1, "0040A730", -1).pop("0040A730"),),
    "MKO-15": (lambda n: n["0040A730"].pop(0),),
    "MKO-23": (_with("", "00080050"), _with("other", "00080050")),
    "MKO-24": (_with("69536005", *LIBRARY, "0040A730", 1, "0040A168", 0, "00080100"),),
}


@pytest.mark.parametrize(("id", "number"), [(id, n) for id, changes in MUTANTS.items() for n in range(len(changes))])
def test_what_is_broken_on_purpose_is_found(id: str, number: int) -> None:
    # The library has two modalities: one may go without being missed.
    single = replace(MANIFEST, study=replace(STUDY, series=tuple(replace(s, modality="CT") for s in STUDY.series)))
    node = kos_node(write_kos(single, PACK))

    MUTANTS[id][number](node)

    assert id in {finding.requirement for finding in examine(Kind.KOS, node, PACK)}


def test_every_requirement_has_its_mutants() -> None:
    assert {id for id, row in REQUIREMENTS.items() if row.kind is Kind.KOS} == set(MUTANTS)


def test_what_ihe_wrote_is_found_to_differ(sample: Callable[[str], Path]) -> None:
    node = kos_node(sample("kos/mado/MADO_KOS_B.dcm").read_bytes())

    found = {finding.requirement for finding in examine(Kind.KOS, node, PACK)}

    assert found == {"MKO-10", "MKO-11", "MKO-14"}
