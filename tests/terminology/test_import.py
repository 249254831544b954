"""What a country has licensed or made: packages, releases and tables become words and maps; what is hostile or lies is refused whole."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import EVA as TRAITS
from tests.archive.conftest import Node, dicom, settings_in

from isthmus.commands.root import run
from isthmus.config import Settings
from isthmus.errors import Unavailable
from isthmus.model.codes import LOINC, SNOMED, Code
from isthmus.storage.database import Database, open_index, open_terms
from isthmus.terminology.designations import Dictionary, imported_codes
from isthmus.terminology.display import State, Term
from isthmus.terminology.packages.intake import Imported, import_file, list_releases, one_at_a_time
from isthmus.terminology.packages.release import REASONS

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
LIVER = Code(SNOMED, "10200004")
MVC = "http://terminology.ehdsi.eu/ValueSet/"


class Country:
    """A node with its own folder, into which files are imported."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, settings_in(folder)
        self.database: Database = open_terms(self.settings)

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def bring(self, name: str, content: bytes | str) -> Imported:
        return import_file(self.file(name, content), self.database, NOW)

    def shown(self, code: Code, language: str = "de") -> Term:
        async def look() -> Term:
            dictionary = Dictionary(self.settings)
            try:
                return (await dictionary.words(language, [code])).term(code)
            finally:
                await dictionary.close()

        return asyncio.run(look())


@pytest.fixture
def country(tmp_path: Path) -> Iterator[Country]:
    made = Country(tmp_path)
    yield made
    made.database.close()


def valueset(name: str = "eHDSIBodySite", **changes: Any) -> dict[str, Any]:
    concept = {
        "code": "10200004",
        "display": "Liver structure",
        "designation": [{"language": "de-DE", "value": "Leber"}, {"language": "ja", "value": "肝"}, {"value": "Liver"}],
    }
    include = {"system": SNOMED, "concept": [concept]}
    return {
        "resourceType": "ValueSet",
        "url": MVC + name,
        "version": "9.1.0",
        "compose": {"include": [include]},
    } | changes


def zipped(**members: str | bytes) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return body.getvalue()


def tarred(**members: str) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return body.getvalue()


# what is read


def test_a_value_set_names_codes_in_every_language_of_the_union_it_has(country: Country) -> None:
    done = country.bring("body-site.json", json.dumps(valueset()))

    assert (done.kind, done.name, done.version) == ("value-sets", MVC + "eHDSIBodySite", "9.1.0")
    assert done.languages == ("de", "en")
    assert country.shown(LIVER).words == "Leber"
    assert country.shown(LIVER).state is State.TRANSLATED


def test_an_expansion_a_code_system_and_their_children_are_read_too(country: Country) -> None:
    child = {"code": "B41", "display": "Lobus", "designation": [{"language": "de", "value": "Leberlappen"}]}
    system = {
        "resourceType": "CodeSystem", "url": "urn:oid:2.999.6", "version": "3", "language": "el",
        "concept": [{"code": "B4", "display": "Ήπαρ", "concept": [child]}],
    }  # fmt: skip
    contains = {
        "system": SNOMED,
        "code": "1",
        "display": "One",
        "contains": [{"system": SNOMED, "code": "2", "display": "Two"}],
    }
    expanded = {"resourceType": "ValueSet", "url": "urn:oid:2.999.7", "expansion": {"contains": [contains]}}
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": system}, {"resource": expanded}, {"resource": {"resourceType": "Basic"}}],
    }

    done = country.bring("bundle.json", json.dumps(bundle))

    assert country.shown(Code("urn:oid:2.999.6", "B4"), "el").words == "Ήπαρ"
    assert country.shown(Code("urn:oid:2.999.6", "B41"), "de").words == "Leberlappen"
    assert country.shown(Code(SNOMED, "2"), "fr").words == "Two"
    assert done.skipped == {"Basic resources": 1}


@pytest.mark.parametrize("packed", [zipped, tarred], ids=["zip", "tgz"])
def test_a_package_is_known_by_its_own_name_and_version(country: Country, packed: Any) -> None:
    body = packed(
        **{
            "package/package.json": json.dumps({"name": "myhealth.eu.mvc", "version": "9.1.0", "type": "IG"}),
            "package/ValueSet-a.json": json.dumps(valueset()),
            "package/ImplementationGuide.json": json.dumps({"resourceType": "ImplementationGuide", "language": 4}),
            "package/readme.md": "words",
        }
    )

    done = country.bring("package.bin", body)

    assert (done.name, done.version, done.designations) == ("myhealth.eu.mvc", "9.1.0", 3)
    assert done.skipped == {"ImplementationGuide resources": 1, "other files": 1}


