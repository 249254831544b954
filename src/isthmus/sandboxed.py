"""The inside of a child process that runs a parser of others over bytes nobody trusts; `sandbox.py` starts and ends it.

Nothing of the node comes along: no settings, no key, no environment. The parser is loaded first, then the door is shut:
memory, files and core dumps are limited, the network is taken away where that is allowed, and on Linux (x86_64, aarch64)
a filter leaves only the system calls that computing needs, so that no file, socket or program can be opened any more.
Elsewhere the limits alone hold. Then bytes are asked for by the pipe, and pieces given back.

Source: trust.md §2.9.
"""

from __future__ import annotations

import codecs
import ctypes
import importlib
import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Final

HEAD: Final = struct.Struct("<cI")  # kind and length of what follows
RANGE: Final = struct.Struct("<QI")  # offset and size of bytes asked for
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
LOADED, WANTED, PIECE, DONE, FAULT = b"L", b"R", b"P", b"D", b"F"  # what the child says
TASK, BYTES = b"T", b"B"  # what the parent says

Function = Callable[["PipeSource", dict[str, object]], Iterable[bytes]]

# Each lies in a file of its own, and is opened when a text first asks for it: DICOM's character sets, and what XML declares.
_ENCODINGS: Final = (
    *(f"iso8859_{number}" for number in (*range(1, 12), *range(13, 17))),
    *(f"cp{number}" for number in (437, 737, 850, 852, 855, 857, 866, *range(1250, 1259))),
    *("utf_8_sig", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "koi8_r", "koi8_u", "mac_roman"),
    *("shift_jis", "euc_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5", "iso2022_jp", "iso2022_jp_2"),
)
_OPEN_FILES: Final = 32
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050001  # EPERM
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: load a word, compare with a constant, end

# What computing, asking by the pipe and ending need, by name, and how the two architectures number it.
_CALLS: Final[dict[str, tuple[int, int]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "getrandom": (318, 278),
}
_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


class PipeSource:
    """The bytes to be read, which stay with the parent and are asked for in parts."""

    def __init__(self, pipe: Pipe, size_bytes: int) -> None:
        self._pipe = pipe
        self.size_bytes = size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        parts = []
        end = min(offset + size, self.size_bytes)
        while offset < end:
            self._pipe.say(WANTED, RANGE.pack(offset, min(MAX_FRAME_BYTES, end - offset)))
            kind, part = self._pipe.hear()
            if kind != BYTES or not part:
                raise EOFError
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Pipe:
    """Frames by two file descriptors; raises EOFError when the other side is gone."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing

    def say(self, kind: bytes, body: bytes | memoryview = b"") -> None:
        for part in (HEAD.pack(kind, len(body)), body):
            left = memoryview(part)
            while left:
                left = left[os.write(self._writing, left) :]

    def hear(self) -> tuple[bytes, bytes]:
        kind, length = HEAD.unpack(self._exactly(HEAD.size))
        if length > MAX_FRAME_BYTES:
            raise EOFError
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = os.read(self._reading, count)
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def main(module: str, memory_bytes: int, *folders: str) -> None:
    """Load the parser, shut the door, do one task after another until the pipe ends."""
    sys.path += folders
    pipe = Pipe(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)  # what a library prints must not come between the frames
    loaded = importlib.import_module(module)
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    _limit(memory_bytes)
    _take_the_network_away()
    _filter_calls()
    pipe.say(LOADED)
    while True:
        try:
            _, head = pipe.hear()
        except EOFError:
            return
        task = json.loads(head)
        _limit_cpu(task["cpu_s"])
        _do(getattr(loaded, task["function"]), PipeSource(pipe, task["size_bytes"]), task["options"], pipe)


def _do(function: Function, source: PipeSource, options: dict[str, object], pipe: Pipe) -> None:
    try:
        for piece in function(source, options):
            for start in range(0, len(piece), MAX_FRAME_BYTES):
                pipe.say(PIECE, memoryview(piece)[start : start + MAX_FRAME_BYTES])
    except Exception as exc:  # named for the parent, which says nothing of it to anybody but an engineer
        reason = getattr(exc, "reason", None)
        pipe.say(FAULT, (reason if isinstance(reason, str) else type(exc).__name__).encode()[:64])
    else:
        pipe.say(DONE)


def _limit(memory_bytes: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _limit_cpu(seconds: int) -> None:
    """End with a signal after so many more seconds of computing, should the parent not be there to end us."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _take_the_network_away() -> None:
    """Go into a network of our own, which has nothing in it; needs a privilege, or user namespaces."""
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is not None and unshare(_CLONE_NEWNET) != 0:
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _filter_calls() -> None:
    """Refuse (EPERM) every system call but those above, for good. Source: POSIX.1-2001; trust.md §2.9."""
    if sys.platform != "linux" or os.uname().machine not in _ARCHITECTURES:
        return
    architecture, column = _ARCHITECTURES[os.uname().machine]
    numbers = [call[column] for call in _CALLS.values()]
    step = struct.Struct("<HBBI").pack
    program = step(_LOAD, 0, 0, 4) + step(_EQUAL, 0, len(numbers) + 1, architecture) + step(_LOAD, 0, 0, 0)
    for index, number in enumerate(numbers):
        program += step(_EQUAL, len(numbers) - index, 0, number)
    program += step(_RETURN, 0, 0, _REFUSE) + step(_RETURN, 0, 0, _ALLOW)
    steps = ctypes.create_string_buffer(program, len(program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(steps)))
    prctl = ctypes.CDLL(None).prctl
    word = ctypes.c_ulong
    if prctl(_PR_SET_NO_NEW_PRIVS, word(1), word(0), word(0), word(0)) == 0:
        prctl(_PR_SET_SECCOMP, word(_SECCOMP_MODE_FILTER), whole, word(0), word(0))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
