"""Judges evidence without the trail it was written from: every record under a checkpoint that another country has seen, every statement
signed by a key that was valid then, every instance in a list that both have signed.

Without a trust root it holds a file against the keys in it alone, and says so. Twelve ways to tamper with one are tried in the tests
(docs/guides/trail.md has the table).

Source: trust.md §4.5, F12; RFC 6962 §2.1.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from isthmus.audit.evidence.write import HEAD
from isthmus.audit.merkle import Tree, leaf_hash, root_from
from isthmus.errors import IsthmusError
from isthmus.trust import jws
from isthmus.trust.keys import StatementKey
from isthmus.trust.strict_json import read_object
from isthmus.trust.trustlist import MAX_BYTES, TYP, TrustList, said_by
from isthmus.wire.assertions import CLIENT_LIFE_S, CLIENT_TYPES, HPA_LIFE_S, HPA_TYPE, TRC_LIFE_S, TRC_TYPE
from isthmus.wire.notes import LogKey, Note
from isthmus.wire.receipts import LIFE_S, RECEIPT_TYPE, Item, digest_of, read_items, read_receipt

SKEW = timedelta(seconds=90)
UNPACKED_MAX_BYTES = 4 << 30
_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
CLIENT_TYPE = next(iter(CLIENT_TYPES - {"JWT"}))
ENDINGS = ("kind", "closes", "exchange_id", "at")
AGREED = ("exchange_id", "transaction", "purpose", "role", "patient", "token_jti")


@dataclass(frozen=True, slots=True)
class Roots:
    """What the judge brings: the list operator's keys, or the keys of the logs."""

    operators: tuple[StatementKey, ...] = ()
    logs: tuple[LogKey, ...] = ()

    @property
    def given(self) -> bool:
        return bool(self.operators or self.logs)


@dataclass
class Judged:
    """What was found. `says` is what the file proves of its exchange: who, why, about what, when."""

    trusted: bool
    events: int = 0
    problems: list[str] = field(default_factory=list)
    says: dict[str, Any] = field(default_factory=dict)


def judge(file: Path, roots: Roots) -> Judged:
    """Judge a file. What is no evidence at all is a problem like any other."""
    judged, halves = Judged(roots.given), list[_Half]()
    try:
        files = _files(file)
        head = read_object(files.pop(HEAD))
        judged.problems += _unlike(files, head["files"])
        for country in sorted({name.partition("/")[0] for name in files}):
            half = _Half(country, files, roots, whole=head["kind"] == "log")
            halves.append(half)
            half.log()
            if head["kind"] == "exchange":
                half.exchange(str(head["exchange"]))
        if head["kind"] == "exchange":
            judged.problems += _apart(halves)
    except _UNREADABLE as error:
        judged.problems.append(f"the file cannot be read: {error}")
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, StopIteration, IsthmusError) as error:
        judged.problems.append(f"the file is not written as evidence is: {type(error).__name__}")
    judged.problems += [f"{half.country}: {problem}" for half in halves for problem in half.problems]
    judged.events = sum(record.get("kind") != "outcome" for half in halves for record in half.records.values())
    judged.says = {half.country: half.says for half in halves if half.says}
    return judged


def _files(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        if sum(info.file_size for info in archive.infolist()) > UNPACKED_MAX_BYTES:
            raise zipfile.BadZipFile("it is larger than evidence is")
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _unlike(files: Mapping[str, bytes], named: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*files, *named}):
        if sha256(files.get(name, b"")).hexdigest() != named.get(name):
            yield f"{name} is missing, was added or was changed"


