"""Structured reports and CDA documents, made for the tests of what is read of them."""

from __future__ import annotations

import io
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

BASIC_TEXT, ENHANCED, COMPREHENSIVE = (f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (11, 22, 33))
ENCAPSULATED_PDF, ENCAPSULATED_CDA = (f"1.2.840.10008.5.1.4.1.1.104.{last}" for last in (1, 2))
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY, SERIES, IMAGE, PRIOR = "2.25.1", "2.25.1.1", "2.25.1.1.1", "2.25.9"
SOP = "2.25.77"


def code(value: str, scheme: str = "DCM", meaning: str = "") -> Dataset:
    one = Dataset()
    one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = value, scheme, meaning or value
    return one


def item(kind: str, concept: Dataset | None, *below: Dataset, relation: str = "CONTAINS", **values: Any) -> Dataset:
    """A content item."""
    one = Dataset()
    one.RelationshipType, one.ValueType = relation, kind
    if concept is not None:
        one.ConceptNameCodeSequence = Sequence([concept])
    if kind == "CONTAINER":
        one.ContinuityOfContent = "SEPARATE"
    for name, value in values.items():
        setattr(one, name, value)
    if below:
        one.ContentSequence = Sequence(below)
    return one


def text(concept: Dataset, words: str, *below: Dataset, relation: str = "CONTAINS") -> Dataset:
    return item("TEXT", concept, *below, relation=relation, TextValue=words)


def coded(concept: Dataset, value: Dataset, *below: Dataset, relation: str = "CONTAINS") -> Dataset:
    return item("CODE", concept, *below, relation=relation, ConceptCodeSequence=Sequence([value]))


def number(concept: Dataset, value: str, unit: Dataset, *below: Dataset, relation: str = "CONTAINS") -> Dataset:
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, Sequence([unit])
    return item("NUM", concept, *below, relation=relation, MeasuredValueSequence=Sequence([measured]))


def image(sop: str = IMAGE, *, frames: list[int] | None = None, relation: str = "CONTAINS") -> Dataset:
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = CT, sop
    if frames:
        referenced.ReferencedFrameNumber = frames
    return item("IMAGE", None, relation=relation, ReferencedSOPSequence=Sequence([referenced]))


def heading(value: str, meaning: str, *below: Dataset, scheme: str = "DCM") -> Dataset:
    return item("CONTAINER", code(value, scheme, meaning), *below)


def evidence(study: str, series: str, *sops: str) -> Sequence:
    instances = []
    for sop in sops:
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = CT, sop
        instances.append(one)
    held, of = Dataset(), Dataset()
    held.SeriesInstanceUID, held.ReferencedSOPSequence = series, Sequence(instances)
    of.StudyInstanceUID, of.ReferencedSeriesSequence = study, Sequence([held])
    return Sequence([of])


def header(sop_class: str) -> Dataset:
    """A document of the general equipment and patient that all tests share."""
    one = Dataset()
    one.SpecificCharacterSet = "ISO_IR 192"
    one.SOPClassUID, one.SOPInstanceUID = sop_class, SOP
    one.StudyInstanceUID, one.SeriesInstanceUID = STUDY, "2.25.1.2"
    one.Modality, one.SeriesNumber, one.InstanceNumber = "SR", 9, 1
    one.StudyDate, one.StudyTime, one.TimezoneOffsetFromUTC = "20260302", "091400", "+0100"
    one.ContentDate, one.ContentTime = "20260302", "110000"
    one.PatientName, one.PatientID, one.IssuerOfPatientID = "Testova^Eva", "1234567", "2.999.4.1"
    one.PatientBirthDate, one.PatientSex = "19700101", "F"
    one.AccessionNumber, one.StudyDescription, one.InstitutionName = "A2026-0042", "CT head", "Example Hospital"
    one.ReferringPhysicianName = "Asker^Ada"
    return one


def report(*content: Dataset, sop_class: str = COMPREHENSIVE, **attributes: Any) -> bytes:
    """A structured report with this content; attributes replace those of the header."""
    one = header(sop_class)
    one.ValueType, one.ContinuityOfContent = "CONTAINER", "SEPARATE"
    one.ConceptNameCodeSequence = Sequence([code("18747-6", "LN", "CT Report")])
    one.CompletionFlag, one.VerificationFlag = "COMPLETE", "VERIFIED"
    one.CurrentRequestedProcedureEvidenceSequence = evidence(STUDY, SERIES, IMAGE)
    one.ContentSequence = Sequence(content)
    for name, value in attributes.items():
        setattr(one, name, value)
    return part10(one)


