from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
import pytest

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Code, Header, read_header
from isthmus.dicom.names import PersonName
from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import DEFLATED_LE
from isthmus.dicom.windows import BytesSource

if TYPE_CHECKING:
    from tests.dicom.conftest import Writing

REFUSED = {
    "DICOMDIR": "dicomdir",
    "ExplVR_LitEndNoMeta.dcm": "not-dicom",
    "MR_truncated.dcm": "truncated",
    "UN_sequence.dcm": "no-sop-uid",
    "empty_charset_LEI.dcm": "no-sop-uid",
    "meta_missing_tsyntax.dcm": "bad-syntax",
    "nested_priv_SQ.dcm": "no-sop-uid",
    "no_meta.dcm": "not-dicom",
    "no_meta_group_length.dcm": "no-sop-uid",
    "priv_SQ.dcm": "no-sop-uid",
    "rtplan_truncated.dcm": "truncated",
    "rtstruct.dcm": "not-dicom",
    "HTJ2KLossless_08_RGB.dcm": "no-series-uid",
    "JPEGLSNearLossless_16.dcm": "no-series-uid",
}
UIDS = {"sop_instance_uid": "SOPInstanceUID", "sop_class_uid": "SOPClassUID"} | {
    "series_instance_uid": "SeriesInstanceUID",
    "study_instance_uid": "StudyInstanceUID",
}
TEXTS = {"patient_id": "PatientID", "accession_number": "AccessionNumber", "modality": "Modality"} | {
    "study_description": "StudyDescription",
    "series_description": "SeriesDescription",
    "body_part_examined": "BodyPartExamined",
    "manufacturer": "Manufacturer",
    "institution_name": "InstitutionName",
    "photometric_interpretation": "PhotometricInterpretation",
    "sex": "PatientSex",
}
NUMBERS = {"rows": "Rows", "columns": "Columns", "bits_allocated": "BitsAllocated"} | {
    "samples_per_pixel": "SamplesPerPixel",
    "series_number": "SeriesNumber",
    "instance_number": "InstanceNumber",
    "number_of_frames": "NumberOfFrames",
}
DATES = {"study_date": "StudyDate", "series_date": "SeriesDate", "birth_date": "PatientBirthDate"}


def read(data: bytes) -> Header:
    return read_header(BytesSource(data))


def as_text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def test_every_sample_reads_as_pydicom_reads_it(dicom_file: Path) -> None:
    if dicom_file.name in REFUSED:
        with pytest.raises(DicomFault):
            read_header(BytesSource(dicom_file.read_bytes()))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge = pydicom.dcmread(dicom_file, stop_before_pixels=True)

    header = read_header(BytesSource(dicom_file.read_bytes()))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert {name: getattr(header, name) for name in UIDS} == {name: judge.get(key) for name, key in UIDS.items()}
        assert {name: getattr(header, name) for name in TEXTS} == {
            name: as_text(judge.get(key)) for name, key in TEXTS.items()
        }
        if dicom_file.name != "badVR.dcm":  # pydicom gives the text of a number that is none
            assert {name: getattr(header, name) for name in NUMBERS} == {
                name: None if judge.get(key) in (None, "") else int(judge.get(key)) for name, key in NUMBERS.items()
            }
        for name, key in DATES.items():
            assert (getattr(header, name) or "").replace("-", "") == (judge.get(key) or "").replace(".", "")
        groups = {name.group: [name.family, name.given, name.middle] for name in header.patient_names}
        spelt = judge.get("PatientName")
        for group in ("alphabetic", "ideographic", "phonetic"):
            parts = [*str(getattr(spelt, group, "")).split("^"), "", "", ""][:3]
            assert groups.get(group, ["", "", ""]) == [part.strip() for part in parts]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_sample_that_is_no_instance_is_refused_for_its_reason(name: str, sample: Callable[[str], Path]) -> None:
    paths = [path for path in sample("dicom").rglob(name) if path.is_file()]

    assert paths
    for path in paths:
        with pytest.raises(DicomFault) as refused:
            read_header(BytesSource(path.read_bytes()))
        assert refused.value.reason == REFUSED[name]


def test_the_pixels_lie_where_pydicom_finds_them(dicom_file: Path) -> None:
    data = dicom_file.read_bytes()
    if dicom_file.name in REFUSED:
        with pytest.raises(DicomFault):
            read(data)
        return

    header = read(data)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = pydicom.dcmread(io.BytesIO(data)).get("PixelData")
    if pixels is None or header.transfer_syntax_uid == DEFLATED_LE:
        assert header.pixel_offset is None
    else:
        assert header.pixel_offset is not None
        assert header.pixel_length in (None, len(pixels))
        assert data[header.pixel_offset : header.pixel_offset + len(pixels)] == pixels


