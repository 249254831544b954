"""What lies sealed on disk: AES-256-GCM, under keys that are random and wrapped by the node's master key.

A key that can be derived again cannot be destroyed; only a random, wrapped one erases what it closed.

Source: trust.md §2.3.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from isthmus.errors import ContentMismatch, SettingsProblem

SEGMENT_BYTES = 1 << 20
TAG_BYTES = 16
NONCE_BYTES = 12


def seal(key: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """Nonce and ciphertext."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def unseal(key: bytes, sealed: bytes, aad: bytes = b"") -> bytes:
    """Raises ContentMismatch (reason digest) when a bit of it, or what it belongs to, is another."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except (InvalidTag, ValueError) as error:
        raise ContentMismatch("sealed bytes do not open", reason="digest") from error


class MasterKey:
    """The node's 256-bit master key (`keys.env`): wraps data keys, derives others."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise SettingsProblem("a master key is 32 bytes", key="keys.env")
        self._key = key

    @classmethod
    def load(cls, path: Path) -> MasterKey:
        """Read a file of 64 hex digits that nobody else may read. Raises SettingsProblem."""
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise SettingsProblem(
                f"the master key {path} cannot be read: {type(error).__name__}", key="keys.env"
            ) from error
        if mode & 0o077:
            raise SettingsProblem(f"the master key {path} can be read by others: chmod 600", key="keys.env")
        return cls(key)

    @staticmethod
    def make(path: Path) -> None:
        """Write a new one. Raises FileExistsError rather than overwrite."""
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")

    def derive(self, purpose: str, size_bytes: int = 32) -> bytes:
        return HKDF(SHA256(), size_bytes, salt=None, info=b"isthmus " + purpose.encode()).derive(self._key)

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        return seal(self.derive("wrap"), key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        return unseal(self.derive("wrap"), wrapped, aad)


def _nonce(segment: int, last: bool) -> bytes:
    return segment.to_bytes(NONCE_BYTES - 1, "big") + bytes([last])


class SealedWriter:
    """Writes one sealed file, once, under a key of its own. Closed, it is whole; aborted or dropped, it is gone.

    `head` stands before it in clear; whoever needs it unchanged makes `file_id` of it.
    """

    def __init__(self, path: Path, key: bytes, file_id: bytes, head: bytes = b"") -> None:
        self._path, self._cipher, self._file_id = path, AESGCM(key), file_id
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", buffering=0)
        self._pending = bytearray()
        self._segment = 0
        if head:
            self._file.write(head)

    def write(self, view: bytes | memoryview) -> None:
        self._pending += view
        if len(self._pending) > SEGMENT_BYTES:  # the last segment is known as such only at the end
            whole = (len(self._pending) - 1) // SEGMENT_BYTES * SEGMENT_BYTES
            for start in range(0, whole, SEGMENT_BYTES):
                self._put(bytes(memoryview(self._pending)[start : start + SEGMENT_BYTES]), last=False)
            del self._pending[:whole]

    def close(self) -> None:
        """Write the last segment. Without it the file does not open."""
        if self._file.closed:
            return
        self._put(bytes(self._pending), last=True)
        self._pending.clear()
        self._file.close()

    def abort(self) -> None:
        """Take the file away; after `close` this does nothing."""
        if not self._file.closed:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _put(self, plaintext: bytes, *, last: bool) -> None:
        sealed = memoryview(self._cipher.encrypt(_nonce(self._segment, last), plaintext, self._file_id))
        while sealed:
            sealed = sealed[self._file.write(sealed) :]
        self._segment += 1


class SealedReader:
    """Reads any range of a sealed file, which begins after `head_bytes`; holds one segment. Raises ContentMismatch when it was cut,
    changed or exchanged."""

    def __init__(self, path: Path, key: bytes, file_id: bytes, head_bytes: int = 0) -> None:
        self._file = path.open("rb", buffering=0)
        self._cipher, self._file_id = AESGCM(key), file_id
        self._head_bytes = head_bytes
        sealed_bytes = max(0, os.fstat(self._file.fileno()).st_size - head_bytes)
        self._segments = max(1, -(-sealed_bytes // (SEGMENT_BYTES + TAG_BYTES)))
        self.size_bytes = sealed_bytes - self._segments * TAG_BYTES
        self._held: tuple[int, bytes] = (-1, b"")
        try:
            self._open(self._segments - 1)
        except ContentMismatch:
            self.close()
            raise

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on."""
        end = min(offset + size, self.size_bytes)
        parts = []
        while offset < end:
            number, within = divmod(offset, SEGMENT_BYTES)
            part = self._open(number)[within : within + end - offset]
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        self._file.close()

    def _open(self, number: int) -> bytes:
        if self._held[0] != number:
            length = SEGMENT_BYTES + TAG_BYTES
            sealed = os.pread(self._file.fileno(), length, self._head_bytes + number * length)
            try:
                plain = self._cipher.decrypt(_nonce(number, number == self._segments - 1), sealed, self._file_id)
            except (InvalidTag, ValueError) as error:
                raise ContentMismatch("a sealed file does not open", reason="digest") from error
            self._held = (number, plain)
        return self._held[1]
