"""Do the documents of one examination agree: manifests in both encodings, reports, images, by study, series, instance, patient, accession number.

What each file says is gathered as Facts; differences are told at their place in the file that differs, and name the other file. A number
is compared with its issuer; where one side does not say the issuer, a difference is a warning.

Source: MADO; REP-11; REP-12; MFH-27; MKO-20.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from isthmus.conformance.requirement import Finding, Severity
from isthmus.dicom.header import Header
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import Identifier, is_uid, plain_uid
from isthmus.model.imaging import Manifest, Study
from isthmus.model.report.document import ImagingReport

MANIFEST, KOS, REPORT, INSTANCE = "manifest", "key object selection", "report", "instance"
MAX_TOLD: Final = 20
_LIBRARY: Final = "Current Requested Procedure Evidence Sequence (0040,A375)"
Number = tuple[str, str]  # issuer, empty where it is not said, and value


@dataclass(frozen=True, slots=True)
class StudySaid:
    """What a file says of a study: its series with their instances, where it lists them."""

    uid: str
    path: str
    accession_numbers: tuple[Number, ...] = ()
    accession_path: str = ""
    series: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is compared of a file. Nothing of it is printed."""

    kind: str
    uid: str
    studies: tuple[StudySaid, ...]
    patient: Number | None
    patient_path: str
    file: str = ""

    def __repr__(self) -> str:  # never in a log
        return f"Facts({self.kind})"


def manifest_facts(manifest: Manifest, bundle: Node) -> Facts:
    """What a FHIR manifest says."""
    at = _paths(bundle)
    study = at.get("ImagingStudy", "Bundle.entry")
    said = _said(manifest.study, study, f"{study}.basedOn")
    return Facts(
        MANIFEST,
        plain_uid(manifest.uid),
        (said,),
        _patient(manifest.study),
        f"{at.get('Patient', 'Bundle')}.identifier",
    )


def kos_facts(manifest: Manifest) -> Facts:
    """What a key object selection says."""
    said = _said(manifest.study, _LIBRARY, "Accession Number (0008,0050)")
    return Facts(KOS, plain_uid(manifest.uid), (said,), _patient(manifest.study), "Patient ID (0010,0020)")


def report_facts(report: ImagingReport, bundle: Node) -> Facts:
    """What a FHIR report says."""
    at = _paths(bundle)
    path, order = at.get("ImagingStudy", "Bundle.entry"), at.get("ServiceRequest", "Bundle.entry")
    numbers = tuple(_number(one) for one in report.order.accession_numbers)
    studies = tuple(replace(_said(one, path, order), accession_numbers=numbers) for one in report.examination.studies)
    person = report.header.patient.identifier
    return Facts(
        REPORT, "", studies, (plain_uid(person.system), person.value), f"{at.get('Patient', 'Bundle')}.identifier"
    )


def cda_facts(report: ImagingReport) -> Facts:
    """What a CDA document says. Which of its studies' series it means it does not list."""
    numbers = tuple(_number(one) for one in report.order.accession_numbers)
    order = "ClinicalDocument.inFulfillmentOf.order.id"
    studies = tuple(StudySaid(uid, "ClinicalDocument", numbers, order) for uid in report.study_instance_uids)
    person = report.header.patient.identifier
    return Facts(
        REPORT, "", studies, (_issuer(person.system), person.value), "ClinicalDocument.recordTarget.patientRole.id"
    )


def instance_facts(header: Header) -> Facts:
    """What an instance says."""
    issuer = header.issuer_universal_id or header.issuer_of_patient_id or ""
    numbers = ((_issuer(header.accession_issuer), header.accession_number),) if header.accession_number else ()
    said = StudySaid(
        header.study_instance_uid,
        "Study Instance UID (0020,000D)",
        numbers,
        "Accession Number (0008,0050)",
        ((header.series_instance_uid, (header.sop_instance_uid,)),),
    )
    patient = (_issuer(issuer), header.patient_id) if header.patient_id else None
    return Facts(INSTANCE, header.sop_instance_uid, (said,), patient, "Patient ID (0010,0020)")


def differences(facts: Iterable[Facts]) -> list[Finding]:
    """Where files that speak of one study contradict each other."""
    by_study: dict[str, list[tuple[Facts, StudySaid]]] = {}
    for one in facts:
        for study in one.studies:
            by_study.setdefault(study.uid, []).append((one, study))
    found: list[Finding] = []
    for told in by_study.values():
        ordered = sorted(told, key=lambda pair: (_RANK[pair[0].kind], pair[0].file))
        found += _persons(ordered)
        found += _numbers(ordered)
        found += _twins(ordered)
        found += _images(ordered)
    return found


_RANK: Final = {MANIFEST: 0, KOS: 1, REPORT: 2, INSTANCE: 3}
Told = list[tuple[Facts, StudySaid]]


def _persons(told: Told) -> Iterator[Finding]:
    first = next((one for one, _ in told if one.patient is not None), None)
    for one, _ in told:
        if first is not None and one.patient is not None and (severity := _differ((first.patient,), (one.patient,))):
            words = f"another patient than in {first.file}"
            yield _finding("patient", severity, one, one.patient_path, words, "MFH-27")


def _numbers(told: Told) -> Iterator[Finding]:
    first = next(((one, study) for one, study in told if study.accession_numbers), None)
    for one, study in told:
        if first is None or not study.accession_numbers:
            continue
        if severity := _differ(first[1].accession_numbers, study.accession_numbers):
            words = f"another accession number, or another issuer, than in {first[0].file}"
            yield _finding("accession", severity, one, study.accession_path, words, "REP-12")


