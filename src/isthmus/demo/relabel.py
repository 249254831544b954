"""Re-labels an original for an invented patient: names, identifiers, dates and words change, the pixels do not.

The same bytes at every start. Element values in other character sets are decoded and written as ISO_IR 192; the transfer
syntax stays, encapsulated pixel data is passed through. Private elements stay unless an original UID, name or identifier
stands in them.

Source: PS3.3 C.7.1.1, C.7.2.1 (attributes); PS3.15 E.1 (what identifies); field-faults F01.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from isthmus.demo.people import ACCESSION_ISSUER, HOSPITAL, PATIENT_ISSUER
from isthmus.demo.provenance import ORIGINALS, origins
from isthmus.demo.studies import SOURCES, DemoStudy, uid_of
from isthmus.model.people import Patient

NOTE = "Re-labelled for demonstration"
DICOM_OWN = "1.2.840.10008."
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
SEX = {"female": "F", "male": "M"}

# what names a kind of thing, not a thing: never replaced
_KINDS = frozenset(
    [
        "SOPClassUID",
        "ReferencedSOPClassUID",
        "CodingSchemeUID",
        "ContextUID",
        "MappingResourceUID",
        "ContextGroupExtensionCreatorUID",
    ]
)
# dates that belong to a code, not to the examination
_CODE_DATES = frozenset(["ContextGroupVersion", "ContextGroupLocalVersion"])
_REMOVED = (
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "MilitaryRank",
    "BranchOfService",
    "MedicalRecordLocator",
    "CountryOfResidence",
    "RegionOfResidence",
    "EthnicGroup",
    "Occupation",
    "PatientReligiousPreference",
    "AdditionalPatientHistory",
    "PatientComments",
    "InstitutionAddress",
    "AdmittingDiagnosesDescription",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "RequestingService",
    "StudyComments",
    "PerformedProcedureStepID",
    "PatientBirthTime",
)
# in our own words wherever the original says something
_STUDY_WORDS = ["RequestedProcedureDescription", "PerformedProcedureStepDescription"]


def relabelled(original: Path, study: DemoStudy) -> bytes:
    """One original as a file of the study: the bytes of a whole DICOM file."""
    import pydicom

    dataset = pydicom.dcmread(original)
    dataset.decode()
    _clean(dataset, study, _telltale(dataset))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _REMOVED:
        if keyword in dataset:
            delattr(dataset, keyword)
    _set(dataset, _patient(study.patient), _study(study), _own_words(dataset, study, original))
    return _written(dataset)


def write_dicom(
    folder: Path, studies: Iterable[DemoStudy], progress: Callable[[int, int], None] = lambda done, of: None
) -> None:
    """Write the studies into `folder/label/…`, and tell after each file how many of how many are done."""
    every = [(study, path) for study in studies for path in originals_of(study)]
    for done, (study, path) in enumerate(every, start=1):
        target = folder / study.label / path.relative_to(ORIGINALS / study.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(relabelled(path, study))
        progress(done, len(every))


def originals_of(study: DemoStudy) -> tuple[Path, ...]:
    return tuple(file.path for file in origins()[study.source].files)


def _telltale(dataset: Any) -> tuple[bytes, ...]:
    """What must not survive in a private element: UIDs, name and identifier, where long enough to be told from chance."""
    uids = {
        str(uid) for item in _items(dataset) for e in item if e.VR == "UI" for uid in _values(e) if _is_thing(e, uid)
    }
    words = uids | {str(dataset.get("PatientName", "")), str(dataset.get("PatientID", ""))}
    return tuple(word.encode() for word in sorted(words) if len(word) > 4)


def _clean(dataset: Any, study: DemoStudy, telltale: tuple[bytes, ...]) -> None:
    """At every depth: UIDs replaced, dates moved to the study's, people's names emptied, private telltales removed."""
    day = study.started.strftime("%Y%m%d")
    for item in _items(dataset):
        for element in list(item):
            if (
                element.tag.is_private
                and isinstance(element.value, bytes)
                and any(w in element.value for w in telltale)
            ):
                del item[element.tag]
            elif element.VR == "UI":
                new = [uid_of(study.label, u) if _is_thing(element, u) else u for u in _values(element)]
                element.value = new if len(new) != 1 else new[0]
            elif element.VR == "DA" and element.value:
                element.value = day
            elif element.VR == "DT" and element.value and element.keyword not in _CODE_DATES:
                element.value = day + str(element.value)[8:]
            elif element.VR == "PN":
                element.value = ""
            elif element.keyword == "SpecificCharacterSet" and item is not dataset:
                del item[element.tag]


def _items(dataset: Any) -> Iterator[Any]:
    """The dataset and every item of its sequences, at any depth."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _items(item)


