"""The images: a study, a series or one instance, taken in as it arrives and checked part by part.

Source: RAD-107; PS3.18 §10.4; trust.md M8, §2.9.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Protocol

from isthmus.consent.roles import Act
from isthmus.country_b import tokens
from isthmus.country_b.arrivals import Arrival, Arrived
from isthmus.country_b.client import Call, Client, Exchange
from isthmus.country_b.visit import Visit
from isthmus.errors import CountryMisanswered, ImagesNotFound, MalformedRequest
from isthmus.model.queries import ImagesQuery
from isthmus.wire.images import IMAGES_ACCEPT, PartEnd, PartReader, PartStart, boundary_of, images_path

PIXELS = "imaging-pixels"


class Shelf(Protocol):
    """Where an instance is put while it arrives. `keep` is called when it came whole and may be kept, else `drop`."""

    def begin(self) -> None: ...
    def write(self, view: bytes | memoryview) -> None: ...
    async def keep(self, arrived: Arrived) -> None: ...
    def drop(self) -> None: ...


async def get_images(
    client: Client, visit: Visit, country: str, query: ImagesQuery, shelf: Shelf
) -> AsyncGenerator[Arrived]:
    """Fetch images, one whole instance after another; each is on the shelf when it is given.

    Holds no more than a window of bytes. What broke off is dropped. Raises ImagesNotFound, ArrivalRefused,
    ContentMismatch (reason incomplete when the closing boundary never came).
    """
    visit.require(Act.PIXELS)
    patient = visit.patient_in(country)
    token = await tokens.care(client, visit, country)
    call = Call(
        "RAD-107",
        "dicomweb",
        f"/{images_path(query)}",
        accept=IMAGES_ACCEPT,
        token=token,
        service=PIXELS,
        patient=patient.identifier,
        categories=("imaging-study",),
        absent=ImagesNotFound,
    )
    async with client.exchange(visit, country, call) as exchange:
        reader = PartReader(_boundary(exchange, country))
        digests = hashlib.sha256()
        intake = _Intake(visit, country, query, shelf)
        try:
            async for view in exchange.response.stream():
                exchange.size_bytes += len(view)
                async for arrived in intake.take(reader.feed(view)):
                    _count(exchange, arrived, digests)
                    yield arrived
            reader.close()
        finally:
            intake.drop()
            exchange.digest = digests.hexdigest()


def _boundary(exchange: Exchange, country: str) -> str:
    try:
        boundary = boundary_of(exchange.response.headers.get("content-type"))
    except MalformedRequest as error:
        raise CountryMisanswered(
            "the images did not come as multipart/related", country=country, path="Content-Type"
        ) from error
    if boundary is None:
        raise CountryMisanswered(
            "the images came without an envelope that was not waived", country=country, path="Content-Type"
        )
    return boundary


def _count(exchange: Exchange, arrived: Arrived, digests: hashlib._Hash) -> None:
    exchange.instances += 1
    digests.update(bytes.fromhex(arrived.sha256))


class _Intake:
    """Turns parts into instances on the shelf."""

    def __init__(self, visit: Visit, country: str, query: ImagesQuery, shelf: Shelf) -> None:
        self._patient, self._country, self._query, self._shelf = visit.patient_in(country), country, query, shelf
        self._arrival: Arrival | None = None

    async def take(self, events: Iterable[PartStart | memoryview | bytes | PartEnd]) -> AsyncIterator[Arrived]:
        for event in events:
            if isinstance(event, PartStart):
                if event.headers.get("content-type", "").split(";")[0].strip().lower() != "application/dicom":
                    raise CountryMisanswered("a part of the images is not application/dicom", country=self._country)
                self._arrival = Arrival(self._patient, self._query, event.headers, self._country)
                self._shelf.begin()
            elif isinstance(event, PartEnd):
                assert self._arrival is not None  # a part ends only after it began
                arrived = self._arrival.close()
                await self._shelf.keep(arrived)
                self._arrival = None
                yield arrived
            elif self._arrival is not None:
                self._arrival.feed(event)
                self._shelf.write(event)

    def drop(self) -> None:
        """Forget the part that broke off, if one did."""
        if self._arrival is not None:
            self._shelf.drop()
            self._arrival = None