class _Half:
    """What one country gives."""

    def __init__(self, country: str, files: Mapping[str, bytes], roots: Roots, *, whole: bool) -> None:
        self.country, self._roots, self._whole, self._last = country, roots, whole, -1
        self._files = {name.partition("/")[2]: c for name, c in files.items() if name.startswith(f"{country}/")}
        self.problems: list[str] = []
        self.says: dict[str, Any] = {}
        self.records: dict[int, dict[str, Any]] = {}
        self.leaves: dict[int, bytes] = {}
        self.items: set[Item] = set()
        self.record: dict[str, Any] = {}
        self.outcome: dict[str, Any] = {}
        self._token = self._files["trustlist.jws"].decode("ascii").strip()
        self.listed: TrustList = said_by(self._token)
        self._rooted()
        for line in BytesIO(self._files["records.jsonl"]):
            self._take(json.loads(line))

    def _rooted(self) -> None:
        """Whether what the judge brings vouches for the list."""
        pinned = {key.kid: key for key in self._roots.operators}
        if pinned:
            try:
                jws.read_signed(self._token, pinned.get, TYP, MAX_BYTES)
            except jws.BadSignature:
                self.problems.append("the trust list is not signed by the given operator")
        given = {log.name: log for log in self._roots.logs}
        for log in self._logs():
            if given and given.get(log.name, log) != log:
                self.problems.append(f"the trust list has another key for {log.name} than the one given")

    def _logs(self) -> list[LogKey]:
        return [p.log for p in self.listed.participants if p.log is not None]

    def _take(self, row: dict[str, Any]) -> None:
        """A line of the trail. Of a whole trail no more is kept than what its endings are told by: a million fit in memory."""
        number = int(row["n"])
        if number <= self._last:
            self.problems.append(f"record {number} is out of order")
        self._last = number
        if "record" in row:
            text = str(row["record"]).encode()
            record = json.loads(text)
            self.records[number] = {name: record[name] for name in ENDINGS} if self._whole else record
            self.leaves[number] = leaf_hash(bytes.fromhex(row["salt"]) + text)
        else:
            self.leaves[number] = bytes.fromhex(row["leaf"])

    # the log

    def log(self) -> None:
        """Every record under a checkpoint of this country's, which another has seen, and each with its ending."""
        note = Note.read(self._files["checkpoint.note"].decode("utf-8"))
        checkpoint = note.checkpoint
        own = next(p.log for p in self.listed.participants if p.country == self.country)
        if own is None or own.name != checkpoint.origin or not own.signed(note):
            self.problems.append("the checkpoint is not signed by this country's log")
        seen = [at for log in self._logs() if log != own and (at := log.cosigned_at(note)) is not None]
        newest = max((record["at"] for record in self.records.values()), default="")
        if not seen and self._roots.given:
            self.problems.append("no other country has seen the checkpoint")
        if seen and newest and datetime.fromtimestamp(max(seen), UTC) < _moment(newest) - SKEW:
            self.problems.append("the checkpoint was seen before the records were written")
        if self._whole:
            self._all_of(checkpoint.size, checkpoint.root)
        else:
            proofs = json.loads(self._files["proofs.json"])
            for number, leaf in self.leaves.items():
                proof = [bytes.fromhex(part) for part in proofs[str(number)]]
                if root_from(leaf, number, checkpoint.size, proof) != checkpoint.root:
                    self.problems.append(f"record {number} is not under the checkpoint")
        self._endings()
        self._beside()
        self._claims()

    def _all_of(self, size: int, root: bytes) -> None:
        if list(self.leaves) != list(range(size)):
            missing = sorted(set(range(size)) - set(self.leaves))[:5]
            self.problems.append(f"records are missing, or too many: {missing}")
        tree = Tree()
        for leaf in self.leaves.values():
            tree = tree.with_leaf(leaf)
        if tree.root != root:
            self.problems.append("the records are not those under the checkpoint")

    def _endings(self) -> None:
        waiting: dict[int, str] = {}
        for number, record in self.records.items():
            if record["kind"] == "intent":
                waiting[number] = record["exchange_id"]
            elif record["kind"] == "outcome":
                begun = waiting.pop(record["closes"], None)
                if begun != record["exchange_id"] and not (self._whole and record["closes"] not in self.records):
                    self.problems.append(
                        f"record {number} closes record {record['closes']}, which is no open exchange of its number"
                    )
        if waiting and not self._whole:
            self.problems.append(f"record {min(waiting)} has no ending")

    def _beside(self) -> None:
        for number, record in self.records.items():
            for name, digest in record.get("parts", {}).items():
                part = self._files.get(f"parts/{number}/{name}")
                if part is None or sha256(part).hexdigest() != digest:
                    self.problems.append(f"what record {number} names as {name} is missing or was changed")

    def _claims(self) -> None:
        """The other side's records: in its log, under what it signed."""
        for number, told in json.loads(self._files.get("claims.json", b"{}")).items():
            note, leaf = Note.read(told["note"]), bytes.fromhex(told["leaf"])
            checkpoint, proof = note.checkpoint, [bytes.fromhex(part) for part in told["proof"]]
            named = {"origin": told["origin"], "seq": told["seq"], "leaf": told["leaf"]}
            signed = any(log.name == told["origin"] == checkpoint.origin and log.signed(note) for log in self._logs())
            proven = root_from(leaf, told["seq"], checkpoint.size, proof) == checkpoint.root
            if self.records[int(number)].get("theirs") != named or not signed or not proven:
                self.problems.append(f"the other side's record for record {number} is not proven")

    # the exchange

    def exchange(self, exchange_id: str) -> None:
        """Who asked, on whose word, what was given and who signed for it."""
        intents = {n: r for n, r in self.records.items() if r["kind"] == "intent"}
        number = next((n for n, r in intents.items() if r["exchange_id"] == exchange_id), None)
        if number is None:
            self.problems.append("the exchange is not here")
            return
        self.record = intents[number]
        self.outcome = next((r for r in self.records.values() if r.get("closes") == number), {})
        issued = next((n for n, r in intents.items() if r["transaction"] == "ITI-71"), None)
        if issued is not None:
            self._statements(issued)
        elif self.record["token_jti"]:
            self.problems.append("the statements that the exchange was asked with are not here")
        if "delivery" in self.outcome.get("parts", {}):
            self._delivered(number, [n for n, r in intents.items() if r["transaction"] == "receipt"])
        told = {name: self.outcome.get(name) for name in ("outcome", "status", "instances", "bytes", "digest")}
        self.says |= {"at": self.record["at"], "transaction": self.record["transaction"], "ended": told}

    def part(self, number: int, name: str) -> bytes:
        places = (number, *(n for n, record in self.records.items() if record.get("closes") == number))
        return next(self._files[f"parts/{n}/{name}"] for n in places if f"parts/{n}/{name}" in self._files)

    def _statements(self, issued: int) -> None:
        opening = self.records[issued]
        at = _moment(opening["at"])
        named, followed = opening["details"].get("list"), f"{self.listed.seq};sha256={self.listed.digest}"
        runs = self.listed.runs(at) and at >= datetime.fromtimestamp(self.listed.issued, UTC) - SKEW
        if (named is not None and named != followed) or not runs:
            self.problems.append("the trust list is not the one that was followed then")
        client = self._signed(self.part(issued, "client"), "client_auth", CLIENT_TYPE, CLIENT_LIFE_S, at)
        inner = client["extensions"]["ehdsi"]
        hpa = self._signed(inner["hpa"].encode(), "hpa", HPA_TYPE, HPA_LIFE_S, at)
        token = self._signed(self.part(issued, "token"), "at", "at+jwt", 300, at)
        fits = [client["iss"] == client["sub"] == hpa["iss"] == token["client_id"], hpa["sub"] == token["sub"]]
        if "trc" in inner:
            trc = self._signed(inner["trc"].encode(), "trc", TRC_TYPE, TRC_LIFE_S, at)
            about = trc["extensions"]["ehdsi"]["trc"]["patient"]
            fits += [trc["iss"] == client["iss"], trc["sub"] == hpa["sub"], about["handle"] == token.get("patient")]
            fits.append(self.record["patient"] in (None, about["identifier"]))
        iua = hpa["extensions"]["ihe_iua"]
        role, purpose = iua["subject_role"][0]["code"], iua["purpose_of_use"][0]["code"]
        fits.append(self.record["token_jti"] in ("", token["jti"]))
        if self.record["transaction"] != "receipt":
            asked = (self.record["person"].split(" ")[0], self.record["role"], self.record["purpose"])
            fits.append(asked == (hpa["sub"], role, purpose))
        if not all(fits):
            self.problems.append("the statements, the token and the record are not of one request")
        self.says |= {
            "country": client["iss"], "person": iua["subject_name"], "organisation": iua["subject_organization"],
            "role": role, "purpose": purpose,
        }  # fmt: skip

    def _signed(self, token: bytes, use: str, typ: str, life_s: int, at: datetime) -> dict[str, Any]:
        """The claims of a statement; it must be signed for this use by a key of its issuer's that was valid then."""
        text = token.decode("ascii")
        claims = read_object(jws.read_unverified(text))
        keys = {
            k.kid: k for p in self.listed.participants if p.ncp_id == claims["iss"] for k in p.keys if k.holds(use, at)
        }
        typs = CLIENT_TYPES if typ in CLIENT_TYPES else (typ,)
        if not any(_holds(text, keys, each) for each in typs):
            self.problems.append(f"{typ}: not signed by a key that was good for it then")
        second = at.timestamp()
        early, late = claims["iat"] - SKEW.total_seconds(), claims["exp"] + SKEW.total_seconds()
        if not early <= second <= late or claims["exp"] - claims["iat"] > life_s:
            self.problems.append(f"{typ}: it did not count at that time")
        return claims

    def _delivered(self, number: int, receipts: Sequence[int]) -> None:
        head, _, lines = self.part(number, "delivery").partition(b"\n")
        items, study = read_items(lines), head.decode("ascii").partition(" ")[0]
        self.items = set(items)
        digest = sha256(b"".join(bytes.fromhex(item.sha256) for item in items)).hexdigest()
        if (digest, len(items)) != (self.outcome["digest"], self.outcome["instances"]):
            self.problems.append("the list of instances is not that of the record")
        self.says |= {"study": study, "signed_for": bool(receipts)}
        for receipt in receipts:
            self._receipt(receipt, study)

    def _receipt(self, number: int, study: str) -> None:
        at, told = _moment(self.records[number]["at"]), list[dict[str, Any]]()
        for name in ("ours", "theirs"):
            told.append(self._signed(self.part(number, name), "receipt", RECEIPT_TYPE, LIFE_S, at))
        one, other = (read_receipt(claims) for claims in told)
        if one != other or {told[0]["iss"], told[1]["iss"]} != {told[0]["aud"], told[1]["aud"]}:
            self.problems.append("the two signatures of the receipt are not over the same")
        listed = read_items(self.part(number, "list"))
        uids = {item.sop_instance_uid for item in self.items}
        here = {item for item in listed if item.sop_instance_uid in uids}
        same = (one.digest, one.count, one.study_instance_uid) == (digest_of(listed), len(listed), study)
        if not same or self.record["exchange_id"] not in one.exchanges or not here or not here <= self.items:
            self.problems.append("the receipt is for other bytes")


def _apart(halves: Sequence[_Half]) -> Iterator[str]:
    """Where two countries wrote down something else, or something else than the other says."""
    if len(halves) != 2 or not all(half.record for half in halves):
        return
    one, other = halves
    for name in AGREED:
        if one.record[name] and other.record[name] and one.record[name] != other.record[name]:
            yield f"the two records differ in {name}"
    if one.record["person"].split(" ")[0] != other.record["person"].split(" ")[0]:
        yield "the two records differ in person"
    for mine, theirs in ((one, other), (other, one)):
        for told in (mine.record.get("theirs"), mine.outcome.get("theirs")):
            if told is not None and theirs.leaves.get(told["seq"], b"").hex() != told["leaf"]:
                yield f"{mine.country} wrote down another record of {theirs.country} than the one here"
    if one.items and other.items and not (one.items <= other.items or other.items <= one.items):
        yield "the two lists of instances differ"


def _holds(token: str, keys: Mapping[str, StatementKey], typ: str) -> bool:
    try:
        jws.read_signed(token, keys.get, typ, jws.MAX_BYTES)
    except jws.BadSignature:
        return False
    return True


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
