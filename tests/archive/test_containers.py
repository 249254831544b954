"""Containers: appended, taken back, never written over."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.archive import containers
from isthmus.archive.containers import Container, Slice, Written


def _read(folder: Path, place: Slice) -> bytes:
    return containers.read_slice(folder, place.container, place.offset, place.size)


def test_slices_lie_end_to_end_as_they_came(tmp_path: Path) -> None:
    container = Container(tmp_path)

    places = [container.append([b"one", b" "]), container.append([b"two"])]
    container.close()

    assert [_read(tmp_path, place) for place in places] == [b"one ", b"two"]
    assert [place.offset for place in places] == [0, 4]
    assert places[1].sha256 == hashlib.sha256(b"two").hexdigest()


def test_what_is_taken_back_leaves_no_trace(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.append([b"kept"])
    container.begin()
    container.add(b"gone")
    container.take_back()

    place = container.append([b"next"])
    container.close()

    assert place.offset == 4
    assert (tmp_path / place.container).read_bytes() == b"keptnext"


def test_a_source_that_breaks_off_takes_its_slice_back(tmp_path: Path) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("broken")

    container = Container(tmp_path)
    with pytest.raises(ValueError, match="broken"):
        container.append(breaking())

    assert container.append([b"x"]).offset == 0


def test_a_full_container_is_followed_by_another_but_twins_stay_together(tmp_path: Path) -> None:
    container = Container(tmp_path, roll_over_bytes=4)

    first, twin, second = container.append([b"12345"]), container.append([b"6"], stay=True), container.append([b"7"])
    container.flush()
    container.close()

    assert first.container == twin.container != second.container
    assert [_read(tmp_path, place) for place in (first, twin, second)] == [b"12345", b"6", b"7"]


def test_two_writers_never_share_a_file_and_only_we_may_read_them(tmp_path: Path) -> None:
    places = []
    for _ in range(2):
        container = Container(tmp_path / "blobs")
        places.append(container.append([b"x"]))
        container.close()

    assert places[0].container != places[1].container
    assert {stat.S_IMODE((tmp_path / "blobs" / place.container).stat().st_mode) for place in places} == {0o600}


def test_a_container_in_which_nothing_stayed_is_removed(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.begin()
    container.add(b"x")
    container.take_back()

    container.close()

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_was_just_written_can_be_read_within_its_bounds(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.append([b"before"])
    place = container.append([b"inside"])
    container.append([b"after"])

    written = Written(container, place)

    assert (written.read_at(0, 100), written.read_at(2, 2), written.read_at(6, 5), written.size_bytes) == (
        b"inside", b"si", b"", 6,
    )  # fmt: skip
