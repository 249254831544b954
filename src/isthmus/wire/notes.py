"""Signed notes: how a log says where it ends, and how a witness says that it saw so.

A checkpoint is three lines (origin, size, root) and signatures under them; a cosignature is one more line, with its time. Text that
could be read in two ways is no note.

The headers `NCP-Log` and `NCP-Checkpoint` stand on requests and answers; unsigned, the first is a claim, to be proven.

Source: trust.md §2.6; C2SP signed-note; C2SP tlog-checkpoint; C2SP tlog-cosignature; C2SP tlog-witness.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NOTE_MAX_BYTES = 64 << 10
PROOF_MAX = 63
SIGNATURES_MAX = 64
PLAIN, COSIGNATURE = 1, 4  # what the signature says: this is my log's end; I have seen it
ID_BYTES, KEY_BYTES, SIGNATURE_BYTES, TIME_BYTES, ROOT_BYTES = 4, 32, 64, 8, 32
_NAME = re.compile(r"[^\s+\x00-\x20\x7f]{1,255}")
_LEAF = re.compile(r'origin="([^"\s\\+\x00-\x20\x7f]{1,255})", seq=(0|[1-9][0-9]{0,17}), leaf=:([A-Za-z0-9+/=]{44}):')
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class LogKey:
    """The public key of a log, which is its key as a witness too: the two kinds of signature have other ids and other bytes."""

    name: str  # the log's origin
    public: bytes = field(repr=False)

    def id_of(self, kind: int) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([kind]) + self.public).digest()[:ID_BYTES]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id_of(PLAIN).hex()}+{_b64(bytes([PLAIN]) + self.public)}"

    @classmethod
    def read(cls, vkey: str) -> LogKey:
        """Read a verifier key. Raises ValueError."""
        name, _, rest = vkey.strip().partition("+")
        told, _, key = rest.partition("+")
        raw = _unb64(key)
        if _NAME.fullmatch(name) is None or len(raw) != 1 + KEY_BYTES or raw[0] != PLAIN:
            raise ValueError("not the verifier key of a log")
        made = cls(name, raw[1:])
        if made.id_of(PLAIN).hex() != told:
            raise ValueError("the verifier key's number is not that of the key")
        return made

    def _verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def signed(self, note: Note) -> bool:
        """Whether the log itself signed it."""
        return any(
            line.key_id == self.id_of(PLAIN) and line.name == self.name and self._verifies(line.signature, note.body)
            for line in note.signatures
        )

    def cosigned_at(self, note: Note) -> int | None:
        """When this witness says it has seen it; None when it does not."""
        for line in note.signatures:
            if line.name != self.name or line.key_id != self.id_of(COSIGNATURE):
                continue
            at, signature = int.from_bytes(line.signature[:TIME_BYTES]), line.signature[TIME_BYTES:]
            if self._verifies(signature, _seen(note.body, at)):
                return at
        return None


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A log's private key."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of_seed(cls, name: str, seed: bytes) -> NoteKey:
        """Raises ValueError."""
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public(self) -> LogKey:
        return LogKey(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> Note:
        """A checkpoint of our own log, signed."""
        body = checkpoint.body
        return Note(body, (Line(self.name, self.public.id_of(PLAIN), self.private.sign(body)),))

    def cosign(self, note: Note, at: int) -> Line:
        """Say that we have seen another's checkpoint, and that it continues what we saw before."""
        signature = at.to_bytes(TIME_BYTES) + self.private.sign(_seen(note.body, at))
        return Line(self.name, self.public.id_of(COSIGNATURE), signature)


