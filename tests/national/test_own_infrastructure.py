"""The class that a country copies keeps what every connector keeps, named in the settings by its dotted path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.archive.conftest import NOW, settings_in
from tests.national.test_files import _patient

from isthmus.config import Settings
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.queries import PatientQuery
from isthmus.national.connector import NationalConnector
from isthmus.national.opening import Opening, open_source, open_sources
from isthmus.storage.database import open_index
from isthmus.testing.connector_contract import ConnectorContract, Offered
from isthmus.testing.own_infrastructure import OwnInfrastructure
from isthmus.testing.studies import SyntheticStudy

MINE, STRANGER = _patient("123", "Müller", "Eva"), _patient("124", "Other", "Ada")
STUDY, THEIRS = (
    SyntheticStudy(seed, patient, instances=3, series_size=2, rows=4, columns=4)
    for seed, patient in ((1, MINE), (2, STRANGER))
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A node whose patients and images lie behind the class."""
    people = [
        {
            "system": p.identifier.system, "value": p.identifier.value, "family": p.name.family, "given": p.name.given,
            "birth_date": p.birth_date, "gender": p.gender,
        }
        for p in (MINE, STRANGER)
    ]  # fmt: skip
    for study in (STUDY, THEIRS):
        for number, path in enumerate(study.write(tmp_path / "own")):
            path.rename(path.with_name(f"{study.seed}-{number}.dcm"))
    (tmp_path / "own" / "register.json").write_text(json.dumps(people))
    made = settings_in(tmp_path)
    kind = "isthmus.testing.own_infrastructure:OwnInfrastructure"
    own = replace(made.sources.images[0], kind=kind, name="own", url="own")
    return replace(made, sources=replace(made.sources, patients=(own,), reports=(), images=(own,)))


class TestOwnInfrastructure(ConnectorContract):
    @pytest.fixture
    def offered(self, settings: Settings) -> Iterator[Offered]:
        index = open_index(settings)
        with asyncio.Runner() as runner:
            connector = open_sources(settings, index, lambda: NOW)
            theirs = THEIRS.study_instance_uid
            yield Offered(connector, MINE, STUDY.study_instance_uid, STRANGER, theirs, runner.run)
            runner.run(connector.close())
        index.close()


def test_it_is_a_connector_by_itself_too(settings: Settings) -> None:
    index = open_index(settings)

    made = open_source(settings.sources.images[0], "images", Opening(settings, index, lambda: NOW))

    assert isinstance(made, OwnInfrastructure)
    assert isinstance(made, NationalConnector)
    index.close()


def test_a_register_that_does_not_answer_is_not_a_register_without_people(settings: Settings) -> None:
    index = open_index(settings)
    connector = open_sources(settings, index, lambda: NOW)
    (settings.folder / "own" / "register.json").unlink()

    with pytest.raises(NationalInfrastructureUnavailable):
        asyncio.run(connector.find_patients(PatientQuery((MINE.identifier,))))
    index.close()
