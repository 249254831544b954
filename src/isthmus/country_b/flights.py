"""Flights: images on their way into the spool, for whoever looks at them: pages, or the hospital's own programs.

One image that is looked at comes first, then its series in one exchange; a whole study comes in as few exchanges as can be. Who
asks for the same thing waits for the same flight. A flight that nobody waits for any more is cut within seconds.

Source: portal design §1 (5); trust.md §2.9; architecture.md §7.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence

from isthmus.country_b.arrivals import Arrived, Likeness
from isthmus.country_b.fetch import Wanted, plan
from isthmus.country_b.spool import PART_OF, Arriving, Spool
from isthmus.country_b.verbs import Verbs
from isthmus.country_b.visit import Visit
from isthmus.errors import Absence, ContentMismatch, ImagesNotFound, ImagesPreparing, IntegrityLost, IsthmusError
from isthmus.model.queries import ImagesQuery
from isthmus.storage.sealed import SealedReader

PATIENCE_S = 2.0


class SpoolShelf:
    """Puts what arrives into the spool of a visit; of a study that names the patient a little differently it leaves a note."""

    def __init__(self, spool: Spool, visit: str) -> None:
        self._spool, self._visit = spool, visit
        self._arriving: Arriving | None = None
        self._noted = False

    def begin(self) -> None:
        self._arriving = self._spool.begin()

    def write(self, view: bytes | memoryview) -> None:
        if self._arriving is not None:
            self._arriving.write(view)

    async def keep(self, arrived: Arrived) -> None:
        arriving, self._arriving = self._arriving, None
        if arriving is None:
            return
        if arrived.likeness is Likeness.EXPLAINABLE and not self._noted:
            self._noted = True
            await self._spool.note(self._visit, arrived.likeness.value, *explained(arrived.header.study_instance_uid))
        item = item_of(
            arrived.header.study_instance_uid, arrived.header.series_instance_uid, arrived.header.sop_instance_uid
        )
        held = await self._spool.find(self._visit, *item)
        if held is not None:
            held.close()
            arriving.drop()
        else:
            await self._spool.keep(self._visit, arriving, *item)

    def drop(self) -> None:
        if self._arriving is not None:
            self._arriving.drop()
            self._arriving = None


def _place(one: Wanted) -> tuple[str, str]:
    return one.series_instance_uid, one.sop_instance_uid


def _parts(query: ImagesQuery) -> tuple[str, str, str]:
    return query.study_instance_uid, query.series_instance_uid or "", query.sop_instance_uid or ""


def _key(visit: Visit, query: ImagesQuery) -> tuple[str, ...]:
    """A flight's name: the visit, and as much of the three UIDs as is asked for."""
    return visit.id, *(uid for uid in _parts(query) if uid)


def item_of(study: str, series: str, instance: str) -> tuple[str, ...]:
    return ("instance", study, series, instance)


def explained(study: str) -> tuple[str, ...]:
    """The note that images of a study name the patient a little differently."""
    return ("explainable", study)


def stopped(study: str) -> tuple[str, ...]:
    """The note that an image of another person came under a study; its text is the number of the exchange."""
    return ("stopped", study)


def listed_as(study: str) -> tuple[str, ...]:
    """The note under which manifest a study was opened last."""
    return ("manifest", study)


def changed(study: str) -> tuple[str, ...]:
    """The note that a study stands under another manifest than when it was opened; its text is that manifest."""
    return ("changed", study)


class _Flight:
    """One exchange under way, and who waits for what of it."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self.news = asyncio.Condition()
        self.here: set[str] = set()
        self.task: asyncio.Task[None] | None = None
        self.problem: IsthmusError | None = None
        self.over = False
        self.waiting = 0

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """While somebody needs it, it is not cut."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
            if self.waiting == 0:
                asyncio.get_running_loop().call_later(self.patience_s, self.cut)

    async def wait(self, instance: str) -> None:
        """Until the instance is here or the flight is over. Raises what ended the flight."""
        with self.needed():
            async with self.news:
                await self.news.wait_for(lambda: instance in self.here or self.over)
        if instance not in self.here and self.problem is not None:
            raise self.problem

    def cut(self) -> None:
        if self.waiting == 0 and self.task is not None:
            self.task.cancel()


