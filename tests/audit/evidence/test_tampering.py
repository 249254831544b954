"""The twelve tamperings of the threat model, each tried on a file whose own table of digests was made to fit, before two checkers.

Source: trust.md §4.5, F12; T61, T77, T78.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.audit.evidence.conftest import Told

from isthmus.audit.evidence.check import Roots, judge
from isthmus.audit.merkle import Tree, leaf_hash
from isthmus.trust.encoding import unbase64url
from isthmus.trust.keys import load_log_key, load_public_key, load_signing_key, new_signing_key
from isthmus.trust.trustlist import write_trust_list
from isthmus.wire.notes import Checkpoint, Line, LogKey, Note

STANDALONE = Path(__file__).resolve().parents[3] / "tools" / "evidence_check.py"
Files = dict[str, bytes]
Tamper = Callable[[Files, Told], None]


def standalone() -> Any:
    spec = importlib.util.spec_from_file_location("evidence_check", STANDALONE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unpacked(file: Path) -> Files:
    with zipfile.ZipFile(file) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(files: Files, out: Path) -> Path:
    """A tamperer knows the format: the table of digests fits again."""
    head = json.loads(files.pop("evidence.json"))
    head["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in {"evidence.json": json.dumps(head).encode(), **files}.items():
            archive.writestr(name, content)
    return out


def rows(files: Files) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files["AA/records.jsonl"].splitlines()]


def put(files: Files, changed: list[dict[str, Any]]) -> None:
    files["AA/records.jsonl"] = b"".join(json.dumps(row).encode() + b"\n" for row in changed)


def of(files: Files, kind: str, transaction: str | None = None) -> dict[str, Any]:
    """A line by what its record is: an intent of a transaction, or its outcome."""
    lines = {row["n"]: (row, json.loads(row["record"])) for row in rows(files)}
    intent = next(r for r, record in lines.values() if record.get("transaction") == (transaction or "RAD-107"))
    if kind == "intent":
        return intent
    return next(r for r, record in lines.values() if record.get("closes") == intent["n"])


def part(files: Files, name: str) -> str:
    return next(place for place in files if place.startswith("AA/parts/") and place.endswith(f"/{name}"))


def flipped(content: bytes, place: int) -> bytes:
    """Another character that could stand there as well."""
    other = b"0" if content[place : place + 1] != b"0" else b"1"
    return content[:place] + other + content[place + 1 :]


def a_byte_of_the_request(files: Files, told: Told) -> None:
    files[part(files, "client")] = flipped(files[part(files, "client")], 400)


def a_byte_of_the_answer(files: Files, told: Told) -> None:
    lines, line = rows(files), of(files, "outcome")
    changed = line["record"].replace('"status":200', '"status":206')
    assert changed != line["record"]
    put(files, [{**row, "record": changed} if row["n"] == line["n"] else row for row in lines])


def a_byte_of_a_pixel(files: Files, told: Told) -> None:
    content = files[part(files, "delivery")]
    files[part(files, "delivery")] = flipped(content, len(content) - 3)


def an_answer_swapped(files: Files, told: Told) -> None:
    """The ending of another exchange of the same kind, with its proof: both genuine."""
    other, mine = unpacked(told.other_visit), of(files, "outcome")
    theirs = of(other, "outcome")
    # under the checkpoint of this file the other exchange's ending is proven as well: its own file's proof is of another size
    put(files, sorted([row for row in rows(files) if row["n"] != mine["n"]] + [theirs], key=lambda row: row["n"]))
    proofs = json.loads(files["AA/proofs.json"])
    proofs[str(theirs["n"])] = json.loads(other["AA/proofs.json"])[str(theirs["n"])]
    files["AA/proofs.json"] = json.dumps(proofs).encode()


def a_record_removed(files: Files, told: Told) -> None:
    line = of(files, "outcome")
    put(files, [row for row in rows(files) if row["n"] != line["n"]])


def records_in_another_order(files: Files, told: Told) -> None:
    one, two = of(files, "intent"), of(files, "outcome")
    places = {one["n"]: two["n"], two["n"]: one["n"]}
    put(files, sorted(({**row, "n": places.get(row["n"], row["n"])} for row in rows(files)), key=lambda row: row["n"]))


def root_of(told: Told, size: int) -> bytes:
    """The root of Country A's log when it had so many records."""
    tree = Tree()
    for row in rows(unpacked(told.whole))[:size]:
        tree = tree.with_leaf(leaf_hash(bytes.fromhex(row["salt"]) + row["record"].encode()))
    return tree.root


