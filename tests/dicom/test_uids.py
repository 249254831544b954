from __future__ import annotations

import uuid

import pytest

from isthmus.dicom.uids import derived_uid, is_clean_uid, is_uid, normalise_uid, uid_from_uuid


@pytest.mark.parametrize("text", ["1.2", "1.2.840.0012.3", "2.25." + "9" * 39, "1." + "2" * 62])
def test_digits_and_dots_are_a_uid(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize("text", ["", "1", "1..2", ".1", "1.", "1.2a", "1.2\n", "١.٢", "1." + "2" * 63, "1.2/../3"])
def test_anything_else_is_no_uid(text: str) -> None:
    assert not is_uid(text)


@pytest.mark.fault("F10")
def test_a_leading_zero_is_seen_and_a_zero_alone_is_none() -> None:
    assert not is_clean_uid("1.2.840.0012.3")
    assert is_clean_uid("1.0.840.0.3")


def test_prefixes_and_padding_are_taken_off() -> None:
    assert {normalise_uid(text) for text in ("urn:oid:1.2.3", "oid:1.2.3", "1.2.3\0", "URN:OID:1.2.3 ")} == {"1.2.3"}


def test_a_uuid_becomes_the_uid_of_the_standard() -> None:
    value = uuid.UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")

    assert uid_from_uuid(value) == "2.25.329800735698586629295641978511506172918"  # PS3.5 §B.2


def test_a_derived_uid_is_one_for_the_same_parts_and_another_for_others() -> None:
    uid = derived_uid("manifest", "1.2", "3.4")

    assert is_uid(uid)
    assert is_clean_uid(uid)
    assert uid == derived_uid("manifest", "1.2", "3.4")
    assert len({uid, derived_uid("manifest", "1.2", "3", "4"), derived_uid("receipt", "1.2", "3.4")}) == 3
