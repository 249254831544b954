"""Images: what may be asked for, what is chosen, and the multipart body that carries it, both directions.

What is stored crosses as it is, or decoded for who can take nothing else; nothing is recompressed. `weave` puts part heads
between ranges it never touches.

Source: RAD-107; PS3.18 §8.6.1.2, §8.7, §10.4; RFC 2046 §5.1.1; wire.md §1.8; field-faults F25, F32, F33, F35, F39.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from isthmus.errors import ContentMismatch, CountryMisanswered, MalformedRequest, UnsupportedRequest
from isthmus.model.identifiers import checked_uid, plain_uid
from isthmus.model.media import Range, read_ranges
from isthmus.model.pieces import Late, Mark, Piece, StoredInstance
from isthmus.model.queries import ImagesQuery

Level = Literal["study", "series", "instance"]
EXPLICIT_LE = "1.2.840.10008.1.2.1"
IMAGES_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
WINDOW_BYTES = 256 * 1024
HEAD_MAX_BYTES = 16 * 1024
OUTSIDE_MAX_BYTES = 1024 * 1024
_PADDING_MAX = 128
_BY_LOCATION = re.compile(r"/homeCommunityId/([^/]+)/RetrieveLocationUID/(?:urn:oid:)?[0-9.]{1,64}/stud(?:y|ies)/(.+)")
_NEVER = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"})
_SENTENCE = f"ask for what is stored, with transfer-syntax=* (Accept: {IMAGES_ACCEPT})"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an asker accepts. `syntaxes` None: as stored. `default` is true when no syntax was named at all."""

    single_part: bool
    syntaxes: frozenset[str] | None
    default: bool = False


def read_accept(value: str | None, *, level: Level) -> Wanted:
    """Read what is accepted. Without a syntax that is Explicit VR Little Endian; `*` means as stored.

    A single part is given for one instance alone. Raises UnsupportedRequest (media) with a sentence that shows the right
    header.
    """
    if value is None or not value.strip():
        return Wanted(single_part=False, syntaxes=frozenset({EXPLICIT_LE}), default=True)
    syntaxes: set[str] = set()
    single: bool | None = None
    for media in read_ranges(value, hint=f"; {_SENTENCE}"):
        part = _part(media, level)
        if part is None or (single is not None and part != single):
            continue
        single = part
        asked = media.parameters.get("transfer-syntax")
        if asked == "*":
            return Wanted(single_part=single, syntaxes=None)
        syntaxes.add(asked or "")
    if single is None:
        raise UnsupportedRequest(f"none of the accepted forms is given here; {_SENTENCE}", reason="media")
    named = frozenset(syntaxes - {""} - _NEVER)
    if not named and "" not in syntaxes:
        raise UnsupportedRequest(f"none of the accepted syntaxes crosses here; {_SENTENCE}", reason="media")
    if "" in syntaxes:
        return Wanted(single_part=single, syntaxes=named | {EXPLICIT_LE}, default=not named)
    return Wanted(single_part=single, syntaxes=named)


def _part(media: Range, level: Level) -> bool | None:
    """True for a bare instance, False for multipart, None for a range that is not served."""
    if media.media == "application/dicom":
        return True if level == "instance" else None
    kind = media.parameters.get("type", "application/dicom").strip().lower()
    if media.media in ("*/*", "multipart/*") or (media.media == "multipart/related" and kind == "application/dicom"):
        return False
    return None


def choose(
    instances: Iterable[StoredInstance], wanted: Wanted, decoded: Callable[[StoredInstance], StoredInstance | None]
) -> tuple[list[StoredInstance], list[StoredInstance]]:
    """Part what can be sent as accepted from what cannot.

    As stored where that is accepted, else in Explicit VR Little Endian as `decoded` gives it. Where it gives None (video,
    what no codec decodes) the instance travels as it is when no syntax was named; when one was, it alone is missing. What
    comes late is judged when it comes. Raises
    UnsupportedRequest, naming `transfer-syntax=*`, when nothing is left.

    Source: PS3.18 §8.7.3; field-faults F25, F33.
    """
    sent: list[StoredInstance] = []
    missing: list[StoredInstance] = []
    for instance in instances:
        late = isinstance(instance.content, Late)
        if late or wanted.syntaxes is None or instance.transfer_syntax_uid in wanted.syntaxes:
            sent.append(instance)
        elif EXPLICIT_LE in wanted.syntaxes and (form := decoded(instance)) is not None:
            sent.append(form)
        else:
            (sent if wanted.default else missing).append(instance)
    if missing and not sent:
        raise not_made()
    return sent, missing