def test_a_prefix_is_enough_and_a_shorter_one_says_so(explicit: Writing) -> None:
    whole = explicit.file(explicit.element(0x7FE00010, "OW", bytes(200_000)))
    start = len(whole) - 200_000

    assert read_header(BytesSource(whole[:start], len(whole))) == read(whole)
    with pytest.raises(DicomFault) as short:
        read_header(BytesSource(whole[: start - 20], len(whole)))
    assert short.value.reason == "prefix-too-short"


@pytest.mark.fault("F01")
def test_name_groups_are_read_in_their_character_set(explicit: Writing) -> None:
    charset = explicit.element(0x00080005, "CS", "ISO_IR 192")
    name = explicit.element(0x00100010, "PN", "Yamada^Tarou=山田^太郎=やまだ^たろう".encode())

    assert [spelling.family for spelling in read(explicit.file(charset, name)).patient_names] == [
        "Yamada",
        "山田",
        "やまだ",
    ]


@pytest.mark.fault("F02")
def test_an_untrue_character_set_is_a_warning_and_not_a_failure(explicit: Writing) -> None:
    header = read(explicit.file(explicit.element(0x00100010, "PN", b"M\xfcller")))

    assert header.patient_names == (PersonName("alphabetic", "M\ufffdller"),)
    assert header.warnings == ("a text does not fit its declared character set",)


@pytest.mark.fault("F08")
@pytest.mark.parametrize(
    ("raw", "read_as"),
    [("000123 ", "000123"), (" 000123", "000123"), ("123", "123"), ("A 12 B", "A 12 B"), ("  ", None)],
)
def test_an_accession_number_is_text(raw: str, read_as: str | None, explicit: Writing) -> None:
    assert read(explicit.file(explicit.element(0x00080050, "SH", raw))).accession_number == read_as


def test_a_zero_inside_a_text_becomes_a_replacement_sign(explicit: Writing) -> None:
    header = read(
        explicit.file(explicit.element(0x00100010, "PN", b"A\0B^C\0"), explicit.element(0x00100020, "LO", b"1\0002"))
    )

    assert header.patient_names == (PersonName("alphabetic", "A\ufffdB", "C"),)
    assert header.patient_id == "1\ufffd2"


@pytest.mark.fault("F10")
def test_a_uid_with_a_leading_zero_is_read_as_it_is_with_a_warning(explicit: Writing) -> None:
    header = read(explicit.file(sop="1.2.840.00044.1", study="1.2.00044", series="1.2.00044.3"))

    assert (header.sop_instance_uid, header.study_instance_uid) == ("1.2.840.00044.1", "1.2.00044")
    assert len([warning for warning in header.warnings if "leading zero" in warning]) == 3


@pytest.mark.parametrize("uid", ["1..2", "1.2.x", "../../etc", "1." + "2" * 64])
def test_what_is_no_uid_is_refused(uid: str, explicit: Writing) -> None:
    with pytest.raises(DicomFault) as refused:
        read(explicit.file(study=uid))

    assert refused.value.reason == "bad-uid"
    assert refused.value.detail == "Study Instance UID (0020,000D)"


@pytest.mark.fault("F14")
def test_an_impossible_birth_date_is_absent_and_its_text_is_kept_out_of_the_warnings(explicit: Writing) -> None:
    header = read(explicit.file(explicit.element(0x00100030, "DA", "20190229")))

    assert header.birth_date is None
    assert header.warnings == ("Patient Birth Date (0010,0030) cannot be read",)
    assert header.unreadable == (("Patient Birth Date (0010,0030)", "20190229"),)


@pytest.mark.fault("F14")
def test_a_dotted_date_is_read(explicit: Writing) -> None:
    assert read(explicit.file(explicit.element(0x00100030, "DA", "2024.02.29"))).birth_date == "2024-02-29"


@pytest.mark.fault("F16")
@pytest.mark.parametrize("length", [None, 20, 9_999])
def test_group_2_ends_where_the_group_changes(length: int | None, explicit: Writing) -> None:
    whole = explicit.file(explicit.element(0x00020102, "OB", b"private"), explicit.element(0x00080060, "CS", "CT"))
    front, rest = whole[:132], whole[144:]
    announced = b"" if length is None else whole[132:140] + length.to_bytes(4, "little")

    header = read(front + announced + rest)

    assert header.modality == "CT"
    assert len(header.warnings) == 1


