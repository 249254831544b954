"""The connector against a real FHIR server: HAPI's, with its own parser, searches, pages and storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.archive.conftest import Node
from tests.engines.hapi.server import Hapi, hapi
from tests.national.fhir.behind import MINE, PDF, STRANGER, Behind, OneLoop, cda, entry, patient_node, report, studies

from isthmus.errors import DocumentNotFound
from isthmus.testing.connector_contract import ConnectorContract, Offered
from isthmus.testing.studies import SyntheticStudy


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hapi]:
    with hapi(tmp_path_factory.mktemp("hapi")) as started:
        yield started


@pytest.fixture
def behind(running: Hapi, tmp_path: Path) -> Iterator[Behind]:
    running.put(patient_node("p1", MINE))
    running.put(patient_node("p2", STRANGER))
    made = Behind(tmp_path, running, report_resources=("DocumentReference", "DiagnosticReport"))
    yield made
    made.close()


class TestHapi(ConnectorContract):
    @pytest.fixture
    def offered(self, behind: Behind, running: Hapi) -> Offered:
        made = [
            SyntheticStudy(seed, patient, instances=3, series_size=2, rows=4, columns=4)
            for seed, patient in ((1, MINE), (2, STRANGER))
        ]
        Node(behind.settings, behind.index).bring(*(b"".join(study.pieces(n)) for study in made for n in range(3)))
        mine, theirs = (study.study_instance_uid for study in made)
        running.put_binary("b1", "application/fhir+json", report())
        running.put(entry("d1", ("application/fhir+json", "Binary/b1"), context=studies(mine)))
        running.put(entry("d2", ("application/pdf", PDF), patient="p2", context=studies(theirs)))
        return Offered(OneLoop(behind), MINE, mine, STRANGER, theirs)


def as_put(behind: Behind, id_: str) -> bytes:
    """A report as it was issued; what crosses of a PDF or a CDA is the European document around it."""
    try:
        return behind.issued(id_).body
    except DocumentNotFound:
        return behind.get(id_).body


def test_every_form_comes_as_it_was_put_there(behind: Behind, running: Hapi) -> None:
    forms = {"application/fhir+json": report(number=7), "text/xml": cda(), "application/pdf": PDF}
    for number, (media_type, body) in enumerate(forms.items()):
        running.put_binary(f"form-{number}", media_type, body)
        running.put(entry(f"in-form-{number}", (media_type, f"Binary/form-{number}")))

    given = {as_put(behind, document.id) for document in behind.listed()}

    assert set(forms.values()) <= given


def test_a_list_of_many_pages_is_whole(behind: Behind, running: Hapi) -> None:
    for number in range(130):
        running.put(entry(f"many-{number}", ("application/pdf", PDF + b"%d" % number)))

    listed = behind.listed()

    assert {behind.get(document.id).body for document in listed[:3]}
    assert len(listed) >= 130
    for number in range(130):
        running.delete("DocumentReference", f"many-{number}")


def test_a_document_that_is_deleted_there_is_gone(behind: Behind, running: Hapi) -> None:
    running.put(entry("short", ("application/pdf", PDF + b"short")))
    (id_,) = [document.id for document in behind.listed() if as_put(behind, document.id).endswith(b"short")]

    running.delete("DocumentReference", "short")

    assert id_ not in {document.id for document in behind.listed()}
    with pytest.raises(DocumentNotFound):
        behind.get(id_)
