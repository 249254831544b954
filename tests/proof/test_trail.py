"""The long proofs of the trail: a hundred kills and a full disk over ten thousand accesses, and a million records before both checkers.

Source: trust.md F5, F12, T76, T77.
"""

from __future__ import annotations

import json
import random
import time
import zipfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.audit.evidence.test_tampering import standalone
from tests.audit.test_kills import Victim

from isthmus.audit.events import Intent, Outcome
from isthmus.audit.evidence.check import Roots, judge
from isthmus.audit.merkle import Tree, leaf_hash
from isthmus.audit.verify import canonical
from isthmus.model.identifiers import PatientIdentifier
from isthmus.testing.border import PracticeBorder
from isthmus.trust.keys import load_log_key
from isthmus.wire.notes import Checkpoint, NoteKey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
KILLS, ACCESSES, RECORDS, JUDGED_S = 100, 10_000, 1_000_000, 60


@pytest.mark.threat("T76")
def test_ten_thousand_accesses_under_a_hundred_kills_and_a_full_disk_all_have_their_record(tmp_path: Path) -> None:
    victim, chance, kills = Victim(tmp_path), random.Random(100), 0

    while kills < KILLS or len(victim.served()) < ACCESSES:
        victim.killed_after(chance.randint(1, 250))
        kills += 1
    victim.until_the_disk_is_full()

    served, unrecorded = len(victim.served()), victim.unrecorded()
    account = victim.mended()
    verified = account.verify()
    account.database.close()
    refused = victim.told().count("refused")
    print(
        f"\nkills {kills}, accesses given {served}, refused on the full disk {refused}, without record {len(unrecorded)}, events {verified.events}"
    )  # noqa: T201
    assert unrecorded == set()
    assert refused
    assert (verified.problems, verified.open) == ([], 0)


def a_million(folder: Path, log: NoteKey, seen_by: NoteKey, trust_list: bytes, out: Path) -> None:
    """A trail of a million records as an export has it."""
    at, tree, patient = datetime(2026, 1, 1, tzinfo=UTC), Tree(), PatientIdentifier("urn:oid:2.999.1.2.1", "0123456789")
    with (folder / "records.jsonl").open("wb") as lines:
        for number in range(RECORDS):
            exchange_id = f"{number // 2:032x}"
            if number % 2:
                record = Outcome(outcome="complete", status=200, instances=3, bytes=1234, digest="ab" * 32).record(
                    at, 12
                )
            else:
                intent = Intent(
                    side="A", transaction="RAD-107", exchange_id=exchange_id, peer="BB", person="dr Dr", patient=patient
                )
                record = intent.record(at)
            clear = {"kind": "outcome" if number % 2 else "intent", "closes": number - 1 if number % 2 else None}
            text = canonical({**record, **clear, "exchange_id": exchange_id, "patient_tag": None, "writer": "w"})
            salt = number.to_bytes(32)
            tree = tree.with_leaf(leaf_hash(salt + text))
            lines.write(json.dumps({"n": number, "salt": salt.hex(), "record": text.decode()}).encode() + b"\n")
            at += timedelta(milliseconds=10)
    note = log.sign(Checkpoint(log.name, RECORDS, tree.root))
    note = note.with_lines((seen_by.cosign(note, int(at.timestamp()) + 5),))
    files = {"AA/trustlist.jws": trust_list, "AA/checkpoint.note": note.write().encode()}
    with (folder / "records.jsonl").open("rb") as stream:
        named = {"AA/records.jsonl": sha256(stream.read()).hexdigest()}
    named |= {name: sha256(content).hexdigest() for name, content in files.items()}
    head = {"format": 1, "kind": "log", "country": "AA", "exchange": None, "made_at": "", "files": named}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("evidence.json", json.dumps(head))
        for name, content in files.items():
            archive.writestr(name, content)
        archive.write(folder / "records.jsonl", "AA/records.jsonl")


@pytest.mark.threat("T77")
def test_a_million_records_are_judged_within_a_minute_by_both_checkers(tmp_path: Path) -> None:
    border = PracticeBorder(tmp_path / "practice")
    aa, bb = (load_log_key(tmp_path / "practice" / code / "keys" / "log.jwk", "demo") for code in ("aa", "bb"))
    out, logs = tmp_path / "million.zip", (aa.public, bb.public)
    a_million(tmp_path, aa, bb, (tmp_path / "practice" / "trustlist.jws").read_bytes(), out)
    border.sandbox.close()
    border.state.close()

    began = time.process_time()  # of this process alone, however busy the machine is
    by_the_house = judge(out, Roots(logs=logs))
    house_s, began = time.process_time() - began, time.process_time()
    alone = standalone().Evidence(out, [], [log.vkey for log in logs]).check()
    alone_s = time.process_time() - began

    print(f"\n{RECORDS} records: by the house {house_s:.1f} s, by the stand-alone checker {alone_s:.1f} s of processor")  # noqa: T201
    assert (by_the_house.problems, alone.problems) == ([], [])
    assert max(house_s, alone_s) <= JUDGED_S