DOSE = "1.2.840.10008.5.1.4.1.1.88.67"


def dose_report(**attributes: Any) -> bytes:
    """An X-ray radiation dose report, as a modality writes it. Source: PS3.16 TID 10001, 10002, 10003."""
    product = number(code("113722", meaning="Dose Area Product Total"), "0.00012500", code("Gy.m2", "UCUM", "Gy.m2"))
    event = item(
        "CONTAINER",
        code("113706", meaning="Irradiation Event X-Ray Data"),
        coded(code("113764", meaning="Acquisition Plane"), code("113622", meaning="Single Plane")),
        item("UIDREF", code("113769", meaning="Irradiation Event UID"), UID="2.25.5.1"),
        item("DATETIME", code("111526", meaning="DateTime Started"), DateTime="20260302091500"),
        number(code("113733", meaning="KVP"), "74.0", code("kV", "UCUM", "kV")),
        number(code("4711", "99MAKER", "Filter wheel"), "3", code("1", "UCUM", "no units")),
        image(frames=[1, 2], relation="CONTAINS"),
    )
    content = (
        coded(code("121058", meaning="Procedure reported"), code("113704", meaning="Projection X-Ray"), relation="HAS CONCEPT MOD"),
        coded(code("121005", meaning="Observer Type"), code("121007", meaning="Device"), relation="HAS OBS CONTEXT"),
        item("UIDREF", code("121012", meaning="Device Observer UID"), relation="HAS OBS CONTEXT", UID="2.25.6"),
        item("CONTAINER", code("113702", meaning="Accumulated X-Ray Dose Data"), product),
        event,
        text(code("121106", meaning="Comment"), "Panel changed"),
    )  # fmt: skip
    more = {"VerificationFlag": "UNVERIFIED", "ConceptNameCodeSequence": Sequence([code("113701", meaning="X-Ray Radiation Dose Report")])}  # fmt: skip
    return report(*content, sop_class=DOSE, **more | attributes)


def nested(levels: int, scheme: str = "99OWN") -> Dataset:
    """Containers in containers, with words before and after the inner one."""
    inner = text(code("1", "99OWN", "Remark"), "bottom")
    for level in range(levels, 0, -1):
        before, after = (text(code("1", "99OWN", "Remark"), f"{word} {level}") for word in ("before", "after"))
        inner = heading(f"L{level}", f"Level {level}", before, inner, after, scheme=scheme)
    return inner


def encapsulated(body: bytes, sop_class: str = ENCAPSULATED_PDF, **attributes: Any) -> bytes:
    """An encapsulated document, padded as DICOM pads it."""
    one = header(sop_class)
    one.Modality, one.DocumentTitle = "DOC", "CT head, letter"
    one.MIMETypeOfEncapsulatedDocument = "application/pdf" if sop_class == ENCAPSULATED_PDF else "text/XML"
    one.EncapsulatedDocument, one.EncapsulatedDocumentLength = body, len(body)
    for name, value in attributes.items():
        setattr(one, name, value)
    return part10(one)


