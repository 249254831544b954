"""Key object selections as written: read by others, the same there and back, quick."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time

import pydicom
import pytest
from hypothesis import given, settings
from tests.wire.made import HOSPITAL, MANIFEST, PATIENT, STUDY
from tests.wire.made_manifests import CLASSES, codes_of, manifests

from isthmus.errors import MalformedRequest
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.people import HumanName, Organisation
from isthmus.wire.kos import sop_instance_uid, value_type, with_accession_number, write_kos, write_plain_kos
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest, write_manifest
from isthmus.wire.packs.pack import Pack, load_pack

PACK = load_pack()
FINAL = {
    "study_series": "131565",
    "series_date": "131561",
    "series_time": "131562",
    "series_description": "131563",
    "series_instances": "131564",
}
SAYABLE = replace(MANIFEST, study=replace(STUDY, patient=replace(PATIENT, names=(*PATIENT.names[:1], HumanName("Тестова", ("Ева",))))))  # fmt: skip
"""A PN has no language, so the second name has none here."""

ALLOWED = re.compile(
    r"Error - (Unrecognized enumerated value <(NUM|DATE|TIME)> for value 1 of attribute <Value Type>"  # older than CP-2595
    r"|Inappropriate example root for UID)"  # our test values are under 2.999
)


def _final(pack: Pack) -> Pack:
    """The pack of a peer that wants the codes of CP-2595."""
    return replace(pack, kos=dict(pack.kos) | {name: (v, "DCM", pack.kos[name][2]) for name, v in FINAL.items()})


def _read_by_pydicom(body: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(body))


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


@pytest.mark.requirement("MKO-20")
def test_the_two_forms_of_a_manifest_tell_the_same() -> None:
    from_fhir = read_manifest(write_manifest(SAYABLE, PACK), PACK).manifest

    back = read_kos(write_kos(from_fhir, PACK), PACK)

    assert back.tolerances == ()
    assert write_manifest(back.manifest, PACK) == write_manifest(SAYABLE, PACK)


@pytest.mark.requirement("MKO-20")
@settings(max_examples=60, deadline=None)
@given(manifests())
def test_what_both_forms_can_say_comes_back_from_both(manifest: Manifest) -> None:
    from_fhir = read_manifest(write_manifest(manifest, PACK), PACK).manifest

    back = read_kos(write_kos(from_fhir, PACK), PACK).manifest

    assert back == from_fhir
    said = codes_of(back, at_home=False), codes_of(from_fhir, at_home=False)
    assert said[0] == said[1], "DICOM has a name for no code system that FHIR knows by URI alone"


@pytest.mark.requirement("MKO-19")
@pytest.mark.parametrize("pack", [PACK, _final(PACK)], ids=["temporary", "final"])
def test_dciodvfy_finds_nothing_but_what_is_newer_than_it(pack: Pack, tmp_path: Path) -> None:
    file = tmp_path / "manifest.dcm"
    for body in (write_kos(SAYABLE, pack), write_plain_kos(SAYABLE, pack), write_kos(_bare(), pack)):
        file.write_bytes(body)

        said = subprocess.run([_tool("dciodvfy"), file], capture_output=True, text=True, check=False).stderr

        assert "KeyObjectSelectionDocument" in said
        assert [line for line in said.splitlines() if line.startswith("Error") and not ALLOWED.match(line)] == []


def _bare() -> Manifest:
    """A manifest with as little as can be."""
    series = Series("1.2.3.1", "OT", (Instance("1.2.3.1.1", CLASSES[0]),))
    study = Study("1.2.3", replace(PATIENT, gender="unknown", birth_date="1970"), (series,))
    return Manifest("1.2.3.5", study, "2026-03-02T10:05:00Z", "1.2.3.9", Organisation(""), endpoint_address=None)


def test_dcmtk_reads_the_plain_one(tmp_path: Path) -> None:
    file = tmp_path / "plain.dcm"
    file.write_bytes(write_plain_kos(SAYABLE, PACK))

    done = subprocess.run([_tool("dsrdump"), file], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stdout.count("<contains IMAGE:") == 2
    assert done.stdout.count("<contains COMPOSITE:") == 1


def test_a_country_that_speaks_the_plain_pack_gets_a_plain_one_under_the_manifests_own_uid(tmp_path: Path) -> None:
    plain = load_pack("eu-2026-09-plain")
    file = tmp_path / "plain.dcm"
    file.write_bytes(write_kos(SAYABLE, plain))

    done = subprocess.run([_tool("dsrdump"), file], capture_output=True, text=True, check=False)
    read = read_kos(file.read_bytes(), plain).manifest

    assert done.returncode == 0
    assert read.uid == SAYABLE.uid
    assert _instances(read.study) == _instances(SAYABLE.study)
    assert write_kos(SAYABLE, plain) != write_kos(SAYABLE, PACK)


def test_highdicom_reads_the_plain_one() -> None:
    from highdicom.ko import KeyObjectSelectionDocument

    read = KeyObjectSelectionDocument.from_dataset(_read_by_pydicom(write_plain_kos(SAYABLE, PACK)))

    assert {str(uids[2]) for uids in map(read.resolve_reference, _instances(STUDY))} == set(_instances(STUDY))


def _instances(study: Study) -> list[str]:
    return [one.sop_instance_uid for series in study.series for one in series.instances]


def test_pydicom_reads_every_value_without_a_warning() -> None:
    strict = pydicom.config.settings
    before, strict.reading_validation_mode = strict.reading_validation_mode, pydicom.config.RAISE
    try:
        read = _read_by_pydicom(write_kos(SAYABLE, PACK))
        values = [element.value for element in read.iterall()]
    finally:
        strict.reading_validation_mode = before

    assert len(values) > 300
    evidence = read.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert [series.RetrieveURL for series in evidence] == [MANIFEST.endpoint_address] * 2
    assert (read.PatientName.family_name, read.InstitutionName) == (
        "Testova",
        "Example Hospital^^^^^&2.999.6&ISO^^^^H1",
    )
    assert (read.SOPInstanceUID, read.TimezoneOffsetFromUTC) == (MANIFEST.uid, "+0100")


def test_the_plain_one_is_another_object_that_tells_where_everything_is() -> None:
    body = write_plain_kos(SAYABLE, PACK)

    read = read_kos(body, PACK)

    assert read.tolerances == ("no-image-library",)
    assert read.manifest.uid != MANIFEST.uid
    assert _instances(read.manifest.study) == _instances(STUDY)
    assert [series.modality for series in read.manifest.study.series] == ["CT", "KO"]


@pytest.mark.requirement("MKO-21")
def test_the_same_manifest_is_the_same_bytes_and_another_one_another_object() -> None:
    other = replace(MANIFEST, uid="2.999.7.9.2")

    assert write_kos(MANIFEST, PACK) == write_kos(MANIFEST, PACK)
    first, second = (_read_by_pydicom(write_kos(one, PACK)) for one in (MANIFEST, other))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


@pytest.mark.requirement("MKO-08", "MKO-23")
@pytest.mark.parametrize(
    ("accessions", "placers", "header", "pairs"),
    [
        (("A",), ("P", "Q"), "A", [("A", "P"), ("A", "Q")]),
        (("A", "B"), ("P", "Q"), "", [("A", "P"), ("B", "Q")]),
        (("A", "B"), ("P",), "", [("A", "P"), ("B", "")]),
        ((), ("P",), "", [("", "P")]),
        ((), (), "", [("", "")]),
    ],
)
def test_orders_stand_in_the_requests_and_one_alone_in_the_header(
    accessions: tuple[str, ...], placers: tuple[str, ...], header: str, pairs: list[tuple[str, str]]
) -> None:
    study = replace(
        STUDY,
        accession_numbers=tuple(Identifier("urn:oid:2.999.5.1", value) for value in accessions),
        placer_order_numbers=tuple(Identifier("urn:oid:2.999.5.2", value) for value in placers),
    )

    read = _read_by_pydicom(write_kos(replace(MANIFEST, study=study), PACK))

    assert read.AccessionNumber == header
    requests = read.ReferencedRequestSequence
    assert [(one.AccessionNumber, one.PlacerOrderNumberImagingServiceRequest) for one in requests] == pairs


@pytest.mark.requirement("MKO-23")
def test_a_study_without_accession_number_gets_one_of_its_own_in_both_forms() -> None:
    without = replace(MANIFEST, study=replace(STUDY, accession_numbers=()))
    other = replace(without, study=replace(without.study, study_instance_uid="2.999.7.2"))

    made = with_accession_number(without)

    (number,) = made.study.accession_numbers
    assert len(number.value) == 16
    assert with_accession_number(without) == made == with_accession_number(made)
    assert with_accession_number(other).study.accession_numbers != (number,)
    assert read_manifest(write_manifest(made, PACK), PACK).manifest.study.accession_numbers == (number,)
    assert read_kos(write_kos(made, PACK), PACK).manifest.study.accession_numbers == (number,)


def test_one_offset_holds_for_all_and_keeps_every_instant() -> None:
    late = replace(STUDY.series[0], started="2026-03-02T23:30:00.250Z")
    manifest = replace(SAYABLE, study=replace(SAYABLE.study, series=(late,)), created="2026-03-02T09:00:00Z")

    read = read_kos(write_kos(manifest, PACK), PACK).manifest

    assert read.study.series[0].started == "2026-03-03T00:30:00.250+01:00"
    assert (read.study.started, read.created) == (STUDY.started, manifest.created)


def test_words_that_dicom_cannot_hold_are_cut_or_smoothed_but_numbers_never() -> None:
    words = replace(STUDY, description="a\\b\r\n" + "x" * 99, patient=replace(PATIENT, names=(HumanName("O^Neill=X"),)))
    number = replace(STUDY, patient=replace(PATIENT, identifier=PatientIdentifier("urn:oid:2.999.4.1", "1\\2")))

    read = read_kos(write_kos(replace(MANIFEST, study=words), PACK), PACK).manifest.study

    assert (read.description, read.patient.name) == (("a b " + "x" * 99)[:64], HumanName("O Neill X"))
    with pytest.raises(MalformedRequest):
        write_kos(replace(MANIFEST, study=number), PACK)


def test_a_location_that_is_no_uid_and_a_manifest_without_uid_can_still_be_said() -> None:
    manifest = replace(MANIFEST, uid="urn:uuid:00000000-0000-0000-0000-00000000002a", location_uid="ACME")

    read = read_kos(write_kos(manifest, PACK), PACK)

    assert (read.manifest.uid, read.manifest.location_uid) == ("2.25.42", "ACME")
    assert read.tolerances == ("location-not-uid",)
    assert sop_instance_uid("mado-bundle-1") == sop_instance_uid("mado-bundle-1") != sop_instance_uid("mado-bundle-2")


def test_an_address_is_told_without_a_study_behind_it() -> None:
    manifest = replace(MANIFEST, endpoint_address="https://ncpeh.aa.example/dicom-web/studies/2.999.7.1")

    assert read_kos(write_kos(manifest, PACK), PACK).manifest.endpoint_address == MANIFEST.endpoint_address


def test_a_manifest_without_its_time_is_refused() -> None:
    with pytest.raises(MalformedRequest):
        write_kos(replace(MANIFEST, created="yesterday"), PACK)


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [("2", "IMAGE"), ("66.4", "IMAGE"), ("66", "COMPOSITE"), ("104.1", "COMPOSITE"), ("88.67", "COMPOSITE")]
    + [("11.1", "COMPOSITE"), ("9.1.1", "WAVEFORM"), ("481.1", "IMAGE"), ("481.5", "COMPOSITE"), ("128", "IMAGE")],
)
def test_an_instance_is_image_waveform_or_composite_by_its_class(sop_class: str, kind: str) -> None:
    assert value_type(f"1.2.840.10008.5.1.4.1.1.{sop_class}") == kind
    assert value_type("1.3.12.2.1107.5.9.1") == "COMPOSITE"


def test_the_published_fhir_manifest_goes_there_and_back(sample: Callable[[str], Path]) -> None:
    name = "fhir/ihe_mado_study_b/mado-1.2.250.1.59.40211.22756022.2.1.102-bundle.json"
    published = read_manifest(sample(name).read_bytes(), PACK).manifest

    back = read_kos(write_kos(published, PACK), PACK).manifest

    source = replace(published.source, identifier=None, system=None)  # name and identifier are longer than LO
    assert back == replace(published, uid=sop_instance_uid(published.uid), source=source)


def test_ten_thousand_instances_are_written_within_the_budget() -> None:
    instances = tuple(Instance(f"2.999.7.1.1.{n}", CLASSES[0], n) for n in range(10_000))
    manifest = replace(MANIFEST, study=replace(STUDY, series=(Series("2.999.7.1.1", "CT", instances),)))

    started = process_time()
    body = write_kos(manifest, PACK)
    elapsed_s = process_time() - started

    assert body.count(b"2.999.7.1.1.9999") == 3
    assert elapsed_s < 0.5  # the budget is 60 ms; a shared machine gets more
    print(f"{elapsed_s * 1000:.0f} ms")


def test_an_organisation_that_is_too_long_keeps_its_name() -> None:
    long = Organisation("Hospital of the Holy Name of a Very Long Town in the Mountains", "H1", "urn:oid:2.999.6")

    read = read_kos(write_kos(replace(MANIFEST, source=long), PACK), PACK).manifest

    assert read.source == Organisation(long.name)
    assert read_kos(write_kos(MANIFEST, PACK), PACK).manifest.source == HOSPITAL
