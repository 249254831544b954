"""What a parser may do when a file tells it to: loaded by a child of the tests, never by the tests themselves."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import NoReturn, Protocol


class Source(Protocol):
    size_bytes: int

    def read_at(self, offset: int, size: int) -> bytes: ...


Options = Mapping[str, object]


def echo(source: Source, options: Options) -> Iterator[bytes]:
    yield source.read_at(0, source.size_bytes)


def said(source: Source, options: Options) -> Iterator[bytes]:
    yield str(options["words"]).encode()


def decoded(source: Source, options: Options) -> Iterator[bytes]:
    """What a text says that declares an encoding of its own."""
    yield source.read_at(0, source.size_bytes).decode(str(options["encoding"])).encode()


def spin(source: Source, options: Options) -> NoReturn:
    while True:
        pass


def sleep(source: Source, options: Options) -> Iterator[bytes]:
    time.sleep(60)
    yield b""


def rest(source: Source, options: Options) -> Iterator[bytes]:
    time.sleep(0.3)
    yield str(os.getpid()).encode()


def hoard(source: Source, options: Options) -> Iterator[bytes]:
    held = [bytes(16 * 1024 * 1024) for _ in range(1000)]
    yield b"".join(held)


def flood(source: Source, options: Options) -> Iterator[bytes]:
    while True:
        yield bytes(1024 * 1024)


def plenty(source: Source, options: Options) -> Iterator[bytes]:
    for _ in range(12):
        yield bytes(1024 * 1024)


def crash(source: Source, options: Options) -> NoReturn:
    os.abort()


def leave(source: Source, options: Options) -> NoReturn:
    os._exit(0)


def stumble(source: Source, options: Options) -> NoReturn:
    raise ValueError(source.read_at(0, 100).decode())


def chat(source: Source, options: Options) -> Iterator[bytes]:
    os.write(1, b"words of a library")
    yield b"done"


def read_a_file(source: Source, options: Options) -> Iterator[bytes]:
    with open(__file__, "rb") as file:
        yield file.read()


def write_a_file(source: Source, options: Options) -> Iterator[bytes]:
    with open(str(options["path"]), "wb") as file:
        file.write(b"left behind")
    yield b""


def call_out(source: Source, options: Options) -> Iterator[bytes]:
    with socket.socket() as out:
        out.connect(("127.0.0.1", int(str(options["port"]))))
    yield b"reached"


def start_a_program(source: Source, options: Options) -> Iterator[bytes]:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    yield b"started"


def environment(source: Source, options: Options) -> Iterator[bytes]:
    yield "\n".join(sorted(os.environ)).encode()