def test_value_sets_without_a_package_are_called_what_their_addresses_share(country: Country) -> None:
    body = zipped(
        **{
            "a.json": json.dumps(valueset("eHDSIBodySite")),
            "b.json": json.dumps(valueset("eHDSIUnit", version="9.1.1")),
        }
    )

    done = country.bring("all.zip", body)

    assert (done.name, done.version) == ("http://terminology.ehdsi.eu/ValueSet", "9.1.0, 9.1.1")


LOINC_CORE = '"LOINC_NUM","COMPONENT","LONG_COMMON_NAME","SHORTNAME","VersionLastChanged"\n"30746-2","Views","CT Chest, with ""contrast""","CT","2.81"\n'
LOINC_GERMAN = '"LOINC_NUM","COMPONENT","LONG_COMMON_NAME","LinguisticVariantDisplayName"\n"30746-2","Ansichten","CT des Thorax",""\n'


def test_a_loinc_release_names_codes_by_its_table_and_its_variants(country: Country) -> None:
    done = country.bring(
        "Loinc_2.82.zip",
        zipped(
            **{
                "LoincTable/Loinc.csv": LOINC_CORE,
                "AccessoryFiles/LoincTableCore/LoincTableCore.csv": LOINC_CORE,
                "AccessoryFiles/LinguisticVariants/deDE15LinguisticVariant.csv": LOINC_GERMAN,
                "AccessoryFiles/LinguisticVariants/zhCN5LinguisticVariant.csv": LOINC_GERMAN,
            }
        ),
    )

    assert (done.kind, done.name, done.version, done.languages) == ("loinc", "LOINC", "2.82", ("de", "en"))
    assert done.skipped == {"the same table in another form": 1, "other languages": 1}
    assert country.shown(Code(LOINC, "30746-2")).words == "CT des Thorax"
    assert country.shown(Code(LOINC, "30746-2"), "fi").words == 'CT Chest, with "contrast"'


def test_loinc_files_by_themselves_are_read_and_know_their_version(country: Country) -> None:
    core = country.bring("LoincTableCore.csv", LOINC_CORE)
    variant = country.bring("deDE15LinguisticVariant.csv", LOINC_GERMAN)

    assert (core.name, core.version) == ("LOINC", "2.81")
    assert variant.name == "LOINC de"
    assert len(country.database.read_now(list_releases)) == 2


DESCRIPTIONS = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId"
REFSET = "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\tacceptabilityId"
SYNONYM, FULLY = "900000000000013009", "900000000000003001"
PREFERRED, ACCEPTABLE = "900000000000548007", "900000000000549004"
GB, US = "900000000000508004", "900000000000509007"


def snomed(**changes: str) -> bytes:
    def description(
        number: int, language: str, term: str, kind: str = SYNONYM, active: int = 1, concept: str = "10200004"
    ) -> str:
        return f"{number}\t20260101\t{active}\t1\t{concept}\t{language}\t{kind}\t{term}\t9"

    def member(number: int, refset: str, how: str = PREFERRED, active: int = 1) -> str:
        return f"u{number}\t20260101\t{active}\t1\t{refset}\t{number}\t{how}"

    english = [
        description(11, "en", "Liver structure (body structure)", FULLY),
        description(12, "en", "Liver"),
        description(13, "en", "Hepar"),
        description(14, "en", "Liver, American"),
        description(15, "en", "Old liver", active=0),
    ]
    german = [description(21, "de", "Leber\u202e"), description(22, "ja", "肝")]
    members = [member(12, GB), member(13, GB, ACCEPTABLE), member(14, US), member(15, GB), member(11, GB)]
    place = "SnomedCT_Managed_20260101/Snapshot"
    files = {
        f"{place}/Terminology/sct2_Description_Snapshot-en_INT_20260101.txt": "\n".join([DESCRIPTIONS, *english]) + "\n",
        f"{place}/Terminology/sct2_Description_Snapshot-de_INT_20260101.txt": "\r\n".join([DESCRIPTIONS, *german]) + "\r\n",
        f"{place}/Refset/Language/der2_cRefset_LanguageSnapshot-en_INT_20260101.txt": "\n".join([REFSET, *members]),
        f"{place}/Refset/Language/der2_cRefset_LanguageSnapshot-de_INT_20260101.txt": "\n".join([REFSET, member(21, "31000274107"), member(22, "5")]),
        f"{place}/Terminology/sct2_Relationship_Snapshot_INT_20260101.txt": "anything",
    }  # fmt: skip
    return zipped(
        **{name: changes.get(name.rpartition("/")[2].partition("_INT")[0], text) for name, text in files.items()}
    )


