"""Bounded child processes: every parser of others (codecs, documents, pydicom) runs in one, never in the node itself.

At most two children, started when first needed and gone after half a minute without work. A child gets what it asks for
by a pipe, plaintext and never a key; it is killed at its deadline (the time in which its pieces are not taken does not count),
when it gives too much, and when nobody waits any more.
What it cannot read is one error of the caller's choice; no stack trace comes out. `sandboxed.py` is its inside.

Source: trust.md §2.9; T63, T64.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock, Timer
from time import monotonic
from types import MappingProxyType
from typing import Final

from isthmus import sandboxed
from isthmus.dicom.windows import BytesSource, Source
from isthmus.errors import ArrivalRefused, IsthmusError

MIB: Final = 1024 * 1024
CHILDREN: Final = 2
IDLE_S: Final = 30.0
START_S: Final = 30.0
TASKS_OF_ONE_CHILD: Final = 500
WAITS_S: Final = 600.0  # how long a child may wait, in all, for pieces to be taken

TASKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "frame": "isthmus.dicom.pixels.decode:frame_task",
        "decoded": "isthmus.dicom.pixels.recode:decoded_task",
        "picture": "isthmus.dicom.pixels.picture:picture_task",
        "cda": "isthmus.originals.cda.child:body_task",
        "cda-header": "isthmus.originals.cda.child:header_task",
        "report": "isthmus.originals.child:report_task",
        "judged": "isthmus.conformance.child:judge_task",
        "tree": "isthmus.originals.sr.tree:tree_task",
    }
)
"""What a child can be asked to do: task → module:function. Each function takes a source and options, and gives pieces."""

# The parser's own threads would each reserve memory; the rest of our environment is nobody's business.
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_OPTIONS: Final = ("-I", "-B", "-W", "ignore")
_WORD: Final = re.compile(rb"[A-Za-z][A-Za-z-]{0,63}")

Sink = Callable[[bytes], object]


@dataclass(slots=True)
class _Job:
    """One task on its way. `stop` may be called from any thread, at any time."""

    task: str
    source: Source
    options: Mapping[str, object]
    deadline_s: float
    memory_bytes: int
    output_limit_bytes: int
    error: type[IsthmusError]
    into: Sink
    stopped: str = ""
    child: _Child | None = None
    lock: Lock = field(default_factory=Lock)
    began: float = field(default_factory=monotonic)
    waited_s: float = 0.0  # for whoever takes the pieces
    waits_since: float | None = None

    def take(self, child: _Child) -> None:
        with self.lock:
            self.child = child
            if self.stopped:
                child.kill()

    def stop(self, why: str) -> None:
        with self.lock:
            self.stopped = self.stopped or why
            if self.child is not None:
                self.child.kill()

    def give(self, piece: bytes) -> None:
        """Hand a piece on; the deadline waits as long as its taker lets us wait."""
        self.waits_since = monotonic()
        try:
            self.into(piece)
        finally:
            self.waited_s += monotonic() - self.waits_since
            self.waits_since = None

    def left_s(self) -> float:
        """How much of the time to compute is left."""
        now, since = monotonic(), self.waits_since
        waited_s = self.waited_s + (now - since if since is not None else 0.0)
        return -1.0 if waited_s > WAITS_S else self.deadline_s - (now - self.began - waited_s)

    def let_go(self) -> bool:
        """Give the child back; False when it was killed meanwhile."""
        with self.lock:
            self.child = None
            return not self.stopped


class _Refused(Exception):
    """The child is no longer of use, or could not do its task; the words say why."""


class _Child:
    """A process that has loaded one module and does its tasks, one at a time."""

    def __init__(self, module: str, memory_bytes: int, folders: tuple[str, ...]) -> None:
        self.key = (module, memory_bytes)
        self.tasks = 0
        self.idle: Timer | None = None
        self._killed = False
        self._process = subprocess.Popen(
            [sys.executable, *_OPTIONS, "-m", sandboxed.__name__, module, str(memory_bytes), *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=os.sep,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a child has pipes")
        self._pipe = sandboxed.Pipe(self._process.stdout.fileno(), self._process.stdin.fileno())

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_loaded(self) -> None:
        """Raise RuntimeError when the parser cannot be loaded: the installation is at fault, not the file."""
        watch = _later(START_S, self.kill)
        try:
            self._pipe.hear()
        except (EOFError, OSError) as exc:
            self.end()
            raise RuntimeError(f"a child could not load {self.key[0]}") from exc
        finally:
            watch.cancel()

    def do(self, job: _Job, function: str) -> None:
        """Do one task: give the bytes it asks for, pass on the pieces it gives. Raises _Refused, EOFError, OSError."""
        self.tasks += 1
        source, given = job.source, 0
        head = {
            "function": function,
            "size_bytes": source.size_bytes,
            "options": dict(job.options),
            "cpu_s": int(job.deadline_s) + 1,
        }
        self._pipe.say(sandboxed.TASK, json.dumps(head).encode())
        while True:
            kind, body = self._pipe.hear()
            if kind == sandboxed.WANTED:
                offset, size = sandboxed.RANGE.unpack(body)
                self._pipe.say(sandboxed.BYTES, source.read_at(offset, min(size, sandboxed.MAX_FRAME_BYTES)))
            elif kind == sandboxed.PIECE:
                given += len(body)
                if given > job.output_limit_bytes:
                    self.kill()
                    raise _Refused(f"gave more than {job.output_limit_bytes} bytes")
                job.give(body)
            elif kind == sandboxed.FAULT:
                raise _Refused(body.decode() if _WORD.fullmatch(body) else "unreadable")
            else:
                return

    def kill(self) -> None:
        self._killed = True  # it is some moments before the system says so
        self._process.kill()

    def end(self) -> None:
        """Kill it, and see that nothing of it is left."""
        if self.idle is not None:
            self.idle.cancel()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def lives(self) -> bool:
        return not self._killed and self._process.poll() is None


class _Deadline:
    """Stops a job when its time is over; what it waited for its taker does not count."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        job.began = monotonic()
        self._timer = _later(job.deadline_s, self._look)

    def _look(self) -> None:
        left_s = self._job.left_s()
        if left_s > 0:
            self._timer = _later(max(left_s, 0.05), self._look)
        else:
            self._job.stop(f"took longer than {self._job.deadline_s:g} s")

    def cancel(self) -> None:
        self._timer.cancel()


