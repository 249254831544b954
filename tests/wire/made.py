"""Values the wire tests share: one study with everything in it, one document of each kind."""

from __future__ import annotations

from isthmus.model.codes import DCM, SNOMED, Code
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.people import HumanName, Organisation, Patient
from isthmus.model.queries import REGIONS

BASE = "https://ncpeh.aa.example/fhir"
HANDLE = "h-42"
HOSPITAL = Organisation("Example Hospital", "H1", "urn:oid:2.999.6")
PATIENT = Patient(
    PatientIdentifier("urn:oid:2.999.4.1", "1234567"),
    (HumanName("Testova", ("Eva", "Maria")), HumanName("Тестова", ("Ева",), "bg")),
    "1970-01-01",
    "female",
)
STUDY = Study(
    study_instance_uid="2.999.7.1",
    patient=PATIENT,
    series=(
        Series(
            "2.999.7.1.1",
            "CT",
            (
                Instance("2.999.7.1.1.1", "1.2.840.10008.5.1.4.1.1.2", 1),
                Instance("2.999.7.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", 2, number_of_frames=40),
            ),
            number=1,
            description="Axial <1 mm>",
            body_site=Code(SNOMED, "69536005", "Head"),
            laterality=Code(SNOMED, "7771000", "Left"),
            started="2026-03-02T09:15:00+01:00",
        ),
        Series(
            "2.999.7.1.2",
            "KO",
            (
                Instance(
                    "2.999.7.1.2.1",
                    "1.2.840.10008.5.1.4.1.1.88.59",
                    1,
                    title=Code(DCM, "113000", "Of Interest"),
                    description="Look here",
                ),
            ),
            number=2,
        ),
    ),
    started="2026-03-02T09:14:00+01:00",
    description="CT head",
    accession_numbers=(Identifier("urn:oid:2.999.5.1", "A2026-0042"),),
    placer_order_numbers=(Identifier("urn:oid:2.999.5.2", "P-77"),),
    regions=(REGIONS["774007"],),
    procedure="CT of the head",
    custodian=Organisation("Archive of the Region", "R9", "urn:oid:2.999.6"),
)
MANIFEST = Manifest(
    uid="2.999.7.9.1",
    study=STUDY,
    created="2026-03-02T10:05:00+01:00",
    location_uid="2.999.8.1",
    source=HOSPITAL,
    endpoint_address="https://ncpeh.aa.example/dicom-web",
)
REPORT_ENTRY = Document(
    id="b-report",
    kind=DocumentKind.REPORT_FHIR,
    patient=None,
    unique_id=Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0001"),
    title="CT head report",
    indexed="2026-03-02T11:02:00+01:00",
    created="2026-03-02T11:00:00+01:00",
    media_type="application/fhir+json",
    study_instance_uids=("2.999.7.1",),
    accession_numbers=(Identifier("urn:oid:2.999.5.1", "A2026-0042"), Identifier(None, "77")),
    language="en",
    authors=("Dr Radio", "Example Hospital"),
    custodian=HOSPITAL,
    modalities=("CT", "PT"),
    regions=(REGIONS["774007"],),
    period_start="2026-03-02T09:14:00+01:00",
    size_bytes=48213,
    report_status="final",
    report_version="2",
    replaces="b-report-1",
    url=f"{BASE}/Bundle/b-report",
    description="CT head, report",
)
MANIFEST_ENTRY = Document(
    id="b-manifest",
    kind=DocumentKind.MANIFEST_FHIR,
    patient=None,
    unique_id=Identifier("urn:dicom:uid", "urn:oid:2.999.7.9.1"),
    title="Imaging study manifest",
    indexed="2026-03-02T10:06:00+01:00",
    created="2026-03-02T10:05:00+01:00",
    media_type="application/fhir+json",
    study_instance_uids=("2.999.7.1",),
    accession_numbers=(Identifier("urn:oid:2.999.5.1", "A2026-0042"),),
    language="en",
    authors=("Isthmus", "Example Hospital"),
    custodian=HOSPITAL,
    modalities=("CT",),
    regions=(REGIONS["1141981001"],),
    period_start="2026-03-02T09:14:00+01:00",
    series_count=2,
    instance_count=3,
    study_bytes=5_000_000_000,
    twin="b-kos",
    url=f"{BASE}/Bundle/b-manifest",
    description="CT head, manifest",
)
KOS_ENTRY = Document(
    id="b-kos",
    kind=DocumentKind.MANIFEST_KOS,
    patient=None,
    unique_id=MANIFEST_ENTRY.unique_id,
    title="Imaging study manifest",
    indexed="2026-03-02T10:06:00+01:00",
    created="2026-03-02T10:05:00+01:00",
    media_type="application/dicom",
    study_instance_uids=("2.999.7.1",),
    language="en",
    modalities=("CT",),
    regions=(REGIONS["1141981001"],),
    period_start="2026-03-02T09:14:00+01:00",
    twin="b-manifest",
    url=f"{BASE}/Binary/b-kos",
    description="CT head, manifest",
)
PDF_ENTRY = Document(
    id="b-pdf",
    kind=DocumentKind.REPORT_PDF,
    patient=None,
    unique_id=Identifier("urn:ietf:rfc:3986", "urn:uuid:7a3b4f7e-8f40-4a3b-9b2e-2f2a7c1d0009"),
    title="Old report",
    indexed="2025-01-02T00:00:00Z",
    created="2025-01-02",
    media_type="application/pdf",
    custodian=HOSPITAL,
    modalities=("US",),
    url=f"{BASE}/Binary/b-pdf",
    description="Old report",
)
