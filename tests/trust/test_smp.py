"""What today's network publishes, read into a draft of the list's entry: what is there is carried, what is not is said, nothing is signed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from tests.trust.conftest import Clock, Practice

from isthmus.commands.root import run
from isthmus.errors import SettingsProblem
from isthmus.trust.certificates import spki_sha256
from isthmus.trust.issue import issue_authority, issue_node
from isthmus.trust.operator.smp import Draft, draft_from
from isthmus.trust.trustlist import draft_of

FRAME = """<?xml version="1.0" encoding="UTF-8"?>
<SignedServiceMetadata xmlns="http://docs.oasis-open.org/bdxr/ns/SMP/2016/05">
 <ServiceMetadata>
  <ServiceInformation>
   <ParticipantIdentifier scheme="ehealth-participantid-qns">{participant}</ParticipantIdentifier>
   <DocumentIdentifier scheme="ehealth-resid-qns">{service}</DocumentIdentifier>
   <ProcessList><Process>
    <ProcessIdentifier scheme="ehealth-procid-qns">urn:ehealth:ncp:x</ProcessIdentifier>
    <ServiceEndpointList>
     <Endpoint transportProfile="urn:ehealth:transport:none">
      <EndpointURI>{address}</EndpointURI>
      <ServiceActivationDate>{begins}</ServiceActivationDate>
      <ServiceExpirationDate>{ends}</ServiceExpirationDate>
      <Certificate>{certificate}</Certificate>
      <TechnicalContactUrl>mailto:desk@ncp.test</TechnicalContactUrl>
      {extension}
     </Endpoint>
    </ServiceEndpointList>
   </Process></ProcessList>
  </ServiceInformation>
 </ServiceMetadata>
 <Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><KeyInfo><X509Data><X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></Signature>
</SignedServiceMetadata>
"""
MASK = """<Extension><searchFields xmlns="http://ec.europa.eu/sante/ehncp/ism"><country code="{code}"><patientSearch>
  {fields}
</patientSearch></country></searchFields></Extension>"""
FIELDS = """<identifier type="NORMAL">
   <id label="label.ism.nationalPersonIdentifier" domain="2.999.2.1" format="^\\d{6}-?\\d{4}$" contextualDescription="Ten digits"/>
  </identifier>
  <textField label="label.ism.familyName" mandatory="true"/>
  <textField label="label.ism.firstName" mandatory="false"/>
  <textField label="label.ism.addressCity"/>
  <birthDate label="label.ism.birthDate" mandatory="true"/>
  <gender label="label.ism.gender" mandatory="false"/>"""


class Published:
    """One country's two files, with a certificate that is real."""

    def __init__(self, clock: Clock) -> None:
        key = generate_private_key(SECP256R1())
        authority = issue_authority(key, clock.now)
        node = issue_node("PT", key.public_key(), authority, key, clock.now, clock.now + timedelta(days=300))
        self.der = node.public_bytes(Encoding.DER)
        self.now = clock.now

    def file(self, service: str = "urn:ehealth:fhirservice##ehealth-201", extension: str = "", **changes: str) -> bytes:
        said = {
            "participant": "urn:ehealth:pt:ncp-idp", "address": "https://ncp.pt.test:8443/fhir",
            "begins": (self.now + timedelta(days=1)).isoformat(), "ends": (self.now + timedelta(days=100)).isoformat(),
            "certificate": b64encode(self.der).decode(),
        }  # fmt: skip
        return FRAME.format(service=service, extension=extension, **{**said, **changes}).encode()

    def mask(self, fields: str = FIELDS, code: str = "PT") -> bytes:
        extension = MASK.format(code=code, fields=fields)
        return self.file("urn:ehealth:ISM::InternationalSearchMask##ehealth-107", extension, certificate="", address="")

    def draft(self, **files: bytes) -> Draft:
        return draft_from(files or {"fhir": self.file(), "ism": self.mask()})


@pytest.fixture
def published(clock: Clock) -> Published:
    return Published(clock)


def test_what_is_published_is_carried(published: Published) -> None:
    entry = published.draft().participant

    assert (entry["ncp_id"], entry["country"]) == ("urn:ehealth:pt:ncp-idp", "PT")
    assert entry["endpoints"] == {
        "fhir": "https://ncp.pt.test:8443/fhir",
        "token": "https://ncp.pt.test:8443/oauth/token",
        "dicomweb": "https://ncp.pt.test:8443/dicom-web",
        "ncp": "https://ncp.pt.test:8443/ncp",
    }
    (tls,) = entry["tls"]
    assert tls["spki_sha256"] == spki_sha256(published.der)
    assert tls["use"] == ["server"]
    assert tls["nbf"] == int((published.now + timedelta(days=1)).timestamp())
    assert tls["exp"] == int((published.now + timedelta(days=100)).timestamp())
    assert entry["search_mask"] == {
        "identifiers": [{"system": "urn:oid:2.999.2.1", "pattern": r"^\d{6}-?\d{4}$", "label": {"en": "Ten digits"}}],
        "traits": {"family": "required", "given": "optional", "birthdate": "required", "gender": "optional"},
    }


def test_what_is_not_published_is_said_and_not_guessed(published: Published) -> None:
    draft = published.draft()

    assert (draft.participant["status"], draft.participant["keys"], draft.participant["services"]) == (
        "suspended",
        [],
        [],
    )
    said = " / ".join(draft.remarks)
    for words in (
        "signature was not verified here; it says that it was signed by", "keys for statements are not published",
        "label.ism.addresscity has no place", "ask ncp.pt.test for token", "has to stand in tls_ca",
    ):  # fmt: skip
        assert words in said


