"""The corpus against every way into the archive: no crash, no hang, bounded memory, and each file with its reason.

Source: trust.md §2.9, T63 to T67, T72, T98, T99.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import NOW, SANDBOX, Node, dicom, settings_in
from tests.archive.doors.conftest import Intakes, running, with_intake
from tests.archive.doors.test_drop import Watched, watched_in
from tests.hostile.corpus import CORPUS, DICOM, REFUSED, Hostile, file, front, image, mutations

from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.drop import Drop
from isthmus.archive.folders import Order, bring
from isthmus.archive.reports import Reports
from isthmus.archive.verdicts import REASONS, Verdict
from isthmus.storage.database import open_index
from isthmus.wire.packs.pack import load_pack

SOON_S = 10.0  # on a busy machine; alone each takes a fraction of a second
MUTATIONS = 200
ROOT = Path(__file__).resolve().parents[2]
whole_corpus = pytest.mark.parametrize("hostile", CORPUS, ids=str)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intakes]:
    settings = with_intake(tmp_path_factory.mktemp("doors"))
    database = open_index(settings)
    yield from running(settings, database)
    database.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    settings = settings_in(tmp_path)
    database = open_index(settings)
    yield Node(settings, database)
    database.close()


def judged(hostile: Hostile, outcome: str, reason: str | None) -> None:
    assert outcome == hostile.outcome
    assert reason in REASONS
    assert not hostile.reasons or reason in hostile.reasons


def brought(node: Node, path: Path) -> list[Verdict]:
    intake = node.intake()
    reports = Reports(node.database, intake.container, lambda: NOW, load_pack(), SANDBOX)
    verdicts = list(bring(intake, reports, [str(path)], Order()))
    intake.close()
    return verdicts


@pytest.mark.threat("T63")
@pytest.mark.threat("T64")
@pytest.mark.threat("T98")
@whole_corpus
def test_an_import_says_what_is_wrong_with_it(node: Node, tmp_path: Path, hostile: Hostile) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(hostile.build())
    began = time.monotonic()

    verdicts = brought(node, path)

    assert time.monotonic() - began < SOON_S
    assert verdicts
    for verdict in verdicts:
        judged(hostile, verdict.outcome, verdict.reason)


@pytest.mark.threat("T69")
@whole_corpus
def test_a_sender_by_stow_is_told_what_is_wrong_with_it(doors: Intakes, hostile: Hostile) -> None:
    began = time.monotonic()

    reply = doors.store(hostile.build(), dicom(1))

    assert time.monotonic() - began < SOON_S
    assert reply.status == 202
    assert "2.25.100001" in reply.uids()
    assert len(reply.reasons()) == 1
    named = hostile if hostile in DICOM else replace(hostile, reasons=("not-dicom",))
    judged(named, REFUSED if "00081198" in reply.json or _is_failure(reply.json) else "quarantined", reply.reasons()[0])


def _is_failure(told: Any) -> bool:
    """Whether what has no UIDs to be named by was refused, and not held."""
    from isthmus.archive.doors.answers import IN_QUARANTINE

    codes = [item["00081197"]["Value"][0] for item in told.get("0008119A", {}).get("Value", [])]
    return bool(codes) and IN_QUARANTINE not in codes


@pytest.mark.threat("T72")
@whole_corpus
def test_a_watched_folder_puts_it_aside_with_its_reason(tmp_path: Path, hostile: Hostile) -> None:
    settings, place = watched_in(tmp_path)
    database = open_index(settings)
    desk = Desk(settings, database, lambda: NOW, load_pack(), SANDBOX)
    watched = Watched(settings, database, folder=tmp_path / "drop", drop=Drop(settings, place, desk, sidecar_s=0.0))
    watched.put("hostile", hostile.build())
    began = time.monotonic()

    ended = watched.look()

    assert time.monotonic() - began < SOON_S
    outcome, reason = watched.verdict("hostile", "refused")
    assert (ended, outcome, watched.kept()) == (1, REFUSED, 0)
    assert reason in REASONS
    desk.close()
    database.close()


@pytest.mark.threat("T64")
def test_a_file_hurt_here_and_there_gets_a_verdict_and_never_an_error(node: Node) -> None:
    outcomes = [verdict for body in mutations(MUTATIONS) for verdict in node.bring(body)]

    assert len(outcomes) == MUTATIONS
    assert {verdict.reason for verdict in outcomes} <= {None, *REASONS}
    assert len({verdict.outcome for verdict in outcomes}) > 1


@pytest.mark.threat("T64")
def test_files_hurt_here_and_there_do_not_hinder_a_sender(doors: Intakes) -> None:
    reply = doors.store(*mutations(MUTATIONS, seed=8), dicom(2))

    told = sum(len(reply.json.get(tag, {}).get("Value", [])) for tag in ("00081198", "00081199", "0008119A"))
    assert (reply.status, told) == (202, MUTATIONS + 1)
    assert "2.25.100002" in reply.uids()


@pytest.mark.threat("T99")
def test_what_is_poison_and_well_made_is_held_or_refused(doors: Intakes) -> None:
    first = file(front(sop="2.25.771", study="2.25.77", patient="77"), image(), sop="2.25.771")
    assert doors.store(first).status == 200
    other_bytes = file(front(sop="2.25.771", study="2.25.77", patient="77"), image(2, 2), sop="2.25.771")
    another_patient = file(front(sop="2.25.772", study="2.25.77", patient="78"), image(), sop="2.25.772")

    reply = doors.store(other_bytes, another_patient)

    assert (reply.status, sorted(reply.reasons())) == (202, ["contradicts-study", "other-bytes"])
    assert doors.store(first).uids() == ["2.25.771"]


@pytest.mark.threat("T63")
def test_the_whole_corpus_passes_a_node_in_bounded_memory(tmp_path: Path) -> None:
    for number, hostile in enumerate(CORPUS):
        (tmp_path / f"{number:03}").write_bytes(hostile.build())
    (tmp_path / "node").mkdir()
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.archive.conftest import SANDBOX, Node, settings_in
from tests.hostile.test_intake import brought
from isthmus.storage.database import open_index
folder = Path(sys.argv[1])
settings = settings_in(folder / "node")
node = Node(settings, open_index(settings))
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
verdicts = brought(node, folder)
print(len(verdicts), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)
SANDBOX.close()
node.database.close()
"""

    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )

    count, grown_kib = map(int, ended.stdout.split())
    assert count >= len(CORPUS)
    assert grown_kib < 160 << 10
