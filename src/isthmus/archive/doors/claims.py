"""What is taken out of a watched folder, step by step, so that each step can be the last one of a node.

A claim is a folder of ours within the watched one: first the names are written down in it, then the sidecar is moved in, then the document,
then the verdict is written down, then each is moved to where it ends. Whoever finds a claim knows by what is in it how to go on.

Everything is opened, moved and written by its name within an open folder, never through a link.

Source: trust.md T67; field-faults F49.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from isthmus.archive.verdicts import Unreadable

DONE, REFUSED_FOLDER, CLAIMS = "done", "refused", ".taking"
DOCUMENT, SIDECAR, NAMES, VERDICT = "document", "sidecar", "names.json", "verdict.json"
NAME_MAX_BYTES: Final = 200
ENDING_MAX_BYTES: Final = 20
SMALL_BYTES: Final = 64 << 10
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Places:
    """The open folders."""

    folder: int
    claims: int
    done: int
    refused: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, open. `document` and `sidecar` are the names they came under."""

    id: str
    at: int
    document: str
    sidecar: str | None

    def holds(self, part: str) -> bool:
        return part in os.listdir(self.at)


@contextlib.contextmanager
def opened_alone(path: Path) -> Iterator[Places]:
    """The folders of a watched one, made where they are missing, for one process at a time. Raises BlockingIOError, OSError."""
    with contextlib.ExitStack() as stack:

        def opened(name: str | Path, flags: int, within: int | None = None) -> int:
            fd = os.open(name, flags, dir_fd=within)
            stack.callback(os.close, fd)
            return fd

        folder = opened(path, _FOLDER)
        for name in (CLAIMS, DONE, REFUSED_FOLDER):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=folder)
        claims, done, refused = (opened(n, _FOLDER | os.O_NOFOLLOW, folder) for n in (CLAIMS, DONE, REFUSED_FOLDER))
        fcntl.flock(claims, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the open folder
        yield Places(folder, claims, done, refused)


def begin(places: Places, name: str, beside: str | None) -> str:
    """Claim a document and the sidecar beside it; gives the claim's id. Raises OSError when it cannot be moved: it stays."""
    id = secrets.token_hex(8)
    os.mkdir(id, 0o700, dir_fd=places.claims)
    at = os.open(id, _FOLDER, dir_fd=places.claims)
    try:
        names = {DOCUMENT: os.fsencode(name).hex(), SIDECAR: os.fsencode(beside).hex() if beside else None}
        write(at, NAMES, orjson.dumps(names), id)
        for part, moved in ((SIDECAR, beside), (DOCUMENT, name)):
            if moved is not None:
                with contextlib.suppress(FileNotFoundError):  # its writer has taken it back
                    os.rename(moved, part, src_dir_fd=places.folder, dst_dir_fd=at)
        os.fsync(at)
    finally:
        os.close(at)
    return id


@contextlib.contextmanager
def resumed(places: Places, id: str) -> Iterator[Claim | None]:
    """A claim from wherever it stands; None when its document never came into it, and all is as before."""
    at = os.open(id, _FOLDER | os.O_NOFOLLOW, dir_fd=places.claims)
    try:
        there = os.listdir(at)
        if DOCUMENT in there or VERDICT in there:
            names = orjson.loads(read(at, NAMES, SMALL_BYTES))
            sidecar = names[SIDECAR]
            yield Claim(id, at, _name(names[DOCUMENT]), _name(sidecar) if sidecar else None)
        else:
            _give_back(places, id, at, there)
            yield None
    finally:
        os.close(at)


def decide(places: Places, claim: Claim, told: dict[str, Any], *, done: bool) -> None:
    """Write down what was decided, and under which name it is kept."""
    place = DONE if done else REFUSED_FOLDER
    kept_as = _free_name(places.done if done else places.refused, claim)
    write(
        claim.at, VERDICT, orjson.dumps({"place": place, "kept_as": os.fsencode(kept_as).hex(), "told": told}), claim.id
    )


def put_away(places: Places, claim: Claim) -> None:
    """Move what is decided to where it ends, with the verdict beside it; the claim is over."""
    said = orjson.loads(read(claim.at, VERDICT, SMALL_BYTES))
    to, kept_as = places.done if said["place"] == DONE else places.refused, _name(said["kept_as"])
    for part, ending in ((DOCUMENT, ""), (SIDECAR, ".sidecar.json")):
        with contextlib.suppress(FileNotFoundError):  # moved before
            os.rename(part, f"{kept_as}{ending}", src_dir_fd=claim.at, dst_dir_fd=to)
    write(to, f"{kept_as}.reason.json", orjson.dumps(said["told"], option=orjson.OPT_INDENT_2), claim.id)
    for part in (VERDICT, NAMES):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=claim.at)
    _over(places, claim.id, claim.at)


def _give_back(places: Places, id: str, at: int, there: list[str]) -> None:
    """A claim that was cut before its document was in it: the sidecar goes back, unless a newer one lies there."""
    if SIDECAR in there:
        sidecar = _name(orjson.loads(read(at, NAMES, SMALL_BYTES))[SIDECAR])
        with contextlib.suppress(FileExistsError):
            os.link(SIDECAR, sidecar, src_dir_fd=at, dst_dir_fd=places.folder, follow_symlinks=False)
        os.fsync(places.folder)
        os.unlink(SIDECAR, dir_fd=at)
    if NAMES in there:
        os.unlink(NAMES, dir_fd=at)
    _over(places, id, at)


def _over(places: Places, id: str, at: int) -> None:
    for unfinished in os.listdir(at):
        if unfinished.startswith("."):
            os.unlink(unfinished, dir_fd=at)
    os.rmdir(id, dir_fd=places.claims)
    os.fsync(places.claims)


def _free_name(folder: int, claim: Claim) -> str:
    """The name a document is kept under: its own where that is free and short enough, else with the claim's id."""
    stem, dot, ending = claim.document.rpartition(".")
    if not stem or len(os.fsencode(ending)) > ENDING_MAX_BYTES:
        stem, dot, ending = claim.document, "", ""
    cut = os.fsdecode(os.fsencode(stem)[:NAME_MAX_BYTES])
    taken = set(os.listdir(folder))
    own = f"{cut}{dot}{ending}"
    free = not {own, f"{own}.reason.json", f"{own}.sidecar.json"} & taken
    return own if free and cut == stem else f"{cut}.{claim.id}{dot}{ending}"


def _name(written: str) -> str:
    return os.fsdecode(bytes.fromhex(written))


def read(folder: int, name: str, limit_bytes: int) -> bytes:
    """A plain file, to a limit. Raises Unreadable for what is none, OSError."""
    try:
        fd = os.open(name, _OPEN, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise Unreadable("link") from error
        raise
    with open(fd, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable("link")
        body = bytearray()
        while len(body) < limit_bytes and (piece := file.read(min(1 << 20, limit_bytes - len(body)))):
            body += piece
        return bytes(body)


def write(folder: int, name: str, body: bytes, id: str) -> None:
    """A file that is there whole or not at all; what an earlier attempt of the same claim left is written over."""
    unfinished = f".{id}.part"
    fd = os.open(unfinished, _NEW, 0o600, dir_fd=folder)
    with open(fd, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(fd)
    os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
