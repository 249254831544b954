"""A FHIR repository that has no end: bytes that drip, pages after pages, more than anybody holds. Each ends in an error, soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from tests.national.fhir.behind import PDF, Behind, entry

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.national.fhir import client
from isthmus.testing.engines.fhir_repository import FhirRepository
from isthmus.transport.allowance import Allowance

pytestmark = pytest.mark.fault("F42")
PDF_TYPE = "application/pdf"

Node = dict[str, Any]
Opened = Callable[..., Behind]


@pytest.fixture
def opened(tmp_path: Path, repository: FhirRepository) -> Iterator[Opened]:
    """A country in front of the repository, with a source as it is said."""
    with ExitStack() as stack:
        yield lambda **source: stack.enter_context(closing(Behind(tmp_path, repository, **source)))


def endless(repository: FhirRepository, wait_s: float = 0.0, size: int = 0) -> Callable[[str, Node], Node]:
    """Every page has another report, and another page after it."""

    def answered(path: str, answer: Node) -> Node:
        if answer.get("type") != "searchset" or path.startswith("Patient"):
            return answer
        number = len(repository.asked)
        time.sleep(wait_s)
        node = entry(f"e{number}", (PDF_TYPE, PDF), description="x" * size)
        link = [{"relation": "next", "url": f"{repository.url}/DocumentReference?_count={number}"}]
        return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": node}], "link": link}

    return answered


def test_a_search_that_drips_ends(opened: Opened, repository: FhirRepository) -> None:
    repository.drips_s = 0.02

    with pytest.raises(NationalInfrastructureUnavailable, match="too long for one question"):
        opened(search_s=0.5).find()
    assert len(repository.asked) == 1


def test_pages_that_each_come_in_time_and_never_end_are_one_question(
    opened: Opened, repository: FhirRepository
) -> None:
    repository.alter = endless(repository, wait_s=0.05)

    with pytest.raises(NationalInfrastructureUnavailable, match="too long for one question"):
        opened(search_s=1.0).listed()
    assert len(repository.asked) > 3


def test_what_a_search_brings_is_bounded_in_bytes_over_all_its_pages(
    opened: Opened, repository: FhirRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Allowance.__init__, "__defaults__", (50_000,))
    repository.alter = endless(repository, size=10_000)

    with pytest.raises(NationalInfrastructureUnavailable, match="more bytes than are taken for a question"):
        opened().listed()
    assert 3 < len(repository.asked) < 10


def test_pages_are_bounded_in_number_too(
    opened: Opened, repository: FhirRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGES_MAX", 5)
    repository.alter = endless(repository)

    with pytest.raises(NationalInfrastructureUnavailable, match="pages without end"):
        opened().listed()


def test_a_document_that_drips_ends(opened: Opened, repository: FhirRepository) -> None:
    repository.put_binary("b1", PDF_TYPE, PDF)
    repository.put(entry("d1", (PDF_TYPE, "Binary/b1")))
    behind = opened(search_s=0.6)
    (listed,) = behind.listed()
    answer = repository.answer

    def dripping(target: str, accept: str) -> tuple[int, str, bytes, dict[str, str]]:
        repository.drips_s = 0.1 if "Binary" in target else 0.0
        return answer(target, accept)

    repository.answer = dripping  # type: ignore[method-assign]  # a double is bent as it is needed

    with pytest.raises(NationalInfrastructureUnavailable, match="too long for one question"):
        behind.get(listed.id)
