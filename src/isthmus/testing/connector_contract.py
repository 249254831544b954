"""What every national connector must keep, as tests to be inherited.

    class TestOurConnector(ConnectorContract):
        @pytest.fixture
        def offered(self) -> Offered: ...

`offered` holds the connector with at least two patients known to it: one with images and a document, and a stranger with images.

Source: interfaces.md §7; field-faults F04, F38.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from isthmus.errors import DocumentNotFound, ImagesNotFound
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.pieces import Arriving, FileRange
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.national.connector import NationalConnector

T = TypeVar("T")


@dataclass(frozen=True)
class Offered:
    """A connector, and what is known to lie behind it."""

    connector: NationalConnector
    patient: Patient
    study_instance_uid: str
    stranger: Patient
    strangers_study: str


class ConnectorContract:
    """Inherit, and give `offered`."""

    def test_it_has_the_four_verbs(self, offered: Offered) -> None:
        assert isinstance(offered.connector, NationalConnector)
        assert offered.connector.zone is not None

    def test_a_patient_is_found_by_identifier_alone(self, offered: Offered) -> None:
        found = _run(offered.connector.find_patients(PatientQuery((offered.patient.identifier,))))

        assert [patient.identifier for patient in found] == [offered.patient.identifier]

    def test_names_match_whatever_their_case(self, offered: Offered) -> None:
        known = offered.patient
        query = PatientQuery((known.identifier,), family=known.name.family.upper(), birth_date=known.birth_date)

        assert len(_run(offered.connector.find_patients(query))) == 1

    def test_another_birth_date_finds_nobody(self, offered: Offered) -> None:
        query = PatientQuery((offered.patient.identifier,), birth_date="1871-01-18")

        assert not _run(offered.connector.find_patients(query))

    def test_part_of_a_name_finds_nobody(self, offered: Offered) -> None:
        query = PatientQuery((offered.patient.identifier,), family=offered.patient.name.family[:-1])

        assert not _run(offered.connector.find_patients(query))

    def test_the_same_number_of_another_issuer_is_nobody(self, offered: Offered) -> None:
        other = PatientIdentifier(offered.patient.identifier.system + ".1", offered.patient.identifier.value)

        assert not _run(offered.connector.find_patients(PatientQuery((other,))))
        assert not _run(offered.connector.find_documents(DocumentQuery(patient=other)))

    def test_leading_zeros_count(self, offered: Offered) -> None:
        other = replace(offered.patient.identifier, value=f"0{offered.patient.identifier.value}")

        assert not _run(offered.connector.find_patients(PatientQuery((other,))))

    def test_every_study_has_a_manifest_of_this_patient(self, offered: Offered) -> None:
        found = _run(offered.connector.find_documents(DocumentQuery(patient=offered.patient.identifier)))

        manifests = [d for d in found if d.kind.is_manifest and offered.study_instance_uid in d.study_instance_uids]
        assert manifests
        assert {document.patient for document in found} == {offered.patient.identifier}

    def test_what_is_listed_stays_the_same(self, offered: Offered) -> None:
        query = DocumentQuery(patient=offered.patient.identifier)

        assert list(_run(offered.connector.find_documents(query))) == list(
            _run(offered.connector.find_documents(query))
        )

    def test_a_document_is_the_same_bytes_each_time(self, offered: Offered) -> None:
        mine = offered.patient.identifier
        first = _run(offered.connector.find_documents(DocumentQuery(patient=mine)))[0]

        one, two = (_run(offered.connector.get_document(mine, first.id)) for _ in range(2))

        assert one.body == two.body
        assert one.body
        assert one.media_type == first.media_type
        assert first.size_bytes in (None, len(one.body))

    def test_a_strangers_document_is_not_found(self, offered: Offered) -> None:
        theirs = _run(offered.connector.find_documents(DocumentQuery(patient=offered.stranger.identifier)))[0]

        with pytest.raises(DocumentNotFound):
            _run(offered.connector.get_document(offered.patient.identifier, theirs.id))

    def test_an_id_that_is_none_is_not_found(self, offered: Offered) -> None:
        for wrong in ("", "x", "-1", "0", "99999999999999999999", "1'--", "١"):
            with pytest.raises(DocumentNotFound):
                _run(offered.connector.get_document(offered.patient.identifier, wrong))

    def test_images_come_in_one_order_and_are_of_the_study(self, offered: Offered) -> None:
        mine, query = offered.patient.identifier, ImagesQuery(offered.study_instance_uid)

        one, two = (list(_run(offered.connector.get_images(mine, query))) for _ in range(2))

        assert one
        assert [instance.sop_instance_uid for instance in one] == [instance.sop_instance_uid for instance in two]
        assert {instance.study_instance_uid for instance in one} == {offered.study_instance_uid}
        assert all(isinstance(instance.content, (FileRange, Arriving)) for instance in one)

    def test_a_series_and_an_instance_are_parts_of_the_study(self, offered: Offered) -> None:
        mine, study = offered.patient.identifier, offered.study_instance_uid
        whole = _run(offered.connector.get_images(mine, ImagesQuery(study)))
        one = whole[-1]

        series = _run(offered.connector.get_images(mine, ImagesQuery(study, one.series_instance_uid)))
        instance = _run(
            offered.connector.get_images(mine, ImagesQuery(study, one.series_instance_uid, one.sop_instance_uid))
        )

        assert {i.series_instance_uid for i in series} == {one.series_instance_uid}
        assert [i.sop_instance_uid for i in instance] == [one.sop_instance_uid]

    def test_a_strangers_study_is_not_found(self, offered: Offered) -> None:
        said = []
        for study in (offered.strangers_study, "2.25.404"):
            with pytest.raises(ImagesNotFound) as caught:
                _run(offered.connector.get_images(offered.patient.identifier, ImagesQuery(study)))
            said.append(str(caught.value))

        assert said[0] == said[1]

    def test_an_instance_under_a_series_that_is_not_its_own_is_not_found(self, offered: Offered) -> None:
        mine, study = offered.patient.identifier, offered.study_instance_uid
        one = _run(offered.connector.get_images(mine, ImagesQuery(study)))[0]

        with pytest.raises(ImagesNotFound):
            _run(offered.connector.get_images(mine, ImagesQuery(study, "2.25.404", one.sop_instance_uid)))


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)
