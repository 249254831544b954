"""The images: a study, a series or one instance, taken in as it arrives and checked part by part.

Source: RAD-107; PS3.18 §10.4; trust.md M8, §2.9.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from functools import partial
from typing import Protocol

from isthmus.audit.events import Delivery
from isthmus.consent.roles import Act
from isthmus.country_b import tokens
from isthmus.country_b.arrivals import Arrival, Arrived, Likeness, Traits, compare
from isthmus.country_b.client import Call, Client, Exchange
from isthmus.country_b.visit import Visit
from isthmus.errors import ArrivalRefused, CountryMisanswered, ImagesNotFound, MalformedRequest
from isthmus.model.people import Patient
from isthmus.model.queries import ImagesQuery
from isthmus.wire.images import IMAGES_ACCEPT, PartEnd, PartReader, PartStart, boundary_of, images_path
from isthmus.wire.receipts import Item
from isthmus.wire.studies.metadata import MEDIA_TYPE, SERVICE, metadata_path, read_metadata
from isthmus.wire.tokens import token_decision

PIXELS = "imaging-pixels"
METADATA_MAX_BYTES = 16 << 20  # some 2500 instances; ask for a series where a study has more


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
        again=partial(tokens.care, client, visit, country),
        service=PIXELS,
        patient=patient.identifier,
        categories=("imaging-study",),
        absent=ImagesNotFound,
    )
    async with client.exchange(visit, country, call) as exchange:
        reader = PartReader(_boundary(exchange, country))
        digests, items = hashlib.sha256(), list[Item]()
        did = token_decision(token)
        intake = _Intake(visit, country, query, shelf)
        try:
            async for view in exchange.response.stream():
                exchange.size_bytes += len(view)
                async for arrived in intake.take(reader.feed(view)):
                    _count(exchange, arrived, digests, items)
                    yield arrived
            reader.close()
        finally:
            intake.drop()
            exchange.digest = digests.hexdigest()
            exchange.delivery = Delivery(
                side="B", peer=country, study_instance_uid=query.study_instance_uid, items=tuple(items), did=did
            )


async def get_metadata(client: Client, visit: Visit, country: str, query: ImagesQuery) -> tuple[bytes, ...]:
    """Ask for metadata of images: the DICOM JSON object of every instance, as it came, without bulk values.

    An offer of some countries. Raises ServiceNotOffered where it is none, ImagesNotFound; CountryMisanswered for what was not
    asked for, and (peer-limit) past `METADATA_MAX_BYTES`; ArrivalRefused (wrong-patient).
    """
    visit.require(Act.PIXELS)
    patient = visit.patient_in(country)
    token = await tokens.care(client, visit, country)
    call = Call(
        "RAD-107",
        "dicomweb",
        f"/{metadata_path(query)}",
        accept=MEDIA_TYPE,
        token=token,
        again=partial(tokens.care, client, visit, country),
        service=SERVICE,
        patient=patient.identifier,
        categories=("imaging-study",),
        absent=ImagesNotFound,
    )
    async with client.exchange(visit, country, call) as exchange:
        body = await exchange.read(METADATA_MAX_BYTES)
        return await asyncio.to_thread(_objects, body, patient, query, country)


def _objects(body: bytes, patient: Patient, query: ImagesQuery, country: str) -> tuple[bytes, ...]:
    """The objects of an answer, each about the person confirmed and of what was asked for."""
    objects = []
    for told in read_metadata(body):
        asked = (query.study_instance_uid, query.series_instance_uid, query.sop_instance_uid)
        came = (told.uids.study_instance_uid, told.uids.series_instance_uid, told.uids.sop_instance_uid)
        if any(one is not None and one != other for one, other in zip(asked, came, strict=True)):
            raise CountryMisanswered("metadata came that were not asked for", country=country)
        if (
            compare(patient, Traits(told.identifier, told.names, told.birth_date, told.gender))
            is Likeness.CONTRADICTORY
        ):
            raise ArrivalRefused(
                f"metadata from {country} are of another person", reason="wrong-patient", country=country
            )
        objects.append(told.json)
    return tuple(objects)


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


def _count(exchange: Exchange, arrived: Arrived, digests: hashlib._Hash, items: list[Item]) -> None:
    exchange.instances += 1
    items.append(Item(arrived.header.sop_instance_uid, arrived.size_bytes, arrived.sha256))
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
