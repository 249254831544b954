"""C-STORE into the archive: what a sender is told holds, and who is not listed brings nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context
from tests.archive.conftest import NOW, dicom, settings_in

from isthmus.archive.cstore import CStore, _told
from isthmus.archive.doors.answers import Told
from isthmus.archive.intake import Intake
from isthmus.archive.queries import find_instance
from isthmus.archive.verdicts import QUARANTINED, REASONS, REFUSED, Verdict
from isthmus.config import Settings
from isthmus.errors import NationalInfrastructureUnavailable, SettingsProblem
from isthmus.sections import Dimse, Sender, check_intake
from isthmus.sections import Intake as Section
from isthmus.sources import Source
from isthmus.storage.database import Database, open_index
from isthmus.testing.engines.counterparts import HOST, free_ports

CT = "1.2.840.10008.5.1.4.1.1.2"
MODALITY = Sender(name="ct-1", source="archive", ae_title="CT1", address="127.0.0.1")


class Desk:
    """Lends one intake, with the rules for senders outside."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.intake = Intake(settings, database, lambda: NOW, foreign=True)
        self.broken = False

    @contextmanager
    def images(self, source: Source) -> Iterator[Intake]:
        if self.broken:
            raise NationalInfrastructureUnavailable("the disk is full")
        yield self.intake


class Archive:
    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        section = Section(dimse=Dimse(port=self.port, ae_title="ARCHIVE"), senders=(MODALITY,))
        self.settings = replace(settings_in(folder), intake=section)
        self.database = open_index(self.settings)
        self.desk = Desk(self.settings, self.database)
        self.door = CStore(self.settings, self.desk)
        self.door.start()

    def keeps(self, sop_instance_uid: str) -> Any:
        return self.database.read_now(lambda connection: find_instance(connection, sop_instance_uid))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path)
    yield made
    made.door.stop()
    made.desk.intake.close()
    made.database.close()


def send(archive: Archive, *files: bytes, calling: str = "CT1") -> list[Dataset]:
    """What a sender is told of each file; nothing when it is not talked to."""
    sets = [dcmread(io.BytesIO(file)) for file in files]
    entity = ApplicationEntity(calling)
    entity.acse_timeout = entity.dimse_timeout = 10
    contexts = [build_context(uid, "1.2.840.10008.1.2.1") for uid in sorted({str(one.SOPClassUID) for one in sets})]
    association = entity.associate(HOST, archive.port, contexts=contexts, ae_title="ARCHIVE")
    if not association.is_established:
        return []
    told = [association.send_c_store(one) for one in sets]
    association.release()
    return told


def test_what_is_told_to_be_stored_is_kept(archive: Archive) -> None:
    (told,) = send(archive, dicom(1))

    row = archive.keeps("2.25.100001")
    assert told.Status == 0x0000
    assert (row.state, row.source, row.transfer_syntax_uid) == ("served", "archive", "1.2.840.10008.1.2.1")


def test_once_more_changes_nothing(archive: Archive) -> None:
    first, again = send(archive, dicom(1), dicom(1))

    assert (first.Status, again.Status) == (0x0000, 0x0000)


@pytest.mark.parametrize(
    "sop_class",
    [
        pytest.param("1.2.840.10008.5.1.4.1.1.88.59", id="KOS"),
        pytest.param("1.2.840.10008.5.1.4.1.1.88.11", id="SR"),
        pytest.param("1.2.840.10008.5.1.4.1.1.104.1", id="PDF"),
        pytest.param("1.2.840.10008.5.1.4.1.1.11.1", id="PR"),
        pytest.param("1.3.12.2.1107.5.9.1", id="private"),
    ],
)
def test_any_composite_object_is_taken(archive: Archive, sop_class: str) -> None:
    (told,) = send(archive, dicom(1, SOPClassUID=sop_class))

    assert told.Status == 0x0000
    assert archive.keeps("2.25.100001").sop_class_uid == sop_class


@pytest.mark.threat("T99")
def test_other_bytes_under_a_known_uid_are_refused_and_the_first_stay(archive: Archive) -> None:
    _, told = send(archive, dicom(1), dicom(1, StudyDescription="Another"))

    assert told.Status == 0x0111
    assert told.ErrorComment.startswith("other-bytes")
    assert len(told.ErrorComment) <= 64


def test_what_is_held_for_the_operator_is_stored_with_a_warning(archive: Archive) -> None:
    _, told = send(archive, dicom(1), dicom(2, PatientName="Other^Ada", PatientBirthDate="19440101"))

    assert told.Status == 0xB000
    assert told.ErrorComment.startswith("contradicts-register")
    assert "Ada" not in told.ErrorComment
    assert archive.keeps("2.25.100002") is None or archive.keeps("2.25.100002").state == "quarantined"


@pytest.mark.threat("T99")
def test_another_issuer_is_held(archive: Archive) -> None:
    (told,) = send(archive, dicom(1, IssuerOfPatientID="2.999.77"))

    assert (told.Status, told.ErrorComment[:12]) == (0xB000, "other-issuer")


def test_what_is_no_study_is_not_understood(archive: Archive) -> None:
    (told,) = send(archive, dicom(1, StudyInstanceUID=None))

    assert told.Status == 0xC000
    assert told.ErrorComment.startswith("no-study-uid")


def test_a_disk_that_is_full_is_asked_for_again(archive: Archive) -> None:
    archive.desk.broken = True

    (told,) = send(archive, dicom(1))

    assert told.Status == 0xA700
    assert archive.keeps("2.25.100001") is None


@pytest.mark.threat("T99")
def test_who_is_not_listed_brings_nothing(archive: Archive) -> None:
    assert send(archive, dicom(1), calling="ROGUE") == []
    assert archive.keeps("2.25.100001") is None


@pytest.mark.threat("T99")
@pytest.mark.parametrize(
    "wrong",
    [
        lambda section: replace(section, senders=(replace(MODALITY, address=""),)),
        lambda section: replace(section, senders=(replace(MODALITY, ae_title="A-TITLE-THAT-IS-TOO-LONG"),)),
        lambda section: replace(section, senders=(replace(MODALITY, source="nowhere"),)),
        lambda section: replace(section, dimse=replace(section.dimse, tls=True)),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused_at_start(wrong: Callable[[Section], Section]) -> None:
    section = Section(dimse=Dimse(port=104), senders=(MODALITY,))
    names = {"images": frozenset({"archive"}), "reports": frozenset({"archive"})}
    check_intake(section, "test", names)

    with pytest.raises(SettingsProblem):
        check_intake(wrong(section), "test", names)


@pytest.mark.parametrize("reason", sorted(REASONS))
@pytest.mark.parametrize("outcome", [QUARANTINED, REFUSED])
def test_what_c_store_and_stow_say_of_a_verdict_means_the_same(outcome: str, reason: str) -> None:
    verdict = Verdict(outcome, "one.dcm", reason=reason, sop_instance_uid="2.25.1", sop_class_uid=CT)
    status, comment = _told(verdict)
    told = Told()
    told.add([verdict])
    answer = orjson.loads(told.body())

    (item,) = answer.get("00081198", answer.get("00081199"))["Value"]
    code = item.get("00081197", item.get("00081196"))["Value"][0]
    assert (status >> 12 == 0xB, status == 0x0111) == (code >> 12 == 0xB, code == 0x0111)
    assert ("00081199" in answer) == (status >> 12 == 0xB)
    assert comment.startswith(item["00091001"]["Value"][0])
