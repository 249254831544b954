"""The file that a backup is: a head in clear, then a tar stream sealed under a key of its own, which the node's master key wraps.

Nothing of it opens without `keys.env`, which is never in it. What the head says is bound to what follows.

Source: trust.md §2.3, §6.5.
"""

from __future__ import annotations

import io
import re
import secrets
import tarfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import orjson

from isthmus.errors import ContentMismatch, SettingsProblem
from isthmus.storage.sealed import MasterKey, SealedReader, SealedWriter

MAGIC = b"isthmus backup 1\n"
HEAD_MAX = 64 << 10
PIECE_BYTES = 1 << 20
_MEMBER = re.compile(r"(state|index|terminology)\.sqlite|archive/[A-Za-z0-9._-]{1,128}(/[A-Za-z0-9._-]{1,128}){0,4}")


@dataclass(frozen=True, slots=True)
class Head:
    """What is told without opening it: whose it is, of when, where the trail ended. `wrapped` is its key."""

    ncp_id: str
    made: str
    records: int
    root: str
    wrapped: str = ""

    def write(self) -> bytes:
        return MAGIC + orjson.dumps(asdict(self)) + b"\n"


class BackupWriter:
    """Writes one backup, whole or not at all. Close it, or abort."""

    def __init__(self, path: Path, head: Head, master: MasterKey) -> None:
        key = secrets.token_bytes(32)
        wrapped = b64encode(master.wrap(key, b"backup")).decode()
        written = Head(head.ncp_id, head.made, head.records, head.root, wrapped).write()
        self._sealed = SealedWriter(path, key, sha256(written).digest(), written)
        self._tar = tarfile.open(fileobj=_Into(self._sealed), mode="w|", bufsize=PIECE_BYTES, format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(self, name: str, file: Path) -> bool:
        """Put a file in as it is long now; whether it was there. Raises ContentMismatch when it gets shorter meanwhile."""
        try:
            stream = file.open("rb")
        except FileNotFoundError:
            return False
        with stream:
            member = tarfile.TarInfo(name)
            member.size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            try:
                self._tar.addfile(member, stream)
            except OSError as error:
                raise ContentMismatch(f"{name} became shorter while it was read; try again") from error
        return True

    def close(self) -> None:
        self._tar.close()
        self._sealed.close()

    def abort(self) -> None:
        self._sealed.abort()


def read_head(path: Path) -> tuple[Head, bytes]:
    """The head of a backup, and its bytes. Raises SettingsProblem when the file is no backup."""
    try:
        with path.open("rb") as file:
            written = file.read(HEAD_MAX)
        if not written.startswith(MAGIC):
            raise ValueError
        written = written[: written.index(b"\n", len(MAGIC)) + 1]
        return Head(**orjson.loads(written[len(MAGIC) :])), written
    except FileNotFoundError:
        raise SettingsProblem(f"{path} does not exist", reason="usage") from None
    except (OSError, ValueError, TypeError):
        raise SettingsProblem(f"{path} is no backup of a node", reason="usage") from None


def members(path: Path, master: MasterKey) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents, in order; each content is read before the next. Raises ContentMismatch when a bit of it is another."""
    head, written = read_head(path)
    try:
        key = master.unwrap(b64decode(head.wrapped), b"backup")
    except ContentMismatch as error:
        raise ContentMismatch("keys.env does not open this backup: it is another node's, or was changed", reason="digest") from error  # fmt: skip
    reader = SealedReader(path, key, sha256(written).digest(), len(written))
    try:
        with tarfile.open(fileobj=_From(reader), mode="r|", bufsize=PIECE_BYTES) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or not _MEMBER.fullmatch(member.name) or ".." in member.name:
                    raise ContentMismatch(f"a member that no backup has: {member.name[:80]!r}")
                yield member.name, content
    except tarfile.TarError as error:
        raise ContentMismatch("the backup cannot be read to its end") from error
    finally:
        reader.close()


class _Into(io.RawIOBase):
    """A stream that seals what is written to it."""

    def __init__(self, sealed: SealedWriter) -> None:
        self._sealed = sealed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sealed.write(bytes(data))
        return len(data)


class _From(io.RawIOBase):
    """A stream of what was sealed."""

    def __init__(self, sealed: SealedReader) -> None:
        self._sealed, self._at = sealed, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._sealed.read(self._at, self._sealed.size_bytes if size < 0 else size)
        self._at += len(data)
        return data