def part10(data_set: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data_set.SOPClassUID, data_set.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(io.BytesIO(), data_set, file_meta=meta, preamble=bytes(128))
    with io.BytesIO() as out:
        pydicom.dcmwrite(out, file, enforce_file_format=True)
        return out.getvalue()


CDA_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<id root="2.999.8" extension="d2"/><code code="18747-6" codeSystem="2.16.840.1.113883.6.1" displayName="CT Report"/>
<title>CT head</title><effectiveTime value="20260302110000+0100"/><confidentialityCode code="R"/><languageCode code="de"/>
<setId root="2.999.8" extension="s1"/><versionNumber value="2"/>
<recordTarget><patientRole><id root="2.999.4.1" extension="1234567"/><id root="2.999.4.9" extension="card"/>
<addr use="HP"><streetAddressLine>Weg 1</streetAddressLine><postalCode>1010</postalCode><city>Wien</city></addr>
<telecom value="tel:+43 1 2345" use="H"/>
<patient><name><prefix>Dr.</prefix><given>Eva</given><family>Testova</family></name>
<administrativeGenderCode code="F"/><birthTime value="19700101"/>
<guardian><code code="MTH" codeSystem="2.16.840.1.113883.5.111" displayName="mother"/>
<guardianPerson><name><given>Ida</given><family>Testova</family></name></guardianPerson></guardian>
</patient></patientRole></recordTarget>
<author><time value="20260302"/><assignedAuthor><id root="2.999.5" extension="p1"/>
<code code="2212" codeSystem="2.16.840.1.113883.2.9.6.2.7" displayName="Specialist medical practitioners"/>
<assignedPerson><name><given>Logan</given><family>Radio</family></name></assignedPerson>
<representedOrganization><id root="2.999.6" extension="H1"/><name>Example Hospital</name></representedOrganization>
</assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization><id root="2.999.6" extension="H0"/><name>Archive</name>
</representedCustodianOrganization></assignedCustodian></custodian>
<informationRecipient><intendedRecipient><informationRecipient><name><given>Gil</given><family>Family</family></name>
</informationRecipient></intendedRecipient></informationRecipient>
<legalAuthenticator><time value="20260302120000+0100"/><assignedEntity><id root="2.999.5" extension="p2"/>
<assignedPerson><name><given>Legia</given><family>Legal</family></name></assignedPerson></assignedEntity></legalAuthenticator>
<authenticator><time value="20260302113000+0100"/><assignedEntity><id root="2.999.5" extension="p3"/>
<assignedPerson><name><given>Vera</given><family>Valida</family></name></assignedPerson></assignedEntity></authenticator>
<participant typeCode="REF"><associatedEntity><id root="2.999.5" extension="p4"/>
<associatedPerson><name><given>Ada</given><family>Asker</family></name></associatedPerson></associatedEntity></participant>
<inFulfillmentOf><order><id root="2.999.5.1" extension="A2026-0042"/><id root="2.999.5.2" extension="P-77"/>
<priorityCode code="UR"/></order></inFulfillmentOf>
<documentationOf><serviceEvent><id root="2.25.1"/>
<code code="34227005" codeSystem="2.16.840.1.113883.6.96" displayName="CT of head"/>
<effectiveTime><low value="20260302091400+0100"/><high value="20260302092000+0100"/></effectiveTime>
<performer typeCode="PRF"><assignedEntity><id root="2.999.5" extension="p5"/>
<assignedPerson><name><given>Tom</given><family>Tech</family></name></assignedPerson></assignedEntity></performer>
</serviceEvent></documentationOf>
<relatedDocument typeCode="RPLC"><parentDocument><id root="2.999.8" extension="d1"/></parentDocument></relatedDocument>
"""


CATALOGUE = """<section><code code="121181" codeSystem="1.2.840.10008.2.16.4"/><entry><act><id root="2.25.1"/>
  <code code="113014" codeSystem="1.2.840.10008.2.16.4"/><entryRelationship><act><id root="2.25.1.1"/>
  <code code="113015" codeSystem="1.2.840.10008.2.16.4"><qualifier><name code="121139"/><value code="CT"/></qualifier></code>
  <entryRelationship><observation classCode="DGIMG"><id root="2.25.1.1.1"/></observation></entryRelationship>
  </act></entryRelationship></act></entry></section>"""
ENTRIES = """<entry><observation classCode="OBS"><code code="81827009" codeSystem="2.16.840.1.113883.6.96" displayName="Diameter"/>
  <effectiveTime value="20260302"/><value xsi:type="PQ" value="12.5" unit="mm"/>
  <interpretationCode code="H" codeSystem="2.16.840.1.113883.5.83"/>
  <targetSiteCode code="10200004" codeSystem="2.16.840.1.113883.6.96" displayName="Liver"/>
  <entryRelationship typeCode="SUBJ"><observation classCode="DGIMG"><id root="2.25.1.1.1"/>
  <text><reference value="http://pacs.example/wado?objectUID=2.25.1.1.1"/></text></observation></entryRelationship>
  </observation></entry>
  <entry><observation><code code="121071" codeSystem="1.2.840.10008.2.16.4" displayName="Finding"/>
  <value xsi:type="CD" code="50960005" codeSystem="2.16.840.1.113883.6.96" displayName="Bleeding"/></observation></entry>
  <entry><observation><code code="121071" codeSystem="1.2.840.10008.2.16.4"/>
  <value xsi:type="ED"><reference value="#f1"/></value></observation></entry>"""


def cda(*sections: str, head: str = CDA_HEAD) -> bytes:
    """A CDA document of level 3 with these sections."""
    body = "".join(f"<component>{one}</component>" for one in sections)
    return f"{head}<component><structuredBody>{body}</structuredBody></component></ClinicalDocument>".encode()


def section(loinc: str, title: str, narrative: str, *inside: str) -> str:
    return (
        f'<section><code code="{loinc}" codeSystem="2.16.840.1.113883.6.1"/><title>{title}</title>'
        f"<text>{narrative}</text>{''.join(inside)}</section>"
    )