def test_a_draft_that_was_seen_to_is_a_list(published: Published, practice: Practice) -> None:
    entry = {**published.draft().participant, "status": "active", "services": ["imaging-report"]}
    body = practice.body()

    listed = draft_of({**body, "participants": [*body["participants"], entry]})

    assert [participant.country for participant in listed.participants] == ["AA", "BB", "CC", "PT"]
    assert listed.participants[-1].active


def test_greece_is_written_as_the_eu_writes_it(published: Published) -> None:
    entry = published.draft(a=published.file(participant="urn:ehealth:gr:ncp-idp")).participant

    assert (entry["country"], entry["ncp_id"]) == ("EL", "urn:ehealth:gr:ncp-idp")


FORMS: dict[str, tuple[str, str]] = {
    "a form": ('format="[0-9]{9}"', "^[0-9]{9}$"),
    "alternatives": ('format="[0-9]{9}|[A-Z]{2}"', "^(?:[0-9]{9}|[A-Z]{2})$"),
    "lengths": ('format="" min="6" max="8"', "^.{6,8}$"),
    "nothing": ("", "^.{1,64}$"),
}


@pytest.mark.parametrize(("said", "pattern"), FORMS.values(), ids=FORMS.keys())
def test_the_form_of_an_identifier_is_a_pattern(said: str, pattern: str, published: Published) -> None:
    fields = f'<identifier type="CHOICE"><id label="label.ism.x" domain="2.999.1" {said}/></identifier>'

    mask = published.draft(a=published.mask(fields)).participant["search_mask"]

    assert [entry["pattern"] for entry in mask["identifiers"]] == [pattern]


@pytest.mark.threat("T59")
@pytest.mark.parametrize("form", [r"(?=x)\d", "([", r"(\d)\1", "x{99999}"])
def test_a_pattern_that_re2_does_not_run_is_left_out_and_said(form: str, published: Published) -> None:
    fields = f'<identifier type="NORMAL"><id label="l" domain="2.999.1" format="{form}"/></identifier>'

    draft = published.draft(a=published.mask(fields))

    assert draft.participant["search_mask"]["identifiers"] == []
    assert any("no pattern that RE2 runs" in remark for remark in draft.remarks)


def test_identifiers_that_are_mandatory_together_are_said(published: Published) -> None:
    fields = "".join(
        f'<identifier type="NORMAL"><id label="l" domain="2.999.{n}" mandatory="true"/></identifier>' for n in (1, 2)
    )

    assert any("mandatory together" in remark for remark in published.draft(a=published.mask(fields)).remarks)


REFUSED: dict[str, tuple[Callable[[Published], dict[str, bytes]], str]] = {
    "no file": (lambda p: {}, "give one file"),
    "no XML": (lambda p: {"a": b"hello"}, "no XML"),
    "another document": (lambda p: {"a": b"<a/>"}, "is no SMP service metadata"),
    "a redirection": (
        lambda p: {"a": b'<ServiceMetadata xmlns="http://docs.oasis-open.org/bdxr/ns/SMP/2016/05"><Redirect href="https://evil.test"/></ServiceMetadata>'},
        "not followed",
    ),
    "two countries": (lambda p: {"a": p.file(), "b": p.file(participant="urn:ehealth:es:ncp-idp")}, "another country"),
    "another participant": (lambda p: {"a": p.file(participant="urn:evil")}, "not about a National Contact Point"),
    "plain http": (lambda p: {"a": p.file(address="http://ncp.pt.test/fhir")}, "not a plain https address"),
    "an address with a user": (lambda p: {"a": p.file(address="https://x@evil.test/fhir")}, "not a plain https"),
    "a broken certificate": (lambda p: {"a": p.file(certificate="AAAA")}, "certificate that cannot be read"),
    "no date": (lambda p: {"a": p.file(begins="soon")}, "ServiceActivationDate is no date"),
    "no mask": (lambda p: {"a": p.file("urn:ehealth:ISM::InternationalSearchMask##ehealth-107")}, "no search mask"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_one_countrys_metadata_is_refused(
    make: Callable[[Published], dict[str, bytes]], words: str, published: Published
) -> None:
    with pytest.raises(SettingsProblem, match=words):
        draft_from(make(published))


@pytest.mark.threat("T72")
@pytest.mark.parametrize("name", ["xml_attack/dtd.xml", "xml_attack/xmlbomb.xml"])
def test_xml_with_a_document_type_is_not_read(name: str, sample: Callable[[str], Path]) -> None:
    with pytest.raises(SettingsProblem, match="document type"):
        draft_from({"a": sample(name).read_bytes()})


def test_the_command_writes_a_draft_and_signs_nothing(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("fhir.xml", published.file()), ("ism.xml", published.mask())):
        (tmp_path / name).write_bytes(content)
    out = tmp_path / "pt.json"

    status = run(
        ["trust", "from-smp", str(tmp_path / "fhir.xml"), str(tmp_path / "ism.xml"), "--out", str(out), "--json"]
    )
    said = json.loads(capsys.readouterr().out)

    assert status == 0
    assert said["signature"] == "not verified"
    assert json.loads(out.read_text()) == said["participant"]
    assert said["participant"]["status"] == "suspended"
