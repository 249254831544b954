"""Every form of a document, from one country's archive to the other country's disk.

Source: interfaces.md §4; wire.md §1.5, §1.7.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.testing.two_countries import TwoCountries, prepare, two_countries
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report


def visited(countries: TwoCountries, person: str, *verb: object, status: int = 0) -> Any:
    patient = PEOPLE[person]
    identifier = f"{patient.identifier.system}|{patient.identifier.value}"
    who = ("--identifier", identifier, "--family", patient.name.family, "--birth-date", patient.birth_date)
    ended = countries.b.command("visit", "--as", "radiologist", "--country", "AA", *who, *verb, "--json")
    assert ended.returncode == status, ended.stderr
    return json.loads(ended.stdout)


def test_the_two_forms_of_a_manifest_are_one_study_and_say_the_same(countries: TwoCountries, tmp_path: Path) -> None:
    (examination,) = visited(countries, "eleni", "list")["examinations"]
    said = examination["study"]["documents"]
    for form, document in said.items():
        visited(countries, "eleni", "get", document, "--form", form, "--out", tmp_path / form)

    fhir = read_manifest((tmp_path / "manifest-fhir").read_bytes(), load_pack()).manifest
    kos = read_kos((tmp_path / "manifest-kos").read_bytes(), load_pack()).manifest

    assert list(said) == ["manifest-fhir", "manifest-kos"]
    assert (kos.uid, kos.study.accession_numbers) == (fhir.uid, fhir.study.accession_numbers)
    assert [s.instances for s in kos.study.series] == [s.instances for s in fhir.study.series]


def test_a_report_that_was_issued_as_pdf_or_cda_comes_as_the_european_document_and_as_it_was_issued(
    countries: TwoCountries, tmp_path: Path
) -> None:
    for person, report_id in (("ilias", "dx-ilias"), ("ottilie", "us-ottilie")):
        (examination,) = visited(countries, person, "list")["examinations"]
        (report,) = examination["reports"]
        out, formed = tmp_path / report_id, tmp_path / f"{report_id}.json"

        visited(countries, person, "get", report["id"], "--form", "original", "--out", out)
        visited(countries, person, "get", report["id"], "--form", "structured", "--out", formed)

        read = read_report(formed.read_bytes(), load_pack())
        assert examination["study"]["instance_count"] >= 1
        assert report["forms"] == ["structured", "original"]
        assert out.read_bytes() == reports()[report_id].document.read_bytes()
        assert read.header.patient.identifier == PEOPLE[person].identifier
        assert set(reports()[report_id].study_instance_uids) <= set(read.study_instance_uids)


def test_a_form_that_a_document_does_not_have_is_not_there(countries: TwoCountries, tmp_path: Path) -> None:
    (examination,) = visited(countries, "ilias", "list")["examinations"]
    (report,) = examination["reports"]

    told = visited(countries, "ilias", "get", report["id"], "--form", "manifest-kos", "--out", tmp_path / "x", status=4)
    none = visited(countries, "ilias", "get", "0" * 40, "--form", "original", "--out", tmp_path / "x", status=4)

    assert told["error"]["code"] == none["error"]["code"] == "not-found"
    assert not list(tmp_path.iterdir())


def test_a_report_with_a_label_is_given_to_physicians_or_to_nobody(at_rest: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "pair", at_rest)
    with two_countries(tmp_path / "pair") as own:  # the letters stay, so these two countries are nobody else's

        def told() -> list[Any]:
            return [report for one in visited(own, "ottilie", "list")["examinations"] for report in one["reports"]]

        patient = PEOPLE["ottilie"].identifier
        for label, more in (("V", 0), ("R", 1)):
            letter = tmp_path / f"letter-{label}.pdf"
            letter.write_bytes(f"%PDF-1.7\n% {label}\n%%EOF\n".encode())
            before = told()

            ended = own.a.command(
                "import", letter, "--patient", f"{patient.system}|{patient.value}", "--confidentiality", label
            )

            assert ended.returncode == 0, ended.stderr
            assert len(told()) == len(before) + more
            assert [report for report in told() if report in before] == before
