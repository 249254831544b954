"""One border, two packs: each country is answered in the drafts that the trust list says it speaks.

Source: wire.md §4, §1.4.3; decision 0008.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.errors import SettingsProblem
from isthmus.model.documents import DocumentKind
from isthmus.testing.border import Peer, PracticeBorder, Reply
from isthmus.testing.register import CT, MR, SEEN, add
from isthmus.wire.packs.pack import OLDEST_FIRST, agreed_pack, load_pack

assert groups.GROUPS
EU, CLASSIC = "eu-2026-09", "ehdsi-9.1"
REPORT, STUDY, IMAGE = "85430-7", "18748-4", "x-clinical-image"


@pytest.fixture
def two_packs(border: PracticeBorder) -> Iterator[PracticeBorder]:
    """Country BB speaks the classic pack, CC the newer one, as AA does."""
    for study, modality in ((CT, "CT"), (MR, "MR")):
        add(border.register, SEEN, study, DocumentKind.MANIFEST_KOS, modality)
    border.change(1, pack=CLASSIC)
    yield border
    border.conversation.clear()  # judged in its own pack, below


async def _listed(border: PracticeBorder, peer: Peer, **more: str) -> Reply:
    token, handle = await border.care(SEEN, peer=peer)
    query = {"patient": f"Patient/{handle}", "status": "current", **more}
    return await border.ask("/fhir/DocumentReference", token=token, query=query, certificate=peer.certificate)


def _types(reply: Reply) -> dict[str, str]:
    """The type of each entry, by its title."""
    return {entry["content"][0]["attachment"]["title"]: entry["type"]["coding"][0]["code"] for entry in reply.entries}


@pytest.mark.anyio
async def test_the_same_list_is_written_in_the_pack_of_who_asks(two_packs: PracticeBorder) -> None:
    classic = await _listed(two_packs, two_packs.peers["BB"])
    newer = await _listed(two_packs, two_packs.peers["CC"])

    assert _types(newer).keys() == _types(classic).keys()
    swapped = {REPORT: STUDY, STUDY: IMAGE}
    assert {title: swapped[code] for title, code in _types(newer).items()} == _types(classic)
    assert set(_types(classic).values()) == {STUDY, IMAGE}


@pytest.mark.anyio
@pytest.mark.requirement("DRS-04")
@pytest.mark.requirement("DRS-05")
@pytest.mark.parametrize(
    ("country", "asked", "expected"),
    [("BB", STUDY, 3), ("BB", IMAGE, 4), ("BB", REPORT, 0), ("CC", STUDY, 4), ("CC", REPORT, 3), ("CC", IMAGE, 0)],
)
async def test_the_same_search_means_what_its_pack_says(
    two_packs: PracticeBorder, country: str, asked: str, expected: int
) -> None:
    reply = await _listed(two_packs, two_packs.peers[country], type=f"http://loinc.org|{asked}")

    assert reply.json()["total"] == expected
    kinds = {entry["content"][0]["attachment"]["contentType"] for entry in reply.entries}
    reports = (country, asked) in (("BB", STUDY), ("CC", REPORT))
    assert ("application/pdf" in kinds) is (reports and expected > 0)


@pytest.mark.anyio
@pytest.mark.parametrize(("country", "pack"), [("BB", CLASSIC), ("CC", EU)])
async def test_what_is_emitted_fulfils_every_requirement_in_either_pack(
    two_packs: PracticeBorder, country: str, pack: str
) -> None:
    reply = await _listed(two_packs, two_packs.peers[country])

    assert len(reply.entries) == 7
    assert examine(Kind.SEARCH, reply.json(), load_pack(pack)) == []


def test_both_sides_come_to_the_same_pack_and_it_is_the_older() -> None:
    assert agreed_pack(EU, CLASSIC).name == agreed_pack(CLASSIC, EU).name == CLASSIC
    assert [agreed_pack(one, one).name for one in OLDEST_FIRST] == list(OLDEST_FIRST)
    with pytest.raises(SettingsProblem):
        agreed_pack(EU, "of-next-year")


def test_the_packs_differ_in_what_a_type_says_and_a_manifest_once_opened_is_the_same() -> None:
    eu, classic = load_pack(EU), load_pack(CLASSIC)

    assert {name for name in eu.codes if eu.codes[name] != classic.codes[name]} == {"type_report", "type_manifest"}
    assert (eu.systems, eu.extensions, eu.profiles, eu.kos) == (
        classic.systems, classic.extensions, classic.profiles, classic.kos,
    )  # fmt: skip