def _differ(these: Iterable[Number | None], those: Iterable[Number | None]) -> Severity | None:
    """How sure it is that the numbers are not the same: error where issuers are said on both sides."""
    pairs = [(a, b) for a in these for b in those if a is not None and b is not None]
    if any(a[1] == b[1] and (not a[0] or not b[0] or a[0] == b[0]) for a, b in pairs):
        return None
    if any(a[0] and a[0] == b[0] for a, b in pairs):
        return Severity.ERROR
    if any(not a[0] or not b[0] for a, b in pairs):
        return Severity.WARNING
    return Severity.ERROR if any(a[1] == b[1] for a, b in pairs) else None  # numbers of different issuers say nothing


def _twins(told: Told) -> Iterator[Finding]:
    """Manifests under one UID list the same; reports list no series that no manifest has."""
    manifests = [(one, study) for one, study in told if one.kind in (MANIFEST, KOS)]
    if not manifests:
        return
    first, listed = manifests[0]
    for one, study in manifests[1:]:
        if one.uid != first.uid:
            words = f"another manifest of the study than {first.file}: of two, the later one counts"
            yield _finding("version", Severity.INFORMATION, one, "file", words, "MKO-21")
            continue
        for path, words in _apart(dict(listed.series), dict(study.series), study.path, first.file):
            yield _finding("instances", Severity.ERROR, one, path, words, "MKO-20")
    known = {uid for _, study in manifests for uid, _ in study.series}
    for one, study in told:
        for number, (uid, _) in enumerate(study.series):
            if one.kind == REPORT and uid not in known:
                words = f"the report names a series that {first.file} does not list"
                yield _finding("series", Severity.ERROR, one, f"{study.path}.series[{number}].uid", words, "REP-11")


Series = dict[str, tuple[str, ...]]


def _apart(these: Series, those: Series, path: str, other: str) -> Iterator[tuple[str, str]]:
    """Series and instances that one of two manifests lists and the other does not."""
    for uid in list(these.keys() - those.keys())[:MAX_TOLD]:
        yield path, f"series {uid} is listed in {other} alone"
    for number, (uid, instances) in enumerate(those.items()):
        here = f"{path}.series[{number}]"
        if uid not in these:
            yield f"{here}.uid", f"series {uid} is not listed in {other}"
            continue
        for sop in sorted(set(instances) - set(these[uid]))[:MAX_TOLD]:
            yield f"{here}.instance[{instances.index(sop)}].uid", f"instance {sop} is not listed in {other}"
        for sop in sorted(set(these[uid]) - set(instances))[:MAX_TOLD]:
            yield here, f"instance {sop} is listed in {other} alone"


def _images(told: Told) -> Iterator[Finding]:
    """Images that no manifest of their study lists, or lists in another series; and listed ones that are not here."""
    manifests = [(one, study) for one, study in told if one.kind in (MANIFEST, KOS) and study.series]
    images = [(one, study) for one, study in told if one.kind == INSTANCE]
    if not manifests or not images:
        return
    first, listed = manifests[0]
    series_of = {sop: {uid} for _, study in manifests for uid, sops in study.series for sop in sops}
    for one, study in images:
        uid, (sop,) = study.series[0]
        if sop not in series_of:
            words = f"no manifest of the study lists this instance ({first.file})"
            yield _finding("instances", Severity.ERROR, one, "SOP Instance UID (0008,0018)", words, "MFH-10")
        elif uid not in series_of[sop]:
            words = f"in another series than {first.file} says"
            yield _finding("series", Severity.ERROR, one, "Series Instance UID (0020,000E)", words, "MFH-10")
    here = {one.uid for one, _ in images}
    absent = [
        (f"{listed.path}.series[{s}].instance[{i}].uid", sop)
        for s, (_, sops) in enumerate(listed.series)
        for i, sop in enumerate(sops)
        if sop not in here
    ]
    if absent:
        words = f"{len(absent)} of the listed instances are not among the files, the first is {absent[0][1]}"
        yield _finding("missing", Severity.WARNING, first, absent[0][0], words, "WAD-09")


_ADVICE: Final = {
    "patient": "Find out whose examination this is before anything of it is given.",
    "accession": "Write the same accession number with the same issuer in manifest, report and images.",
    "instances": "Make the manifest anew from what is in the archive.",
    "series": "Make manifest and report anew from what is in the archive.",
    "version": "Keep the later one alone, if only one is to be published.",
    "missing": "Add the images, if the folder is meant to hold the whole study.",
}


def _finding(rule: str, severity: Severity, where: Facts, path: str, words: str, source: str) -> Finding:
    return Finding(f"AGREE-{rule}", severity, words, path, source, _ADVICE[rule], where.file)


def _said(study: Study, path: str, accession_path: str) -> StudySaid:
    return StudySaid(
        plain_uid(study.study_instance_uid),
        path,
        tuple(_number(one) for one in study.accession_numbers),
        accession_path,
        tuple((s.series_instance_uid, tuple(i.sop_instance_uid for i in s.instances)) for s in study.series),
    )


def _patient(study: Study) -> Number:
    return _issuer(study.patient.identifier.system), study.patient.identifier.value


def _number(identifier: Identifier) -> Number:
    return _issuer(identifier.system), identifier.value


def _issuer(said: str | None) -> str:
    """An issuer that others can know: an OID or an address. A name of the house is none."""
    plain = plain_uid(said or "")
    return plain if is_uid(plain) or ":" in plain else ""


def _paths(bundle: Node) -> dict[str, str]:
    """Where the first resource of each type stands."""
    found: dict[str, str] = {}
    for number, entry in enumerate(el.children(bundle, "entry")):
        kind = el.text(entry, "resource", "resourceType")
        if kind is not None:
            found.setdefault(kind, f"Bundle.entry[{number}].resource.{kind}")
    return found
