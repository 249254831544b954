"""StructureDefinitions for the judge, of our own writing: what the border's drafts ask, as far as cardinalities, patterns, slices and
invariants can say it.

They stand under the addresses of the official ones, which are nowhere to be had offline, and never leave the tests. An element is named
by its id (`Composition.category:report`), from which path and slice follow.

Source: wire.md §1.3, §1.4.2, §1.4.4, §1.6, §2.1, §2.2; R4 profiling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from isthmus.wire.packs.pack import Pack

Node = dict[str, Any]
OPEN: Final = "open"


@dataclass(frozen=True, slots=True)
class Element:
    """What a profile says of one element."""

    id: str
    min: int | None = None
    max: str | None = None
    types: tuple[Node, ...] = ()
    pattern: Node = field(default_factory=dict)  # patternX or fixedX
    slices_by: tuple[tuple[str, str], ...] = ()  # discriminators: type, path
    invariants: tuple[tuple[str, str, str], ...] = ()  # key, severity, FHIRPath

    def node(self) -> Node:
        steps = self.id.split(".")
        slice_name = steps[-1].partition(":")[2]
        said: Node = {"id": self.id, "path": ".".join(step.partition(":")[0] for step in steps)}
        if slice_name:
            said["sliceName"] = slice_name
        if self.slices_by:
            by = [{"type": kind, "path": path} for kind, path in self.slices_by]
            said["slicing"] = {"discriminator": by, "rules": OPEN}
        said |= {name: value for name, value in (("min", self.min), ("max", self.max)) if value is not None}
        if self.types:
            said["type"] = list(self.types)
        said |= self.pattern
        if self.invariants:
            said["constraint"] = [
                {"key": key, "severity": severity, "human": key, "expression": expression}
                for key, severity, expression in self.invariants
            ]
        return said


def definitions(pack: Pack) -> Iterator[Node]:
    """Every definition of a pack: its extensions, then its profiles."""
    for name, (values, contexts) in EXTENSIONS.items():
        yield _extension(pack.extensions[name], name, values, contexts)
    for address, kind, elements in _profiles(pack):
        root = [] if elements[0].id == kind else [Element(kind)]
        yield _definition(address, address.rpartition("/")[2], kind, [*root, *elements])


def _definition(address: str, name: str, kind: str, elements: list[Element], **more: Any) -> Node:
    base = f"http://hl7.org/fhir/StructureDefinition/{kind}"
    return {
        "resourceType": "StructureDefinition",
        "id": name.replace("_", "-").rpartition(":")[2],
        "url": address,
        "name": name.replace("-", "_").replace(".", "_").rpartition(":")[2],
        "status": "draft",
        "copyright": "Written by this project from facts, for its tests: not the official definition.",
        "fhirVersion": "4.0.1",
        "kind": "complex-type" if kind == "Extension" else "resource",
        "abstract": False,
        **more,
        "type": kind,
        "baseDefinition": base,
        "derivation": "constraint",
        "differential": {"element": [element.node() for element in elements]},
    }


Values = tuple[str, ...] | Mapping[str, str]  # types of value[x], or sub-extensions by url
EXTENSIONS: Final[dict[str, tuple[Values, tuple[str, ...]]]] = {
    "modality": (("CodeableConcept",), ("DocumentReference",)),
    "modality_once": (("CodeableConcept",), ("DocumentReference",)),
    "body_site": (("CodeableConcept",), ("DocumentReference",)),
    "body_site_once": ({"concept": "CodeableConcept"}, ("DocumentReference",)),
    "content_profile_manifest": ({"value": "canonical"}, ("DocumentReference.content",)),
    "content_profile_report": (("canonical",), ("DocumentReference.content",)),
    "study_extent": ({"series": "unsignedInt", "instances": "unsignedInt", "bytes": "decimal"}, ("DocumentReference",)),
    "report_status": (("code",), ("DocumentReference",)),
    "report_version": (("string",), ("DocumentReference",)),
    "frame": (("positiveInt",), ("DocumentReference",)),
    "region_manifest": (("CodeableConcept",), ("ImagingStudy",)),
    "region_report": (("CodeableConcept",), ("ImagingStudy", "DiagnosticReport")),
    "region_base": (("CodeableConcept",), ("ImagingStudy", "DiagnosticReport")),
    "frames_manifest": (("integer",), ("ImagingStudy.series.instance",)),
    "frames_report": (("integer", "unsignedInt"), ("ImagingStudy.series.instance",)),
    "key_object_title": (("CodeableConcept", "Coding"), ("ImagingStudy.series.instance",)),
    "location_uid": (("string",), ("Endpoint",)),
    "diagnostic_report": (("Reference",), ("Composition",)),
    "composition": (("Reference",), ("DiagnosticReport",)),
    "composition_version": (("string",), ("Composition",)),
    "thumbnail": (("boolean",), ("DocumentReference.content",)),
    "series_body_site": ({"concept": "CodeableConcept"}, ("ImagingStudy.series",)),
    "version": (("string",), ("DiagnosticReport",)),
    "note": (("Annotation",), ("Composition.section",)),
    "information_recipient": (("Reference",), ("Composition",)),
    "device_attester": (("Reference",), ("Composition.attester.party",)),
    "device_category": (("CodeableConcept",), ("Device",)),
    "order_reason": ({"concept": "CodeableConcept"}, ("ServiceRequest",)),
    "sex_for_clinical_use": ({"value": "CodeableConcept"}, ("Patient",)),
    "product_name": (("string",), ("Medication",)),
    "attachment_height": (("positiveInt",), ("Attachment",)),
    "attachment_width": (("positiveInt",), ("Attachment",)),
    "attachment_frames": (("positiveInt",), ("Attachment",)),
    "attachment_duration": (("decimal",), ("Attachment",)),
    "report_history": (("Reference",), ("DiagnosticReport",)),
    "report_procedure": (("Reference",), ("DiagnosticReport",)),
    "report_comparison": (("Reference",), ("DiagnosticReport",)),
    "report_impression": (("Reference",), ("DiagnosticReport",)),
    "report_recommendation": (("Reference",), ("DiagnosticReport",)),
}
"""What each extension of a pack holds, and where it stands."""
OF_R4: Final = frozenset({"absent", "body_structure", "uncertainty"})
"""Extensions of a pack that base R4 has itself."""


def _extension(address: str, name: str, values: Values, contexts: tuple[str, ...]) -> Node:
    elements = [Element("Extension")]
    if isinstance(values, tuple):
        elements += [
            Element("Extension.extension", max="0"),
            Element("Extension.url", pattern={"fixedUri": address}),
            Element("Extension.value[x]", 1, types=tuple({"code": one} for one in values)),
        ]
    else:
        elements.append(Element("Extension.extension", 1, slices_by=(("value", "url"),)))
        for part, kind in values.items():
            own = f"Extension.extension:{part}"
            elements += [
                Element(own, 0, "1"),
                Element(f"{own}.url", pattern={"fixedUri": part}),
                Element(f"{own}.value[x]", 1, types=({"code": kind},)),
            ]
        elements += [
            Element("Extension.url", pattern={"fixedUri": address}),
            Element("Extension.value[x]", max="0"),
        ]
    where = [{"type": "element", "expression": context} for context in contexts]
    return _definition(address, name, "Extension", elements, context=where)


def _profiles(pack: Pack) -> Iterator[tuple[str, str, list[Element]]]:
    said = pack.profiles
    yield said["patient"], "Patient", _patient()
    yield said["patient_minimal"], "Patient", _patient_minimal()
    yield said["entry_report"], "DocumentReference", [*_entry(pack), _profiled_content(pack)]
    for name in ("entry_manifest_fhir", "entry_manifest_kos"):
        yield said[name], "DocumentReference", _manifest_entry(pack)
    yield said["report"], "Bundle", _document(REPORT_ENTRIES)
    yield said["report_minimal"], "Bundle", _collection()
    yield said["report_minimal_metadata"], "DiagnosticReport", _diagnostic_alone(pack)
    yield said["key_image"], "DocumentReference", _key_image(pack)
    for name in ("manifest", "manifest_content"):
        yield said[name], "Bundle", _document(MANIFEST_ENTRIES)
    yield _part("report-composition"), "Composition", _report_composition(pack)
    yield _part("report-diagnostic"), "DiagnosticReport", _diagnostic(pack)
    yield _part("report-study"), "ImagingStudy", _study(pack)
    yield _part("manifest-composition"), "Composition", _manifest_composition(pack)
    yield _part("manifest-study"), "ImagingStudy", _manifest_study(pack)
    yield (
        _part("manifest-creator"),
        "Device",
        [Element("Device.type", 1, pattern=_concept(pack.systems["device_type"], "mado-creator"))],
    )


def _part(name: str) -> str:
    """The address of what a document has to hold: the drafts name it only inside their own profiles."""
    return f"urn:isthmus:judge:{name}"


REPORT_ENTRIES: Final = {
    "composition": ("Composition", 1, "1", "report-composition"),
    "report": ("DiagnosticReport", 1, "1", "report-diagnostic"),
    "patient": ("Patient", 1, "1", None),
    "study": ("ImagingStudy", 1, "*", "report-study"),
}
MANIFEST_ENTRIES: Final = {
    "composition": ("Composition", 1, "1", "manifest-composition"),
    "study": ("ImagingStudy", 1, "1", "manifest-study"),
    "patient": ("Patient", 1, "1", None),
    "endpoint": ("Endpoint", 1, "*", None),
    "creator": ("Device", 1, "1", "manifest-creator"),
    "organization": ("Organization", 1, "*", None),
}


def _document(entries: Mapping[str, tuple[str, int, str, str | None]]) -> list[Element]:
    found = [
        Element("Bundle.identifier", 1),
        Element("Bundle.type", pattern={"fixedCode": "document"}),
        Element("Bundle.timestamp", 1),
        Element("Bundle.total", max="0"),
        Element("Bundle.entry", 1, slices_by=(("type", "resource"),)),
        Element("Bundle.entry.link", max="0"),
        Element("Bundle.entry.fullUrl", 1),
        Element("Bundle.entry.resource", 1),
        Element("Bundle.entry.search", max="0"),
        Element("Bundle.entry.request", max="0"),
        Element("Bundle.entry.response", max="0"),
    ]
    for name, (kind, least, most, part) in entries.items():
        own = f"Bundle.entry:{name}"
        profiled: Node = {"code": kind} | ({"profile": [_part(part)]} if part else {})
        found += [Element(own, least, most), Element(f"{own}.resource", 1, types=(profiled,))]
    return found


def _collection() -> list[Element]:
    report = "Bundle.entry:report"
    return [
        Element("Bundle.type", pattern={"fixedCode": "collection"}),
        Element("Bundle.entry", 1, slices_by=(("type", "resource"),)),
        Element(report, 1, "1"),
        Element(f"{report}.resource", 1, types=({"code": "DiagnosticReport"},)),
    ]


EU_PAT_1: Final = ("eu-pat-1", "error", "family.exists() or given.exists() or text.exists()")


def _patient() -> list[Element]:
    return [Element("Patient.name", 1, invariants=(EU_PAT_1,)), Element("Patient.birthDate", 1)]


def _patient_minimal() -> list[Element]:
    required = ["identifier", "name", "name.family", "name.given", "gender", "birthDate"]
    return [Element(f"Patient.{name}", 1) for name in required]


def _profiled_content(pack: Pack) -> Element:
    return Element("DocumentReference.content", 1, "1", invariants=(_has(pack, "content_profile_report"),))


def _entry(pack: Pack) -> list[Element]:
    repeated = (
        "mado-docref-1",
        "error",
        "identifier.where(system = %resource.masterIdentifier.system and value = %resource.masterIdentifier.value).exists()",
    )
    return [
        Element("DocumentReference", invariants=(repeated, _has(pack, "modality_once"), _has(pack, "modality"))),
        Element("DocumentReference.modifierExtension", max="0"),
        Element("DocumentReference.masterIdentifier", 1),
        Element("DocumentReference.masterIdentifier.system", 1),
        Element("DocumentReference.masterIdentifier.value", 1),
        Element("DocumentReference.identifier", 1),
        Element("DocumentReference.docStatus", max="0"),
        Element("DocumentReference.type", 1),
        Element("DocumentReference.category", 1, "1", pattern=_concept(pack.systems["category"], pack.codes["category"])),
        Element("DocumentReference.subject", 1),
        Element("DocumentReference.date", 1),
        Element("DocumentReference.description", 1),
    ]  # fmt: skip


def _has(pack: Pack, name: str) -> tuple[str, str, str]:
    return (f"isthmus-{name}".replace("_", "-"), "error", f"extension('{pack.extensions[name]}').exists()")


def _manifest_entry(pack: Pack) -> list[Element]:
    related = "DocumentReference.context.related.where(identifier.type.coding.where(code = '110180').exists())"
    one_study = ("isthmus-one-study", "error", f"{related.removeprefix('DocumentReference.context.')}.count() = 1")
    return [
        *_entry(pack),
        Element("DocumentReference.content", 1, "1"),
        Element("DocumentReference.content.attachment.contentType", 1),
        Element("DocumentReference.content.attachment.language", 1),
        Element("DocumentReference.content.attachment.data", max="0"),
        Element("DocumentReference.content.attachment.url", 1),
        Element("DocumentReference.content.attachment.creation", 1),
        Element("DocumentReference.content.format", 1),
        Element("DocumentReference.context", 1, invariants=(one_study,)),
        Element("DocumentReference.context.period", 1),
        Element("DocumentReference.context.period.start", 1),
        Element("DocumentReference.context.facilityType", 1),
        Element("DocumentReference.context.practiceSetting", 1),
    ]


def _key_image(pack: Pack) -> list[Element]:
    return [
        Element("DocumentReference", invariants=(_has(pack, "modality_once"),)),
        Element("DocumentReference.identifier", 1),
        Element("DocumentReference.category", 1, pattern=_concept(pack.systems["loinc"], pack.codes["key_images"])),
        Element("DocumentReference.subject", 1),
    ]


SECTION_1: Final = (
    "eu-imaging-composition-1",
    "error",
    "entry.exists() or section.exists() or emptyReason.exists() or extension.exists()",
)
SECTION_2: Final = ("eu-imaging-composition-2", "error", "text.exists() or entry.exists() or section.exists()")
MANDATORY_SECTIONS: Final = ("imaging_study", "order", "history", "procedure")


def _report_composition(pack: Pack) -> list[Element]:
    found = [
        Element("Composition", invariants=(_has(pack, "diagnostic_report"),)),
        Element("Composition.identifier", 1),
        *_patterned("Composition.category", _categories(pack)),
        Element("Composition.subject", 1),
        Element("Composition.section", len(MANDATORY_SECTIONS), slices_by=(("pattern", "code"),), invariants=(SECTION_1, SECTION_2)),
        Element("Composition.section.title", 1),
        Element("Composition.section.code", 1),
        Element("Composition.section.text", 1),
    ]  # fmt: skip
    for name in MANDATORY_SECTIONS:
        own = f"Composition.section:{name.replace('_', '-')}"
        found += [
            Element(own, 1, "1"),
            Element(f"{own}.code", 1, pattern=_concept(pack.systems["loinc"], pack.sections[name])),
        ]
    return found


def _patterned(path: str, wanted: Mapping[str, tuple[str, str]]) -> list[Element]:
    slices = [Element(f"{path}:{name}", 1, "1", pattern=_concept(*code)) for name, code in wanted.items()]
    return [Element(path, len(wanted), slices_by=(("pattern", "$this"),)), *slices]


def _diagnostic(pack: Pack) -> list[Element]:
    return [Element("DiagnosticReport", invariants=(_has(pack, "composition"),)), *_diagnostic_common(pack)]


def _diagnostic_alone(pack: Pack) -> list[Element]:
    return [*_diagnostic_common(pack), Element("DiagnosticReport.presentedForm", 1)]


def _diagnostic_common(pack: Pack) -> list[Element]:
    return [
        Element("DiagnosticReport.identifier", 1),
        *_patterned("DiagnosticReport.category", _categories(pack)),
        Element("DiagnosticReport.subject", 1),
    ]


def _categories(pack: Pack) -> dict[str, tuple[str, str]]:
    return {
        "report": (pack.systems["loinc"], pack.codes["composition_report"]),
        "imaging": (pack.systems["category"], pack.codes["category"]),
    }


IM_STUDY_1: Final = (
    "im-imagingstudy-01",
    "error",
    "identifier.where(system = 'urn:dicom:uid').all(value.startsWith('urn:oid:'))",
)


def _study(pack: Pack) -> list[Element]:
    typed = _concept(pack.systems["dcm"], pack.codes["study_instance_uid"])
    return [
        Element("ImagingStudy", invariants=(IM_STUDY_1,)),
        Element("ImagingStudy.identifier", 1, slices_by=(("value", "system"),)),
        Element("ImagingStudy.identifier:study", 1, "1"),
        Element("ImagingStudy.identifier:study.type", 1, pattern=typed),
        Element("ImagingStudy.identifier:study.system", 1, pattern={"fixedUri": pack.systems["uid"]}),
        Element("ImagingStudy.identifier:study.value", 1),
        Element("ImagingStudy.subject", 1),
    ]


def _manifest_study(pack: Pack) -> list[Element]:
    showable = ("mado-reqproc-1", "error", "text.exists() or coding.display.exists()")
    first, *rest = _study(pack)
    return [
        Element("ImagingStudy", invariants=(*first.invariants, _has(pack, "region_manifest"))),
        *rest,
        Element("ImagingStudy.numberOfSeries", 1),
        Element("ImagingStudy.procedureCode", invariants=(showable,)),
        Element("ImagingStudy.series", 1),
        Element("ImagingStudy.series.numberOfInstances", 1),
        Element("ImagingStudy.series.endpoint", 1),
        Element("ImagingStudy.series.instance", 1),
    ]


def _manifest_composition(pack: Pack) -> list[Element]:
    return [
        Element("Composition.text", 1),
        Element("Composition.identifier", 1),
        Element("Composition.type", 1, pattern=_concept(pack.systems["loinc"], pack.codes["composition_manifest"])),
        Element("Composition.category", 1),
        Element("Composition.subject", 1),
        Element("Composition.author", 2),
        Element("Composition.event", 1),
        Element("Composition.event.detail", 1),
        Element("Composition.section.title", 1),
        Element("Composition.section.code", 1),
        Element("Composition.section.text", 1),
    ]


def _concept(system: str, code: str) -> Node:
    return {"patternCodeableConcept": {"coding": [{"system": system, "code": code}]}}