def test_a_snomed_release_names_each_concept_by_its_preferred_term(country: Country) -> None:
    done = country.bring("SnomedCT.zip", snomed())

    assert (done.kind, done.name, done.version) == ("snomed", "SNOMED CT INT", "20260101")
    assert (done.designations, done.languages, done.skipped) == (2, ("de", "en"), {"other languages": 1})
    assert "licence" in done.licence
    assert country.shown(LIVER).words == "Leber"


def test_a_countrys_own_table_comes_before_what_it_has_licensed_and_after_the_words_of_the_product(
    country: Country,
) -> None:
    country.bring("SnomedCT.zip", snomed())
    done = country.bring(
        "own.csv",
        f"# version 2026-11\nsystem,code,language,display\n{SNOMED},10200004,de-AT,Leber (Hepar)\n{SNOMED},80891009,de,Pumpe\n",
    )

    assert (done.kind, done.name, done.version, done.designations) == ("table", "own", "2026-11", 2)
    assert country.shown(LIVER).words == "Leber (Hepar)"
    assert country.shown(Code(SNOMED, "80891009")).words == "Herz"


# again, newer, interrupted


def test_the_same_file_again_changes_nothing(country: Country) -> None:
    first = country.bring("own.csv", f"system,code,language,display\n{SNOMED},10200004,de,Leber\n")

    again = country.bring("renamed.csv", f"system,code,language,display\n{SNOMED},10200004,de,Leber\n")

    assert (first.unchanged, again.unchanged, again.name) == (False, True, "own")


def test_a_later_file_of_the_same_name_replaces_the_earlier_whole(country: Country) -> None:
    country.bring("own.csv", f"system,code,language,display\n{SNOMED},10200004,de,Leber\n{SNOMED},1,de,Eins\n")

    country.bring("own.csv", f"system,code,language,display\n{SNOMED},10200004,de,Die Leber\n")

    assert country.shown(LIVER).words == "Die Leber"
    assert country.shown(Code(SNOMED, "1")).state is State.ORIGINAL
    assert len(country.database.read_now(list_releases)) == 1


def test_what_is_refused_leaves_the_earlier_release_as_it_was(country: Country) -> None:
    country.bring("own.csv", f"system,code,language,display\n{SNOMED},10200004,de,Leber\n")

    refused = country.bring("own.csv", f"system,code,language,display\n{SNOMED},10200004,de,Neu\nno uri,1,de,Eins\n")

    assert (refused.reason, "line 3" in refused.detail) == ("bad-table", True)
    assert country.shown(LIVER).words == "Leber"
    assert country.database.read_now(lambda c: c.exec_driver_sql("select count(*) from designations").scalar()) == 1


def test_what_an_interrupted_import_left_is_nobodys_and_goes_with_the_next(country: Country) -> None:
    from sqlalchemy import insert

    from isthmus.storage.schema.terminology import designations, releases

    blank = {
        "name": "",
        "kind": "",
        "version": "",
        "sha256": "0",
        "imported": NOW,
        "designations": 0,
        "maps": 0,
        "languages": "",
        "licence": "",
        "rank": 9,
    }
    country.database.write_now(lambda c: c.execute(insert(releases).values(id=77, **blank)))
    cut = {"system": SNOMED, "code": "10200004", "language": "de", "release": 77, "display": "Halb"}
    country.database.write_now(lambda c: c.execute(insert(designations).values(**cut)))

    before = country.shown(LIVER).words
    country.bring("own.csv", f"system,code,language,display\n{SNOMED},1,de,Eins\n")

    assert before == "Liver"
    assert country.database.read_now(lambda c: c.exec_driver_sql("select count(*) from designations").scalar()) == 1


def test_two_imports_do_not_run_at_a_time(country: Country) -> None:
    with one_at_a_time(country.database), pytest.raises(Unavailable, match="another import"):
        with one_at_a_time(country.database):
            pass


# maps


MAP = {
    "resourceType": "ConceptMap", "url": "urn:oid:2.999.8", "version": "4", "targetCanonical": f"{MVC}eHDSIProcedure",
    "group": [{"source": "99GR", "target": SNOMED, "element": [
        {"code": "CT-17", "target": [{"code": "169069000", "display": "Computed tomography of chest", "equivalence": "equal"}]}]}],
}  # fmt: skip


