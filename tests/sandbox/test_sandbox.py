"""Hostile parsers, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus import sandbox
from isthmus.errors import ArrivalRefused, CountryMisanswered, IsthmusError
from isthmus.sandbox import MIB, Sandbox

HERE = Path(__file__).parent
NAMES = (
    "echo", "said", "spin", "sleep", "rest", "hoard", "flood", "plenty", "crash", "leave", "stumble", "chat", "read_a_file",
    "write_a_file", "call_out", "start_a_program", "environment", "decoded",
)  # fmt: skip
FILTERED = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    box = Sandbox({name: f"hostile:{name}" for name in NAMES}, folders=(str(HERE),))
    yield box
    box.close()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def refused(box: Sandbox, task: str, **limits: float) -> IsthmusError:
    with pytest.raises(ArrivalRefused) as caught:
        box.run_now(task, b"Doe^John", **limits)  # type: ignore[arg-type]  # the tests give what they mean
    return caught.value


def test_a_task_gives_what_it_makes_of_its_bytes(box: Sandbox) -> None:
    payload = bytes(range(256)) * 100_000

    assert box.run_now("echo", payload) == payload


def test_options_reach_the_task(box: Sandbox) -> None:
    assert box.run_now("said", b"", {"words": "four"}) == b"four"


@pytest.mark.parametrize(
    "encoding", ["windows-1253", "iso8859-7", "iso8859-5", "koi8-r", "utf-16", "iso2022_jp_2", "gb18030", "euc_kr"]
)
def test_a_text_is_read_in_the_encoding_that_it_declares_though_no_file_can_be_opened(
    box: Sandbox, encoding: str
) -> None:
    words = {"iso2022_jp_2": "山田", "gb18030": "王", "euc_kr": "김", "iso8859-5": "Иванов", "koi8-r": "Иванов"}
    name = words.get(encoding, "Παπαδάκη")

    assert box.run_now("decoded", name.encode(encoding), {"encoding": encoding}).decode() == name


def test_pieces_go_where_they_are_wanted_as_they_come(box: Sandbox) -> None:
    pieces: list[bytes] = []

    answer = box.run_now("echo", bytes(9 * MIB), into=pieces.append)

    assert answer == b""
    assert [len(piece) for piece in pieces] == [4 * MIB, 4 * MIB, MIB]


@pytest.mark.threat("T63")
def test_a_parser_that_never_ends_is_killed_at_its_deadline(box: Sandbox) -> None:
    started = time.monotonic()

    error = refused(box, "spin", deadline_s=0.3)

    assert error.facts["fault"] == "took longer than 0.3 s"
    assert time.monotonic() - started < 5


@pytest.mark.threat("T63")
def test_a_parser_that_takes_all_memory_is_stopped(box: Sandbox) -> None:
    error = refused(box, "hoard")

    assert error.facts["fault"] == "MemoryError"


@pytest.mark.threat("T63")
def test_a_parser_that_gives_too_much_is_killed(box: Sandbox) -> None:
    error = refused(box, "flood", output_limit_bytes=3 * MIB)

    assert error.facts["fault"] == f"gave more than {3 * MIB} bytes"


def test_the_time_in_which_nobody_takes_what_is_made_is_not_the_parsers(box: Sandbox) -> None:
    sizes: list[int] = []

    def slow(piece: bytes) -> None:
        time.sleep(0.2)
        sizes.append(len(piece))

    box.run_now("plenty", b"", deadline_s=1.5, into=slow)

    assert sizes == [MIB] * 12


@pytest.mark.threat("T64")
@pytest.mark.parametrize("task", ["crash", "leave"])
def test_a_parser_that_dies_is_one_error_and_the_next_task_runs(box: Sandbox, task: str) -> None:
    error = refused(box, task)

    assert error.facts["fault"] == "the child died"
    assert box.run_now("echo", b"still here") == b"still here"


def test_what_a_parser_says_when_it_stumbles_does_not_come_out(box: Sandbox) -> None:
    error = refused(box, "stumble")

    assert (error.reason, str(error)) == ("dicom-rejected", "stumble: ValueError")


def test_the_caller_chooses_the_error(box: Sandbox) -> None:
    with pytest.raises(CountryMisanswered):
        box.run_now("stumble", b"", error=CountryMisanswered)


def test_what_a_library_prints_does_not_come_between(box: Sandbox) -> None:
    assert box.run_now("chat", b"") == b"done"


def test_a_child_knows_nothing_of_our_environment(box: Sandbox) -> None:
    assert box.run_now("environment", b"").decode().split() == ["LANG", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]


@pytest.mark.skipif(not FILTERED, reason="no filter of system calls on this kind of machine")
def test_a_child_opens_no_file_and_starts_no_program(box: Sandbox, tmp_path: Path) -> None:
    for task in ("read_a_file", "write_a_file", "start_a_program"):
        with pytest.raises(ArrivalRefused, match="PermissionError"):
            box.run_now(task, b"", {"path": str(tmp_path / "left")})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FILTERED, reason="no filter of system calls on this kind of machine")
def test_a_child_reaches_no_network(box: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with pytest.raises(ArrivalRefused, match="PermissionError"):
            box.run_now("call_out", b"", {"port": listening.getsockname()[1]})


def test_a_source_that_fails_is_the_callers_own_error(box: Sandbox) -> None:
    class Broken:
        size_bytes = 10

        def read_at(self, offset: int, size: int) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        box.run_now("echo", Broken())


def test_two_tasks_run_side_by_side_and_a_third_waits() -> None:
    async def three() -> tuple[list[bytes], float]:
        box = Sandbox({"rest": "hostile:rest"}, folders=(str(HERE),))
        await asyncio.gather(box.run("rest", b""), box.run("rest", b""))
        started = time.monotonic()
        pids = await asyncio.gather(*(box.run("rest", b"") for _ in range(3)))
        took = time.monotonic() - started
        box.close()
        return list(pids), took

    pids, took = asyncio.run(three())

    assert len(set(pids)) == 2
    assert 0.6 <= took < 0.9


def test_cancelling_leaves_no_child_behind() -> None:
    async def cancelled() -> tuple[tuple[int, ...], tuple[int, ...]]:
        box = Sandbox({"sleep": "hostile:sleep"}, folders=(str(HERE),))
        running = asyncio.create_task(box.run("sleep", b"", deadline_s=60))
        while not box.children:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        before = box.children
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.to_thread(box.close)
        return before, box.children

    before, after = asyncio.run(cancelled())

    assert (len(before), after) == (1, ())
    assert not is_there(before[0])


def test_a_child_without_work_goes() -> None:
    box = Sandbox({"echo": "hostile:echo"}, idle_s=0.1, folders=(str(HERE),))
    box.run_now("echo", b"")
    (pid,) = box.children

    until = time.monotonic() + 5
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.02)

    assert not is_there(pid)
    assert box.children == ()
    box.close()


def test_a_child_of_another_kind_takes_the_place_of_an_idle_one() -> None:
    box = Sandbox({"echo": "hostile:echo"}, folders=(str(HERE),))
    for memory in (300, 301, 302):
        box.run_now("echo", b"", memory_bytes=memory * MIB)

    assert len(box.children) == sandbox.CHILDREN
    box.close()


def test_a_parser_that_is_not_installed_is_no_fault_of_the_file() -> None:
    box = Sandbox({"gone": "no_such_parser:read"})

    with pytest.raises(RuntimeError, match="no_such_parser"):
        box.run_now("gone", b"")

    assert box.children == ()
    box.close()
