"""A disk is lost: a node that was backed up while it served comes back, knows what it lacks, says so, and goes on after it was written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isthmus.demo.people import PEOPLE
from isthmus.operations.archive_file import members
from isthmus.storage.sealed import MasterKey
from isthmus.testing.two_countries import Node, TwoCountries, at_hand

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def _visited(countries: TwoCountries) -> int:
    """A professional of B looks; how many documents there are."""
    async with countries.b.visit(PEOPLE["eleni"]) as visit:
        return len(await visit.find_documents())


def _said(node: Node, *words: object) -> dict[str, object]:
    done = node.command(*words, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.threat("T77")
@pytest.mark.threat("T19")
async def test_a_node_that_was_put_back_knows_that_it_is_behind_and_goes_on_once_that_is_written_down(
    at_rest: Path, tmp_path: Path
) -> None:
    file = tmp_path / "backups" / "aa.isthmus"
    with at_hand(tmp_path / "pair", at_rest) as countries:
        countries.demo.start()
        a = countries.a
        before = await _visited(countries)
        made = _said(a, "backup", "--out", file)  # while it serves
        await _visited(countries)
        countries.demo.stop()

        restored = _said(a, "restore", file, "--replace")
        refused = a.command("serve")
        found = a.command("audit", "verify", "--json")
        recovered = _said(a, "audit", "recover", "--by", "N. Officer", "--reason", "disk lost")
        again = a.command("audit", "recover", "--by", "N. Officer", "--reason", "disk lost")
        proven = a.verified()

        assert restored["behind"] is True
        assert restored["records"] == made["records"]
        assert (refused.returncode, "the trail is behind" in refused.stderr) == (5, True)
        assert found.returncode == 6
        assert "the trail ends before it" in found.stdout
        assert (recovered["records"], int(str(recovered["known"])) > int(str(made["records"]))) == (
            made["records"],
            True,
        )
        assert (proven.intact, proven.problems) == (True, [])
        assert (again.returncode, "nothing to recover" in again.stderr) == (2, True)

        # what was used of one time before, or may have been meanwhile, is not let in; so the border waits with new ones
        state = a.settings.folder / "state.sqlite"
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(state, isolation_level=None)) as connection:
            (mark,) = connection.execute("SELECT low_water FROM trust_mark").fetchone()
            assert mark > proven_at(file)
            connection.execute("UPDATE trust_mark SET low_water = 0")  # as ten minutes later
        countries.demo.start()
        assert await _visited(countries) == before
        assert a.verified().intact


def proven_at(file: Path) -> float:
    return file.stat().st_mtime


@pytest.mark.threat("T109")
async def test_no_key_and_nothing_of_a_patient_can_be_read_in_a_backup(at_rest: Path, tmp_path: Path) -> None:
    file = tmp_path / "aa.isthmus"
    with at_hand(tmp_path / "pair", at_rest) as countries:
        _said(countries.a, "backup", "--out", file)
        settings = countries.a.settings
        keys = [path.read_bytes().strip() for path in (settings.folder / "keys").iterdir()]
        master = MasterKey.load(settings.path(settings.keys.env))

    sealed = file.read_bytes()
    opened = b"".join(content.read() for _, content in members(file, master))
    names = (PEOPLE["eleni"].name.family, PEOPLE["eleni"].identifier.value)
    assert [name for name in names if name.encode() in sealed] == []
    assert [key for key in keys if key in opened or key in sealed] == []
    assert PEOPLE["eleni"].identifier.value.encode() in opened  # it is the archive's index that names them