def test_an_imported_map_is_a_table_of_national_codes_for_every_source(tmp_path: Path) -> None:
    country = Country(tmp_path)
    done = country.bring("map.json", json.dumps(MAP))
    country.database.close()
    node = Node(country.settings, open_index(country.settings))
    from tests.terminology.test_mapping import NATIONAL, described, told_by

    node.bring(dicom(1, **NATIONAL | TRAITS))

    assert (done.maps, done.name) == (1, "urn:oid:2.999.8")
    assert described(node)[0].procedure_code == Code(SNOMED, "169069000")
    assert {by.split()[0] for _, by in told_by(node)} == {"4"}
    node.database.close()


def test_a_table_of_national_codes_can_be_imported_as_well(country: Country) -> None:
    header = "kind,system,code,eu_system,eu_code,eu_display\n"
    rows = f"procedure,99GR,CT-17,{SNOMED},169069000,CT\nregion,99GR,CT-17,{SNOMED},67734004,\nregion,99GR,CT-17,{SNOMED},63337009,\n"

    done = country.bring("codes.csv", header + rows)

    codes = imported_codes(country.settings)
    assert done.maps == 3
    assert codes.find("procedure", "99GR", "ct-17") == (Code(SNOMED, "169069000"),)
    assert {region.code for region in codes.find("region", "99GR", "CT-17")} == {"67734004", "63337009"}


def test_where_nothing_was_imported_no_file_is_made(tmp_path: Path) -> None:
    settings: Settings = settings_in(tmp_path)

    assert imported_codes(settings).codes == {}
    assert not settings.terms_file.exists()


# what is hostile, or lies

NARROWER = {"target": SNOMED, "element": [{"code": "1", "target": [{"code": "2", "equivalence": "narrower"}]}]}


def deep(levels: int) -> str:
    return (
        '{"resourceType":"CodeSystem","url":"u:x","concept":'
        + '[{"code":"a","concept":' * levels
        + "[]"
        + "}]" * levels
        + "}"
    )


@pytest.mark.parametrize(
    ("name", "content", "reason", "said"),
    [
        ("a.zip", zipped(**{"../../etc/x.json": "{}"}), "path-outside", "../../etc/x.json"),
        ("a.zip", zipped(**{"/x.json": "{}"}), "path-outside", "/x.json"),
        ("a.zip", zipped(**{"big.json": b"0" * (40 << 20)}), "bomb", ""),
        ("a.zip", zipped(**{"a.json": "{}", "inner.zip": "PK"}), "nested-archive", "inner.zip"),
        ("a.zip", zipped(**{"a.txt": "words"}), "unknown-form", ""),
        ("a.zip", b"PK\3\4 but no more", "bad-archive", ""),
        ("a.tgz", b"\x1f\x8b\x08\x00garbage that is no gzip", "bad-archive", ""),
        ("a.bin", b"\x00\x01\x02", "unknown-form", ""),
        ("empty", b"", "unknown-form", ""),
        ("a.json", "{", "bad-resource", "a.json"),
        ("a.json", json.dumps(valueset(compose={"include": [{"concept": [{"code": 4}]}]})), "bad-resource", "$.compose.include[0].concept[0].code"),
        ("a.json", json.dumps({"resourceType": "Patient"}), "nothing", ""),
        ("a.json", deep(20_000), "bad-resource", "a.json"),
        ("a.json", json.dumps({**MAP, "group": [NARROWER]}), "bad-map", "group 1, element 1"),
        ("own.csv", f"system,code,language,display\n{SNOMED},1,de\n", "bad-table", "own.csv, line 2: 3 columns instead of 4"),
        ("own.csv", f"system,code,language,display\n{SNOMED},1,,Eins\n", "bad-table", "own.csv, line 2"),
        ("own.csv", f"system,code,language,display\n{SNOMED},{'1' * 301},de,Eins\n", "bad-table", "longer than any is"),
        ("own.csv", f"system,code,language,display\n{SNOMED},1,ja,肝\n", "nothing", ""),
        ("own.csv", b"system,code,language,display\nu:x,1,de,\xff\xfe\n", "not-utf-8", "own.csv, line 2"),
        ("own.csv", b"system,code,language,display\nu:x,1,de," + b"x" * (2 << 20), "too-large", "line 2"),
        ("own.csv", 'system,code,language,display\nu:x,1,de,"never closed' + "\nu:x,1,de,y" * 20_000, "bad-table", "own.csv"),
        ("codes.csv", "kind,system,code,eu_system,eu_code,eu_display\nmodality,X,Y,u:x,1,\n", "bad-table", "line 2: kind is one of"),
        ("Loinc.csv", "NUM,NAME\n1,2\n", "bad-table", "Loinc.csv, line 1: LOINC_NUM"),
        ("Loinc.csv", "LOINC_NUM,LONG_COMMON_NAME\n1\n", "bad-table", "row 2: 1 columns instead of 2"),
        ("sct2_Description_Snapshot-en_INT_20260101.txt", "id", "no-language-refset", "the zip"),
        ("s.zip", snomed(**{"der2_cRefset_LanguageSnapshot-en": REFSET, "der2_cRefset_LanguageSnapshot-de": REFSET}), "no-language-refset", ""),
        ("s.zip", snomed(**{"sct2_Description_Snapshot-en": "id\tterm\n1\tx"}), "bad-table", "line 1: the header is id"),
        ("s.zip", snomed(**{"sct2_Description_Snapshot-en": DESCRIPTIONS + "\n1\t2\n"}), "bad-table", "line 2: 2 columns instead of 9"),
        ("s.zip", snomed(**{"der2_cRefset_LanguageSnapshot-en": f"{REFSET}\nu\t2\t1\t1\t{GB}\t{'9' * 30}\t{PREFERRED}"}), "bad-table", "none of SNOMED CT"),
    ],
)  # fmt: skip
def test_what_is_hostile_or_lies_is_refused_precisely(
    country: Country, name: str, content: bytes | str, reason: str, said: str
) -> None:
    done = country.bring(name, content)

    assert (done.reason, done.designations) == (reason, 0)
    assert said in done.detail
    assert done.detail.startswith(REASONS[reason])
    assert country.database.read_now(list_releases) == []


