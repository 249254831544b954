#!/usr/bin/env python3
"""Check an evidence file of Isthmus with nothing but Python and `cryptography`: no network, no other file of ours.

    python evidence_check.py FILE.zip --trust-root operator.jwk
    python evidence_check.py FILE.zip --log-key 'ncp.aa.test/audit+…' --log-key 'ncp.bb.test/audit+…'

`--trust-root` is the public key of the trust list's operator; `--log-key` pins the keys of the two countries' logs. Exit status 0 when
everything holds, 6 when something does not, with what.

Source: RFC 6962; C2SP signed-note; C2SP tlog-cosignature; RFC 7515; trust.md §4.5.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import io
import json
import sys
import zipfile
import zlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

SKEW_S = 90
LIVES = {"client": 60, "hpa": 300, "trc": 7200, "token": 300, "receipt": 600}


class Evidence:
    """One file, and what is wrong with it."""

    def __init__(self, path, roots=(), log_keys=()):
        self.problems, self.said = [], []
        self.files, self.roots, self.log_keys = {}, list(roots), list(log_keys)
        try:
            with zipfile.ZipFile(path) as archive:
                self.files = {info.filename: archive.read(info) for info in archive.infolist()}
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            self.wrong(f"the file cannot be read: {error}")

    def wrong(self, what):
        self.problems.append(what)

    def check(self):
        if self.problems:
            return self
        try:
            head = json.loads(self.files["evidence.json"])
            named = head["files"]
            for name in sorted(set(self.files) - {"evidence.json"} | set(named)):
                if hashlib.sha256(self.files.get(name, b"")).hexdigest() != named.get(name):
                    self.wrong(f"{name} is missing, was added or was changed")
            countries = sorted({name.split("/")[0] for name in named if "/" in name})
            halves = [Half(self, country, head["kind"] == "log") for country in countries]
            for half in halves:
                half.log()
            for half in halves:
                if head["kind"] == "exchange":
                    half.exchange(head["exchange"])
            if len(halves) == 2 and head["kind"] == "exchange":
                agree(self, head["exchange"], *halves)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, StopIteration, RecursionError) as error:
            self.wrong(f"the file is not written as evidence is: {type(error).__name__} {error}")
        return self


class Half:
    """What one country gives."""

    def __init__(self, evidence, country, whole):
        self.evidence, self.country = evidence, country
        self.files = {n.partition("/")[2]: c for n, c in evidence.files.items() if n.startswith(country + "/")}
        self.list = self._list()
        self.records, self.leaves, self.numbers = {}, [], []
        for line in io.BytesIO(self.files["records.jsonl"]):
            row = json.loads(line)
            number = row["n"]
            if self.numbers and number <= self.numbers[-1]:
                self.wrong(f"record {number} is out of order")
            if "record" in row:
                text = row["record"].encode()
                leaf = hashlib.sha256(b"\x00" + bytes.fromhex(row["salt"]) + text).digest()
                record = json.loads(text)
                if whole:  # no more of a million records than what their endings are told by
                    record = {name: record[name] for name in ("kind", "closes", "exchange_id", "at")}
                self.records[number] = record
            else:
                leaf = bytes.fromhex(row["leaf"])
            self.numbers.append(number)
            self.leaves.append(leaf)
        self.leaf_of = dict(zip(self.numbers, self.leaves, strict=False))

    def wrong(self, what):
        self.evidence.wrong(f"{self.country}: {what}")

    def _list(self):
        token = self.files["trustlist.jws"].decode().strip()
        body = json.loads(unb64u(token.split(".")[1]))
        roots = self.evidence.roots
        if roots and not any(jws_holds(token, root, "ncp-trustlist+jwt") for root in roots):
            self.wrong("the trust list is not signed by the given operator")
        pinned = {key.partition("+")[0]: key for key in self.evidence.log_keys}
        for one in body["participants"]:
            log = one.get("log")
            if log and pinned and pinned.get(log["origin"], log["vkey"]) != log["vkey"]:
                self.wrong(f"the trust list has another key for {log['origin']} than the one given")
        self.digest = b64u(hashlib.sha256(token.encode()).digest())
        return body

    def participant(self, **by):
        return next(p for p in self.list["participants"] if all(p[name] == value for name, value in by.items()))

    # the log

    def log(self):
        note = Note(self.files["checkpoint.note"].decode())
        own = self.participant(country=self.country)["log"]
        if note.origin != own["origin"] or not note.signed_by(own["vkey"]):
            self.wrong("the checkpoint is not signed by this country's log")
        others = [p["log"]["vkey"] for p in self.list["participants"] if p["country"] != self.country and p.get("log")]
        seen = [at for at in (note.seen_by(vkey) for vkey in others) if at is not None]
        if not seen and (self.evidence.roots or self.evidence.log_keys):
            self.wrong("no other country has seen the checkpoint")
        newest = moment(max((record["at"] for record in self.records.values()), default="1970-01-01T00:00:00Z"))
        if seen and max(seen) < newest - SKEW_S:
            self.wrong("the checkpoint was seen before the records were written")
        if "proofs.json" in self.files:
            proofs = json.loads(self.files["proofs.json"])
            for number, leaf in self.leaf_of.items():
                proof = [bytes.fromhex(part) for part in proofs[str(number)]]
                if number >= note.size or root_from(leaf, number, note.size, proof) != note.root:
                    self.wrong(f"record {number} is not under the checkpoint")
        else:
            if self.numbers != list(range(note.size)):
                missing = sorted(set(range(note.size)) - set(self.numbers))[:5]
                self.wrong(f"records are missing, or too many: {missing}")
            if root_over(self.leaves) != note.root:
                self.wrong("the records are not those under the checkpoint")
        self._endings("proofs.json" in self.files)
        self._parts()
        self._claims()

    def _endings(self, whole):
        open_ones = set()
        for number in self.numbers:
            record = self.records.get(number)
            if record is None:
                continue
            if record["kind"] == "intent":
                open_ones.add(number)
            elif record["kind"] == "outcome":
                if (
                    record["closes"] in self.leaf_of
                    and record["closes"] not in open_ones
                    and record["closes"] in self.records
                ):
                    self.wrong(f"record {number} closes what is not open")
                begun = self.records.get(record["closes"])
                if begun is not None and begun["exchange_id"] != record["exchange_id"]:
                    self.wrong(f"record {number} closes another exchange")
                if begun is None and whole:
                    self.wrong(f"record {number} closes a record that is not here")
                open_ones.discard(record["closes"])
        if whole and open_ones:
            self.wrong(f"record {min(open_ones)} has no ending")

    def _parts(self):
        for number, record in self.records.items():
            for name, digest in record.get("parts", {}).items():
                part = self.files.get(f"parts/{number}/{name}")
                if part is None and "proofs.json" not in self.files:
                    continue
                if part is None or hashlib.sha256(part).hexdigest() != digest:
                    self.wrong(f"what record {number} names as {name} is missing or was changed")

    def _claims(self):
        for number, told in json.loads(self.files.get("claims.json", b"{}")).items():
            note = Note(told["note"])
            theirs = self.records[int(number)].get("theirs")
            if theirs != {"origin": told["origin"], "seq": told["seq"], "leaf": told["leaf"]}:
                self.wrong(f"the proof for record {number} is of something else")
            vkeys = [p["log"]["vkey"] for p in self.list["participants"] if p.get("log")]
            if not any(note.origin == vkey.partition("+")[0] and note.signed_by(vkey) for vkey in vkeys):
                self.wrong(f"the other side's checkpoint for record {number} is not signed by its log")
            proof = [bytes.fromhex(part) for part in told["proof"]]
            if (
                note.origin != told["origin"]
                or root_from(bytes.fromhex(told["leaf"]), told["seq"], note.size, proof) != note.root
            ):
                self.wrong(f"the other side's record for record {number} is not in its log")

    # the exchange

    def exchange(self, exchange_id):
        number, record = self._intent(lambda r: r["exchange_id"] == exchange_id)
        if record is None:
            self.wrong("the exchange is not here")
            return
        self.number, self.record, self.outcome = number, record, self._outcome(number)
        issued = next(
            (n for n, r in self.records.items() if r["kind"] == "intent" and r["transaction"] == "ITI-71"), None
        )
        if issued is not None and (record["transaction"] != "ITI-71" or issued == number):
            self._statements(issued)
        elif record["token_jti"]:
            self.wrong("the statements that the exchange was asked with are not here")
        if self.outcome and "delivery" in self.outcome.get("parts", {}):
            self._delivered()

    def _intent(self, fits):
        return next(((n, r) for n, r in self.records.items() if r["kind"] == "intent" and fits(r)), (None, None))

    def _outcome(self, number):
        return next((r for r in self.records.values() if r["kind"] == "outcome" and r["closes"] == number), None)

    def part(self, number, name):
        places = [number, *(n for n, r in self.records.items() if r.get("closes") == number)]
        return next((self.files[f"parts/{n}/{name}"] for n in places if f"parts/{n}/{name}" in self.files), None)

    def _statements(self, issued):
        opening = self.records[issued]
        at = moment(opening["at"])
        named = opening["details"].get("list")
        if named and named != f"{self.list['seq']};sha256={self.digest}":
            self.wrong("the trust list is not the one that was followed")
        if not self.list["issued"] - SKEW_S <= at < self.list["next_update"]:
            self.wrong("the trust list did not count at that time")
        client = self.part(issued, "client").decode()
        token = self.part(issued, "token").decode()
        outer = self._signed(client, "client", ("client-authentication+jwt", "JWT"), "client_auth", at)
        inner = outer["extensions"]["ehdsi"]
        hpa = self._signed(inner["hpa"], "hpa", ("hpa+jwt",), "hpa", at)
        trc = self._signed(inner["trc"], "trc", ("trc+jwt",), "trc", at) if "trc" in inner else None
        access = self._signed(token, "token", ("at+jwt",), "at", at)
        iua = hpa["extensions"]["ihe_iua"]
        self.asker = {
            "sub": hpa["sub"], "name": iua["subject_name"], "organisation": iua["subject_organization"],
            "role": iua["subject_role"][0]["code"], "purpose": iua["purpose_of_use"][0]["code"], "country": outer["iss"],
        }  # fmt: skip
        same = [outer["iss"] == outer["sub"] == hpa["iss"] == access["client_id"], hpa["sub"] == access["sub"]]
        if trc:
            about = trc["extensions"]["ehdsi"]["trc"]["patient"]
            same += [trc["iss"] == outer["iss"], trc["sub"] == hpa["sub"], about["handle"] == access.get("patient")]
            patient = self.record["patient"]
            same.append(patient is None or patient == about["identifier"])
        if not all(same):
            self.wrong("the statements are not of one request")
        person, role, purpose = self.record["person"].split(" ")[0], self.record["role"], self.record["purpose"]
        if self.record["token_jti"] not in ("", access["jti"]):
            self.wrong("the exchange used another token")
        if (person != hpa["sub"] or role != self.asker["role"] or purpose != self.asker["purpose"]) and self.record[
            "transaction"
        ] != "receipt":
            self.wrong("the record names another asker than the statements do")

    def _signed(self, token, name, types, use, at):
        head, payload, _ = token.split(".")
        header, claims = json.loads(unb64u(head)), json.loads(unb64u(payload))
        keys = [k for p in self.list["participants"] if p["ncp_id"] == claims["iss"] for k in p["keys"]]
        key = next((k for k in keys if k["kid"] == header["kid"]), None)
        if key is None or use not in key["use"]:
            self.wrong(f"{name}: the trust list has no such key for this")
        elif (
            key["status"] not in ("current", "previous")
            or not key.get("nbf", 0) <= at
            or (key.get("exp", 0) and at >= key["exp"])
        ):
            self.wrong(f"{name}: the key was not valid at that time")
        elif not jws_holds(token, key["jwk"], *types):
            self.wrong(f"{name}: the signature does not hold")
        if not claims["iat"] - SKEW_S <= at <= claims["exp"] + SKEW_S or claims["exp"] - claims["iat"] > LIVES[name]:
            self.wrong(f"{name}: it did not count at that time")
        return claims

    def _delivered(self):
        lines = self.part(self.number, "delivery").decode().splitlines()
        self.items = {tuple(line.split(" ")) for line in lines[1:]}
        digests = b"".join(bytes.fromhex(line.split(" ")[2]) for line in lines[1:])
        if hashlib.sha256(digests).hexdigest() != self.outcome["digest"] or len(lines) - 1 != self.outcome["instances"]:
            self.wrong("the list of instances is not that of the record")
        for number, record in self.records.items():
            if record["kind"] == "intent" and record["transaction"] == "receipt":
                self._receipt(number, lines[0].split(" ")[0])

    def _receipt(self, number, study):
        at = moment(self.records[number]["at"])
        texts = [self.part(number, name) for name in ("ours", "theirs")]
        if None in texts:
            self.wrong("the receipt is not signed by both")
            return
        claims = [self._signed(text.decode(), "receipt", ("ncp-receipt+jwt",), "receipt", at) for text in texts]
        told = claims[0]["receipt"]
        items = self.part(number, "list").decode()
        listed = {tuple(line.split(" ")) for line in items.splitlines()}
        if told != claims[1]["receipt"] or {c["iss"] for c in claims} != {claims[0]["aud"], claims[1]["aud"]}:
            self.wrong("the two signatures are not over the same")
        if told["sha256"] != hashlib.sha256(items.encode()).hexdigest() or told["count"] != len(listed):
            self.wrong("the receipt is for other bytes")
        uids = {uid for uid, _, _ in self.items}
        here = {item for item in listed if item[0] in uids}
        if (
            told["study"] != study
            or self.record["exchange_id"] not in told["exchanges"]
            or not here
            or not here <= self.items
        ):
            self.wrong("the receipt is for other bytes")


def agree(evidence, exchange_id, one, other):
    """What both countries wrote down is the same, and each has proof that the other did."""
    if not all(hasattr(half, "record") for half in (one, other)):
        return
    for name in ("exchange_id", "transaction", "purpose", "role", "patient", "token_jti"):
        if one.record[name] and other.record[name] and one.record[name] != other.record[name]:
            evidence.wrong(f"the two records differ in {name}")
    if one.record["person"].split(" ")[0] != other.record["person"].split(" ")[0]:
        evidence.wrong("the two records differ in person")
    for mine, theirs in ((one, other), (other, one)):
        for record in (mine.record, mine.outcome or {}):
            leaf = record.get("theirs")
            if leaf and theirs.leaf_of.get(leaf["seq"], b"").hex() != leaf["leaf"]:
                evidence.wrong(f"{mine.country} wrote down another record of {theirs.country} than the one here")
    if hasattr(one, "items") and hasattr(other, "items") and not (one.items <= other.items or other.items <= one.items):
        evidence.wrong("the two lists of instances differ")


class Note:
    """A signed note that is a checkpoint."""

    def __init__(self, text):
        body, _, below = text.rpartition("\n\n")
        self.body = (body + "\n").encode()
        self.origin, size, root = body.split("\n")[:3]
        self.size, self.root = int(size), base64.b64decode(root, validate=True)
        lines = [line.split(" ") for line in below.splitlines()]
        self.lines = [(name, base64.b64decode(raw, validate=True)) for _, name, raw in lines]

    def _signatures(self, vkey, kind):
        name, _, rest = vkey.partition("+")
        public = base64.b64decode(rest.partition("+")[2], validate=True)[1:]
        key_id = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]
        key = ed25519.Ed25519PublicKey.from_public_bytes(public)
        return key, [raw[4:] for told, raw in self.lines if told == name and raw[:4] == key_id]

    def signed_by(self, vkey):
        key, found = self._signatures(vkey, 1)
        return any(ed25519_holds(key, raw, self.body) for raw in found)

    def seen_by(self, vkey):
        key, found = self._signatures(vkey, 4)
        for raw in found:
            at = int.from_bytes(raw[:8], "big")
            if ed25519_holds(key, raw[8:], b"cosignature/v1\ntime %d\n" % at + self.body):
                return at
        return None


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from(leaf, number, size, proof):
    place, last, root = number, size - 1, leaf
    for part in proof:
        if not last:
            return None
        if place & 1 or place == last:
            root = node(part, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node(root, part)
        place, last = place >> 1, last >> 1
    return None if last else root


def root_over(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    edge = []
    for count, leaf in enumerate(leaves):
        while count & 1:
            leaf, count = node(edge.pop(), leaf), count >> 1
        edge.append(leaf)
    root = edge.pop()
    while edge:
        root = node(edge.pop(), root)
    return root


def ed25519_holds(key, signature, message):
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def jws_holds(token, jwk, *types):
    head, payload, tail = token.split(".")
    header, signature, message = json.loads(unb64u(head)), unb64u(tail), f"{head}.{payload}".encode()
    if (
        header.get("typ") not in types
        or set(header) != {"alg", "kid", "typ"}
        or header["alg"] != jwk.get("alg", "ES256")
    ):
        return False
    if header["alg"] == "Ed25519":
        return ed25519_holds(ed25519.Ed25519PublicKey.from_public_bytes(unb64u(jwk["x"])), signature, message)
    curve, digest = {"ES256": (ec.SECP256R1(), hashes.SHA256()), "ES384": (ec.SECP384R1(), hashes.SHA384())}[
        header["alg"]
    ]
    x, y = (int.from_bytes(unb64u(jwk[name]), "big") for name in "xy")
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def unb64u(text):
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64u(content) != text:
        raise ValueError("not canonical base64url")
    return content


def b64u(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main(argv=None):
    parser = argparse.ArgumentParser(description="Check an evidence file of Isthmus.")
    parser.add_argument("file")
    parser.add_argument(
        "--trust-root", action="append", default=[], metavar="FILE", help="the list operator's public key (JWK)"
    )
    parser.add_argument("--log-key", action="append", default=[], metavar="VKEY", help="the key of a country's log")
    asked = parser.parse_args(argv)
    roots = []
    for name in asked.trust_root:
        with open(name, encoding="utf-8") as file:
            roots.append(json.load(file))
    evidence = Evidence(asked.file, roots, asked.log_key).check()
    for problem in evidence.problems:
        print(problem)
    if not evidence.problems:
        print(
            "Everything holds."
            if roots or asked.log_key
            else "It holds by the keys that it brings itself: give --trust-root."
        )
    return 6 if evidence.problems else 0


if __name__ == "__main__":
    sys.exit(main())
