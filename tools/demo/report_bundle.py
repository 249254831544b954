"""The FHIR document Bundle of a report, from the same source text as the PDF that lies inside it.

Source: EU imaging report (BundleReportEuImaging), R4 documents; the design's wire contract §2.
"""

from __future__ import annotations

import base64
from html import escape
from uuid import UUID, uuid5

from report_imaging import CATEGORY, EUI, V2_0203, Json, concept, imaging_study, key_image
from report_words import WORDS
from study_facts import SITES, Facts

from isthmus.demo.people import ACCESSION_ISSUER, HOSPITAL, PLACER_ISSUER, PROFESSIONAL_ISSUER
from isthmus.demo.reports import DemoReport
from isthmus.demo.studies import NAMESPACE
from isthmus.model.codes import DCM, LOINC, SNOMED

SECTIONS = {
    "imagingstudy": "18726-0",
    "order": "55115-0",
    "history": "11329-0",
    "procedure": "55111-9",
    "comparison": "18834-2",
    "findings": "59776-5",
    "impression": "19005-8",
    "recommendation": "18783-1",
}
Sections = list[tuple[str, str, list[str]]]


def bundle_uuid(report: DemoReport) -> UUID:
    return uuid5(NAMESPACE, f"report|{report.id}|1")


class Writer:
    """Collects the entries of one Bundle; references are `urn:uuid:` made from the Bundle's identifier."""

    def __init__(
        self, report: DemoReport, studies: list[Facts], compared: list[Facts], sections: Sections, pdf: bytes
    ) -> None:
        self.report, self.source, self.pdf, self.sections = report, report.source, pdf, sections
        self.studies, self.compared = studies, compared
        self.words = WORDS[self.source["language"]]
        self.uuid = bundle_uuid(report)
        self.entries: list[Json] = []

    def url(self, name: str) -> str:
        return f"urn:uuid:{uuid5(self.uuid, name)}"

    def ref(self, name: str) -> Json:
        return {"reference": self.url(name)}

    def add(self, name: str, resource: Json) -> None:
        self.entries.append({"fullUrl": self.url(name), "resource": resource})

    @property
    def identifier(self) -> Json:
        return {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{self.uuid}"}

    @property
    def region(self) -> Json:
        return concept(SNOMED, *SITES[self.studies[0].body_part][1])

    @property
    def site(self) -> Json:
        return concept(SNOMED, *SITES[self.studies[0].body_part][0])

    def write(self) -> Json:
        self.composition()
        self.diagnostic_report()
        self.patient()
        for number, study in enumerate(self.studies):
            self.add(f"study-{number}", imaging_study(study, self.ref("patient"), self.based_on()))
        for number, study in enumerate(self.compared):
            self.add(f"compared-{number}", imaging_study(study, self.ref("patient"), None))
        self.order()
        self.people()
        self.procedure()
        self.observations()
        self.key_images()
        return {
            "resourceType": "Bundle",
            "meta": {"profile": [f"{EUI}/BundleReportEuImaging"]},
            "identifier": self.identifier,
            "type": "document",
            "timestamp": self.source["authored"],
            "entry": self.entries,
        }

    # the two heads

    @property
    def categories(self) -> list[Json]:
        return [concept(LOINC, "85430-7"), concept(CATEGORY, "Medical-Imaging")]

    def composition(self) -> None:
        source = self.source
        self.add(
            "composition",
            {
                "resourceType": "Composition",
                "meta": {"profile": [f"{EUI}/CompositionEuImaging"]},
                "language": source["language"],
                "extension": [
                    {
                        "url": "http://hl7.eu/fhir/extensions/StructureDefinition/composition-diagnosticReportReference",
                        "valueReference": self.ref("report"),
                    },
                    {
                        "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Composition.version",
                        "valueString": "1",
                    },
                ],
                "identifier": self.identifier,
                "status": "final",
                "type": concept(LOINC, source["type"], text=source["title"]),
                "category": self.categories,
                "subject": self.ref("patient"),
                "date": source["authored"],
                "author": [self.ref("author"), self.ref("organisation")],
                "title": source["title"],
                "attester": [{"mode": "legal", "time": source["authored"], "party": self.ref("author")}],
                "custodian": self.ref("organisation"),
                "event": [{"period": {"start": self.studies[0].started}}],
                "section": [self.section(*section) for section in self.sections],
            },
        )

    def section(self, key: str, heading: str, paragraphs: list[str]) -> Json:
        language = self.source["language"]
        said = [s.description for s in self.studies] if key in ("order", "procedure") else []
        text = "".join(f"<p>{escape(p)}</p>" for p in said + paragraphs)
        names = self.entry_names(key)
        section: Json = {
            "title": heading,
            "code": concept(LOINC, SECTIONS[key]),
            "text": {
                "status": "generated",
                "div": f'<div xmlns="http://www.w3.org/1999/xhtml" lang="{language}" xml:lang="{language}">{text}</div>',
            },
        }
        if names:
            return section | {"entry": [self.ref(name) for name in names]}
        why = "nilknown" if key == "comparison" else "unavailable"
        reason = concept("http://terminology.hl7.org/CodeSystem/list-empty-reason", why)
        return section | {"emptyReason": reason}

    def entry_names(self, key: str) -> list[str]:
        content = self.source["content"]
        names = {
            "imagingstudy": [f"study-{n}" for n in range(len(self.studies))],
            "order": ["order"],
            "history": [f"history-{n}" for n in range(len(content["history"]))],
            "procedure": ["procedure"] + (["dose"] if "dose" in content else []),
            "comparison": [f"compared-{n}" for n in range(len(self.compared))],
            "findings": [f"finding-{n}" for n in range(len(content["findings"]))]
            + [f"key-{n}" for n in range(len(content.get("key_images", [])))],
            "impression": [f"impression-{n}" for n in range(len(content["impression"]))],
            "recommendation": [f"recommendation-{n}" for n in range(len(content.get("recommendation", [])))],
        }
        return names[key]

    def diagnostic_report(self) -> None:
        source = self.source
        results = [n for key in ("findings", "impression") for n in self.entry_names(key) if not n.startswith("key-")]
        self.add(
            "report",
            {
                "resourceType": "DiagnosticReport",
                "meta": {"profile": [f"{EUI}/DiagnosticReportEuImaging"]},
                "language": source["language"],
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.composition",
                        "valueReference": self.ref("composition"),
                    },
                    {"url": f"{EUI}/AnatomicalRegionExtension", "valueCodeableConcept": self.region},
                ],
                "identifier": [self.identifier],
                "basedOn": [self.based_on()],
                "status": "final",
                "category": self.categories,
                "code": concept(LOINC, source["type"], text=source["title"]),
                "subject": self.ref("patient"),
                "effectiveDateTime": self.studies[0].started,
                "issued": source["authored"],
                "performer": [self.ref("organisation")],
                "resultsInterpreter": [self.ref("author")],
                "result": [self.ref(name) for name in results],
                "imagingStudy": [self.ref(f"study-{n}") for n in range(len(self.studies))],
                "conclusion": "\n".join(source["content"]["impression"]),
                "presentedForm": [
                    {
                        "contentType": "application/pdf",
                        "language": source["language"],
                        "data": base64.b64encode(self.pdf).decode(),
                        "size": len(self.pdf),
                        "title": source["title"],
                        "creation": source["authored"],
                    }
                ],
            },
        )

    # whom, what for, by whom

    def patient(self) -> None:
        patient = self.report.patient
        names = [
            {"use": "official"}
            | {"family": n.family, "given": list(n.given), "text": f"{' '.join(n.given)} {n.family}"}
            for n in patient.names
        ]
        self.add(
            "patient",
            {
                "resourceType": "Patient",
                "meta": {"profile": ["http://hl7.eu/fhir/base/StructureDefinition/patient-eu-core"]},
                "identifier": [{"system": patient.identifier.system, "value": patient.identifier.value}],
                "name": names,
                "gender": patient.gender,
                "birthDate": patient.birth_date,
            },
        )

    def accession(self) -> Json:
        return {
            "type": {"coding": [{"system": V2_0203, "code": "ACSN"}, {"system": DCM, "code": "121022"}]},
            "system": f"urn:oid:{ACCESSION_ISSUER}",
            "value": self.studies[0].accession,
        }

    def based_on(self) -> Json:
        return self.ref("order") | {"type": "ServiceRequest", "identifier": self.accession()}

    def order(self) -> None:
        order = self.source["order"]
        placer = {
            "type": {"coding": [{"system": V2_0203, "code": "PLAC"}]},
            "system": f"urn:oid:{PLACER_ISSUER}",
            "value": order["placer"],
        }
        self.add(
            "order",
            {
                "resourceType": "ServiceRequest",
                "meta": {"profile": [f"{EUI}/ServiceRequestOrderEuImaging"]},
                "identifier": [self.accession(), placer],
                "status": "completed",
                "intent": "order",
                "category": [concept(SNOMED, "363679005")],
                "code": {"text": self.studies[0].description},
                "subject": self.ref("patient"),
                "authoredOn": order["placed"],
                "requester": self.ref("requester"),
                "reasonCode": [{"text": order["question"]}],
            },
        )

    def people(self) -> None:
        there = self.source.get("organisation")
        name, number = (there["name"], there["id"]) if there else (HOSPITAL.name, HOSPITAL.identifier)
        self.add(
            "organisation",
            {
                "resourceType": "Organization",
                "identifier": [{"system": HOSPITAL.system, "value": number}],
                "name": name,
            },
        )
        for role, person in (("author", self.source["author"]), ("requester", self.source["order"]["requester"])):
            self.add(
                role,
                {
                    "resourceType": "Practitioner",
                    "identifier": [{"system": f"urn:oid:{PROFESSIONAL_ISSUER}", "value": person["id"]}],
                    "name": [{"family": person["family"], "given": [person["given"]], "prefix": [self.words["dr"]]}],
                },
            )

    # what was done and seen

    def procedure(self) -> None:
        content, study = self.source["content"], self.studies[0]
        self.add(
            "procedure",
            {
                "resourceType": "Procedure",
                "meta": {"profile": [f"{EUI}/ProcedureEuImaging"]},
                "basedOn": [self.based_on()],
                "status": "completed",
                "code": {"text": study.description},
                "subject": self.ref("patient"),
                "performedDateTime": study.started,
                "performer": [{"actor": self.ref("organisation")}],
                "bodySite": [self.site],
                "note": [{"text": content["procedure"]}],
            },
        )
        if "dose" in content:
            self.observation(
                "dose",
                concept(LOINC, "73569-6"),
                content["dose"],
                profile="ObservationRadiationDoseEuImaging",
                part="procedure",
            )

    def observation(self, name: str, code: Json, text: str, *, profile: str, part: str = "") -> None:
        self.add(
            name,
            {
                "resourceType": "Observation",
                "meta": {"profile": [f"{EUI}/{profile}"]},
                "basedOn": [self.based_on()],
            }
            | ({"partOf": [self.ref(part)]} if part else {})
            | {
                "status": "final",
                "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "imaging")],
                "code": code,
                "subject": self.ref("patient"),
                "effectiveDateTime": self.studies[0].started,
                "valueString": text,
                "derivedFrom": [self.ref("study-0")],
            }
            | ({} if part else {"bodySite": self.site}),
        )

    def observations(self) -> None:
        content = self.source["content"]
        for number, text in enumerate(content["history"]):
            self.add(
                f"history-{number}",
                {
                    "resourceType": "Condition",
                    "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
                    "code": {"text": text},
                    "subject": self.ref("patient"),
                },
            )
        for key, name, code in (("findings", "finding", "59776-5"), ("impression", "impression", "19005-8")):
            for number, text in enumerate(content[key]):
                self.observation(f"{name}-{number}", concept(LOINC, code), text, profile="ObservationFindingEuImaging")
        for number, text in enumerate(content.get("recommendation", [])):
            self.add(
                f"recommendation-{number}",
                {
                    "resourceType": "CarePlan",
                    "status": "active",
                    "intent": "proposal",
                    "description": text,
                    "subject": self.ref("patient"),
                },
            )

    def key_images(self) -> None:
        content = self.source["content"]
        instances = {i.original: (i, s.modality) for study in self.studies for s in study.series for i in s.instances}
        for number, original in enumerate(content.get("key_images", [])):
            self.add(f"key-{number}", key_image(*instances[original], self.ref("patient"), content["key_images_note"]))