def test_a_full_release_without_its_snapshot_is_not_taken(country: Country) -> None:
    files = {
        "Full/der2_cRefset_LanguageSnapshot-en_INT_20260101.txt": f"{REFSET}\nu\t2\t1\t1\t{GB}\t12\t{PREFERRED}\n",
        "Full/sct2_Description_Full-en_INT_20260101.txt": DESCRIPTIONS + "\n",
    }

    assert country.bring("full.zip", zipped(**files)).reason == "not-a-snapshot"


def test_signs_that_turn_the_reading_round_are_taken_out_of_words(country: Country) -> None:
    country.bring("own.csv", f"system,code,language,display\n{SNOMED},10200004,de,\u202eLeber\u0007 \u2066x\n")

    assert country.shown(LIVER).words == "Leber x"


def test_a_link_in_a_package_is_refused(country: Country) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/a.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)

    assert country.bring("a.tgz", body.getvalue()).reason == "link"


@pytest.mark.slow
def test_a_release_of_many_rows_is_read_within_bounds(country: Country) -> None:
    import tracemalloc

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("system", "code", "language", "display"))
    writer.writerows((SNOMED, str(number), "de", f"Begriff {number}") for number in range(200_000))
    file = country.file("many.csv", text.getvalue())

    tracemalloc.start()
    done = import_file(file, country.database, NOW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert done.designations == 200_000
    assert peak < 60 << 20


# the command


def test_the_command_imports_lists_and_says_what_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "isthmus.toml"
    config.write_text('env = "test"\ncountry = "BB"\nncp_id = "urn:ehealth:bb:ncp-idp"\n')
    good, bad = tmp_path / "own.csv", tmp_path / "bad.csv"
    good.write_text(f"system,code,language,display\n{SNOMED},10200004,de,Leber\n")
    bad.write_text("nothing of the kind\n")

    assert run(["--config", str(config), "terminology", "import", str(good), str(bad), "--json"]) == 6
    told = json.loads(capsys.readouterr().out)
    assert run(["--config", str(config), "terminology", "import", str(good)]) == 0
    again = capsys.readouterr().out
    assert run(["--config", str(config), "terminology", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert run(["--config", str(config), "terminology", "list"]) == 0
    assert run(["--config", str(config), "terminology", "import", str(tmp_path / "none")]) == 2

    assert [row["designations"] for row in told["imported"]] == [1]
    assert told["refused"][0]["reason"] == "unknown-form"
    assert again.startswith("0 imported, 1 unchanged, 0 refused")
    assert [row["name"] for row in listed["releases"]] == ["own"]
    assert {row["name"] for row in listed["value_sets"]} >= {"modalities", "regions", "roles"}
    assert [row["language"] for row in listed["languages"] if row["reviewed"]] == ["en"]
    assert "own" in capsys.readouterr().out
