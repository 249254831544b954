"""An emergency through both countries: what it opens, what stays closed, and what both trails say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from isthmus.demo.people import PEOPLE
from isthmus.demo.studies import STUDIES
from isthmus.errors import InsufficientRights
from isthmus.testing.two_countries import Node, TwoCountries, prepare, two_countries

pytestmark = pytest.mark.anyio
WORDS = "GCS 7 after a fall, no relatives present."


@pytest.fixture(scope="module")
def pair(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCountries]:
    folder = tmp_path_factory.mktemp("emergency") / "pair"
    prepare(folder, at_rest)
    with two_countries(folder) as running:
        yield running


def told(node: Node, value: str) -> list[dict[str, Any]]:
    """What a trail says of emergencies of one patient."""
    return [e for e in node.events() if e["transaction"] == "emergency" and e["patient"]["value"] == value]


@pytest.mark.threat("T44")
async def test_an_emergency_opens_what_was_restricted_and_both_trails_say_why(pair: TwoCountries) -> None:
    petra, hidden = PEOPLE["petra"], STUDIES["mr-petra"].study_instance_uid

    async with pair.b.visit(petra) as visit:
        ordinary = await visit.examinations()
        visit.declare(WORDS)
        lifted = await visit.examinations()
        came = await visit.get_images(hidden)

    assert (len(ordinary), len(lifted)) == (1, 2)
    assert came
    for node in (pair.a, pair.b):
        (begun,) = told(node, petra.identifier.value)
        assert (begun["details"]["event"], begun["purpose"]) == ("110127", "BTG")
        assert WORDS in begun["details"]["reason"]
        assert begun["person"].startswith("radiologist")


@pytest.mark.threat("T45")
async def test_who_opted_out_stays_closed(pair: TwoCountries) -> None:
    async with pair.b.visit(PEOPLE["iason"]) as visit:
        visit.declare(WORDS)

        assert await visit.find_documents() == ()


@pytest.mark.threat("T44")
async def test_a_nurse_is_refused_and_nothing_is_kept(pair: TwoCountries) -> None:
    lazaros = PEOPLE["lazaros"]

    async with pair.b.visit(lazaros, "nurse") as visit:
        visit.declare(WORDS)
        with pytest.raises(InsufficientRights):
            await visit.find_documents()

    assert told(pair.a, lazaros.identifier.value) == []


@pytest.mark.threat("T44")
async def test_where_nobody_can_be_told_the_notice_waits_and_somebody_sees_it(pair: TwoCountries) -> None:
    petra = PEOPLE["petra"]
    async with pair.b.visit(petra) as visit:
        visit.declare(WORDS)
        await visit.find_documents()
    await asyncio.sleep(0)

    listed = pair.a.command("consent", "reviews", "--json")

    assert listed.returncode == 0
    assert '"notice": "due"' in listed.stdout
    assert petra.identifier.value not in listed.stdout


async def test_the_command_line_declares_one_too(pair: TwoCountries) -> None:
    petra = PEOPLE["petra"]
    who = [
        "--as",
        "emergency",
        "--country",
        "AA",
        "--identifier",
        f"{petra.identifier.system}|{petra.identifier.value}",
    ]
    person = ["--family", petra.name.family, "--birth-date", petra.birth_date]

    bare = pair.b.command("visit", *who, *person, "--purpose", "BTG", "list", "--json")
    said = pair.b.command("visit", *who, *person, "--purpose", "BTG", "--reason", WORDS, "list", "--json")

    assert (bare.returncode, said.returncode) == (2, 0)
    assert STUDIES["mr-petra"].study_instance_uid in said.stdout


async def test_explain_says_of_a_decision_that_was_taken_what_was_hidden_and_why(pair: TwoCountries) -> None:
    petra, hidden = PEOPLE["petra"], STUDIES["mr-petra"].study_instance_uid
    async with pair.b.visit(petra) as visit:
        await visit.find_documents()
    taken = next(e for e in reversed(pair.a.events()) if e["transaction"] == "ITI-67")
    pair.a.say(petra.identifier, "restrict-study", hidden, withdraw=True)

    told = orjson.loads(pair.a.command("consent", "explain", "--did", taken["decision"]["id"], "--json").stdout)
    pair.a.say(petra.identifier, "restrict-study", hidden)

    why = {(tuple(one["study_instance_uids"]), one["why"], *one["directives"]) for one in told["documents"]}
    assert ((hidden,), "directive", f"restrict-study {hidden}") in why
    assert {one["given"] for one in told["documents"]} == {True, False}
    assert told["version_then"] == taken["decision"]["version"]


@pytest.mark.threat("T44")
async def test_emergencies_are_counted_by_professional_and_flagged(pair: TwoCountries) -> None:
    counted = orjson.loads(pair.a.command("consent", "statistics", "--json").stdout)["professionals"]

    (ours,) = [one for one in counted if one["person"] == "radiologist"]
    assert ours["emergencies"] >= 2
    assert ours["flagged"] is True


async def test_a_review_is_closed_and_the_patient_reads_what_came_of_it(pair: TwoCountries) -> None:
    petra = PEOPLE["petra"]
    first = orjson.loads(pair.a.command("consent", "reviews", "--json").stdout)["emergencies"][0]

    closed = pair.a.command(
        "consent", "review", first["id"], "--finding", "justified", "--note", "asked the department"
    )
    again = pair.a.command("consent", "review", first["id"], "--finding", "justified", "--note", "asked the department")

    (review,) = [e for e in pair.a.events() if e["transaction"] == "review"]
    assert (closed.returncode, again.returncode) == (0, 4)
    assert (review["patient"]["value"], review["details"]["reason"]) == (
        petra.identifier.value,
        "justified: asked the department",
    )