def aa_key(told: Told) -> Any:
    return load_log_key(told.operator.parents[1] / "aa" / "keys" / "log.jwk", "demo")


def the_log_rolled_back(files: Files, told: Told) -> None:
    """A checkpoint of earlier, genuine in every way."""
    size = of(files, "outcome")["n"]
    files["AA/checkpoint.note"] = (
        aa_key(told).sign(Checkpoint(told.logs[0].partition("+")[0], size, root_of(told, size))).write().encode()
    )


def the_log_forked(files: Files, told: Told) -> None:
    """The country itself writes another history, and signs it with its own key: every proof fits."""
    lines = [{**row, "record": row["record"].replace("Dr Practice", "Dr Nobody")} for row in rows(files)]
    put(files, lines)
    leaves = {row["n"]: leaf_hash(bytes.fromhex(row["salt"]) + row["record"].encode()) for row in lines}
    size = max(leaves) + 1
    level = [leaves.get(number, bytes(32)) for number in range(1 << (size - 1).bit_length())]
    from isthmus.audit.merkle import inclusion, node_hash

    def subtree(height: int, place: int) -> bytes:
        if height == 0:
            return level[place]
        return node_hash(subtree(height - 1, 2 * place), subtree(height - 1, 2 * place + 1))

    tree = Tree()
    for number in range(size):
        tree = tree.with_leaf(level[number])
    files["AA/proofs.json"] = json.dumps({n: [p.hex() for p in inclusion(n, size, subtree)] for n in leaves}).encode()
    files["AA/checkpoint.note"] = (
        aa_key(told).sign(Checkpoint(told.logs[0].partition("+")[0], size, tree.root)).write().encode()
    )


def a_cosignature_forged(files: Files, told: Told) -> None:
    note, bb = Note.read(files["AA/checkpoint.note"].decode()), LogKey.read(told.logs[1])
    lines = tuple(Line(x.name, x.key_id, flipped(x.signature, 20)) if x.name == bb.name else x for x in note.signatures)
    files["AA/checkpoint.note"] = Note(note.body, lines).write().encode()


