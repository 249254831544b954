"""What every national connector must keep, as tests to be inherited.

    class TestOurConnector(ConnectorContract):
        @pytest.fixture
        def offered(self) -> Iterator[Offered]:
            with asyncio.Runner() as runner:  # one loop for all questions, as in a node
                connector = ...
                yield Offered(connector, patient, study_uid, stranger, strangers_study_uid, runner.run)

`offered` holds the connector with at least two patients known to it: one with images and a document, and a stranger with images.

Source: interfaces.md §7; field-faults F04, F38.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from isthmus.errors import DocumentNotFound, ImagesNotFound
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.pieces import Arriving, FileRange, StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery, PatientQuery
from isthmus.national.connector import DescribesImages, NationalConnector
from isthmus.national.trial import nearly


@dataclass(frozen=True)
class Offered:
    """A connector, and what is known to lie behind it. `run` asks it: in one loop, where its connections belong to a loop."""

    connector: NationalConnector
    patient: Patient
    study_instance_uid: str
    stranger: Patient
    strangers_study: str
    run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run


class ConnectorContract:
    """Inherit, and give `offered`."""

    def test_it_has_the_four_verbs(self, offered: Offered) -> None:
        assert isinstance(offered.connector, NationalConnector)
        assert offered.connector.zone is not None

    def test_a_patient_is_found_by_identifier_alone(self, offered: Offered) -> None:
        found = offered.run(offered.connector.find_patients(PatientQuery((offered.patient.identifier,))))

        assert [patient.identifier for patient in found] == [offered.patient.identifier]

    def test_names_match_whatever_their_case(self, offered: Offered) -> None:
        known = offered.patient
        query = PatientQuery((known.identifier,), family=known.name.family.upper(), birth_date=known.birth_date)

        assert len(offered.run(offered.connector.find_patients(query))) == 1

    def test_another_birth_date_finds_nobody(self, offered: Offered) -> None:
        query = PatientQuery((offered.patient.identifier,), birth_date="1871-01-18")

        assert not offered.run(offered.connector.find_patients(query))

    def test_part_of_a_name_finds_nobody(self, offered: Offered) -> None:
        query = PatientQuery((offered.patient.identifier,), family=offered.patient.name.family[:-1])

        assert not offered.run(offered.connector.find_patients(query))

    def test_the_same_number_of_another_issuer_is_nobody(self, offered: Offered) -> None:
        other = PatientIdentifier(offered.patient.identifier.system + ".1", offered.patient.identifier.value)

        assert not offered.run(offered.connector.find_patients(PatientQuery((other,))))
        assert not offered.run(offered.connector.find_documents(DocumentQuery(patient=other)))

    def test_leading_zeros_count(self, offered: Offered) -> None:
        other = replace(offered.patient.identifier, value=f"0{offered.patient.identifier.value}")

        assert not offered.run(offered.connector.find_patients(PatientQuery((other,))))

    def test_every_study_has_a_manifest_of_this_patient(self, offered: Offered) -> None:
        found = offered.run(offered.connector.find_documents(DocumentQuery(patient=offered.patient.identifier)))

        manifests = [d for d in found if d.kind.is_manifest and offered.study_instance_uid in d.study_instance_uids]
        assert manifests
        assert {document.patient for document in found} == {offered.patient.identifier}

    def test_what_is_listed_stays_the_same(self, offered: Offered) -> None:
        query = DocumentQuery(patient=offered.patient.identifier)

        assert list(offered.run(offered.connector.find_documents(query))) == list(
            offered.run(offered.connector.find_documents(query))
        )

    def test_a_document_is_the_same_bytes_each_time(self, offered: Offered) -> None:
        mine = offered.patient.identifier
        first = offered.run(offered.connector.find_documents(DocumentQuery(patient=mine)))[0]

        one, two = (offered.run(offered.connector.get_document(mine, first.id)) for _ in range(2))

        assert one.body == two.body
        assert one.body
        assert one.media_type == first.media_type
        assert first.size_bytes in (None, len(one.body))

    def test_a_strangers_document_is_not_found(self, offered: Offered) -> None:
        theirs = offered.run(offered.connector.find_documents(DocumentQuery(patient=offered.stranger.identifier)))[0]

        with pytest.raises(DocumentNotFound):
            offered.run(offered.connector.get_document(offered.patient.identifier, theirs.id))

    def test_an_id_that_is_none_is_not_found(self, offered: Offered) -> None:
        for wrong in ("", "x", "-1", "0", "99999999999999999999", "1'--", "١"):
            with pytest.raises(DocumentNotFound):
                offered.run(offered.connector.get_document(offered.patient.identifier, wrong))

    def test_images_come_in_one_order_and_are_of_the_study(self, offered: Offered) -> None:
        mine, query = offered.patient.identifier, ImagesQuery(offered.study_instance_uid)

        one, two = (list(offered.run(offered.connector.get_images(mine, query))) for _ in range(2))

        assert one
        assert [instance.sop_instance_uid for instance in one] == [instance.sop_instance_uid for instance in two]
        assert {instance.study_instance_uid for instance in one} == {offered.study_instance_uid}
        assert all(isinstance(instance.content, (FileRange, Arriving)) for instance in one)

    def test_a_series_and_an_instance_are_parts_of_the_study(self, offered: Offered) -> None:
        mine, study = offered.patient.identifier, offered.study_instance_uid
        whole = offered.run(offered.connector.get_images(mine, ImagesQuery(study)))
        one = whole[-1]

        series = offered.run(offered.connector.get_images(mine, ImagesQuery(study, one.series_instance_uid)))
        instance = offered.run(
            offered.connector.get_images(mine, ImagesQuery(study, one.series_instance_uid, one.sop_instance_uid))
        )

        assert {i.series_instance_uid for i in series} == {one.series_instance_uid}
        assert [i.sop_instance_uid for i in instance] == [one.sop_instance_uid]

    def test_a_strangers_study_is_not_found(self, offered: Offered) -> None:
        said = []
        for study in (offered.strangers_study, "2.25.404"):
            with pytest.raises(ImagesNotFound) as caught:
                offered.run(offered.connector.get_images(offered.patient.identifier, ImagesQuery(study)))
            said.append(str(caught.value))

        assert said[0] == said[1]

    def test_an_instance_under_a_series_that_is_not_its_own_is_not_found(self, offered: Offered) -> None:
        mine, study = offered.patient.identifier, offered.study_instance_uid
        one = offered.run(offered.connector.get_images(mine, ImagesQuery(study)))[0]

        with pytest.raises(ImagesNotFound):
            offered.run(offered.connector.get_images(mine, ImagesQuery(study, "2.25.404", one.sop_instance_uid)))

    def test_nothing_of_a_stranger_is_given_by_any_verb(self, offered: Offered) -> None:
        """In both directions, at every level, in the words for what does not exist."""
        pairs = ((offered.patient, offered.strangers_study), (offered.stranger, offered.study_instance_uid))
        for (person, theirs), (_, own) in zip(pairs, reversed(pairs), strict=True):
            listed = offered.run(offered.connector.find_documents(DocumentQuery(patient=person.identifier)))
            narrowed = DocumentQuery(patient=person.identifier, study_instance_uids=(theirs,))
            found = offered.run(offered.connector.find_documents(narrowed))
            assert own in {uid for document in listed for uid in document.study_instance_uids}
            assert {theirs}.isdisjoint(uid for d in (*listed, *found) for uid in d.study_instance_uids)
        owner, asker = offered.stranger.identifier, offered.patient.identifier
        for document in offered.run(offered.connector.find_documents(DocumentQuery(patient=owner))):
            with pytest.raises(DocumentNotFound):
                offered.run(offered.connector.get_document(asker, document.id))
        one = offered.run(offered.connector.get_images(owner, ImagesQuery(offered.strangers_study)))[0]
        for query in _levels(one):
            with pytest.raises(ImagesNotFound):
                offered.run(offered.connector.get_images(asker, query))
            if isinstance(offered.connector, DescribesImages):
                with pytest.raises(ImagesNotFound):
                    offered.run(offered.connector.get_metadata(asker, query))

    def test_a_strangers_series_under_ones_own_study_is_not_found(self, offered: Offered) -> None:
        theirs = ImagesQuery(offered.strangers_study)
        one = offered.run(offered.connector.get_images(offered.stranger.identifier, theirs))[0]
        mixed = ImagesQuery(offered.study_instance_uid, one.series_instance_uid, one.sop_instance_uid)

        for query in (mixed, replace(mixed, sop_instance_uid=None)):
            with pytest.raises(ImagesNotFound):
                offered.run(offered.connector.get_images(offered.patient.identifier, query))

    def test_what_nearly_is_an_identifier_is_nobody(self, offered: Offered) -> None:
        known, study = offered.patient.identifier, ImagesQuery(offered.study_instance_uid)
        for near in nearly(known):
            assert not offered.run(offered.connector.find_patients(PatientQuery((near,)))), near.value
            assert not offered.run(offered.connector.find_documents(DocumentQuery(patient=near))), near.value
            with pytest.raises(ImagesNotFound):
                offered.run(offered.connector.get_images(near, study))

    def test_what_nearly_is_a_uid_is_not_found(self, offered: Offered) -> None:
        uid = offered.study_instance_uid
        for near in (uid[:-1] + "*", uid[:-1], uid + ".0", uid[:-1] + "?", f"{uid},{uid}", f"{uid}\\{uid}", "*"):
            with pytest.raises(ImagesNotFound):
                offered.run(offered.connector.get_images(offered.patient.identifier, ImagesQuery(near)))

    def test_the_bytes_of_an_instance_are_the_same_each_time_and_as_told(self, offered: Offered) -> None:
        mine, query = offered.patient.identifier, ImagesQuery(offered.study_instance_uid)

        async def once() -> list[tuple[StoredInstance, bytes]]:
            found = await offered.connector.get_images(mine, query)
            return [(instance, await whole(instance)) for instance in found]

        one, two = offered.run(once()), offered.run(once())

        assert [file for _, file in one] == [file for _, file in two]
        assert all(file for _, file in one)
        for instance, file in one:
            assert instance.size_bytes in (None, len(file))
            assert instance.sha256 in (None, sha256(file).hexdigest())


async def whole(instance: StoredInstance) -> bytes:
    """The bytes of an instance, held at once: for a test."""
    content = instance.content
    if isinstance(content, FileRange):
        return await asyncio.to_thread(_range, content)
    assert isinstance(content, Arriving)
    return b"".join([bytes(piece) async for piece in content.open()])


def _range(place: FileRange) -> bytes:
    with Path(place.path).open("rb") as file:
        file.seek(place.offset)
        return file.read(place.size_bytes)


def _levels(one: StoredInstance) -> Sequence[ImagesQuery]:
    study = ImagesQuery(one.study_instance_uid)
    series = replace(study, series_instance_uid=one.series_instance_uid)
    return study, series, replace(series, sop_instance_uid=one.sop_instance_uid)
