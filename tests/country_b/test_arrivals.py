"""Whose is what arrived: the grades of likeness, and what is refused."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from isthmus.country_b.arrivals import Arrival, Likeness, Traits, check_cda, compare
from isthmus.errors import ArrivalRefused, ContentMismatch, CountryMisanswered
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import ImagesQuery
from isthmus.sandbox import Sandbox

HERS = PatientIdentifier("urn:oid:2.999.1.2.1", "0012345678")
SHE = Patient(
    HERS,
    (HumanName("Müller-Papadaki", ("Eleni", "Maria")), HumanName("Παπαδάκη", ("Ελένη",), "el")),
    "1961-04-09",
    "female",
)


def traits(
    family: str = "Müller-Papadaki",
    given: str = "Eleni",
    born: str | None = "1961-04-09",
    gender: str | None = "female",
    identifier: PatientIdentifier | None = HERS,
) -> Traits:
    return Traits(identifier, (HumanName(family, (given,)),), born, gender)


@pytest.mark.requirement("WAD-18")
@pytest.mark.parametrize(
    ("said", "grade"),
    [
        (traits(), Likeness.SAME),
        (traits(family="MUELLER PAPADAKI"), Likeness.SAME),
        (traits(family="Παπαδάκη", given="Ελένη"), Likeness.SAME),
        (traits(family="Eleni", given="Müller-Papadaki"), Likeness.SAME),
        (traits(identifier=None), Likeness.EXPLAINABLE),
        (traits(family="Georgiou"), Likeness.EXPLAINABLE),
        (traits(born=None), Likeness.EXPLAINABLE),
        (traits(born="1961-04-10"), Likeness.EXPLAINABLE),
        (traits(gender=None), Likeness.SAME),
        (traits(identifier=PatientIdentifier(HERS.system, "12345678")), Likeness.CONTRADICTORY),
        (traits(identifier=PatientIdentifier("urn:oid:2.999.9", "77")), Likeness.EXPLAINABLE),
        (traits(family="Georgiou", born="1950-01-01"), Likeness.CONTRADICTORY),
    ],
)
def test_traits_are_graded_against_the_person_confirmed(said: Traits, grade: Likeness) -> None:
    assert compare(SHE, said) is grade


class TestAnInstance:
    """On its way in, fed in pieces."""

    @pytest.fixture
    def original(self, sample: Callable[[str], Path]) -> bytes:
        return sample("dicom/mr_transfer_syntaxes/1_explicit_le.dcm").read_bytes()

    def take(self, data: bytes, patient: Patient, headers: dict[str, str] | None = None, **asked: str) -> Likeness:
        query = ImagesQuery(asked.get("study") or _uids(data)["study"], asked.get("series"), asked.get("sop"))
        arrival = Arrival(patient, query, headers or {}, "AA")
        for start in range(0, len(data), 10_000):
            arrival.feed(memoryview(data)[start : start + 10_000])
        return arrival.close().likeness

    def owner(self, data: bytes) -> Patient:
        header = pydicom.dcmread(_file(data), stop_before_pixels=True)
        born = str(header.get("PatientBirthDate", "")) or "19000101"
        return Patient(
            PatientIdentifier("urn:oid:2.999.1", str(header.PatientID)),
            (HumanName(str(header.PatientName.family_name) or "x", (str(header.PatientName.given_name),)),),
            f"{born[:4]}-{born[4:6]}-{born[6:]}",
            "other",
        )

    def test_of_the_person_confirmed_is_taken(self, original: bytes) -> None:
        likeness = self.take(original, self.owner(original))

        assert likeness is not Likeness.CONTRADICTORY

    def test_that_differs_from_its_announced_digest_is_refused(self, original: bytes) -> None:
        other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()

        with pytest.raises(ContentMismatch) as caught:
            self.take(original, self.owner(original), {"content-digest": f"sha-256=:{other}:"})

        assert caught.value.reason == "digest"

    def test_of_another_study_than_asked_for_is_refused(self, original: bytes) -> None:
        with pytest.raises(CountryMisanswered):
            self.take(original, self.owner(original), study="2.25.1")

    def test_cut_short_is_refused(self, original: bytes) -> None:
        with pytest.raises(ArrivalRefused):
            self.take(original[:-5000], self.owner(original), study=_uids(original)["study"])

    def test_with_an_active_preamble_is_refused_at_once(self, original: bytes) -> None:
        hostile = b"MZ" + original[2:]
        arrival = Arrival(self.owner(original), ImagesQuery(_uids(original)["study"]), {}, "AA")

        with pytest.raises(ArrivalRefused):
            arrival.feed(hostile[:4096])


def _file(data: bytes) -> pydicom.filebase.DicomBytesIO:
    return pydicom.filebase.DicomBytesIO(data)


def _uids(data: bytes) -> dict[str, str]:
    header = pydicom.dcmread(_file(data), stop_before_pixels=True)
    return {"study": str(header.StudyInstanceUID)}


def _cda(*numbers: tuple[str, str], family: str = "Müller-Papadaki", born: str = "19610409") -> bytes:
    ids = "".join(f'<id root="{root}" extension="{value}"/>' for root, value in numbers)
    return (
        f'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="2.999.9.1"/><recordTarget><patientRole>{ids}<patient><name>'
        f'<given>Eleni</given><family>{family}</family></name><administrativeGenderCode code="F"/>'
        f'<birthTime value="{born}"/></patient></patientRole></recordTarget></ClinicalDocument>'
    ).encode()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = Sandbox()
    yield box
    box.close()


HER_NUMBER = ("2.999.1.2.1", HERS.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("document", "grade"),
    [
        (_cda(HER_NUMBER), Likeness.SAME),
        (_cda(("2.999.9", "77"), HER_NUMBER), Likeness.SAME),
        (_cda(("2.999.9", "77")), Likeness.EXPLAINABLE),
        (_cda(HER_NUMBER, family="Georgiou"), Likeness.EXPLAINABLE),
    ],
    ids=["hers", "another issuer first", "another issuer alone", "another family name"],
)
async def test_a_cda_of_the_person_is_graded(sandbox: Sandbox, document: bytes, grade: Likeness) -> None:
    assert await check_cda(sandbox, SHE, document, "AA") is grade


@pytest.mark.anyio
@pytest.mark.requirement("RET-10")
@pytest.mark.parametrize(
    "document",
    [
        _cda(("2.999.1.2.1", "12345678")),
        _cda(("2.999.9", "77"), ("2.999.1.2.1", "12345678")),
        _cda(("2.999.9", "77"), family="Georgiou", born="19500101"),
    ],
    ids=["another number", "another number behind a strange one", "another name and birth date"],
)
async def test_a_cda_of_somebody_else_is_refused(sandbox: Sandbox, document: bytes) -> None:
    with pytest.raises(ArrivalRefused) as caught:
        await check_cda(sandbox, SHE, document, "AA")

    assert caught.value.reason == "wrong-patient"


@pytest.mark.anyio
@pytest.mark.parametrize("document", [b"<html/>", _cda(), _cda(HER_NUMBER)[:-40], b"%PDF-1.7", b""])
async def test_a_cda_that_names_nobody_or_is_none_is_the_countrys_mistake(sandbox: Sandbox, document: bytes) -> None:
    with pytest.raises(CountryMisanswered):
        await check_cda(sandbox, SHE, document, "AA")
