"""After whatever corrections, in whatever order: nothing is served to two patients, and all that is served is its study's patient's."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies
from sqlalchemy import select
from tests.archive.conftest import Node, dicom, settings_in
from tests.archive.corrections.conftest import EVA, IDA, IDAS, OLD, OLD_EVA, Kept, note

from isthmus.archive import register
from isthmus.errors import IsthmusError
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import open_index
from isthmus.storage.schema.archive import documents, instances, prepared, studies

PEOPLE = (EVA, OLD_EVA, IDA)
STUDIES = ("2.25.10", "2.25.20", "2.25.30")
SAID: tuple[dict[str, Any], ...] = ({}, OLD, IDAS)
Step = tuple[str, int, int]

steps = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(
            [
                "bring",
                "bring",
                "anew",
                "move",
                "delete",
                "delete-one",
                "restore",
                "merge",
                "split",
                "note",
                "move-one",
                "list",
            ]
        ),
        strategies.integers(0, 2),
        strategies.integers(0, 2),
    ),
    max_size=16,
)


def take(kept: Kept, step: Step) -> None:
    what, a, b = step
    study, one = STUDIES[a], f"2.25.10000{a + 1}"
    match what:
        case "bring":
            kept.bring(dicom(10 * b + a + 1, study=study, **SAID[b]))
        case "anew":
            kept.bring(dicom(a + 1, study=study, **SAID[b]))
        case "move":
            kept.move(PEOPLE[b], study=study)
        case "move-one":
            kept.move(PEOPLE[b], instance=one)
        case "delete":
            kept.delete(study=study)
        case "delete-one":
            kept.delete(instance=one)
        case "restore":
            kept.restore(study=study)
        case "merge":
            kept.merge(PEOPLE[a % 2], PEOPLE[1 - a % 2])
        case "split":
            kept.split(PEOPLE[a % 2])
        case "note":
            kept.bring(note(one, study=study, number=900 + 3 * a + b, **SAID[b]))
        case _:
            kept.documents(PEOPLE[a])


def whole(kept: Kept) -> None:
    """What must be so whatever happened."""

    def read(c: Any) -> tuple[list[Any], list[Any]]:
        owned = select(instances, studies.c.patient_id.label("owner"))
        joined = owned.join(studies, studies.c.study_instance_uid == instances.c.study_instance_uid)
        offered = c.execute(joined.where(instances.c.state == "served")).all()
        of = select(documents.c.patient_id, studies.c.patient_id.label("owner"))
        manifests = of.join(prepared, prepared.c.document == documents.c.number)
        manifests = manifests.join(studies, studies.c.study_instance_uid == prepared.c.study_instance_uid)
        return list(offered), list(c.execute(manifests.where(documents.c.state == "served")).all())

    offered, manifests = kept.node.database.read_now(read)
    assert all(row.patient_id == row.owner for row in offered)
    assert all(row.patient_id == row.owner for row in manifests if row.owner is not None)
    uids = [row.sop_instance_uid for row in offered]
    assert len(uids) == len(set(uids))
    given = [(study, one) for who in PEOPLE for study in STUDIES for one in kept.served(who, study)]
    assert len(given) == len(set(given)), "an instance is given to two patients"
    for who in PEOPLE:
        _only_names(kept, who)


def _only_names(kept: Kept, who: PatientIdentifier) -> None:
    """Every file that is given names the patient, by a number that the register says is theirs."""
    known = kept.node.database.read_now(lambda c: register.patient_row(c, who))
    names = {f"{one.system}|{one.value}" for one in (who, *(known[1].former if known else ()))}
    rows = {row.sop_instance_uid[-3:]: row.said_patient for row in kept.node.rows() if row.state == "served"}
    for study in STUDIES:
        assert {rows[one] for one in kept.served(who, study)} <= names


@settings(max_examples=40, deadline=None)
@given(steps)
def test_nothing_is_ever_served_to_two_and_all_that_is_served_is_its_studys_patients(taken: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = settings_in(Path(folder))
        database = open_index(made)
        kept = Kept(Node(made, database))
        kept.register(OLD_EVA, "Testova", "Eva", "1970-01-01")
        kept.register(IDA, "Anderssen", "Ida", "1955-12-31")
        try:
            for start in (("bring", 0, 0), ("bring", 1, 1), ("bring", 2, 2)):
                take(kept, start)
            for step in taken:
                with contextlib.suppress(IsthmusError):
                    take(kept, step)
                whole(kept)
        finally:
            database.close()