def relisted(files: Files, told: Told, key: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Another trust list in both halves."""
    body = json.loads(unbase64url(files["AA/trustlist.jws"].decode().split(".")[1]))
    change(body)
    for country in ("AA", "BB"):
        files[f"{country}/trustlist.jws"] = write_trust_list(body, key).encode()


def operator_of(told: Told) -> Any:
    return load_signing_key(told.operator.with_name("operator.key.jwk"), "demo")


def a_key_that_was_not_valid_then(files: Files, told: Told) -> None:
    """The list says, signed by its operator, that the professional's key was revoked."""

    def revoke(body: dict[str, Any]) -> None:
        for participant in body["participants"]:
            for key in participant["keys"]:
                key["status"] = "revoked" if "hpa" in key["use"] else key["status"]

    relisted(files, told, operator_of(told), revoke)


def a_receipt_for_other_bytes(files: Files, told: Told) -> None:
    content = files[part(files, "list")]
    files[part(files, "list")] = flipped(content, len(content) - 3)


def another_trust_list(files: Files, told: Told) -> None:
    relisted(files, told, new_signing_key("operator-1", demo=True), lambda body: None)


TAMPERINGS: dict[str, tuple[Tamper, str]] = {
    "a byte of the request changed": (a_byte_of_the_request, "names as client is missing or was changed"),
    "a byte of the answer changed": (a_byte_of_the_answer, "is not under the checkpoint"),
    "a byte of a pixel changed": (a_byte_of_a_pixel, "names as delivery is missing or was changed"),
    "an answer swapped": (an_answer_swapped, "closes"),
    "a record removed": (a_record_removed, "has no ending"),
    "records in another order": (records_in_another_order, "is not under the checkpoint"),
    "the log rolled back": (the_log_rolled_back, "is not under the checkpoint"),
    "the log forked": (the_log_forked, "no other country has seen the checkpoint"),
    "a cosignature forged": (a_cosignature_forged, "no other country has seen the checkpoint"),
    "a key that was not valid then": (a_key_that_was_not_valid_then, "hpa"),
    "a receipt for other bytes": (a_receipt_for_other_bytes, "the receipt is for other bytes"),
    "another trust list": (another_trust_list, "the trust list is not signed by the given operator"),
}


def by_the_house(file: Path, told: Told) -> list[str]:
    operator = load_public_key(told.operator, "demo", frozenset({"trustlist"}))
    return judge(file, Roots(operators=(operator,))).problems


def by_the_stand_alone(file: Path, told: Told) -> list[str]:
    return list(standalone().Evidence(file, [json.loads(told.operator.read_text())]).check().problems)


CHECKERS = pytest.mark.parametrize("checker", [by_the_house, by_the_stand_alone])


@CHECKERS
def test_what_nobody_touched_holds(told: Told, checker: Callable[[Path, Told], list[str]], tmp_path: Path) -> None:
    for file in (told.joined, told.other_visit, told.whole):
        assert checker(packed(unpacked(file), tmp_path / "same.zip"), told) == []


@pytest.mark.threat("T77", "T78", "T61")
@CHECKERS
@pytest.mark.parametrize("what", TAMPERINGS)
def test_a_tampering_is_found(
    told: Told, checker: Callable[[Path, Told], list[str]], what: str, tmp_path: Path
) -> None:
    tamper, words = TAMPERINGS[what]
    files = unpacked(told.joined)

    tamper(files, told)

    problems = checker(packed(files, tmp_path / "touched.zip"), told)
    assert [problem for problem in problems if words in problem], problems


def test_there_are_twelve() -> None:
    assert len(TAMPERINGS) == 12


@CHECKERS
def test_a_changed_byte_anywhere_in_the_file_is_found(
    told: Told, checker: Callable[[Path, Told], list[str]], tmp_path: Path
) -> None:
    content = told.joined.read_bytes()
    for place in range(60, len(content) - 3000, len(content) // 12):
        touched = bytearray(content)
        touched[place] ^= 1
        (tmp_path / "touched.zip").write_bytes(touched)

        assert checker(tmp_path / "touched.zip", told), place


def test_two_keys_of_logs_are_enough_and_another_key_is_told(told: Told) -> None:
    aa, bb = (LogKey.read(vkey) for vkey in told.logs)

    assert judge(told.joined, Roots(logs=(aa, bb))).problems == []
    assert judge(told.joined, Roots(logs=(LogKey(aa.name, bb.public), bb))).problems
    assert standalone().Evidence(told.joined, [], list(told.logs)).check().problems == []
    assert standalone().Evidence(told.joined, [], [LogKey(aa.name, bb.public).vkey]).check().problems


def test_the_stand_alone_checker_runs_by_itself(told: Told, tmp_path: Path) -> None:
    alone = tmp_path / "evidence_check.py"
    alone.write_text(STANDALONE.read_text("utf-8"), "utf-8")
    argv = [sys.executable, "-I", str(alone), str(told.joined), "--trust-root", str(told.operator)]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "Everything holds.\n", "")
    assert "isthmus" not in [
        line.split()[1].partition(".")[0]
        for line in alone.read_text("utf-8").splitlines()
        if line.startswith(("import ", "from "))
    ]