def not_made() -> UnsupportedRequest:
    """What says that images are not to be had in a syntax that is accepted."""
    return UnsupportedRequest(
        f"these images are not to be had in a syntax that is accepted; {_SENTENCE}", reason="media"
    )


def part_type(instance: StoredInstance) -> str:
    return f"application/dicom; transfer-syntax={instance.transfer_syntax_uid}"


def content_type(boundary: str) -> str:
    return f'multipart/related; type="application/dicom"; boundary={boundary}'


def part_headers(instance: StoredInstance) -> list[tuple[str, str]]:
    """What is said of one instance: its true syntax; its length and digest when they are known before sending.

    Source: trust.md §2.6 (Content-Digest); RFC 9530.
    """
    headers = [("Content-Type", part_type(instance))]
    if instance.size_bytes is not None:
        headers.append(("Content-Length", str(instance.size_bytes)))
    if instance.sha256 is not None:
        headers.append(("Content-Digest", f"sha-256=:{b64encode(bytes.fromhex(instance.sha256)).decode()}:"))
    if instance.recoded_from is not None:
        headers.append(("NCP-Recoded-From", instance.recoded_from))
    return headers


def part_head(instance: StoredInstance) -> bytes:
    """What stands between a boundary and the bytes of an instance."""
    head = "".join(f"{name}: {value}\r\n" for name, value in part_headers(instance))
    return f"{head}\r\n".encode("ascii")


def weave(instances: Iterable[StoredInstance], boundary: str) -> Iterator[Piece]:
    """Give the pieces of a multipart body, one instance after the other; the closing boundary comes last.

    What comes late brings the head of its part itself.
    """
    lead = f"--{boundary}\r\n"
    for instance in instances:
        yield lead.encode("ascii") + (b"" if isinstance(instance.content, Late) else part_head(instance))
        yield instance.content
        yield Mark(instance.sop_instance_uid, instance.size_bytes or 0, instance.sha256)
        lead = f"\r\n--{boundary}\r\n"
    yield f"{lead.removesuffix(chr(13) + chr(10))}--\r\n".encode("ascii")


def boundary_of(value: str | None) -> str | None:
    """The boundary of a multipart/related answer, None for a bare instance. Raises MalformedRequest for neither."""
    try:
        media = read_ranges(value or "")
    except UnsupportedRequest:
        media = []
    if len(media) == 1 and media[0].media == "application/dicom":
        return None
    boundary = media[0].parameters.get("boundary", "") if len(media) == 1 else ""
    if not media or media[0].media != "multipart/related" or not re.fullmatch(r"[ -~]{0,69}[!-~]", boundary):
        raise MalformedRequest("not multipart/related with a boundary", reason="value", path="Content-Type")
    return boundary


def images_path(query: ImagesQuery) -> str:
    """The path below the DICOMweb base. Raises MalformedRequest for what is no UID."""
    path = f"studies/{checked_uid(query.study_instance_uid, 'study')}"
    if query.series_instance_uid is not None:
        path += f"/series/{checked_uid(query.series_instance_uid, 'series')}"
        if query.sop_instance_uid is not None:
            path += f"/instances/{checked_uid(query.sop_instance_uid, 'instance')}"
    elif query.sop_instance_uid is not None:
        raise MalformedRequest("an instance is named with its series", reason="required", path="series")
    return path


