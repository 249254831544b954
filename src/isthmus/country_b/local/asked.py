"""One request of a program: who reads, in which visit, what; and with what it is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from isthmus.country_b.local.access import Access, Reader
from isthmus.country_b.local.holdings import Holdings
from isthmus.country_b.spool import Spool
from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.model.identifiers import checked_uid
from isthmus.model.media import best, every_range
from isthmus.model.queries import ImagesQuery
from isthmus.sandbox import Sandbox
from isthmus.storage.sealed import SealedReader
from isthmus.transport.inbound import Request
from isthmus.trust.trustlist import Participant
from isthmus.wire.packs.pack import Pack

PREAMBLE_BYTES = 128


class Countries(Protocol):
    """The part of `trust.directory.Directory` that is needed here."""

    def country(self, code: str) -> Participant: ...


@dataclass(frozen=True)
class Local:
    """What the service of a node works with. `public` is the address that programs use: scheme, host and port."""

    access: Access
    holdings: Holdings
    directory: Countries
    spool: Spool
    sandbox: Sandbox
    public: str
    clock: Callable[[], datetime]
    ohif: str | None = None  # where OHIF is, when there is one


@dataclass(frozen=True)
class Asked:
    """What a verb needs to answer. Addresses are made of the public one alone. Source: field-faults F41."""

    local: Local
    request: Request
    reader: Reader
    parts: Mapping[str, str] = field(default_factory=dict)  # of the path

    @property
    def fhir(self) -> str:
        return f"{self.local.public}/visits/{self.reader.visit.id}/fhir"

    @property
    def dicomweb(self) -> str:
        return f"{self.local.public}/visits/{self.reader.visit.id}/dicom-web"

    @property
    def query(self) -> ImagesQuery:
        """The study, series or instance that the path names. Raises MalformedRequest (uid)."""
        named = [checked_uid(self.parts[name], name) for name in ("study", "series", "instance") if name in self.parts]
        return ImagesQuery(*named)

    @property
    def pack(self) -> Pack:
        """The drafts in which we and the visit's country speak; what is written here is written in them too."""
        return self.local.holdings.verbs.pack(self.reader.country)

    @property
    def accept(self) -> str:
        """What is accepted; at `dicom-web` the parameter `accept` stands for the header. Raises MalformedRequest.

        Source: PS3.18 §8.3.3.1.
        """
        said = [value for name, value in self.request.query if name == "accept"]
        return read_accept_parameter(said) if said else self.request.accept or "*/*"

    def accepts(self, *media_types: str) -> str:
        """The offered media type that is wanted most. Raises UnsupportedRequest, MalformedRequest."""
        if (chosen := best(self.accept, media_types)) is None:
            raise UnsupportedRequest(f"what is given here is {' or '.join(media_types)}", reason="media", path="Accept")
        return chosen


def read_accept_parameter(said: Sequence[str]) -> str:
    """Media types without wildcards, of DICOM or of pictures and not of both. Raises MalformedRequest.

    Source: PS3.18 §8.3.3.1.
    """
    try:
        named = {one.media for one in every_range(said[0])} if len(said) == 1 else set()
    except UnsupportedRequest:
        named = set()
    of_dicom = {name for name in named if name.startswith(("application/", "multipart/"))}
    if not named or any("*" in name for name in named) or (of_dicom and of_dicom != named):
        raise MalformedRequest("accept names media types, of DICOM or of pictures", reason="value", path="accept")
    return said[0]


class Spooled:
    """An instance in the spool, read anywhere: its preamble zeroed, else the original. Source: trust.md §2.9."""

    def __init__(self, held: SealedReader) -> None:
        self._held = held

    @property
    def size_bytes(self) -> int:
        return self._held.size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        data = self._held.read(offset, size)
        zeroed = max(0, min(PREAMBLE_BYTES - offset, len(data)))
        return bytes(zeroed) + data[zeroed:] if zeroed else data
