"""What a child process makes of a file that somebody handed in to be judged, and how it is asked: every parser of a check runs there.

A file that hangs, or eats memory, is a finding, and the others are judged. Children stay for the next file, two at a time.

Source: trust.md §2.9; wire.md §5.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType, TracebackType
from typing import Final, Self

import msgspec

from isthmus.conformance.judgement import UNREADABLE, Judged, judge, unreadable
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.profiles.packages import Package, Packages
from isthmus.conformance.r4 import definitions, invariants
from isthmus.conformance.requirement import Finding, Severity
from isthmus.dicom.windows import Source
from isthmus.errors import MalformedRequest
from isthmus.sandbox import CHILDREN, MIB, TASKS, Sandbox
from isthmus.wire.packs.pack import OLDEST_FIRST, Pack, load_pack

FILE_S: Final = 60.0
FILE_BYTES: Final = 1024 * MIB
_OF_PACKAGES: Final = 4  # what their definitions take when they are read
_PACKS: Final = {name: load_pack(name) for name in OLDEST_FIRST}
"""Read before the door is shut, like the definitions: a child opens no file."""
definitions.ready()
invariants.ready()


class _Below:
    """What lies below the packages in the bytes that a child is given."""

    def __init__(self, of: Source, offset: int) -> None:
        self._of, self._offset = of, offset
        self.size_bytes = of.size_bytes - offset

    def read_at(self, offset: int, size: int) -> bytes:
        return self._of.read_at(self._offset + offset, max(0, min(size, self.size_bytes - offset)))


class _Behind:
    """A file with the packages before it; of those a child reads the bytes once."""

    def __init__(self, packages: bytes, of: Source) -> None:
        self._packages, self._of = packages, of
        self.size_bytes = len(packages) + of.size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < len(self._packages):
            return self._packages[offset : offset + size]
        return self._of.read_at(offset - len(self._packages), size)


_held: dict[str, Profiles] = {}


def judge_task(source: Source, options: Mapping[str, object]) -> Iterator[bytes]:
    """For the child: the judgement of a file, by the packages that stand before it."""
    size, digest = int(str(options["packages_bytes"])), str(options["packages"])
    if size and digest not in _held:
        packages = msgspec.msgpack.decode(source.read_at(0, size), type=tuple[Package, ...])
        _held.clear()
        _held[digest] = Profiles(Packages(packages))
    profiles = _held[digest] if size else None
    yield msgspec.msgpack.encode(judge(_Below(source, size), _PACKS[str(options["pack"])], profiles))


class Judging:
    """Judges files in children, each within `file_s` and FILE_BYTES; ends them when it is left."""

    def __init__(
        self,
        pack: Pack,
        packages: Packages,
        *,
        file_s: float = FILE_S,
        tasks: Mapping[str, str] = TASKS,
        folders: tuple[str, ...] = (),
    ) -> None:
        self._file_s = file_s
        self._sandbox = Sandbox(tasks, folders=folders)
        self._workers = ThreadPoolExecutor(CHILDREN, thread_name_prefix="judging")
        self._packages = msgspec.msgpack.encode(packages.held) if packages.held else b""
        self._memory_bytes = FILE_BYTES + _OF_PACKAGES * len(self._packages)
        self._options = MappingProxyType(
            {
                "pack": pack.name,
                "packages": hashlib.sha256(self._packages).hexdigest(),
                "packages_bytes": len(self._packages),
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._sandbox.close()

    def each(self, sources: Iterable[Callable[[], Source]]) -> Iterator[Judged]:
        """The judgement of each, in their order."""
        return self._workers.map(self.one, sources)

    def one(self, source: Callable[[], Source]) -> Judged:
        """The judgement of a file, whatever it does to who reads it; what cannot be opened is a finding too."""
        try:
            given = self._sandbox.run_now(
                "judged",
                _Behind(self._packages, source()),
                self._options,
                deadline_s=self._file_s,
                memory_bytes=self._memory_bytes,
                error=MalformedRequest,
            )
        except MalformedRequest as error:
            return _beyond(str(error.facts.get("fault")), self._file_s)
        except OSError as exc:
            return unreadable(f"the file cannot be read ({exc.strerror})")
        return msgspec.msgpack.decode(given, type=Judged)


def _beyond(fault: str, file_s: float) -> Judged:
    """The judgement of a file that ended its child, or would have."""
    if fault.startswith("took longer"):
        words = f"took too long: not judged within {file_s:g} s"
    elif fault in ("MemoryError", "the child died"):
        words = f"too large: not judged within {FILE_BYTES // MIB} MiB of memory"
    else:
        words = f"could not be judged ({fault})"
    advice = "A reader across the border gives up on it too: split the document, or make it anew."
    return Judged(UNREADABLE, (Finding("READ-bounds", Severity.ERROR, words, "file", "trust.md", advice),))
