"""Key object selections as read: by whomever, within bounds, and never a crash."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from tests.wire.made import MANIFEST, STUDY

from isthmus.dicom import tags
from isthmus.dicom.content import code, content, data_set, element, item, sequence
from isthmus.dicom.header import KEY_OBJECT_SELECTION
from isthmus.dicom.header import Code as Coded
from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.errors import IsthmusError, MalformedRequest, UnsupportedRequest
from isthmus.model.codes import DCM, SNOMED, Code
from isthmus.model.identifiers import Identifier
from isthmus.wire.kos import write_kos, write_plain_kos
from isthmus.wire.kos_reading import KeyObjects, purpose_of, read_document, read_kos
from isthmus.wire.kos_values import Moment, read_organisation_name, unknown_issuer
from isthmus.wire.packs.pack import load_pack

PACK = load_pack()
CT = "1.2.840.10008.5.1.4.1.1.2"
MADO = "kos/mado/MADO_KOS_B.dcm"
KEY_IMAGES = "dicom/ct_mado_study_b/Series_B_2/KIN_B2.dcm"
PUBLISHED = {
    MADO: ("count-as-text", "flat-entries", "several-locations"),
    "kos/mado/MADO_KOS_B_from_binary.dcm": ("location-not-uid",),
    "kos/elga/1.2.826.0.1.3680043.2.1043.693076.0.66982.83.3.1.dcm": (
        "no-image-library", "no-institution", "no-offset", "no-patient-issuer",
    ),
    "kos/elga/GK17285-KOS.dcm": (
        "no-image-library", "no-institution", "no-offset", "no-patient-issuer", "title-of-key-images",
    ),
}  # fmt: skip


def concept(name: str) -> Coded:
    return Coded(*PACK.kos[name])


def reference(uid: str, sop_class: str = CT) -> bytes:
    return item(
        element(tags.REFERENCED_SOP_CLASS_UID, "UI", sop_class), element(tags.REFERENCED_SOP_INSTANCE_UID, "UI", uid)
    )


def evidence(*uids: str, study: str = "1.2.3", series: str = "1.2.3.1", location: str = "1.2.9") -> bytes:
    one = item(
        sequence(tags.REFERENCED_SOP_SEQUENCE, *map(reference, uids)),
        element(tags.SERIES_INSTANCE_UID, "UI", series),
        element(tags.RETRIEVE_LOCATION_UID, "UI", location) if location else b"",
    )
    return item(sequence(tags.REFERENCED_SERIES_SEQUENCE, one), element(tags.STUDY_INSTANCE_UID, "UI", study))


def kos(
    *studies: bytes,
    tree: tuple[bytes, ...] = (),
    title: Coded | None = None,
    more: tuple[bytes, ...] = (),
    uid: str = "1.2.3.5",
) -> bytes:
    """A key object selection as somebody might write it."""
    elements = (
        element(tags.SOP_CLASS_UID, "UI", KEY_OBJECT_SELECTION),
        element(tags.SOP_INSTANCE_UID, "UI", uid),
        element(tags.STUDY_INSTANCE_UID, "UI", "1.2.3"),
        element(tags.CONTENT_DATE, "DA", "20260302"),
        element(tags.PATIENT_ID, "LO", "7"),
        code(tags.CONCEPT_NAME_CODE_SEQUENCE, title or concept("title")),
        sequence(tags.EVIDENCE_SEQUENCE, *(studies or (evidence("1.2.3.1.1"),))),
        sequence(tags.CONTENT_SEQUENCE, *tree),
    )
    return file_meta(KEY_OBJECT_SELECTION, "1.2.3.5", EXPLICIT_LE) + data_set((*elements, *more))


def library(*below: bytes) -> bytes:
    return content("CONTAINS", "CONTAINER", concept("library"), children=below)


def group(*below: bytes) -> bytes:
    return content("CONTAINS", "CONTAINER", concept("group"), children=below)


def words(name: str, text: str) -> bytes:
    return content("HAS ACQ CONTEXT", "TEXT", concept(name), element(tags.TEXT_VALUE, "UT", text))


@pytest.mark.requirement("MKO-18")
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")  # one of them breaks its own VRs
@pytest.mark.parametrize("name", PUBLISHED)
def test_what_others_published_lists_what_pydicom_finds(sample: Callable[[str], Path], name: str) -> None:
    by_pydicom = pydicom.dcmread(sample(name))

    read = read_kos(sample(name).read_bytes(), PACK)

    assert read.tolerances == PUBLISHED[name]
    assert read.manifest.study.study_instance_uid == by_pydicom.StudyInstanceUID
    assert {
        series.series_instance_uid: {one.sop_instance_uid for one in series.instances}
        for series in read.manifest.study.series
    } == {
        str(series.SeriesInstanceUID): {str(one.ReferencedSOPInstanceUID) for one in series.ReferencedSOPSequence}
        for study in by_pydicom.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
    }


def test_the_manifest_of_ihe_is_read_whole(sample: Callable[[str], Path]) -> None:
    manifest = read_kos(sample(MADO).read_bytes(), PACK).manifest

    study = manifest.study
    assert [(s.modality, s.number, s.description) for s in study.series] == [
        ("CT", 1, "Series B1"),
        ("KO", 2, "Series B2 (Significant images)"),
    ]
    assert [one.number for one in study.series[0].instances] == list(range(1, 21))
    (key_object,) = study.series[1].instances
    assert (key_object.title, key_object.description) == (Code(DCM, "113000"), "Significant DICOM Instances")
    assert [number.value for number in study.accession_numbers] == ["8529258169397744", "9426932401715315"]
    assert study.patient.identifier.system == "urn:oid:1.3.6.1.4.1.19376.1.1.100.1"
    assert study.started == "2026-02-24T16:23:10.000+01:00"
    assert manifest.endpoint_address == "https://dicomserver.com/AET/rs/"


@pytest.mark.fault("F26")
def test_key_images_and_rejections_are_no_manifests(sample: Callable[[str], Path]) -> None:
    rejection = kos(title=Coded("113037", "DCM", "Rejected for Patient Safety Reasons"))
    unplaced = kos(evidence("1.2.3.1.1", location=""), title=Coded("113000", "DCM", "Of Interest"))

    assert purpose_of(read_document(rejection)[1], PACK) is KeyObjects.REJECTION
    assert purpose_of(read_document(unplaced)[1], PACK) is KeyObjects.KEY_IMAGES
    assert purpose_of(read_document(write_kos(MANIFEST, PACK))[1], PACK) is KeyObjects.MANIFEST
    for body in (rejection, unplaced, sample(KEY_IMAGES).read_bytes()):
        with pytest.raises(UnsupportedRequest):
            read_kos(body, PACK)


@pytest.mark.requirement("MKO-17")
def test_temporary_and_final_codes_are_read_mixed() -> None:
    named = Coded("131563", "DCM", "Series Description")
    tree = library(
        group(
            content("HAS ACQ CONTEXT", "TEXT", named, element(tags.TEXT_VALUE, "UT", "Axial")),
            content(
                "HAS ACQ CONTEXT", "UIDREF", concept("series_uid"), element(tags.CONTENT_ITEM_UID, "UI", "oid:1.2.3.1")
            ),
            content(
                "HAS ACQ CONTEXT", "DATE", concept("series_date"), element(tags.CONTENT_ITEM_DATE, "DA", "20260301")
            ),
        )
    )

    (series,) = read_kos(kos(tree=(tree,)), PACK).manifest.study.series

    assert (series.description, series.started) == ("Axial", "2026-03-01")


@pytest.mark.requirement("MKO-16")
def test_a_count_in_words_is_read_and_compared() -> None:
    uid = content("HAS ACQ CONTEXT", "UIDREF", concept("series_uid"), element(tags.CONTENT_ITEM_UID, "UI", "1.2.3.1"))
    right, wrong = (
        kos(tree=(library(group(uid, words("series_instances", text))),))
        for text in ('(1, UCUM, "instances")', '(9, UCUM, "instances")')
    )

    assert "counts-differ" not in read_kos(right, PACK).tolerances
    assert {"count-as-text", "counts-differ"} <= set(read_kos(wrong, PACK).tolerances)


def test_a_group_without_its_uid_is_known_by_its_instances() -> None:
    image = item(
        sequence(tags.REFERENCED_SOP_SEQUENCE, reference("1.2.3.1.1")), element(tags.VALUE_TYPE, "CS", "IMAGE")
    )
    stranger = item(sequence(tags.REFERENCED_SOP_SEQUENCE, reference("1.2.3.1.77")))

    read = read_kos(kos(tree=(library(group(words("series_number", "4"), image, stranger)),)), PACK)

    assert read.manifest.study.series[0].number == 4
    assert {"group-by-instances", "not-in-evidence"} <= set(read.tolerances)
    assert [one.sop_instance_uid for one in read.manifest.study.series[0].instances] == ["1.2.3.1.1"]


@pytest.mark.requirement("TOL-01", "TOL-09", "TOL-11")
def test_regions_are_read_in_every_spelling() -> None:
    def region(*values: bytes, kind: str = "CODE") -> bytes:
        return content("HAS ACQ CONTEXT", kind, concept("region"), *values)

    coded = [
        region(code(tags.CONCEPT_CODE_SEQUENCE, Coded(value, scheme, "x")))
        for value, scheme in (("67734004", "DCM"), ("421060004", "SCT"), ("L-1", "99HOUSE"))
    ]

    read = read_kos(
        kos(tree=(library(*coded, region(element(tags.TEXT_VALUE, "UT", "Left knee"), kind="TEXT")),)), PACK
    )

    assert read.manifest.study.regions == (
        Code(SNOMED, "67734004"),
        Code(SNOMED, "1141981001"),
        Code("", "L-1"),
        Code("", ""),
    )
    assert read.manifest.study.regions[3].display == "Left knee"
    assert {"region-scheme", "region-in-words"} <= set(read.tolerances)


def test_an_instance_that_is_listed_twice_is_listed_once() -> None:
    read = read_kos(kos(evidence("1.2.3.1.1", "1.2.3.1.2"), evidence("1.2.3.1.2", "1.2.3.1.3")), PACK)

    assert read.manifest.study.instance_count == 3
    assert "listed-twice" in read.tolerances


def test_a_number_that_the_requests_name_with_its_issuer_is_not_another_one_in_the_header() -> None:
    request = item(
        element(tags.ACCESSION_NUMBER, "SH", "A1"),
        sequence(tags.ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, item(element(tags.UNIVERSAL_ENTITY_ID, "UT", "1.2.7"))),
    )
    more = (element(tags.ACCESSION_NUMBER, "SH", "A1"), sequence(tags.REFERENCED_REQUEST_SEQUENCE, request))

    assert read_kos(kos(more=more), PACK).manifest.study.accession_numbers == (Identifier("urn:oid:1.2.7", "A1"),)


@pytest.mark.fault("F04")
def test_a_patient_without_issuer_is_nobody_elses_and_stays_without() -> None:
    manifest = read_kos(kos(), PACK).manifest

    again = read_kos(write_kos(manifest, PACK), PACK)

    assert manifest.study.patient.identifier.system == unknown_issuer("1.2.3") != unknown_issuer("1.2.4")
    assert again.manifest.study.patient == manifest.study.patient
    assert "no-patient-issuer" in again.tolerances


@pytest.mark.fault("F03")
def test_names_with_code_extensions_are_read() -> None:
    name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    more = (
        element(tags.SPECIFIC_CHARACTER_SET, "CS", "\\ISO 2022 IR 87"),
        element(tags.PATIENT_NAME, "PN", name),
        element(tags.OTHER_PATIENT_NAMES, "PN", "Sato^Tarou"),
    )

    names = read_kos(kos(more=more), PACK).manifest.study.patient.names

    assert [(name.family, name.given) for name in names] == [
        ("Yamada", ("Tarou",)),
        ("山田", ("太郎",)),
        ("Sato", ("Tarou",)),
    ]


@pytest.mark.requirement("MKO-22")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no DICOM at all",
        kos(evidence("1.2.3.1.1", study="1.2.4")),
        kos(evidence("../../etc/passwd")),
        kos(evidence("1.2.3.1.1", series="1..2")),
        kos(uid="not-a-uid"),
        kos(item()),
        kos(sequence(tags.EVIDENCE_SEQUENCE)),
        kos(more=(element(tags.TEXT_VALUE, "UT", bytes(33 << 20)),)),
        write_kos(MANIFEST, PACK)[:-5],
        file_meta(CT, "1.2.3", "1.2.840.10008.1.2.1.99") + b"\x4b\x4c",
    ],
    ids=lambda body: f"{len(body)} bytes",
)
def test_what_is_broken_or_names_no_uids_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_kos(body, PACK)


@pytest.mark.requirement("MKO-22")
def test_a_tree_that_is_too_deep_is_refused_and_one_that_refers_back_is_not_followed() -> None:
    deep = words("description", "end")
    for _ in range(40):
        deep = content("CONTAINS", "CONTAINER", concept("library"), children=(deep,))
    back = item(element(tags.RELATIONSHIP_TYPE, "CS", "CONTAINS"), element(0x0040DB73, "UL", (1).to_bytes(4, "little")))

    with pytest.raises(MalformedRequest):
        read_kos(kos(tree=(deep,)), PACK)
    assert read_kos(kos(tree=(back,)), PACK).manifest.study.instance_count == 1


def test_another_object_is_no_key_object_selection() -> None:
    other = write_kos(MANIFEST, PACK).replace(KEY_OBJECT_SELECTION.encode(), b"1.2.840.10008.5.1.4.1.1.88.33")

    with pytest.raises(UnsupportedRequest):
        read_kos(other, PACK)


@pytest.mark.requirement("MKO-22")
@pytest.mark.parametrize("seed", range(8))
def test_no_mutation_crashes_the_reader(seed: int) -> None:
    dice = random.Random(seed)
    bodies = [write_kos(MANIFEST, PACK), write_plain_kos(MANIFEST, PACK)]
    outcomes = {"read": 0, "refused": 0}

    for _ in range(150):
        body = bytearray(dice.choice(bodies))
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(132, len(body))
            span = dice.randint(1, 40)
            match dice.randrange(4):
                case 0:
                    body[at] = dice.randrange(256)
                case 1:
                    del body[at : at + span]
                case 2:
                    body[at:at] = body[at : at + span]
                case _:
                    body[at : at + span] = dice.randbytes(span)
        try:
            read_kos(bytes(body), PACK)
            outcomes["read"] += 1
        except (MalformedRequest, UnsupportedRequest):
            outcomes["refused"] += 1

    assert all(outcomes.values())


def test_no_value_of_a_patient_is_in_a_message() -> None:
    body = write_kos(MANIFEST, PACK)

    said = []
    for at in range(400, len(body) - 8, 97):
        try:
            read_kos(body[:at] + b"\xff\xff\xff\xff" + body[at + 4 :], PACK)
        except IsthmusError as error:
            said.append(str(error))

    assert said
    assert not any("Testova" in text or "1234567" in text for text in said)


@pytest.mark.parametrize(
    ("text", "there", "said"),
    [
        ("2026-03-02T09:14:00+01:00", "+0100", "2026-03-02T09:14:00+01:00"),
        ("2026-03-02T23:30:00.5Z", "+0100", "2026-03-03T00:30:00.5+01:00"),
        ("2026-03-02", "+0100", "2026-03-02"),
        ("2026-03", "+0100", "2026-03"),
        ("0001-01-01T00:00:00Z", "-0100", "0001-01-01"),
        ("2026-02-30", "+0000", None),
        ("2026-03-02T25:00:00Z", "+0000", "2026-03-02"),
        ("soon", "+0000", None),
        (None, "+0000", None),
    ],
)
def test_a_moment_keeps_its_instant_and_its_precision(text: str | None, there: str, said: str | None) -> None:
    assert Moment.of_fhir(text).at(there).fhir() == said


def test_times_that_dicom_writes_short_are_times_and_those_without_offset_are_not() -> None:
    assert Moment.of_dicom("20240522", "0821", "+0200").fhir() == "2024-05-22T08:21:00+02:00"
    assert Moment.of_dicom("20240522", "0821", "").fhir() == "2024-05-22"
    assert Moment.of_dicom("20240522", "08", "+0200").fhir() == "2024-05-22"
    assert Moment.of_date_time("20260302100500.25+0000").fhir(zulu=True) == "2026-03-02T10:05:00.25Z"


def test_an_organisation_is_read_from_its_name_or_as_xon() -> None:
    named = read_organisation_name("Example Hospital^^^^^&2.999.6&ISO^^^^H1")

    assert named is not None
    assert (named.name, named.identifier, named.system) == ("Example Hospital", "H1", "urn:oid:2.999.6")
    assert read_organisation_name("") is None


def test_a_kos_of_the_study_keeps_its_instances_in_the_order_of_their_numbers() -> None:
    series = replace(STUDY.series[0], instances=STUDY.series[0].instances[::-1])

    read = read_kos(write_kos(replace(MANIFEST, study=replace(STUDY, series=(series,))), PACK), PACK)

    assert [one.number for one in read.manifest.study.series[0].instances] == [1, 2]
