"""DICOM JSON: what pydicom writes, for every public sample, and what no writer may write, for the faults of the field."""

from __future__ import annotations

import json
import struct
import warnings
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from tests.dicom.conftest import Writing

from isthmus.dicom.dicomjson import write_instance
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.windows import BytesSource

Json = dict[str, Any]


def written(instance: bytes) -> Json:
    found: Json = json.loads(write_instance(BytesSource(instance), lambda path: f"bulk/{path}"), parse_constant=refused)
    return found


def refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def values(instance: bytes, key: str) -> list[Any]:
    return list(written(instance)[key].get("Value", []))


def flat(said: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give every leaf with its path, in a form in which equal values are equal."""
    for key, one in said.items():
        if key.endswith("0000") or key in ("FFFCFFFC", "00080005"):
            continue
        if one["vr"] == "SQ":
            for number, item in enumerate(one.get("Value", []), 1):
                yield from flat(item, f"{prefix}{key}/{number}/")
        elif "BulkDataURI" in one:
            yield prefix + key, "bulk"
        else:
            yield prefix + key, (one["vr"], one.get("InlineBinary"), [plain(v) for v in one.get("Value", [])])


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {group: text.strip() for group, text in value.items() if text.strip()} or None
    if isinstance(value, str):
        return value.strip(" \0") or None
    return value


def private_of_implicit(theirs: Any, ours: Any, path: str) -> bool:
    """A private VR that a dictionary knows and the file does not say: UN here, as PS3.5 §6.2.2 has it."""
    return int(path.split("/")[-1][:4], 16) % 2 == 1 and ours != "bulk" and ours[0] == "UN" and theirs != "bulk"


def test_every_sample_is_written_as_pydicom_writes_it(dicom_file: Path) -> None:
    try:
        ours = dict(flat(written(dicom_file.read_bytes())))
    except DicomFault:
        pytest.skip("not an instance, or a broken one: refused by the walker")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dumped = pydicom.dcmread(dicom_file).to_json_dict(1372, lambda element: "somewhere")
        except ValueError:
            pytest.skip("pydicom cannot write it")
    theirs = dict(flat(dumped))

    differing = {
        path
        for path in ours.keys() | theirs.keys()
        if ours.get(path) != theirs.get(path)
        and not path.endswith(("7FE00010", "7FE00008", "7FE00009"))
        and not private_of_implicit(theirs.get(path), ours.get(path), path)
    }

    assert differing == set()


@pytest.mark.fault("F01")
@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}),
        ("=山田^太郎", {"Ideographic": "山田^太郎"}),
        ("Doe^John ", {"Alphabetic": "Doe^John"}),
    ],
)  # fmt: skip
def test_a_name_keeps_its_groups(explicit: Writing, name: str, groups: dict[str, str]) -> None:
    charset = explicit.element(0x00080005, "CS", "ISO_IR 192")

    found = written(explicit.file(charset, explicit.element(0x00100010, "PN", name.encode())))

    assert found["00100010"] == {"vr": "PN", "Value": [groups]}


@pytest.mark.fault("F02")
def test_text_is_utf8_whatever_it_was_and_the_character_set_says_so(explicit: Writing) -> None:
    latin = explicit.element(0x00080005, "CS", "ISO_IR 100"), explicit.element(0x00100010, "PN", b"M\xfcller")
    undeclared = explicit.element(0x00100010, "PN", b"M\xfcller")

    assert written(explicit.file(*latin))["00080005"]["Value"] == ["ISO_IR 192"]
    assert values(explicit.file(*latin), "00100010") == [{"Alphabetic": "Müller"}]
    assert values(explicit.file(undeclared), "00100010") == [{"Alphabetic": "M�ller"}]


def test_an_item_reads_its_texts_by_its_own_character_set_and_its_sibling_does_not(explicit: Writing) -> None:
    greek = explicit.item(explicit.element(0x00080005, "CS", "ISO_IR 126"), explicit.element(0x00080104, "LO", b"\xc1"))
    latin = explicit.item(explicit.element(0x00080104, "LO", b"\xc1"))
    charset = explicit.element(0x00080005, "CS", "ISO_IR 100")

    items = values(explicit.file(charset, explicit.sequence(0x00081032, greek, latin)), "00081032")

    assert [item["00080104"]["Value"] for item in items] == [["Α"], ["Á"]]


@pytest.mark.fault("F22")
@pytest.mark.parametrize(
    ("vr", "text", "found"),
    [
        ("IS", "14", [14]),
        ("IS", "+014 ", [14]),
        ("IS", "14.5", ["14.5"]),
        ("IS", "12345678901234567890", ["12345678901234567890"]),
        ("IS", "1\\\\3", [1, None, 3]),
        ("DS", "1.0E-2 ", [0.01]),
        ("DS", " -.5", [-0.5]),
        ("DS", "12,5", ["12,5"]),
        ("DS", "@", ["@"]),
        ("DS", "NaN", ["NaN"]),
        ("DS", "1e999", ["1e999"]),
        ("DS", "1_0", ["1_0"]),
    ],
)
def test_a_number_that_is_none_of_its_kind_stays_text(explicit: Writing, vr: str, text: str, found: list[Any]) -> None:
    assert values(explicit.file(explicit.element(0x00181310, vr, text)), "00181310") == found


@pytest.mark.fault("F23")
@pytest.mark.parametrize(("vr", "kind"), [("FL", "f"), ("FD", "d")])
def test_what_is_not_finite_becomes_a_word_and_its_neighbours_stay_numbers(
    explicit: Writing, vr: str, kind: str
) -> None:
    raw = struct.pack(f"<5{kind}", 1.5, float("nan"), float("inf"), float("-inf"), -2.0)

    assert values(explicit.file(explicit.element(0x00189322, vr, raw)), "00189322") == [
        1.5, "NaN", "Infinity", "-Infinity", -2.0,
    ]  # fmt: skip


def test_whole_numbers_that_doubles_cannot_hold_are_text(explicit: Writing) -> None:
    raw = struct.pack("<2Q", 2**53, 2**64 - 1)

    assert values(explicit.file(explicit.element(0x00080401, "UV", raw)), "00080401") == [2**53, str(2**64 - 1)]


def test_bulk_has_an_address_made_of_its_path(explicit: Writing) -> None:
    icon = explicit.sequence(0x00880200, explicit.item(explicit.element(0x7FE00010, "OW", bytes(64))))
    instance = explicit.file(
        icon, explicit.element(0x00420011, "OB", bytes(2000)), explicit.element(0x7FE00010, "OW", bytes(8))
    )

    found = written(instance)

    assert found["00420011"] == {"vr": "OB", "BulkDataURI": "bulk/00420011"}
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "bulk/7FE00010"}
    assert found["00880200"]["Value"][0]["7FE00010"]["BulkDataURI"] == "bulk/00880200/1/7FE00010"


def test_a_value_longer_than_is_kept_in_hand_has_an_address_too(explicit: Writing) -> None:
    instance = explicit.file(explicit.element(0x0040A160, "UT", "x" * 70_000))

    assert written(instance)["0040A160"] == {"vr": "UT", "BulkDataURI": "bulk/0040A160"}


def test_small_binary_values_are_in_place_and_little_endian(big_endian: Writing) -> None:
    table = big_endian.element(0x00281201, "OW", struct.pack(">3H", 1, 2, 3))

    found = written(big_endian.file(table))["00281201"]

    assert b64decode(found["InlineBinary"]) == struct.pack("<3H", 1, 2, 3)


def test_a_vr_that_depends_on_others_is_decided(implicit: Writing) -> None:
    def padding(signed: int) -> Any:
        instance = implicit.file(implicit.short(0x00280103, signed), implicit.short(0x00280120, 0xFFFF))
        return written(instance)["00280120"]

    assert (padding(0), padding(1)) == ({"vr": "US", "Value": [65535]}, {"vr": "SS", "Value": [-1]})


def test_nothing_is_written_for_what_is_not_the_data_set(explicit: Writing) -> None:
    instance = explicit.file(
        explicit.element(0x00100000, "UL", bytes(4)),
        explicit.element(0x00100040, "CS", ""),
        explicit.sequence(0x00081032),
        explicit.element(0xFFFCFFFC, "OB", bytes(4)),
    )

    found = written(instance)

    assert sorted(found) == ["00080016", "00080018", "00081032", "00100040", "0020000D", "0020000E"]
    assert (found["00081032"], found["00100040"]) == ({"vr": "SQ"}, {"vr": "CS"})


def test_bounds_hold_while_writing(explicit: Writing) -> None:
    deep = explicit.element(0x00080104, "LO", "deep")
    for _ in range(20):
        deep = explicit.open_sequence(0x00081032, explicit.open_item(deep))

    with pytest.raises(DicomFault, match="too-deep"):
        written(explicit.file(deep))