@dataclass(frozen=True, slots=True)
class Line:
    """One signature under a note."""

    name: str
    key_id: bytes
    signature: bytes = field(repr=False)

    def write(self) -> str:
        return f"— {self.name} {_b64(self.key_id + self.signature)}\n"

    @classmethod
    def read(cls, text: str) -> Line:
        """Raises ValueError."""
        dash, name, encoded = [*text.split(" "), "", ""][:3]
        raw = _unb64(encoded)
        if dash != "—" or text.count(" ") != 2 or _NAME.fullmatch(name) is None or len(raw) <= ID_BYTES:
            raise ValueError("not the signature line of a note")
        return cls(name, raw[:ID_BYTES], raw[ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text, to its last newline, and the signatures under it."""

    body: bytes
    signatures: tuple[Line, ...]

    def write(self) -> str:
        return f"{self.body.decode()}\n{''.join(line.write() for line in self.signatures)}"

    @classmethod
    def read(cls, text: str) -> Note:
        """Raises ValueError for what is no signed note, or is one in another way than the one way to write it."""
        if len(text.encode("utf-8", "replace")) > NOTE_MAX_BYTES:
            raise ValueError("a note is shorter than that")
        body, blank, below = text.rpartition("\n\n")
        lines = below.split("\n")
        if not blank or lines.pop() != "" or not 1 <= len(lines) <= SIGNATURES_MAX:
            raise ValueError("not a signed note")
        if any(ord(char) < 0x20 and char != "\n" for char in text):
            raise ValueError("control characters in a note")
        return cls(f"{body}\n".encode(), tuple(Line.read(line) for line in lines))

    @property
    def checkpoint(self) -> Checkpoint:
        """What it says, whoever signed it. Raises ValueError."""
        return Checkpoint.read(self.body)

    def with_lines(self, lines: Sequence[Line]) -> Note:
        """With more signatures, each once."""
        return replace(self, signatures=tuple(dict.fromkeys((*self.signatures, *lines))))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a log ends: so many records, under this root."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> bytes:
        return f"{self.origin}\n{self.size}\n{_b64(self.root)}\n".encode()

    @classmethod
    def read(cls, body: bytes) -> Checkpoint:
        """Read the three lines; further ones are passed over. Raises ValueError."""
        origin, size, root, *more = body.decode("utf-8").split("\n")
        raw = _unb64(root)
        if not origin or _SIZE.fullmatch(size) is None or len(raw) != ROOT_BYTES or not more or "" in more[:-1]:
            raise ValueError("not a checkpoint")
        return cls(origin, int(size), raw)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a log brings its witness: a checkpoint, and the proof that it continues the one of `old` records."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    def write(self) -> bytes:
        proof = "".join(f"{_b64(each)}\n" for each in self.proof)
        return f"old {self.old}\n{proof}\n{self.note.write()}".encode()

    @classmethod
    def read(cls, body: bytes) -> Submission:
        """Raises ValueError."""
        if len(body) > NOTE_MAX_BYTES:
            raise ValueError("a submission is shorter than that")
        head, blank, note = body.decode("utf-8").partition("\n\n")
        first, *lines = head.split("\n")
        word, _, size = first.partition(" ")
        if not blank or word != "old" or _SIZE.fullmatch(size) is None or len(lines) > PROOF_MAX:
            raise ValueError("not the submission of a checkpoint")
        proof = tuple(_unb64(line) for line in lines)
        if any(len(each) != ROOT_BYTES for each in proof):
            raise ValueError("a line of the proof is no hash")
        return cls(int(size), proof, Note.read(note))


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a record lies in a log, as that log's owner says: the header `NCP-Log`."""

    origin: str
    seq: int
    leaf: bytes

    def write(self) -> str:
        return f'origin="{self.origin}", seq={self.seq}, leaf=:{_b64(self.leaf)}:'

    @classmethod
    def read(cls, text: str) -> Leaf:
        """Raises ValueError."""
        found = _LEAF.fullmatch(text)
        raw = _unb64(found[3]) if found else b""
        if found is None or len(raw) != ROOT_BYTES:
            raise ValueError("not a place in a log")
        return cls(found[1], int(found[2]), raw)


def write_shown(note: Note) -> str:
    """A checkpoint as the header `NCP-Checkpoint` shows it."""
    return f":{_b64(note.write().encode())}:"


def read_shown(text: str) -> Note:
    """Raises ValueError."""
    if len(text) > NOTE_MAX_BYTES or not text.startswith(":") or not text.endswith(":"):
        raise ValueError("not a checkpoint in a header")
    return Note.read(_unb64(text[1:-1]).decode("utf-8"))


def read_lines(text: str) -> tuple[Line, ...]:
    """The cosignatures that a witness answers with. Raises ValueError."""
    lines = text.split("\n")
    if lines.pop() != "" or not 1 <= len(lines) <= SIGNATURES_MAX:
        raise ValueError("not lines of signatures")
    return tuple(Line.read(line) for line in lines)


def _seen(body: bytes, at: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % at + body


def _b64(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _unb64(text: str) -> bytes:
    """Raises ValueError for all but the one form."""
    content = b64decode(text, validate=True)
    if _b64(content) != text:
        raise ValueError("not canonical base64")
    return content
