"""National codes become EU codes by the operator's table; what it does not know travels as it came, and is counted."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.archive.conftest import NOW, Node, dicom, settings_in

from isthmus.archive.queries import list_unmapped
from isthmus.errors import SettingsProblem
from isthmus.model.codes import LOINC, SNOMED, Code
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.imaging import Study
from isthmus.model.queries import DocumentQuery
from isthmus.national.files import Files
from isthmus.storage.database import open_index
from isthmus.terminology.conceptmaps import TARGETS
from isthmus.terminology.mapping import COLUMNS, NO_CODES, Transcoder, read_codes
from isthmus.terminology.rows import BODY_PART, PROCEDURE, Row
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


WORDS = st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1, max_size=12)
ROWS = st.lists(
    st.builds(
        Row,
        st.sampled_from((PROCEDURE, BODY_PART)),
        st.sampled_from(("", "99GR", "http://codes.example/gr", "urn:oid:2.999.7")),
        WORDS,
        st.builds(Code, st.sampled_from((SNOMED, LOINC)), WORDS, st.one_of(st.none(), WORDS)),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: (row.kind, row.system.upper(), row.code.upper()),
)


def as_csv(rows: list[Row]) -> bytes:
    with io.StringIO() as out:
        cells = [(r.kind, r.system, r.code, r.target.system, r.target.code, r.target.display or "") for r in rows]
        csv.writer(out).writerows([COLUMNS, *cells])
        return out.getvalue().encode()


def as_concept_maps(rows: list[Row]) -> bytes:
    targets = {kind: canonical for canonical, kind in TARGETS.items()}
    entries = []
    for row in rows:
        target = {"code": row.target.code, "display": row.target.display, "equivalence": "equivalent"}
        element = {"code": row.code, "target": [{k: v for k, v in target.items() if v is not None}]}
        group = {"source": row.system, "target": row.target.system, "element": [element]}
        body = {"resourceType": "ConceptMap", "targetCanonical": targets[row.kind], "group": [group]}
        entries.append({"resource": body})
    return json.dumps({"resourceType": "Bundle", "entry": entries}).encode()


@settings(deadline=None)
@given(ROWS)
def test_any_table_gives_each_code_back_from_either_form(rows: list[Row]) -> None:
    read = []
    with tempfile.TemporaryDirectory() as folder:
        for body in (as_csv(rows), as_concept_maps(rows)):
            file = Path(folder) / "codes"
            file.write_bytes(body)
            read.append(read_codes(file))

    for table in read:
        assert [table.find(row.kind, row.system, row.code) for row in rows] == [(row.target,) for row in rows]
        assert len(table.codes) == len(rows)


@settings(deadline=None)
@given(ROWS, WORDS)
def test_whatever_a_table_makes_of_a_code_its_words_travel_along(rows: list[Row], words: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "codes.csv"
        file.write_bytes(as_csv(rows))
        table = read_codes(file)
    mapped = Transcoder(table)
    left = Transcoder(NO_CODES)

    for row in rows:
        if row.kind == PROCEDURE and row.system:
            assert mapped.code(PROCEDURE, (row.code, row.system, words)) == row.target
            original = left.code(PROCEDURE, (row.code, row.system, words))
            assert original == Code(row.system, row.code, words, is_original=True)
    assert mapped.unmapped == []


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

    for study in described(node):
        assert (study.procedure, study.procedure_code) == ("Αξονική θώρακος", study.procedure_code)
        assert study.procedure_code is not None
        assert (study.procedure_code.code, study.procedure_code.display) == ("CT-17", "Αξονική θώρακος")
        assert study.procedure_code.is_original
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

    assert before.procedure_code is not None
    assert (before.procedure_code.is_original, len(after)) == (True, 2)
    assert after[0].procedure_code == Code(SNOMED, "169069000")


def told_by(node: Node) -> list[tuple[int, str]]:
    connector = Files(node.settings, node.database, lambda: NOW)
    found = asyncio.run(connector.find_documents(DocumentQuery(patient=EVA)))
    return [(document.unmapped, document.mapped_by) for document in found if document.status == "current"]


def test_the_code_and_the_words_of_home_travel_beside_the_code_that_others_know(tmp_path: Path) -> None:
    node = node_with(tmp_path)
    source = replace(node.settings.sources.images[0], coding_schemes={"99GR": "urn:oid:2.999.6"})
    sources = replace(node.settings.sources, images=(source,))
    node = Node(replace(node.settings, sources=sources), node.database)
    node.bring(dicom(1, **NATIONAL))

    study = described(node)[0]

    procedure, site = study.procedure_code, study.series[0].body_site
    assert procedure is not None
    assert site is not None
    assert procedure.original == Code("urn:oid:2.999.6", "CT-17")
    assert procedure.original.display == "Αξονική θώρακος"
    assert site == Code(SNOMED, "51185008")
    assert site.original is not None
    assert (site.original.code, site.original.display) == ("b4", "Θώρακας")


def test_the_dicom_form_has_the_code_of_home_as_its_equivalent(tmp_path: Path) -> None:
    node = node_with(tmp_path)
    node.bring(dicom(1, **NATIONAL))

    for study in described(node):
        for code, home in ((study.procedure_code, "CT-17"), (study.series[0].body_site, "b4")):
            assert code is not None
            assert code.original is not None
            assert (code.system, code.original.code) == (SNOMED, home)


def test_a_term_of_body_part_examined_is_a_code_with_the_term_beside_it(tmp_path: Path) -> None:
    node = node_with(tmp_path, table=None)
    node.bring(dicom(1, BodyPartExamined="C-SPINE"))

    site = described(node)[0].series[0].body_site

    assert site == Code(SNOMED, "122494005")
    assert site is not None
    assert site.original is not None
    assert site.original.display == "C-SPINE"


def test_a_procedure_says_the_regions_of_the_study_when_the_table_names_them(tmp_path: Path) -> None:
    table = TABLE + f"region,99GR,CT-17,{SNOMED},67734004,\nregion,99GR,CT-17,{SNOMED},63337009,\n"
    node = node_with(tmp_path, table)
    node.bring(dicom(1, **NATIONAL))

    assert {region.code for region in described(node)[0].regions} == {"67734004", "63337009"}


def test_a_document_knows_how_many_codes_in_it_are_unmapped_and_which_table_mapped_the_others(tmp_path: Path) -> None:
    node = node_with(tmp_path, "# version 2026-11\n" + HEADER + f"procedure,99GR,CT-17,{SNOMED},169069000,\n")
    node.bring(dicom(1, **NATIONAL))

    told = told_by(node)

    assert [unmapped for unmapped, _ in told] == [1, 1]
    assert all(re.fullmatch("2026-11 [0-9a-f]{12}", by) for _, by in told)


MAP: dict[str, Any] = {
    "resourceType": "ConceptMap",
    "version": "7",
    "targetCanonical": "http://terminology.ehdsi.eu/ValueSet/eHDSIProcedure|8.1.0",
    "group": [
        {
            "source": "99GR",
            "target": SNOMED,
            "element": [
                {
                    "code": "CT-17",
                    "display": "Αξονική θώρακος",
                    "target": [
                        {"code": "169069000", "display": "Computed tomography of chest", "equivalence": "equal"}
                    ],
                },
                {"code": "CT-99", "target": [{"equivalence": "unmatched"}]},
            ],
        }
    ],
}


def test_a_concept_map_is_a_table_too(tmp_path: Path) -> None:
    node = node_with(tmp_path, json.dumps(MAP))
    node.bring(dicom(1, **NATIONAL))

    assert described(node)[0].procedure_code == Code(SNOMED, "169069000")
    assert {by.split()[0] for _, by in told_by(node)} == {"7"}


def test_several_maps_come_in_one_bundle(tmp_path: Path) -> None:
    regions = {**MAP, "targetCanonical": "urn:oid:1.3.6.1.4.1.19376.1.1.86.1", "version": "2"}
    row = {
        "code": "B4",
        "target": [{"code": "67734004", "equivalence": "wider"}, {"code": "63337009", "equivalence": "wider"}],
    }
    regions["group"] = [{"source": "urn:oid:2.999.6", "target": SNOMED, "element": [row]}]
    file = tmp_path / "maps.json"
    file.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": MAP}, {"resource": regions}]}))

    codes = read_codes(file)

    assert codes.find("procedure", "99gr", "ct-17") == (Code(SNOMED, "169069000"),)
    assert [region.code for region in codes.find("region", "urn:oid:2.999.6", "b4")] == ["67734004", "63337009"]
    assert codes.version == "7, 2"


def _with(**changes: Any) -> str:
    return json.dumps({**MAP, **changes})


def _element(**changes: Any) -> str:
    return _with(group=[{"source": "99GR", "target": SNOMED, "element": [{"code": "CT-17", **changes}]}])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{", "no JSON"),
        ('{"resourceType": "ValueSet"}', "no ConceptMap, and no Bundle of them"),
        (_with(targetCanonical="http://x"), "targetCanonical is one of"),
        (_with(group=[{"source": "99GR", "target": "SCT", "element": []}]), "group 1: target, the system"),
        (_with(group=[]), "it maps no code"),
        (_with(group={}), "group: group is no list of objects"),
        (_with(group=[{**MAP["group"][0], "unmapped": {"mode": "provided"}}]), "group 1: a mode for what is unmapped"),
        (_element(target=[{"code": "1", "equivalence": "narrower"}]), "group 1, element 1: equivalence 'narrower'"),
        (_element(target=[{"equivalence": "equal"}]), "group 1, element 1: code is needed"),
        (_element(target=[{"code": "1", "equivalence": "equal", "dependsOn": [{}]}]), "group 1, element 1: a target that depends"),
        (
            _element(target=[{"code": "1", "equivalence": "equal"}, {"code": "2", "equivalence": "equal"}]),
            "group 1, element 1: the code stands here twice, with two EU codes",
        ),
    ],
)  # fmt: skip
def test_a_concept_map_in_doubt_maps_nothing_and_says_where(tmp_path: Path, table: str, said: str) -> None:
    file = tmp_path / "codes.json"
    file.write_text(table, encoding="utf-8")

    with pytest.raises(SettingsProblem) as refused:
        read_codes(file)

    assert said in str(refused.value)
    assert "codes.json" in str(refused.value)


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
