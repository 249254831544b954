"""Metadata that another country sent: read one by one, and nothing else than what they are."""

from __future__ import annotations

import pytest

from isthmus.errors import CountryMisanswered, MalformedRequest
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import ImagesQuery
from isthmus.wire.studies.metadata import metadata_path, read_metadata, read_uids

UIDS = b'"0020000D":{"vr":"UI","Value":["1.2"]},"0020000E":{"vr":"UI","Value":["1.3"]},"00080018":{"vr":"UI","Value":["1.4"]}'
WHO = (
    b'"00100010":{"vr":"PN","Value":[{"Alphabetic":"Papa^Eva Maria","Ideographic":""}]},'
    b'"00100020":{"vr":"LO","Value":["77"]},"00100030":{"vr":"DA","Value":["19700101"]},"00100040":{"vr":"CS","Value":["F"]},'
    b'"00100024":{"vr":"SQ","Value":[{"00400032":{"vr":"UT","Value":["2.999.1"]}}]}'
)


def test_an_instance_and_whose_it_is_are_read() -> None:
    one = b"{" + UIDS + b"," + WHO + b"}"

    (told,) = read_metadata(b" [" + one + b"] ")

    assert told.uids == ImagesQuery("1.2", "1.3", "1.4")
    assert told.identifier == PatientIdentifier("urn:oid:2.999.1", "77")
    assert [(name.family, name.given) for name in told.names] == [("Papa", ("Eva", "Maria"))]
    assert (told.birth_date, told.gender, told.json) == ("1970-01-01", "female", one)
    assert "Papa" not in repr(told)


def test_what_says_nothing_of_a_person_is_read_too() -> None:
    told = list(read_metadata(b"[{" + UIDS + b"},{" + UIDS + b',"00100010":{"vr":"PN"}}]'))

    assert [(one.identifier, one.names, one.birth_date, one.gender) for one in told] == [(None, (), None, None)] * 2


@pytest.mark.parametrize("body", [b"", b"  ", b"[]"])
def test_nothing_is_none(body: bytes) -> None:
    assert list(read_metadata(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b"[1]", b"[null]", b"nonsense", b"[{}", b'[{"0020000D":{"vr":"UI","Value":["1..2"]}}]', b"[{" + UIDS + b"]",
        b"[{" + UIDS + b',"00100010":{"Value":"x"}}]', b"[{" + UIDS + b',"00100010":[]}]', b"[" * 100_000,
        b"[{" + UIDS + b',"00100020":{"Value":["' + b"9" * 200 + b'"]},"00100024":{"Value":[{"00400032":{"Value":["1"]}}]}}]',
        b'[{"0020000D":{"Value":[NaN]}}]', b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_dicom_json_is_the_countrys_fault(body: bytes) -> None:
    with pytest.raises(CountryMisanswered):
        list(read_metadata(body))


def test_paths_go_both_ways() -> None:
    assert metadata_path(ImagesQuery("1.2", "1.3")) == "studies/1.2/series/1.3/metadata"
    assert read_uids(["1.2", "1.3", "1.4"]) == ImagesQuery("1.2", "1.3", "1.4")
    with pytest.raises(MalformedRequest):
        read_uids(["1.2", "1.3/.."])
