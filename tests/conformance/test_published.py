"""What others published is read, or found to differ, each in exactly what is known of it.

Source: wire.md §7 (C10 to C13: examples are not normative); notes of the sample set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from isthmus.conformance.evidence import kos_node
from isthmus.conformance.judgement import judge
from isthmus.conformance.requirement import Kind, Severity, document_of, examine
from isthmus.conformance.requirements import all as groups
from isthmus.model.pieces import FileRange
from isthmus.storage.ranges import RangeSource
from isthmus.wire.packs.pack import load_pack

assert groups.GROUPS
PACK = load_pack()
STUDY_B = "fhir/ihe_mado_study_b/mado-{}1.2.250.1.59.40211.22756022.2.1.102-{}.json"
OF_XDS_I = {"MKO-05", "MKO-06", "MKO-07", "MKO-08", "MKO-09", "MKO-10", "MKO-11", "MKO-23"}
IN_BOTH = {"DRC-01", "DRC-04", "DRC-06", "DRC-08", "DRC-12", "DRC-15", "DRC-16", "DRC-20"}
KNOWN = {
    # a manifest whose containers have no ContinuityOfContent, whose counts are texts, whose key objects have no title
    "kos/mado/MADO_KOS_B.dcm": {"MKO-10", "MKO-11", "MKO-14", "MKO-16"},
    # an earlier generator's: no image library, no location
    "kos/mado/MADO_KOS_B_from_binary.dcm": {"MKO-03", "MKO-05", "MKO-08", "MKO-09", "MKO-10", "MKO-11", "MKO-15"},
    # XDS-I.b, before MADO
    "kos/elga/GK17285-KOS.dcm": OF_XDS_I,
    "kos/elga/1.2.826.0.1.3680043.2.1043.693076.0.66982.83.3.1.dcm": OF_XDS_I,
    STUDY_B.format("", "bundle"): {"MFH-03", "MFH-05", "MFH-08"},
    STUDY_B.format("fhir-", "docref"): IN_BOTH,
    STUDY_B.format("kos-", "docref"): IN_BOTH | {"DRC-10"},
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_published_sample_differs_in_what_is_known_of_it(name: str, sample: Callable[[str], Path]) -> None:
    data = sample(name).read_bytes()
    node = {} if name.endswith(".dcm") else orjson.loads(data)
    kind, read = document_of(node, PACK) or ((Kind.ENTRY, node) if node else (Kind.KOS, kos_node(data)))

    found = {finding.requirement for finding in examine(kind, read, PACK)}

    assert found == KNOWN[name]


NO_META, NO_SOP_UID, NO_SERIES_UID = {"DICOM-not-dicom"}, {"DICOM-no-sop-uid"}, {"DICOM-no-series-uid"}
ANOTHER_UID, NO_PATIENT, NOT_READ = {"DICOM-written"}, {"DICOM-patient"}, {"READ-file"}
OF_FILES: dict[str, set[str]] = {
    "cda/ccda_dir/Diagnostic_Imaging_Report.xml": {"CDA-body"},  # a section without words
    "dicom/mr_siemens_csa/0.dcm": ANOTHER_UID,
    "dicom/rt_small/rtdose.dcm": ANOTHER_UID,
    "dicom/rt_small/rtplan.dcm": ANOTHER_UID,
    "dicom/odd_files/badVR.dcm": {"DICOM-written"},  # "1A" as a number
    "dicom/nm_heart/NM-MONO2-16-13x-heart.dcm": NO_PATIENT,
    "dicom/odd_files/reportsi_with_empty_number_tags.dcm": NO_PATIENT,
    "dicom/sr/reportki.dcm": NO_PATIENT,
    "dicom/sr/test-SR.dcm": NO_PATIENT,
    "dicom/transfer_syntaxes_small/image_dfl.dcm": NO_PATIENT,
    "dicom/odd_files/ExplVR_LitEndNoMeta.dcm": NO_META,
    "dicom/odd_files/no_meta.dcm": NO_META,
    "dicom/rt_small/rtstruct.dcm": NO_META,
    "dicom/odd_files/MR_truncated.dcm": {"DICOM-truncated"},
    "dicom/odd_files/rtplan_truncated.dcm": {"DICOM-truncated"},
    "dicom/odd_files/meta_missing_tsyntax.dcm": {"DICOM-bad-syntax"},
    "dicom/odd_files/UN_sequence.dcm": NO_SOP_UID,  # made for one element each, and for nothing to be shown
    "dicom/odd_files/empty_charset_LEI.dcm": NO_SOP_UID,
    "dicom/odd_files/nested_priv_SQ.dcm": NO_SOP_UID,
    "dicom/odd_files/no_meta_group_length.dcm": NO_SOP_UID,
    "dicom/odd_files/priv_SQ.dcm": NO_SOP_UID,
    "dicom/transfer_syntaxes_small/HTJ2KLossless_08_RGB.dcm": NO_SERIES_UID,
    "dicom/transfer_syntaxes_small/JPEGLSNearLossless_16.dcm": NO_SERIES_UID,
    "fhir/security_vectors/pat-security-bad-xhtml.json": {"R4-value"},  # a script in a narrative
    "xml_attack/dtd.xml": NOT_READ,
    "xml_attack/xmlbomb.xml": NOT_READ,
    "manifest.json": NOT_READ,  # lists of the sample set itself
    "study_tree.json": NOT_READ,
}  # fmt: skip
"""Every file with an error or a warning, and which; the documents above have theirs."""
NOTES = {".md", ".txt", ".csv", ".fsh"}


def test_every_sample_is_read_and_one_with_a_defect_is_told_with_exactly_that(sample: Callable[[str], Path]) -> None:
    root = sample("index.csv").parent
    files = [file for file in sorted(root.rglob("*")) if file.is_file() and "LICENSES" not in file.parts]
    told: dict[str, set[str]] = {}
    for file in files:
        judged = judge(RangeSource(FileRange(str(file), 0, file.stat().st_size)), PACK)
        grave = {one.requirement for one in judged.findings if one.severity is not Severity.INFORMATION}
        if grave and file.suffix not in NOTES:
            told[str(file.relative_to(root))] = grave

    assert len(files) > 200
    assert told == OF_FILES | KNOWN