@pytest.mark.fault("F16")
def test_a_data_set_without_preamble_is_no_dicom_file(explicit: Writing) -> None:
    with pytest.raises(DicomFault) as refused:
        read(explicit.data_set())

    assert refused.value.reason == "not-dicom"


@pytest.mark.fault("F17")
def test_un_of_undefined_length_is_walked_as_implicit(explicit: Writing, implicit: Writing) -> None:
    inner = implicit.open_sequence(0x20051410, implicit.open_item(implicit.element(0x00100010, "PN", "Other")))
    hidden = explicit.open_sequence(0x2005140F, implicit.item(inner), vr="UN")
    rows, pixels = explicit.short(0x00280010, 2), explicit.element(0x7FE00010, "OW", bytes(8))
    private = explicit.file(explicit.element(0x00100010, "PN", "Name"), rows, hidden, pixels)

    header = read(private)

    assert header.patient_names == (PersonName("alphabetic", "Name"),)
    assert header.pixel_length == 8


@pytest.mark.fault("F19")
@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_a_deflated_data_set_is_read_with_and_without_a_pad_byte(pad: bytes, explicit: Writing) -> None:
    request = explicit.sequence(0x00400275, explicit.item(explicit.element(0x00402016, "LO", "P-1")))
    data_set = explicit.data_set(explicit.element(0x00100020, "LO", "12345"), request)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = deflater.compress(data_set) + deflater.flush()

    header = read(file_meta("1.2", "1.2.3.4", DEFLATED_LE) + raw + pad)

    assert (header.patient_id, header.placer_order_number) == ("12345", "P-1")


@pytest.mark.fault("F20")
def test_the_icon_is_not_the_image(explicit: Writing) -> None:
    icon = explicit.item(explicit.short(0x00280010, 8), explicit.element(0x7FE00010, "OB", bytes(64)))
    only_an_icon = explicit.file(explicit.sequence(0x00880200, icon))

    header = read(only_an_icon)

    assert (header.rows, header.pixel_offset) == (None, None)


@pytest.mark.fault("F22")
def test_a_number_of_another_kind_is_absent(explicit: Writing) -> None:
    header = read(explicit.file(explicit.element(0x00200011, "IS", "14.5")))

    assert header.series_number is None
    assert header.unreadable == (("Series Number (0020,0011)", "14.5"),)


def test_issuers_codes_and_the_zone_are_read(explicit: Writing) -> None:
    def code(value: str, meaning: str) -> bytes:
        scheme = explicit.element(0x00080102, "SH", "SCT")
        return explicit.item(
            explicit.element(0x00080100, "SH", value), scheme, explicit.element(0x00080104, "LO", meaning)
        )

    issuer = explicit.item(explicit.element(0x00400032, "UT", "2.999.5"), explicit.element(0x00400033, "CS", "ISO"))
    local = explicit.open_item(explicit.element(0x00400031, "UT", "HOSP_A"))

    header = read(
        explicit.file(
            explicit.sequence(0x00080051, local),
            explicit.open_sequence(0x00081032, code("77477000", "CT")),
            explicit.sequence(0x00082218, code("69536005", "Head"), code("1", "Second")),
            explicit.element(0x00080201, "SH", "+0200"),
            explicit.element(0x00100021, "LO", "HOSP_A"),
            explicit.sequence(0x00100024, issuer),
        )
    )

    assert header.accession_issuer == "HOSP_A"
    assert (header.issuer_of_patient_id, header.issuer_universal_id) == ("HOSP_A", "2.999.5")
    assert header.procedure_code == Code("77477000", "SCT", "CT")
    assert header.anatomic_region == Code("69536005", "SCT", "Head")
    assert header.timezone_offset == "+02:00"


def test_a_key_object_says_its_title_and_description(sample: Callable[[str], Path]) -> None:
    path = sample("dicom/ct_mado_study_b")
    headers = [read_header(BytesSource(file.read_bytes())) for file in path.rglob("*.dcm")]

    notes = [header for header in headers if header.modality == "KO"]

    assert [(note.document_title or Code("", "", ""))[:2] for note in notes] == [("113000", "DCM")]


def test_a_header_shows_no_patient_in_its_repr(explicit: Writing) -> None:
    header = read(explicit.file(explicit.element(0x00100010, "PN", "Secret^Name")))

    assert "Secret" not in repr(header)