def _later(seconds: float, act: Callable[..., object], *of: object) -> Timer:
    timer = Timer(seconds, act, of)
    timer.daemon = True
    timer.start()
    return timer


class Sandbox:
    """Runs tasks of a table in children; tasks beyond two wait for their turn, and their deadline waits with them.

    `folders` are where modules of another table lie that are not installed.
    """

    def __init__(
        self, tasks: Mapping[str, str] = TASKS, *, idle_s: float = IDLE_S, folders: tuple[str, ...] = ()
    ) -> None:
        self._folders = folders
        self._tasks = tasks
        self._idle_s = idle_s
        self._idle: list[_Child] = []
        self._busy: list[_Child] = []
        self._lock = Lock()
        self._workers = ThreadPoolExecutor(CHILDREN, thread_name_prefix="sandbox")
        self._closed = False

    @property
    def children(self) -> tuple[int, ...]:
        """The process ids of the children there are."""
        with self._lock:
            return tuple(child.pid for child in (*self._idle, *self._busy))

    async def run(
        self,
        task: str,
        payload: bytes | Source,
        options: Mapping[str, object] = MappingProxyType({}),
        *,
        deadline_s: float = 10.0,
        memory_bytes: int = 512 * MIB,
        output_limit_bytes: int = 256 * MIB,
        error: type[IsthmusError] = ArrivalRefused,
        into: Sink | None = None,
    ) -> bytes:
        """Do a task and give what it gives; with `into`, pieces go there as they come and the answer is empty.

        `into` and the payload's `read_at` are called in a worker thread. Cancelled, the child is killed at once.
        Raises `error`, whose fact `fault` is a word of `dicom/faults.py`, the class of what was raised, or a sentence.
        """
        pieces: list[bytes] = []
        limits = (deadline_s, memory_bytes, output_limit_bytes)
        job, running = self._start(task, payload, options, limits, error, into or pieces.append)
        try:
            await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            job.stop("was cancelled")
            raise
        return b"".join(pieces)

    def run_now(
        self,
        task: str,
        payload: bytes | Source,
        options: Mapping[str, object] = MappingProxyType({}),
        *,
        deadline_s: float = 10.0,
        memory_bytes: int = 512 * MIB,
        output_limit_bytes: int = 256 * MIB,
        error: type[IsthmusError] = ArrivalRefused,
        into: Sink | None = None,
    ) -> bytes:
        """Do the same for a command or a worker thread, which waits."""
        pieces: list[bytes] = []
        limits = (deadline_s, memory_bytes, output_limit_bytes)
        job, running = self._start(task, payload, options, limits, error, into or pieces.append)
        try:
            running.result()
        except BaseException:
            job.stop("was interrupted")
            raise
        return b"".join(pieces)

    def close(self) -> None:
        """End every child; a task under way fails."""
        with self._lock:
            self._closed = True
            busy, idle, self._idle = list(self._busy), self._idle, []
        for child in busy:
            child.kill()
        for child in idle:
            child.end()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _start(
        self,
        task: str,
        payload: bytes | Source,
        options: Mapping[str, object],
        limits: tuple[float, int, int],
        error: type[IsthmusError],
        into: Sink,
    ) -> tuple[_Job, Future[None]]:
        source = BytesSource(payload) if isinstance(payload, bytes) else payload
        job = _Job(task, source, options, *limits, error, into)
        return job, self._workers.submit(self._work, job)

    def _work(self, job: _Job) -> None:
        module, _, function = self._tasks[job.task].partition(":")
        child = self._child(module, job.memory_bytes)
        useful = False
        job.take(child)
        watch = _Deadline(job)
        try:
            child.do(job, function)
            useful = True
        except _Refused as exc:
            useful = child.lives
            raise job.error(f"{job.task}: {exc}", fault=str(exc)) from None
        except (EOFError, BrokenPipeError) as exc:
            why = job.stopped or "the child died"
            raise job.error(f"{job.task}: {why}", fault=why) from exc
        finally:
            watch.cancel()
            self._return(child, useful=job.let_go() and useful)

    def _child(self, module: str, memory_bytes: int) -> _Child:
        """Find a child that has the module loaded, or start one in place of an idle one."""
        with self._lock:
            found = next((one for one in reversed(self._idle) if one.key == (module, memory_bytes) and one.lives), None)
            if found is not None:
                self._idle.remove(found)
                self._busy.append(found)
                if found.idle is not None:
                    found.idle.cancel()
                return found
            surplus = len(self._idle) + len(self._busy) + 1 - CHILDREN
            gone, self._idle = self._idle[: max(0, surplus)], self._idle[max(0, surplus) :]
            child = _Child(module, memory_bytes, self._folders)
            self._busy.append(child)
        for one in gone:
            one.end()
        try:
            child.wait_until_loaded()
        except RuntimeError:
            with self._lock:
                self._busy.remove(child)
            raise
        return child

    def _return(self, child: _Child, *, useful: bool) -> None:
        """Keep a child for the next task, for a while; end one that was killed, failed, or has worked long enough."""
        with self._lock:
            self._busy.remove(child)
            kept = useful and not self._closed and child.tasks < TASKS_OF_ONE_CHILD
            if kept:
                self._idle.append(child)
                child.idle = _later(self._idle_s, self._retire, child)
        if not kept:
            child.end()

    def _retire(self, child: _Child) -> None:
        with self._lock:
            there = child in self._idle
            if there:
                self._idle.remove(child)
        if there:
            child.end()
