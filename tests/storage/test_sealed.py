"""Sealed bytes open whole, unchanged and in their own place, or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from isthmus.errors import ContentMismatch, SettingsProblem
from isthmus.storage.sealed import SEGMENT_BYTES, TAG_BYTES, MasterKey, SealedReader, SealedWriter, seal, unseal

KEY = secrets.token_bytes(32)


def written(path: Path, content: bytes, piece: int = 300_000) -> Path:
    writer = SealedWriter(path, KEY, b"one")
    for start in range(0, len(content), piece):
        writer.write(memoryview(content)[start : start + piece])
    writer.close()
    return path


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES])
def test_a_sealed_file_comes_back_as_it_was(tmp_path: Path, size: int) -> None:
    content = secrets.token_bytes(size)

    reader = SealedReader(written(tmp_path / "f", content), KEY, b"one")

    assert reader.size_bytes == size
    assert reader.read(0, size + 10) == content
    assert reader.read(size // 2, 2000) == content[size // 2 : size // 2 + 2000]


def test_one_large_write_comes_back(tmp_path: Path) -> None:
    content = secrets.token_bytes(3 * SEGMENT_BYTES + 7)

    reader = SealedReader(written(tmp_path / "f", content, piece=len(content)), KEY, b"one")

    assert reader.read(0, len(content)) == content


@pytest.mark.threat("T109")
def test_two_segments_in_each_others_place_do_not_open(tmp_path: Path) -> None:
    path, length = written(tmp_path / "f", secrets.token_bytes(3 * SEGMENT_BYTES)), SEGMENT_BYTES + TAG_BYTES
    sealed = path.read_bytes()
    path.write_bytes(sealed[length : 2 * length] + sealed[:length] + sealed[2 * length :])
    reader = SealedReader(path, KEY, b"one")

    with pytest.raises(ContentMismatch):
        reader.read(0, 10)


@pytest.mark.threat("T109")
def test_a_segment_of_another_file_under_the_same_key_does_not_open(tmp_path: Path) -> None:
    content = secrets.token_bytes(2 * SEGMENT_BYTES)
    path = written(tmp_path / "f", content)
    other = SealedWriter(tmp_path / "g", KEY, b"two")
    other.write(content)
    other.close()
    path.write_bytes(
        (tmp_path / "g").read_bytes()[: SEGMENT_BYTES + TAG_BYTES] + path.read_bytes()[SEGMENT_BYTES + TAG_BYTES :]
    )
    reader = SealedReader(path, KEY, b"one")

    with pytest.raises(ContentMismatch):
        reader.read(0, 10)


def test_a_file_behind_a_head_in_clear_comes_back_and_is_bound_to_it(tmp_path: Path) -> None:
    content, head = secrets.token_bytes(SEGMENT_BYTES + 5), b"a head\n"
    writer = SealedWriter(tmp_path / "f", KEY, head, head)
    writer.write(content)
    writer.close()

    reader = SealedReader(tmp_path / "f", KEY, head, len(head))

    assert (tmp_path / "f").read_bytes().startswith(head)
    assert reader.read(0, len(content)) == content
    with pytest.raises(ContentMismatch):
        SealedReader(tmp_path / "f", KEY, b"b head\n", len(head))


@pytest.mark.threat("T109")
def test_a_file_cut_at_a_segment_does_not_open(tmp_path: Path) -> None:
    path = written(tmp_path / "f", secrets.token_bytes(2 * SEGMENT_BYTES + 5))
    path.write_bytes(path.read_bytes()[: 2 * (SEGMENT_BYTES + TAG_BYTES)])

    with pytest.raises(ContentMismatch):
        SealedReader(path, KEY, b"one")


def test_a_changed_bit_does_not_open(tmp_path: Path) -> None:
    path = written(tmp_path / "f", secrets.token_bytes(2 * SEGMENT_BYTES))
    changed = bytearray(path.read_bytes())
    changed[1000] ^= 1
    path.write_bytes(changed)
    reader = SealedReader(path, KEY, b"one")

    with pytest.raises(ContentMismatch):
        reader.read(0, 10)


def test_a_file_under_another_name_does_not_open(tmp_path: Path) -> None:
    path = written(tmp_path / "f", b"content")

    with pytest.raises(ContentMismatch):
        SealedReader(path, KEY, b"two")


def test_an_aborted_file_is_gone(tmp_path: Path) -> None:
    writer = SealedWriter(tmp_path / "f", KEY, b"one")
    writer.write(b"part")

    writer.abort()

    assert not (tmp_path / "f").exists()


def test_sealed_bytes_open_only_with_what_they_belong_to() -> None:
    sealed = seal(KEY, b"secret", b"here")

    assert unseal(KEY, sealed, b"here") == b"secret"
    with pytest.raises(ContentMismatch):
        unseal(KEY, sealed, b"there")
    with pytest.raises(ContentMismatch):
        unseal(KEY, b"", b"here")


def test_a_master_key_wraps_and_derives(tmp_path: Path) -> None:
    MasterKey.make(tmp_path / "env.key")
    master = MasterKey.load(tmp_path / "env.key")

    assert master.unwrap(master.wrap(KEY, b"2026-11"), b"2026-11") == KEY
    assert master.derive("handles") != master.derive("trail")
    assert len(master.derive("handles", 48)) == 48


def test_a_master_key_others_can_read_is_refused(tmp_path: Path) -> None:
    MasterKey.make(tmp_path / "env.key")
    (tmp_path / "env.key").chmod(0o644)

    with pytest.raises(SettingsProblem, match="chmod 600"):
        MasterKey.load(tmp_path / "env.key")
