"""Key object selection as manifest (MKO). The node is the data set: values by tag as eight hexadecimal digits, items as lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from isthmus.conformance.evidence import Arrival, Conversation, Examination, Written, kos_node, studies_of
from isthmus.conformance.requirement import Kind, answer_of, requirement
from isthmus.dicom import tags
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import KEY_OBJECT_SELECTION, read_header
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.dicom.windows import BytesSource
from isthmus.errors import MEANINGS, IsthmusError
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.imaging import Manifest
from isthmus.model.queries import REGIONS
from isthmus.wire.packs.pack import Pack

MULTI_FRAME = {
    f"1.2.840.10008.5.1.4.1.1.{branch}"
    for branch in ("2.1", "2.2", "3.1", "4.1", "4.3", "6.2", "7.1", "7.2", "7.3", "7.4", "12.1.1", "12.2.1", "13.1.3")
}


def _text(node: Node, *path: int) -> str:
    return el.text(node, *(f"{tag:08X}" for tag in path)) or ""


def _items(node: Node, tag: int) -> list[Node]:
    return el.children(node, f"{tag:08X}")


def _evidence(node: Node) -> list[Node]:
    """The series of the evidence."""
    studies = _items(node, tags.EVIDENCE_SEQUENCE)
    return [series for study in studies for series in _items(study, tags.REFERENCED_SERIES_SEQUENCE)]


def _listed(series: Node) -> list[str]:
    return [_text(one, tags.REFERENCED_SOP_INSTANCE_UID) for one in _items(series, tags.REFERENCED_SOP_SEQUENCE)]


def _below(node: Node, pack: Pack, name: str) -> list[Node]:
    """The content items below that have this concept."""
    return [one for one in _items(node, tags.CONTENT_SEQUENCE) if _concept(one) == pack.kos[name][:2]]


def _concept(node: Node) -> tuple[str, ...]:
    path = tags.CONCEPT_NAME_CODE_SEQUENCE
    return _text(node, path, tags.CODE_VALUE), _text(node, path, tags.CODING_SCHEME_DESIGNATOR)


def _referred(node: Node) -> str:
    return _text(node, tags.REFERENCED_SOP_SEQUENCE, tags.REFERENCED_SOP_INSTANCE_UID)


def _groups(node: Node, pack: Pack) -> list[Node]:
    return [group for library in _below(node, pack, "library") for group in _below(library, pack, "group")]


def _entries(node: Node, pack: Pack) -> list[Node]:
    groups = _groups(node, pack)
    return [one for group in groups for one in _items(group, tags.CONTENT_SEQUENCE) if _referred(one)]


def _counts(node: Node, count: int, unit: str) -> bool:
    """Whether a content item is a number of this unit that says so many."""
    measured = el.child(node, f"{tags.MEASURED_VALUE_SEQUENCE:08X}")
    units = _text(measured, tags.MEASUREMENT_UNITS_CODE_SEQUENCE, tags.CODE_VALUE)
    told = _text(measured, tags.NUMERIC_VALUE) or _text(node, tags.TEXT_VALUE)
    return (units == unit or not measured) and told == str(count)


def _issued(node: Node, sequence: int) -> bool:
    kind = _text(node, sequence, tags.UNIVERSAL_ENTITY_ID_TYPE)
    return bool(_text(node, sequence, tags.UNIVERSAL_ENTITY_ID)) and kind in ("ISO", "URI")


@requirement("MKO-01", Kind.KOS, "a key object selection in Explicit VR Little Endian, of one study", source="MADO")
def mko_01(node: Node, pack: Pack) -> Iterator[str]:
    if node.get("syntax") != EXPLICIT_LE:
        yield "TransferSyntaxUID"
    if _text(node, tags.SOP_CLASS_UID) != KEY_OBJECT_SELECTION:
        yield "SOPClassUID"
    studies = [_text(one, tags.STUDY_INSTANCE_UID) for one in _items(node, tags.EVIDENCE_SEQUENCE)]
    if studies != [_text(node, tags.STUDY_INSTANCE_UID)]:
        yield "CurrentRequestedProcedureEvidenceSequence"


@requirement("MKO-02", Kind.KOS, "the evidence lists each instance once, and not the manifest", source="MADO, CP")
def mko_02(node: Node, pack: Pack) -> Iterator[str]:
    listed = Counter(uid for series in _evidence(node) for uid in _listed(series))
    if not listed or max(listed.values()) > 1 or _text(node, tags.SOP_INSTANCE_UID) in listed:
        yield "ReferencedSOPSequence"
    if not all(is_uid(uid) for uid in listed):
        yield "ReferencedSOPInstanceUID"


@requirement("MKO-03", Kind.KOS, "each series of the evidence has its location", source="MADO")
def mko_03(node: Node, pack: Pack) -> Iterator[str]:
    if not all(is_uid(_text(series, tags.RETRIEVE_LOCATION_UID)) for series in _evidence(node)):
        yield "RetrieveLocationUID"


@requirement("MKO-04", Kind.KOS, "an address is a base, without a study behind it", source="MADO")
def mko_04(node: Node, pack: Pack) -> Iterator[str]:
    if any("/studies" in _text(series, tags.RETRIEVE_URL) for series in _evidence(node)):
        yield "RetrieveURL"


@requirement("MKO-05", Kind.KOS, "patient identifier with issuer, and again among the others", source="MADO")
def mko_05(node: Node, pack: Pack) -> Iterator[str]:
    others = _items(node, tags.OTHER_PATIENT_IDS_SEQUENCE)
    for one in (node, *others[:1]):
        if not _text(one, tags.PATIENT_ID) or not _issued(one, tags.ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE):
            yield "PatientID"
    if _text(node, tags.PATIENT_ID) not in {_text(one, tags.PATIENT_ID) for one in others}:
        yield "OtherPatientIDsSequence"


@requirement("MKO-06", Kind.KOS, "study date and time, and the offset that holds for them", source="MADO")
def mko_06(node: Node, pack: Pack) -> Iterator[str]:
    for tag in (tags.STUDY_DATE, tags.STUDY_TIME, tags.TIMEZONE_OFFSET_FROM_UTC):
        if not _text(node, tag):
            yield tags.name_of(tag)


@requirement("MKO-07", Kind.KOS, "manufacturer and institution; modality KO", source="MADO")
def mko_07(node: Node, pack: Pack) -> Iterator[str]:
    yield from (tags.name_of(t) for t in (tags.MANUFACTURER, tags.INSTITUTION_NAME) if not _text(node, t))
    if _text(node, tags.MODALITY) != "KO":
        yield "Modality"


@requirement("MKO-08", Kind.KOS, "each accession number with its issuer and its order in a request", source="MADO")
def mko_08(node: Node, pack: Pack) -> Iterator[str]:
    requests = _items(node, tags.REFERENCED_REQUEST_SEQUENCE)
    pairs = [(_text(one, tags.ACCESSION_NUMBER), _text(one, tags.PLACER_ORDER_NUMBER)) for one in requests]
    if not requests or len(set(pairs)) != len(pairs):
        yield "ReferencedRequestSequence"
    for one in requests:
        if _text(one, tags.ACCESSION_NUMBER) and not one.get(f"{tags.ISSUER_OF_ACCESSION_NUMBER_SEQUENCE:08X}"):
            yield "IssuerOfAccessionNumberSequence"
        if _text(one, tags.PLACER_ORDER_NUMBER) and not one.get(f"{tags.ORDER_PLACER_IDENTIFIER_SEQUENCE:08X}"):
            yield "OrderPlacerIdentifierSequence"


@requirement("MKO-09", Kind.KOS, "the title of the pack, by template 2010", source="MADO, CP")
def mko_09(node: Node, pack: Pack) -> Iterator[str]:
    if _concept(node) != pack.kos["title"][:2]:
        yield "ConceptNameCodeSequence"
    if _text(node, tags.CONTENT_TEMPLATE_SEQUENCE, tags.TEMPLATE_IDENTIFIER) != "2010":
        yield "ContentTemplateSequence"


@requirement("MKO-10", Kind.KOS, "one image library with modality, region, number of series", source="MADO")
def mko_10(node: Node, pack: Pack) -> Iterator[str]:
    libraries = _below(node, pack, "library")
    if len(libraries) != 1 or not _below(libraries[0], pack, "modality") or not _below(libraries[0], pack, "region"):
        yield "Image Library"
    for library in libraries:
        counts = _below(library, pack, "study_series")
        if len(counts) != 1 or not _counts(counts[0], len(_evidence(node)), "{series}"):
            yield "Number of Study Related Series"
    containers = [node, *libraries, *_groups(node, pack)]
    if any(_text(one, tags.CONTINUITY_OF_CONTENT) != "SEPARATE" for one in containers):
        yield "ContinuityOfContent"


@requirement("MKO-11", Kind.KOS, "a group for each series: modality, UID, as many as the evidence", source="MADO")
def mko_11(node: Node, pack: Pack) -> Iterator[str]:
    evidence = {_text(series, tags.SERIES_INSTANCE_UID): _listed(series) for series in _evidence(node)}
    told = []
    for group in _groups(node, pack):
        uid = _text((_below(group, pack, "series_uid") or [{}])[0], tags.CONTENT_ITEM_UID)
        told.append(uid)
        listed = sorted(_referred(one) for one in _items(group, tags.CONTENT_SEQUENCE) if _referred(one))
        if not _below(group, pack, "modality") or listed != sorted(evidence.get(uid, [])):
            yield "Image Library Group"
        counts = _below(group, pack, "series_instances")
        if len(counts) != 1 or not _counts(counts[0], len(listed), "{instances}"):
            yield "Number of Series Related Instances"
    if sorted(told) != sorted(evidence):
        yield "Series Instance UID"


@requirement(
    "MKO-12", Kind.WRITTEN, "date, time, description and number of a series, when the images have them", source="MADO"
)
def mko_12(written: Written, pack: Pack) -> Iterator[str]:
    manifest = written.value
    if not isinstance(manifest, Manifest) or "0040A375" not in written.document:
        return
    groups = {_series_of(group, pack): group for group in _groups(written.document, pack)}
    for series in manifest.study.series:
        group = groups.get(series.series_instance_uid, {})
        clock = series.started is not None and "T" in series.started
        known = {
            "series_date": series.started is not None,
            "series_time": clock,
            "series_description": bool(series.description),
            "series_number": series.number is not None,
        }
        yield from (pack.kos[name][2] for name, had in known.items() if had and not _below(group, pack, name))


def _series_of(group: Node, pack: Pack) -> str:
    return _text((_below(group, pack, "series_uid") or [{}])[0], tags.CONTENT_ITEM_UID)


@requirement("MKO-13", Kind.KOS, "multi-frame objects say how many frames", source="MADO")
def mko_13(node: Node, pack: Pack) -> Iterator[str]:
    for one in _entries(node, pack):
        multi = _text(one, tags.REFERENCED_SOP_SEQUENCE, tags.REFERENCED_SOP_CLASS_UID) in MULTI_FRAME
        if multi and not _below(one, pack, "frames"):
            yield "Number of Frames"


@requirement("MKO-14", Kind.KOS, "key object selections inside the study have their title", source="MADO")
def mko_14(node: Node, pack: Pack) -> Iterator[str]:
    for one in _entries(node, pack):
        sop_class = _text(one, tags.REFERENCED_SOP_SEQUENCE, tags.REFERENCED_SOP_CLASS_UID)
        if sop_class == KEY_OBJECT_SELECTION and not _below(one, pack, "document_title"):
            yield "Document Title"


@requirement("MKO-15", Kind.KOS, "every instance of the evidence stands at the root of the tree", source="MADO")
def mko_15(node: Node, pack: Pack) -> Iterator[str]:
    at_root = [_referred(one) for one in _items(node, tags.CONTENT_SEQUENCE) if _referred(one)]
    if sorted(at_root) != sorted(uid for series in _evidence(node) for uid in _listed(series)):
        yield "ContentSequence"


@requirement("MKO-16", Kind.KOS, "the number of instances is a number", source="MADO vs CP")
def mko_16(node: Node, pack: Pack) -> Iterator[str]:
    for group in _groups(node, pack):
        for count in _below(group, pack, "series_instances"):
            if _text(count, tags.VALUE_TYPE) != "NUM":
                yield "Number of Series Related Instances"


@requirement("MKO-17", Kind.ARRIVAL, "codes of 99IHE and of DCM, counts as number or text, are read alike", source="CP")
def mko_17(arrival: Arrival, pack: Pack) -> Iterator[str]:
    node = arrival.document if isinstance(arrival.document, dict) else {}
    if _below(node, pack, "library"):
        yield from _unread(node, arrival)


def _unread(node: Node, arrival: Arrival) -> Iterator[str]:
    """What of the evidence is not in the manifest that was read."""
    listed = {uid for series in _evidence(node) for uid in _listed(series)}
    read = arrival.value.study.series if isinstance(arrival.value, Manifest) else ()
    if listed != {instance.sop_instance_uid for series in read for instance in series.instances}:
        yield "ReferencedSOPSequence"


@requirement("MKO-18", Kind.ARRIVAL, "one of XDS-I.b, or without image library, is read all the same", source="R")
def mko_18(arrival: Arrival, pack: Pack) -> Iterator[str]:
    node = arrival.document if isinstance(arrival.document, dict) else {}
    if _evidence(node) and not _below(node, pack, "library"):
        yield from _unread(node, arrival)


_ALLOWED = ("Unrecognized enumerated value", "Standard Extended SOP", "Value dubious for this VR")


@requirement("MKO-19", Kind.VERDICT, "dciodvfy: no error but of value types that it does not know yet", source="R, E14")
def mko_19(verdict: str, pack: Pack) -> Iterator[str]:
    for line in verdict.splitlines():
        if line.startswith("Error") and not any(words in line for words in _ALLOWED):
            yield "dciodvfy"


@requirement("MKO-20", Kind.EXAMINATION, "both forms say the same: UID, study, series, instances", source="MADO")
def mko_20(examination: Examination, pack: Pack) -> Iterator[str]:
    if not examination.kos or not examination.manifest:
        return
    resources = (el.child(entry, "resource") for entry in el.children(examination.manifest, "entry"))
    study = next((one for one in resources if one.get("resourceType") == "ImagingStudy"), {})
    told = {
        el.text(series, "uid"): sorted(el.text(one, "uid") or "" for one in el.children(series, "instance"))
        for series in el.children(study, "series")
    }
    if told != {_text(one, tags.SERIES_INSTANCE_UID): sorted(_listed(one)) for one in _evidence(examination.kos)}:
        yield "ReferencedSeriesSequence"
    if plain_uid(el.text(study, "identifier", "value") or "") != _text(examination.kos, tags.STUDY_INSTANCE_UID):
        yield "StudyInstanceUID"


@requirement(
    "MKO-21",
    Kind.CONVERSATION,
    "other content is another UID; of a study one manifest of a form is current",
    source="MADO",
)
def mko_21(conversation: Conversation, pack: Pack) -> Iterator[str]:
    by_uid: dict[tuple[str, str], bytes] = {}
    for one in conversation:
        answer = answer_of(one, pack)
        if answer is not None and answer[0] in (Kind.MANIFEST, Kind.KOS):
            uid = _text(answer[1], tags.SOP_INSTANCE_UID) or el.text(answer[1], "identifier", "value") or ""
            if by_uid.setdefault((answer[0], uid), one.answer) != one.answer:
                yield "SOPInstanceUID"
        current: Counter[tuple[str, str]] = Counter()
        for entry in one.entries("DocumentReference"):
            form = el.text(entry, "content", "format", "code") or ""
            if entry.get("status") == "current" and form in (pack.codes["format_manifest_fhir"], KEY_OBJECT_SELECTION):
                current.update((form, uid) for uid in studies_of(entry, pack))
        yield from ("status" for count in current.values() if count > 1)


@requirement(
    "MKO-22", Kind.ARRIVAL, "a hostile one is refused with a reason, or read with UIDs that are some", source="R"
)
def mko_22(arrival: Arrival, pack: Pack) -> Iterator[str]:
    if not isinstance(arrival.document, bytes) or not isinstance(arrival.value, Manifest | None):
        return
    if arrival.value is None and arrival.refused not in MEANINGS and _may_be_one(arrival.document):
        yield "reason"
    elif arrival.value is not None:
        held = [i.sop_instance_uid for series in arrival.value.study.series for i in series.instances]
        if not all(is_uid(uid) for uid in (arrival.value.study.study_instance_uid, *held)):
            yield "UID"
        if sorted(set(held)) != sorted(_named(arrival.document)):
            yield "ReferencedSOPSequence"


def _may_be_one(data: bytes) -> bool:
    """Whether a file is a key object selection, or cannot be told to be something else."""
    try:
        return read_header(BytesSource(data)).sop_class_uid == KEY_OBJECT_SELECTION
    except DicomFault:
        return True


def _named(data: bytes) -> set[str]:
    try:
        return {uid for series in _evidence(kos_node(data)) for uid in _listed(series)}
    except IsthmusError:
        return set()


@requirement(
    "MKO-23", Kind.KOS, "one accession number stands in the header, several only in the requests", source="MADO"
)
def mko_23(node: Node, pack: Pack) -> Iterator[str]:
    requests = _items(node, tags.REFERENCED_REQUEST_SEQUENCE)
    numbers = {_text(one, tags.ACCESSION_NUMBER) for one in requests} - {""}
    header = _text(node, tags.ACCESSION_NUMBER)
    if not numbers or header != (next(iter(numbers)) if len(numbers) == 1 else ""):
        yield "AccessionNumber"


@requirement("MKO-24", Kind.KOS, "the regions of the study are of the ten", source="EUM")
def mko_24(node: Node, pack: Pack) -> Iterator[str]:
    for library in _below(node, pack, "library"):
        for one in _below(library, pack, "region"):
            coded = tags.CONCEPT_CODE_SEQUENCE
            if (
                _text(one, coded, tags.CODING_SCHEME_DESIGNATOR) != "SCT"
                or _text(one, coded, tags.CODE_VALUE) not in REGIONS
            ):
                yield "Target Region"
