"""A FHIR repository with one patient and a stranger, and the country in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.national.fhir.behind import MINE, STRANGER, Behind, patient_node

from isthmus.testing.engines.fhir_repository import FhirRepository, fhir_repository


@pytest.fixture
def repository() -> Iterator[FhirRepository]:
    with fhir_repository() as started:
        started.put(patient_node("p1", MINE))
        started.put(patient_node("p2", STRANGER))
        yield started


@pytest.fixture
def behind(tmp_path: Path, repository: FhirRepository) -> Iterator[Behind]:
    made = Behind(tmp_path, repository)
    yield made
    made.close()
