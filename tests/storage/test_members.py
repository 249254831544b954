"""Archives that nobody should send: bounded as a whole, and no byte of them counted twice."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from isthmus.storage import members
from isthmus.storage.members import Allowance, Bounded, Member, Unreadable, tar_members, zip_members

pytestmark = pytest.mark.threat("T98")
MIB = 1 << 20
SAID = {"bad-archive", "overlap", "path-outside", "link", "bomb"}


def packed(path: Path, *bodies: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for number, body in enumerate(bodies):
            archive.writestr(f"{number}.dcm", body)
    return path


def read(found: Iterator[Member]) -> tuple[list[str | int], str | None]:
    """How much of each member could be read, or why none; and why the archive ended, if not at its end."""
    told: list[str | int] = []
    try:
        for member in found:
            told.append(_one(member))
    except Unreadable as error:
        return told, f"{error.reason}: {error.detail}"
    return told, None


def _one(member: Member) -> str | int:
    if member.stream is None:
        return member.reason or ""
    size = 0
    try:
        while piece := member.stream.read(MIB):
            size += len(piece)
    except Unreadable as error:
        return error.reason
    return size


def overlapping(path: Path, count: int, body: bytes) -> Path:
    """As David Fifield's: every name leads to the one packed body."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", body)
        one = archive.infolist()[0]
        for number in range(1, count):
            twin = zipfile.ZipInfo(f"{number}")
            for said in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "external_attr"):
                setattr(twin, said, getattr(one, said))
            archive.filelist.append(twin)
    return path


def quoting(path: Path) -> Path:
    """Two members of stored bytes, the second one's header inside the first one's bytes."""
    inner = packed(path, b"x" * 100, method=zipfile.ZIP_STORED).read_bytes()
    local = inner[: inner.index(b"PK\1\2")]
    packed(path, local, method=zipfile.ZIP_STORED)
    whole = path.read_bytes()
    at = whole.index(b"PK\1\2")
    entry = inner[inner.index(b"PK\1\2") : inner.rindex(b"PK\5\6")]
    second = entry[:42] + pack("<L", whole.index(local)) + entry[46:]
    entries = whole[at : whole.rindex(b"PK\5\6")] + second
    path.write_bytes(whole[:at] + entries + b"PK\5\6" + bytes(4) + pack("<2H2LH", 2, 2, len(entries), at, 0))
    return path


def hurts(whole: bytes, seed: int) -> Iterator[bytes]:
    dice = random.Random(seed)  # noqa: S311  # no secret
    for _ in range(300):
        hurt = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(hurt))
            hurt[at : at + dice.randint(1, 4)] = dice.randbytes(dice.randint(0, 4))
        yield bytes(hurt)


def test_an_honest_zip_is_read_whole(tmp_path: Path) -> None:
    assert read(zip_members(packed(tmp_path / "z", b"a" * 1000, b"", b"b" * MIB))) == ([1000, 0, MIB], None)


def test_an_honest_zip_behind_something_else_is_read_whole(tmp_path: Path) -> None:
    path = packed(tmp_path / "z", b"a" * 1000, b"b" * 10)
    path.write_bytes(b"a program that unpacks itself" + path.read_bytes())

    assert read(zip_members(path)) == ([1000, 10], None)


def test_members_each_within_their_bound_end_where_the_archive_is_beyond_its_own(tmp_path: Path) -> None:
    path = packed(tmp_path / "z", *[bytes(15 * MIB)] * 20)

    told, why = read(zip_members(path))

    assert told[:4] == [15 * MIB] * 4
    assert (told[-1], why) == ("bomb", "bomb: the archive as a whole")
    assert len(told) < 10


def test_names_that_lead_to_the_same_bytes_inflate_them_once(tmp_path: Path) -> None:
    told, why = read(zip_members(overlapping(tmp_path / "z", 1000, bytes(MIB))))

    assert (sorted(map(str, set(told))), told.count(MIB), why) == ([str(MIB), "overlap"], 1, None)


def test_a_member_inside_the_bytes_of_another_is_found_out(tmp_path: Path) -> None:
    assert read(zip_members(quoting(tmp_path / "z"))) == (["overlap", 100], None)


def test_a_member_that_reaches_into_the_directory_is_found_out(tmp_path: Path) -> None:
    path = packed(tmp_path / "z", b"x" * 100, method=zipfile.ZIP_STORED)
    body = bytearray(path.read_bytes())
    at = body.index(b"PK\1\2")
    body[at + 20 : at + 28] = pack("<2L", 120, 120)
    path.write_bytes(body)

    assert read(zip_members(path)) == (["overlap"], None)


def test_a_directory_larger_than_any_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_DIRECTORY_BYTES", 100_000)
    path = packed(tmp_path / "z", *[b""] * 3000)

    assert read(zip_members(path)) == ([], "too-many-members: a directory of more than 32 MiB")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_packing_that_may_want_gigabytes_is_refused(tmp_path: Path, method: int) -> None:
    assert read(zip_members(packed(tmp_path / "z", b"a", method=method))) == (["bad-archive"], None)


class Ticking:
    """A clock of the processor by which every reading takes long."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 7.0
        return self.now


def test_an_archive_that_takes_too_long_to_inflate_ends_there() -> None:
    stream = Bounded(io.BytesIO(bytes(20 * MIB)), None, None, Allowance(MIB, clock=Ticking()))

    with pytest.raises(Unreadable, match="bomb") as refused:
        stream.drain()

    assert refused.value.detail == "the archive takes too long to inflate"


def test_a_gzipped_tar_is_bounded_as_a_whole(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for number in range(8):
            info = tarfile.TarInfo(str(number))
            info.size = 4 * MIB
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    (tmp_path / "t").write_bytes(gzip.compress(made.getvalue()))

    told, why = read(tar_members(tmp_path / "t"))

    assert (told[:2], told[-1], why) == ([4 * MIB] * 2, "bomb", "bomb: the archive as a whole")


@pytest.mark.parametrize("kind", [b"g", b"L", b"K"])
def test_a_tar_of_nothing_but_extensions_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes) -> None:
    monkeypatch.setattr(members, "MAX_HEADS", 50)
    head = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    head[156:157] = kind
    (tmp_path / "t").write_bytes(bytes(head) * 100)

    assert read(tar_members(tmp_path / "t")) == ([], "too-many-members: ")


@pytest.mark.parametrize("seed", range(4))
def test_an_archive_hurt_anywhere_is_refused_or_read_and_nothing_else(tmp_path: Path, seed: int) -> None:
    whole = packed(tmp_path / "z", b"a" * 500, lzma.compress(b"b"), b"c" * 3000).read_bytes()

    for hurt in hurts(whole, seed):
        (tmp_path / "z").write_bytes(hurt)
        told, _ = read(zip_members(tmp_path / "z"))
        assert all(isinstance(one, int) or one in SAID for one in told)
