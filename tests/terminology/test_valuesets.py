"""Value sets that ship: each says where it is published, in which version, under which licence; and is what others say it is."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.sr import _cid_dict, _concepts_dict

from isthmus.consent.roles import ROLES
from isthmus.model.codes import DCM, SNOMED
from isthmus.model.imaging import BY_PRODUCTS
from isthmus.model.queries import REGIONS
from isthmus.terminology.valuesets import ValueSet, load_valueset, valuesets
from isthmus.wire.packs.pack import load_pack


@pytest.mark.parametrize("valueset", valuesets(), ids=lambda v: v.name)
def test_a_set_says_where_it_comes_from_and_whose_it_is(valueset: ValueSet) -> None:
    assert ":" in valueset.canonical
    assert valueset.version
    assert valueset.licence
    assert valueset.title
    assert all(concept.code.display for concept in valueset.concepts.values())


def context_group(number: int) -> dict[str, str]:
    """A context group of PS3.16 as somebody else wrote it down."""
    groups_of: Any = _cid_dict.cid_concepts
    concepts: Any = _concepts_dict.concepts
    return {
        code: meaning
        for scheme, names in groups_of[number].items()
        for name in names
        for code, (meaning, groups) in concepts[scheme][name].items()
        if number in groups
    }


def test_modalities_are_those_of_dicom() -> None:
    held = load_valueset("modalities").concepts

    assert {code: concept.code.display for code, concept in held.items()} == context_group(33)
    assert {code for code, concept in held.items() if concept.facts["acquires"]} == set(context_group(29))
    assert {concept.code.system for concept in held.values()} == {DCM}
    assert not {code for code in BY_PRODUCTS if code in held and held[code].facts["acquires"]}


def test_titles_of_key_objects_and_sides_are_those_of_dicom() -> None:
    titles, sides = load_valueset("key-object-titles").concepts, load_valueset("laterality").concepts

    assert {code: concept.code.display for code, concept in titles.items()} == context_group(7010)
    assert set(sides) == set(context_group(244))


def test_body_parts_that_dicom_names_are_called_as_it_names_them() -> None:
    named = context_group(4)
    held = {c.code.code: c.code.display for c in load_valueset("body-parts").concepts.values()}

    assert len(held.keys() & named.keys()) > 250
    assert {code: words for code, words in held.items() if code in named} == {c: named[c] for c in held if c in named}


def test_regions_are_those_of_the_search() -> None:
    ours = {c: v.code for c, v in load_valueset("regions").concepts.items() if "same" not in v.facts}

    assert ours == REGIONS
    assert {code: c.display for code, c in ours.items()} == {code: c.display for code, c in REGIONS.items()}
    assert {code.system for code in ours.values()} == {SNOMED}


def test_every_section_that_we_write_and_every_role_that_may_do_something_has_its_code_here() -> None:
    assert set(load_pack().sections.values()) <= set(load_valueset("sections").concepts)
    treating = {
        code for code, row in ROLES.by_code.items() if not row.on_behalf_of
    }  # a clerk is no health professional
    assert treating <= set(load_valueset("roles").concepts)