class Flights:
    """The flights of this process."""

    def __init__(self, verbs: Verbs, spool: Spool, parallel: int, *, patience_s: float = PATIENCE_S) -> None:
        self._verbs, self._spool, self._patience_s = verbs, spool, patience_s
        self._flights: dict[tuple[str, ...], _Flight] = {}
        self._begun: set[tuple[str, ...]] = set()  # series of which one instance was asked for
        self._singly: set[tuple[str, ...]] = set()  # series that did not come whole
        self._places: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(parallel))

    async def instance(self, visit: Visit, country: str, query: ImagesQuery, *, alone: bool = False) -> SealedReader:
        """One instance out of the spool, fetched when it is not there yet; its series does not follow one that is taken alone.

        Raises ImagesNotFound and what fetching raises.
        """
        series, instance = query.series_instance_uid or "", query.sop_instance_uid or ""
        item = item_of(query.study_instance_uid, series, instance)
        whole = (visit.id, query.study_instance_uid, series)
        found = await self._spool.find(visit.id, *item)
        if found is None:
            together = (
                not alone
                and whole in self._begun
                and whole not in self._singly
                and (*whole, instance) not in self._flights
            )
            if not alone:
                self._begun.add(whole)
            if together:
                ask = ImagesQuery(query.study_instance_uid, series)
                with contextlib.suppress(IsthmusError):  # what did not come with its series is asked for by itself
                    await self._flight(whole, visit, country, ask).wait(instance)
                found = await self._spool.find(visit.id, *item)
            if found is None:
                await self._flight((*whole, instance), visit, country, query).wait(instance)
                found = await self._spool.find(visit.id, *item)
        if found is None:
            raise ImagesNotFound("the country sent no such instance", country=country)
        return found

    async def each(
        self, visit: Visit, country: str, study: str, wanted: Sequence[Wanted], everything: Sequence[Wanted]
    ) -> AsyncGenerator[tuple[Wanted, SealedReader | None]]:
        """The wanted instances of a study out of the spool, in their order; close each. What is missing is fetched meanwhile.

        None stands for one that the country does not send, or not whole and unsuspicious. Raises what else ends a flight.
        """
        held = await self._spool.holds(visit.id, [item_of(study, *_place(one)) for one in wanted])
        missing = [one for one, there in zip(wanted, held, strict=True) if not there]
        queries = plan(study, everything, missing)
        together = {query.series_instance_uid: query for query in queries if query.sop_instance_uid is None}
        flight: _Flight | None = None
        asked: ImagesQuery | None = None
        with contextlib.ExitStack() as need:
            for one in wanted:
                series, instance = _place(one)
                found = await self._spool.find(visit.id, *item_of(study, series, instance))
                query = together.get(series) or together.get(None)
                if found is None and query is not None:
                    if flight is None or query != asked:
                        need.close()
                        asked, flight = query, self._flight(_key(visit, query), visit, country, query)
                        need.enter_context(flight.needed())
                    with contextlib.suppress(IntegrityLost):  # what did not come with the others is asked for by itself
                        await flight.wait(instance)
                    found = await self._spool.find(visit.id, *item_of(study, series, instance))
                yield one, found or await self._alone(visit, country, ImagesQuery(study, series, instance))

    async def _alone(self, visit: Visit, country: str, query: ImagesQuery) -> SealedReader | None:
        with contextlib.suppress(IntegrityLost, Absence):
            await self._flight(_key(visit, query), visit, country, query).wait(query.sop_instance_uid or "")
        return await self._spool.find(visit.id, *item_of(*_parts(query)))

    async def stands(self, visit: Visit, study: str, manifest: str) -> None:
        """Say under which manifest a study is listed now. Under another than before, what was spooled of it goes, and that is noted."""
        before = await self._spool.noted(visit.id, *listed_as(study))
        if before == manifest:
            return
        await self._spool.note_anew(visit.id, manifest, *listed_as(study))
        if before is not None:
            await self._spool.note_anew(visit.id, manifest, *changed(study))
            await self.put_away(visit, study)

    async def put_away(self, visit: Visit, study: str) -> None:
        """What is on its way of a study is cut, and what is spooled of it goes."""
        for key, flight in list(self._flights.items()):
            if key[:2] == (visit.id, study) and flight.task is not None:
                flight.task.cancel()
        self._begun = {key for key in self._begun if key[:2] != (visit.id, study)}
        self._singly = {key for key in self._singly if key[:2] != (visit.id, study)}
        await self._spool.drop(visit.id, *item_of(study, "", "")[:PART_OF])

    def forget(self, *visits: str) -> None:
        """Cut what still arrives for these visits."""
        for key, flight in list(self._flights.items()):
            if key[0] in visits and flight.task is not None:
                flight.task.cancel()
        self._begun = {key for key in self._begun if key[0] not in visits}
        self._singly = {key for key in self._singly if key[0] not in visits}

    def _flight(self, key: tuple[str, ...], visit: Visit, country: str, query: ImagesQuery) -> _Flight:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(self._patience_s)
            flight.task = asyncio.create_task(self._fly(key, flight, visit, country, query))
        return flight

    async def _fly(self, key: tuple[str, ...], flight: _Flight, visit: Visit, country: str, query: ImagesQuery) -> None:
        flight.problem = ContentMismatch("the fetch was cut short", country=country)  # unless it comes to its end
        try:
            async with self._places[visit.professional.sub]:
                async for arrived in self._verbs.get_images(visit, country, query, SpoolShelf(self._spool, visit.id)):
                    async with flight.news:
                        flight.here.add(arrived.header.sop_instance_uid)
                        flight.news.notify_all()
            flight.problem = None
        except IsthmusError as error:
            flight.problem = error
            if error.reason == "wrong-patient":
                number = str(error.facts.get("exchange_id") or "")
                await self._spool.note(visit.id, number, *stopped(query.study_instance_uid))
            if query.sop_instance_uid is None and not isinstance(error, ImagesPreparing):
                self._singly.add(key)
        finally:
            flight.over = True
            self._flights.pop(key, None)
            async with flight.news:
                flight.news.notify_all()