def _values(element: Any) -> list[str]:
    if not element.value:
        return []
    return [str(element.value)] if element.VM == 1 else [str(v) for v in element.value]


def _is_thing(element: Any, uid: str) -> bool:
    return bool(uid) and element.keyword not in _KINDS and not uid.startswith(DICOM_OWN)


def _patient(patient: Patient) -> dict[str, Any]:
    names = ["^".join((n.family, *n.given)) for n in patient.names]
    return {
        "PatientName": "=".join(names),
        "PatientID": patient.identifier.value,
        "IssuerOfPatientID": "AA demo register",
        "IssuerOfPatientIDQualifiersSequence": [_authority(PATIENT_ISSUER)],
        "PatientBirthDate": patient.birth_date.replace("-", ""),
        "PatientSex": SEX[patient.gender],
    }


def _study(study: DemoStudy) -> dict[str, Any]:
    started = study.started
    return {
        "StudyDate": started.strftime("%Y%m%d"),
        "StudyTime": started.strftime("%H%M%S"),
        "TimezoneOffsetFromUTC": started.strftime("%z"),
        "AccessionNumber": study.accession,
        "IssuerOfAccessionNumberSequence": [_authority(ACCESSION_ISSUER)],
        "StudyDescription": study.description,
        "StudyID": "1",
        "InstitutionName": HOSPITAL.name,
        "ReferringPhysicianName": "",
    }


def _own_words(dataset: Any, study: DemoStudy, original: Path) -> dict[str, Any]:
    """What depends on the original: series, number, age, comment, body part."""
    source = SOURCES[study.source]
    series = source.series[original.parent.name if original.parent.name != study.source else ""]
    words: dict[str, Any] = {"SeriesDescription": series}
    words |= {keyword: study.description for keyword in _STUDY_WORDS if dataset.get(keyword)}
    if dataset.get("ProtocolName"):
        words["ProtocolName"] = series
    if dataset.get("InstitutionalDepartmentName"):
        words["InstitutionalDepartmentName"] = "Radiology"
    if dataset.get("PatientAge"):
        words["PatientAge"] = f"{_age(study):03}Y"
    if "Manufacturer" not in dataset:
        words["Manufacturer"] = ""  # type 2 beside an institution
    if dataset.get("SeriesNumber") is None:
        words["SeriesNumber"] = 1
    if source.renumber:
        words["InstanceNumber"] = 1 + originals_of(study).index(original)
    if dataset.SOPClassUID == KEY_OBJECT_SELECTION:
        for item in dataset.ContentSequence:
            if item.ValueType == "TEXT":
                item.TextValue = "Images of interest for the report."
        return words
    synthetic = "SYNTHETIC PHANTOM. " if "SYNTHETIC" in series else ""
    words["ImageComments"] = f"{synthetic}{NOTE}"
    words["BodyPartExamined"] = source.body_part
    if not dataset.get("SeriesDate"):
        words |= {"SeriesDate": study.started.strftime("%Y%m%d"), "SeriesTime": study.started.strftime("%H%M%S")}
    return words


def _age(study: DemoStudy) -> int:
    year, month, day = map(int, study.patient.birth_date.split("-"))
    started = study.started
    return started.year - year - ((started.month, started.day) < (month, day))


def _authority(oid: str) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.UniversalEntityID, item.UniversalEntityIDType = oid, "ISO"
    return item


def _set(dataset: Any, *tables: dict[str, Any]) -> None:
    for table in tables:
        for keyword, value in table.items():
            setattr(dataset, keyword, value)


def _written(dataset: Any) -> bytes:
    """As a file: our own file meta, empty preamble, the transfer syntax as it was."""
    from pydicom.dataset import FileMetaDataset

    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.preamble = b"\0" * 128
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.ImplementationClassUID = uid_of("", "implementation")
    dataset.file_meta.ImplementationVersionName = "ISTHMUS_DEMO"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
