"""FHIR of the imaging part of a report: the study with its series, and key images; and the codes the Bundle uses.

Source: EU imaging report (ImagingStudyEuImaging, DocumentReferenceKeyImageEuImaging).
"""

from __future__ import annotations

from typing import Any

from study_facts import NOT_ACQUIRED, SITES, Facts, Instance, Series

from isthmus.model.codes import DCM, LOINC, SNOMED

EUI = "http://hl7.eu/fhir/imaging/StructureDefinition"
CATEGORY = "http://hl7.eu/fhir/health-data-api/CodeSystem/eehrxf-document-priority-category-cs"
THUMBNAIL = "http://hl7.org/fhir/StructureDefinition/documentreference-thumbnail"
MODALITY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DocumentReference.modality"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
Json = dict[str, Any]


def concept(system: str, code: str, display: str | None = None, text: str | None = None) -> Json:
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]} | ({"text": text} if text else {})


def imaging_study(study: Facts, subject: Json, based_on: Json | None) -> Json:
    """An ImagingStudy: with order and series when the report is about it, in outline when it is only compared."""
    region = concept(SNOMED, *SITES[study.body_part][1])
    resource: Json = {
        "resourceType": "ImagingStudy",
        "meta": {"profile": [f"{EUI}/ImagingStudyEuImaging"]},
        "extension": [{"url": f"{EUI}/AnatomicalRegionExtension", "valueCodeableConcept": region}],
        "identifier": [{"type": concept(DCM, "110180"), "system": "urn:dicom:uid", "value": f"urn:oid:{study.uid}"}],
        "status": "available",
        "modality": [{"system": DCM, "code": study.modality}],
        "subject": subject,
        "started": study.started,
        "description": study.description,
    }
    if based_on is None:
        return resource
    resource |= {"basedOn": [based_on], "procedureCode": [{"text": study.description}]}
    if study.series:
        resource["numberOfSeries"] = len(study.series)
        resource["numberOfInstances"] = sum(len(s.instances) for s in study.series)
        resource["series"] = [_series(s, study) for s in study.series]
    return resource


def _series(series: Series, study: Facts) -> Json:
    found: Json = {
        "uid": series.uid,
        "number": series.number,
        "modality": {"system": DCM, "code": series.modality},
        "description": series.description,
        "numberOfInstances": len(series.instances),
        "started": series.started,
        "instance": [_instance(one) for one in series.instances],
    }
    if series.modality not in NOT_ACQUIRED:
        code, display = SITES[study.body_part][0]
        found["bodySite"] = {"system": SNOMED, "code": code, "display": display}
    return found


def _instance(one: Instance) -> Json:
    found: Json = {"uid": one.uid, "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{one.sop_class}"}}
    if one.frames is not None:
        found["extension"] = [{"url": f"{EUI}/NumberOfFrames", "valueInteger": one.frames}]
    if one.number is not None:
        found["number"] = one.number
    return found


def key_image(instance: Instance, modality: str, subject: Json, description: str) -> Json:
    """A key image is named by its SOP Instance UID; no address of it stands in a report."""
    urn = f"urn:oid:{instance.uid}"
    kind = concept("http://hl7.eu/fhir/imaging/CodeSystem/codesystem-missing-dicom-terminology", "00080018")
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": [f"{EUI}/DocumentReferenceKeyImageEuImaging"]},
        "extension": [{"url": MODALITY, "valueCodeableConcept": concept(DCM, modality)}],
        "identifier": [{"type": kind, "system": "urn:ietf:rfc:3986", "value": urn}],
        "status": "current",
        "category": [concept(LOINC, "55113-5")],
        "subject": subject,
        "description": description,
        "content": [
            {
                "extension": [{"url": THUMBNAIL, "valueBoolean": False}],
                "attachment": {"contentType": "application/dicom", "url": urn},
            }
        ],
    }
