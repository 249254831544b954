"""Two countries of which one speaks the classic pack: everything is found and opened as before, in other words.

Source: wire.md §4; docs/decisions/0008.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from isthmus.demo.people import PEOPLE
from isthmus.model.documents import DocumentKind
from isthmus.testing.two_countries import TwoCountries, prepare, two_countries
from isthmus.trust import pki
from isthmus.trust.encoding import unbase64url
from isthmus.trust.keys import load_signing_key
from isthmus.trust.trustlist import write_trust_list

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["BB", "AA"])
def classic(
    at_rest: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[TwoCountries]:
    """A pair in which one country, the one that asks or the one that answers, speaks ehdsi-9.1."""
    folder = tmp_path_factory.mktemp("classic") / "pair"
    prepare(folder, at_rest)
    listed = folder / "trustlist.jws"
    body = orjson.loads(unbase64url(listed.read_text().split(".")[1]))
    for participant in body["participants"]:
        participant["pack"] = "ehdsi-9.1" if participant["country"] == request.param else participant["pack"]
    listed.write_text(write_trust_list(body, load_signing_key(folder / "operator" / "operator.key.jwk", "demo")))
    pki.sign_again(folder, now=datetime.now(UTC))
    with two_countries(folder) as running:
        yield running


async def test_all_forms_are_found_and_read(classic: TwoCountries) -> None:
    async with classic.b.visit(PEOPLE["eleni"]) as visit:
        assert visit.client.pack("AA").name == "ehdsi-9.1"
        (examination,) = await visit.examinations()
        assert examination.manifest is not None
        manifest, _ = await visit.get_manifest(examination.manifest)
        report, _ = await visit.get_report(examination.reports[0])
        came = await visit.get_images(manifest.study.study_instance_uid)

        forgiven = set(visit.client.forgiven)

    assert set(examination.manifests) == {DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS}
    assert [r.kind for r in examination.reports] == [DocumentKind.REPORT_FHIR]
    assert manifest.study.study_instance_uid in report.study_instance_uids
    assert len(came) == manifest.study.instance_count == 21
    assert forgiven == set()
