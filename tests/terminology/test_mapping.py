"""National codes become EU codes by the operator's table; what it does not know travels as it came, and is counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import NOW, Node, dicom, settings_in

from isthmus.archive.queries import list_unmapped
from isthmus.errors import SettingsProblem
from isthmus.model.codes import SNOMED, Code
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.imaging import Study
from isthmus.model.queries import DocumentQuery
from isthmus.national.files import Files
from isthmus.storage.database import open_index
from isthmus.terminology.mapping import read_codes
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import load_pack

HEADER = "kind,system,code,eu_system,eu_code,eu_display\n"
TABLE = HEADER + (
    f"procedure,99GR,CT-17,{SNOMED},169069000,Computed tomography of chest\n"
    f"body-part,99GR,B4,{SNOMED},51185008,Thoracic structure\n"
    f"region,99GR,B4,{SNOMED},67734004,\n"
    f"region,,Thor.Bereich,{SNOMED},67734004,\n"
)
EVA = PatientIdentifier("urn:oid:2.999.4.1", "1234567")


def coded(code: str, scheme: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, meaning
    return Sequence([item])


def node_with(folder: Path, table: str | None = TABLE) -> Node:
    settings = settings_in(folder)
    if table is not None:
        (folder / "codes.csv").write_text(table, encoding="utf-8")
        source = replace(settings.sources.images[0], codes="codes.csv")
        settings = replace(settings, sources=replace(settings.sources, images=(source,)))
    return Node(settings, open_index(settings))


def described(node: Node) -> list[Study]:
    """The study as both of its manifests, the current ones, describe it."""
    connector = Files(node.settings, node.database, lambda: NOW)
    found = asyncio.run(connector.find_documents(DocumentQuery(patient=EVA)))
    readers = {DocumentKind.MANIFEST_FHIR: read_manifest, DocumentKind.MANIFEST_KOS: read_kos}
    bodies = [(d.kind, asyncio.run(connector.get_document(EVA, d.id)).body) for d in found if d.status == "current"]
    return [readers[kind](body, load_pack()).manifest.study for kind, body in bodies]


NATIONAL = {
    "ProcedureCodeSequence": coded("CT-17", "99GR", "Αξονική θώρακος"),
    "AnatomicRegionSequence": coded("b4", "99gr", "Θώρακας"),
    "BodyPartExamined": None,
}


def test_procedure_body_part_and_region_cross_as_codes_that_others_know(tmp_path: Path) -> None:
    node = node_with(tmp_path)
    node.bring(dicom(1, **NATIONAL))

    studies = described(node)

    assert [study.procedure_code for study in studies] == [Code(SNOMED, "169069000")] * 2
    assert [study.procedure for study in studies] == ["Αξονική θώρακος"] * 2
    assert [study.series[0].body_site for study in studies] == [Code(SNOMED, "51185008")] * 2
    assert [[region.code for region in study.regions] for study in studies] == [["67734004"]] * 2
    assert node.database.read_now(list_unmapped) == []


def test_a_term_of_the_files_is_mapped_whatever_its_case(tmp_path: Path) -> None:
    node = node_with(tmp_path)
    node.bring(dicom(1, BodyPartExamined="THOR.BEREICH"))

    assert [region.code for region in described(node)[0].regions] == ["67734004"]


def test_what_no_table_knows_travels_in_its_own_words_and_is_counted(tmp_path: Path) -> None:
    node = node_with(tmp_path, table=None)
    node.bring(dicom(1, **NATIONAL), dicom(2, **NATIONAL))
    node.bring(dicom(3, study="2.25.20", series="2.25.21", **NATIONAL | {"AnatomicRegionSequence": None}))

    study = described(node)[0]

    assert (study.procedure, study.procedure_code) == ("Αξονική θώρακος", None)
    counted = node.database.read_now(list_unmapped)
    assert [(row["kind"], row["system"], row["code"], row["studies"]) for row in counted] == [
        ("procedure", "99GR", "CT-17", 2),
        ("body-part", "99gr", "b4", 1),
    ]


def test_a_table_that_is_supplied_later_makes_new_manifests_that_replace_the_old(tmp_path: Path) -> None:
    node = node_with(tmp_path, table=None)
    node.bring(dicom(1, **NATIONAL))
    before = described(node)[0]
    node.database.close()

    after = described(node_with(tmp_path))

    assert (before.procedure_code, len(after)) == (None, 2)
    assert after[0].procedure_code == Code(SNOMED, "169069000")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "line 1: the header"),
        ("a,b\n", "line 1: the header"),
        (HEADER + "procedure,99GR\n", "line 2: 2 columns"),
        (HEADER + "modality,99GR,X,http://x,1,\n", "line 2: kind is one of procedure, body-part, region"),
        (HEADER + "\nprocedure,99GR,,http://x,1,\n", "line 3: code, eu_code and eu_system"),
        (HEADER + "procedure,99GR,X,SCT,1,\n", "line 2: code, eu_code and eu_system (a URI)"),
        (HEADER + f"region,99GR,X,{SNOMED},1234,\n", "line 2: a region is one of the ten"),
        (HEADER + "procedure,99GR,X,http://x,1,\nprocedure,99gr,x,http://x,2,\n", "line 3: the code stands here twice"),
        ('h"\n"', "cannot be read"),
    ],
)
def test_a_table_in_doubt_maps_nothing_and_says_where(tmp_path: Path, table: str, said: str) -> None:
    file = tmp_path / "codes.csv"
    file.write_text(table, encoding="utf-8")

    with pytest.raises(SettingsProblem) as refused:
        read_codes(file)

    assert said in str(refused.value)
    assert "codes.csv" in str(refused.value)


def test_a_table_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match="cannot be read"):
        read_codes(tmp_path / "none.csv")
