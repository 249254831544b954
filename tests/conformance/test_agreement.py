"""Documents of one examination against each other: what agrees is silent, each difference is told in the file that differs."""

from __future__ import annotations

from dataclasses import replace

from tests.wire.made import MANIFEST

from isthmus.conformance.agreement import INSTANCE, Facts, StudySaid, differences, kos_facts, manifest_facts
from isthmus.conformance.requirement import Severity
from isthmus.fhir import elements as el
from isthmus.wire.kos import write_kos
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest, write_manifest
from isthmus.wire.packs.pack import load_pack

PACK = load_pack()
BODY = write_manifest(MANIFEST, PACK)
FHIR = replace(manifest_facts(read_manifest(BODY, PACK).manifest, el.read_object(BODY)), file="m.json")
KOS = replace(kos_facts(read_kos(write_kos(MANIFEST, PACK), PACK).manifest), file="m.dcm")


def image(*, of: str | None = None, series: int = 0, patient: tuple[str, str] | None = FHIR.patient) -> Facts:
    study = FHIR.studies[0]
    uid, instances = study.series[series]
    said = StudySaid(study.uid, "Study Instance UID (0020,000D)", (), "", ((uid, (of or instances[0],)),))
    return Facts(INSTANCE, of or instances[0], (said,), patient, "Patient ID (0010,0020)", "i.dcm")


def told(*facts: Facts) -> set[tuple[str, str, Severity]]:
    return {(one.requirement, one.file, one.severity) for one in differences(facts)}


def test_both_encodings_of_one_manifest_agree() -> None:
    assert told(FHIR, KOS) == set()


def test_an_instance_that_one_encoding_lacks_is_named_with_its_place() -> None:
    study = KOS.studies[0]
    first = (study.series[0][0], study.series[0][1][:-1])
    shorter = replace(KOS, studies=(replace(study, series=(first, *study.series[1:])),))

    found = differences([FHIR, shorter])

    assert [(one.requirement, one.file, one.severity) for one in found] == [
        ("AGREE-instances", "m.dcm", Severity.ERROR)
    ]
    assert found[0].path.endswith(".series[0]")
    assert FHIR.studies[0].series[0][1][-1] in found[0].statement


def test_an_image_that_no_manifest_lists_is_an_error() -> None:
    assert ("AGREE-instances", "i.dcm", Severity.ERROR) in told(FHIR, image(of="2.25.99"))


def test_listed_images_that_are_not_in_the_folder_are_a_warning() -> None:
    assert told(FHIR, image()) == {("AGREE-missing", "m.json", Severity.WARNING)}


def test_a_folder_of_documents_alone_misses_no_images() -> None:
    assert told(FHIR) == set()


def test_another_patient_is_an_error_where_the_issuer_is_the_same_and_a_warning_where_it_is_not_said() -> None:
    assert FHIR.patient is not None
    issuer, value = FHIR.patient

    assert ("AGREE-patient", "i.dcm", Severity.ERROR) in told(FHIR, image(patient=(issuer, "8")))
    assert ("AGREE-patient", "i.dcm", Severity.WARNING) in told(FHIR, image(patient=("", "8")))
    assert "AGREE-patient" not in {rule for rule, _, _ in told(FHIR, image(patient=("", value)))}


def test_another_accession_number_of_the_same_issuer_is_an_error() -> None:
    study = KOS.studies[0]
    issuer = FHIR.studies[0].accession_numbers[0][0]
    other = replace(KOS, studies=(replace(study, accession_numbers=((issuer, "none of ours"),)),))

    assert ("AGREE-accession", "m.dcm", Severity.ERROR) in told(FHIR, other)