def read_path(segments: Sequence[str]) -> ImagesQuery | None:
    """Read `studies/{study}[/series/{series}[/instances/{instance}]]`; None when it is another path.

    Raises MalformedRequest (uid) for a UID that is none.
    """
    names = ("studies", "series", "instances")
    if len(segments) not in (2, 4, 6) or any(segments[2 * i] != names[i] for i in range(len(segments) // 2)):
        return None
    return ImagesQuery(*(checked_uid(segments[i], names[i // 2]) for i in range(1, len(segments), 2)))


def read_location_path(path: str) -> tuple[str, str] | None:
    """Read an address as XC-WADO writes it: the community that it names, and what follows `studies/`; None when it is another path.

    Which location holds the images is the answering country's own affair: the UID has to be one, and is not looked at.
    Source: RAD-160 (`study` in its examples, `studies` in its text); wire.md C18.
    """
    named = _BY_LOCATION.fullmatch(path)
    return (plain_uid(named[1]), named[2]) if named is not None else None


@dataclass(frozen=True, slots=True)
class PartStart:
    """A part begins. Header names are lower case; of a name given twice the first stands."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartEnd:
    """A part is whole: `size_bytes` as counted. `announced_bytes` is what its head had said, if it said anything."""

    size_bytes: int
    announced_bytes: int | None


class _State(Enum):
    PREAMBLE = auto()
    HEAD = auto()
    BODY = auto()
    EPILOGUE = auto()


class PartReader:
    """Reads a multipart/related answer as it arrives: feed it views, it gives views.

    Holds at most `WINDOW_BYTES`. A boundary is found by content; an announced length is compared, never trusted. Preamble,
    epilogue, padding and lone line feeds pass. `close()` raises ContentMismatch when the closing boundary has not come:
    what was read so far is then not the study.

    Source: PS3.18 §8.6.1.2, §10.4.4; RAD-107.
    """

    def __init__(self, boundary: str) -> None:
        self._needle = b"\n--" + boundary.encode("ascii")
        self._held = b"\n"  # the body may begin with its first boundary
        self._state = _State.PREAMBLE
        self._size = self._outside = 0
        self._announced: int | None = None

    def feed(self, view: bytes | memoryview) -> Iterator[PartStart | memoryview | PartEnd]:
        """Give what these bytes complete. Views given out stay valid; bytes that may be a boundary wait."""
        for start in range(0, len(view), WINDOW_BYTES):
            if self._state in (_State.PREAMBLE, _State.EPILOGUE):
                self._bound(min(WINDOW_BYTES, len(view) - start))
            data = self._held + bytes(view[start : start + WINDOW_BYTES])
            self._held = b""
            yield from self._read(data)

    def _bound(self, size_bytes: int) -> None:
        """Before the first part and after the last there is next to nothing; who sends on and on would never end."""
        self._outside += size_bytes
        if self._outside > OUTSIDE_MAX_BYTES:
            raise CountryMisanswered("too much outside the parts", reason="peer-limit", path="multipart")

    def close(self) -> None:
        """Say that nothing more will come. Raises ContentMismatch (incomplete)."""
        if self._state is not _State.EPILOGUE:
            raise ContentMismatch("the answer ended before its closing boundary", reason="incomplete")

    def _read(self, data: bytes) -> Iterator[PartStart | memoryview | PartEnd]:
        position = 0
        while position < len(data) and self._state is not _State.EPILOGUE:
            if self._state is _State.HEAD:
                end = self._head_end(data, position)
                if end is None:
                    self._hold(data, position)
                    return
                yield self._start(data[position:end])
                position = end
                continue
            found, after, closing = self._boundary(data, position)
            if self._state is _State.BODY and found > position:
                self._size += found - position
                yield memoryview(data)[position:found]
            if after is None:
                self._held = data[found:]
                return
            if self._state is _State.BODY:
                yield PartEnd(self._size, self._announced)
            self._state = _State.EPILOGUE if closing else _State.HEAD
            position = after

    def _boundary(self, data: bytes, position: int) -> tuple[int, int | None, bool]:
        """Where the content ends, where what follows begins (None: cannot be told yet), and whether it closes."""
        search_from = position
        while (found := data.find(self._needle, search_from)) >= 0:
            start = found - 1 if found > position and data[found - 1] == 13 else found
            rest = data[found + len(self._needle) : found + len(self._needle) + _PADDING_MAX]
            if rest.startswith(b"--"):
                return start, found + len(self._needle) + 2, True
            line, ended, _ = rest.partition(b"\n")
            if ended and not line.strip(b" \t\r"):
                return start, found + len(self._needle) + len(line) + 1, False
            if not ended and len(rest) < _PADDING_MAX and not rest.strip(b" \t\r-"):
                return start, None, False
            search_from = found + 1
        return max(position, len(data) - len(self._needle)), None, False

    def _head_end(self, data: bytes, position: int) -> int | None:
        """Where the content begins: after the first empty line."""
        while (line_end := data.find(b"\n", position)) >= 0:
            if not data[position:line_end].strip(b"\r"):
                return line_end + 1
            position = line_end + 1
        return None

    def _hold(self, data: bytes, position: int) -> None:
        if len(data) - position > HEAD_MAX_BYTES:
            raise CountryMisanswered("the head of a part is too long", reason="peer-limit", path="multipart")
        self._held = data[position:]

    def _start(self, head: bytes) -> PartStart:
        headers: dict[str, str] = {}
        for line in head.decode("latin-1").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                headers.setdefault(name.strip().lower(), value.strip())
        length = headers.get("content-length", "")
        self._announced = int(length) if length.isdecimal() and len(length) < 19 else None
        self._size = 0
        self._state = _State.BODY
        return PartStart(headers)
