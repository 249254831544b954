"""A study under the wrong patient: seen, found, stopped, corrected, and proven, while the visit is open.

Source: trust.md T52, §4.1; requirements.md §5 (O-18).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from isthmus.audit.account import Exchange
from isthmus.demo.people import PEOPLE
from isthmus.errors import DocumentNotFound, ImagesNotFound
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import Node, TwoCountries, prepare, two_countries

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("corrections")]
ELENI, NOEMI = PEOPLE["eleni"], PEOPLE["noemi"]
ORDERED = ("--by", "M. Registrar", "--reason", "filed under the wrong patient", "--yes", "--json")
WITHDRAWN = "Withdrawn since it was listed"


@pytest.fixture(scope="module")
def pair(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    """A pair of our own: what is behind it changes."""
    folder = tmp_path_factory.mktemp("corrected") / "pair"
    prepare(folder, at_rest)
    with two_countries(folder) as running:
        yield running


class Page:
    """A professional at the portal, with a visit open."""

    def __init__(self, countries: TwoCountries, patient: Patient) -> None:
        ready = countries.demo.ready()
        self.portal, account = ready["portal"], ready["accounts"][0]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Origin"] = self.portal
        page = self.send(
            self.session.get(f"{self.portal}/sign-in"), login=account["login"], password=account["password"]
        )
        who = {"identifier": patient.identifier.value, "family": patient.name.family, "birth-date": patient.birth_date}
        page = self.send(self.session.get(f"{self.portal}/find"), country="AA", mask="AA", **who)
        self.list = self.send(page, relationship="yes", purpose="TREAT")
        self.visit = self.list.url.rpartition("/")[0]

    def send(self, page: requests.Response, **fields: str) -> requests.Response:
        token = re.search(r'name="page-token" value="([0-9a-f]+)"', page.text)
        return self.session.post(page.url, data={"page-token": token[1] if token else ""} | fields)

    def get(self, path: str) -> requests.Response:
        return self.session.get(f"{self.visit}/{path}")


def corrected(countries: TwoCountries, *words: object) -> Any:
    ended = countries.a.command("archive", *words, *ORDERED)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def seen(node: Node, study: str) -> list[dict[str, Any]]:
    """Who saw it, as the operator asks."""
    ended = node.command("audit", "list", "--of", study, "--json")
    assert ended.returncode == 0, ended.stderr
    found: list[dict[str, Any]] = json.loads(ended.stdout)["events"]
    return found


def number(patient: Patient) -> str:
    return f"{patient.identifier.system}|{patient.identifier.value}"


async def test_a_study_of_another_is_found_stopped_corrected_and_proven(pair: TwoCountries, tmp_path: Path) -> None:
    wrong = SyntheticStudy(seed=4711, patient=ELENI, instances=4, rows=32, columns=32, description="Filed wrongly")
    uid = wrong.study_instance_uid
    pair.a.take_in(*wrong.write(tmp_path / "wrong"))
    page = Page(pair, ELENI)
    study, view = page.get(f"studies/{uid}"), page.get(f"studies/{uid}/view")
    described = page.get(f"studies/{uid}/study.json").json()
    image = f"{page.portal}{described['series'][0]['instances'][0]['url']}"
    assert (study.status_code, view.status_code, page.session.get(image).status_code) == (200, 200, 200)

    async with pair.b.visit(ELENI) as visit:
        (before,) = [
            d for d in await visit.find_documents() if d.kind.value == "manifest-fhir" and uid in d.study_instance_uids
        ]
        assert len(await visit.get_images(uid)) == 4

        moved = corrected(pair, "move", "--study", uid, "--to", number(NOEMI))

        with pytest.raises(ImagesNotFound):
            await visit.get_images(uid)
        assert uid not in str(await visit.find_documents())
        with pytest.raises(DocumentNotFound):
            await visit.get_manifest(before)

    stopped = [page.get(f"studies/{uid}"), page.get(f"studies/{uid}/view"), page.session.get(image)]
    assert [answer.status_code for answer in stopped] == [404] * 3
    assert all(WITHDRAWN in answer.text for answer in stopped)
    assert "Filed wrongly" not in page.get("examinations?again=1").text
    assert (moved["instances"], moved["held"]) == (4, 4)

    right = replace(wrong, patient=NOEMI)
    pair.a.take_in(*right.write(tmp_path / "right"))
    async with pair.b.visit(NOEMI) as visit:
        assert sorted(await visit.get_images(uid)) == sorted(wrong.sop_instance_uid(n) for n in range(4))

    given = {"a": seen(pair.a, uid), "b": seen(pair.b, uid)}
    of_a = {e["exchange_id"]: e for e in given["a"] if e["transaction"] == "RAD-107"}
    of_b = {e["exchange_id"]: e for e in given["b"] if e["transaction"] == "RAD-107"}
    assert of_a.keys() == of_b.keys()
    assert {e["outcome"] for e in of_a.values()} == {"complete", "refused"}
    assert sum(e["instances"] for e in of_a.values()) >= 8  # four of them seen as the wrong patient's
    assert all("radiologist" in e["person"] and e["organisation"] for e in of_a.values())
    assert [e["purpose"] for e in given["a"] if e["transaction"] == "correction"] == ["move", "move"]
    assert pair.a.verified().intact
    assert pair.b.verified().intact


async def test_a_merged_number_finds_nobody_and_the_one_that_stays_shows_both(
    pair: TwoCountries, tmp_path: Path
) -> None:
    ilias = PEOPLE["ilias"]
    twice = replace(ilias, identifier=PatientIdentifier(ilias.identifier.system, _other(ilias.identifier.value)))
    study = SyntheticStudy(
        seed=4712, patient=twice, instances=2, rows=32, columns=32, description="Under the old number"
    )
    pair.a.register(twice)
    pair.a.take_in(*study.write(tmp_path / "twice"))

    async with pair.b.visit(twice) as before:
        assert len(await before.get_images(study.study_instance_uid)) == 2
        corrected(pair, "merge", number(twice), number(ilias))
        assert await before.find_documents() == ()
        with pytest.raises(ImagesNotFound):
            await before.get_images(study.study_instance_uid)

    async with pair.b.visit(ilias) as after:
        found = await after.get_images(study.study_instance_uid)
        (manifest, _) = await after.get_manifest(
            next(
                d
                for d in await after.find_documents()
                if study.study_instance_uid in d.study_instance_uids and d.kind.value == "manifest-fhir"
            )
        )
    assert (len(found), manifest.study.patient.identifier) == (2, ilias.identifier)

    pair.a.say(twice.identifier, "opt-out")
    shown = json.loads(pair.a.command("consent", "show", "--patient", number(ilias), "--json").stdout)
    assert [one["kind"] for one in shown["directives"]] == ["opt-out"]
    async with pair.b.visit(ilias) as silent:
        assert await silent.find_documents() == ()


def _other(value: str) -> str:
    """Another number of the same form."""
    return value[:-1] + ("1" if value[-1] != "1" else "2")


async def test_resuming_a_study_that_is_gone_says_so_and_leaves_what_lies_there(
    pair: TwoCountries, tmp_path: Path
) -> None:
    markos = PEOPLE["markos"]
    study = SyntheticStudy(seed=4713, patient=markos, instances=3, rows=32, columns=32)
    uid = study.study_instance_uid
    pair.a.take_in(*study.write(tmp_path / "in"))
    who = ("--identifier", number(markos), "--family", markos.name.family, "--birth-date", markos.birth_date)
    images = (
        "visit",
        "--as",
        "radiologist",
        "--country",
        "AA",
        *who,
        "images",
        uid,
        "--out",
        tmp_path / "out",
        "--json",
    )
    whole = pair.b.command(*images)

    corrected(pair, "delete", "--instance", study.sop_instance_uid(0))
    partly = pair.b.command(*images, "--resume")
    corrected(pair, "delete", "--study", uid)
    gone = pair.b.command(*images, "--resume")

    assert (whole.returncode, partly.returncode, gone.returncode) == (0, 0, 4), partly.stderr
    told = json.loads(partly.stdout)
    assert [one["sop_instance_uid"] for one in told["withdrawn"]] == [study.sop_instance_uid(0)]
    assert "not in the study any more" in told["notices"][0]
    assert "does not give this study any more" in json.loads(gone.stdout)["error"]["message"]
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3


def test_the_trail_names_nobody_unless_it_is_asked_for_a_study(pair: TwoCountries) -> None:
    every = json.loads(pair.a.command("audit", "list", "--json").stdout)["events"]

    assert not any("person" in event for event in every)
    assert {f for f in Exchange.__dataclass_fields__ if f not in ("person", "organisation")} == set(every[0])
