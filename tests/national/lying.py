"""A PACS of pynetdicom in this process that answers honestly until it is told to lie: what real ones do, one lie at a time."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Thread
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_GET
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from isthmus.testing.engines.counterparts import HOST

STUDY_ROOT, PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.2.", "1.2.840.10008.5.1.4.1.2.1."
PENDING, SUCCESS = 0xFF00, 0x0000
UIDS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}

Answers = Iterator[tuple[int, Dataset | None]]


class LyingPacs:
    """What it holds, and how it answers. `answer` changes a row of C-FIND, `retrieve` takes over C-GET."""

    def __init__(self, *files: bytes, roots: tuple[str, ...] = (STUDY_ROOT, PATIENT_ROOT)) -> None:
        self.held = [dcmread(io.BytesIO(file)) for file in files]
        self.answer: Callable[[str, Dataset], Dataset | None] = lambda level, row: row
        self.all_match = False
        self.retrieve: Callable[[Event, list[Dataset]], Any] | None = None
        self.asked: list[tuple[str, Dataset]] = []
        self.associations = 0
        self.hush_s = 0.0
        self._entity = ApplicationEntity("LIAR")
        for root in roots:
            self._entity.add_supported_context(root + "1")
            self._entity.add_supported_context(root + "3")
        handlers: list[Any] = [
            (evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get), (evt.EVT_ACCEPTED, self._accepted),
        ]  # fmt: skip
        contexts = self._entity.supported_contexts
        server = ThreadedAssociationServer(self._entity, (HOST, 0), "LIAR", contexts, evt_handlers=handlers)
        self._entity._servers.append(server)
        Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True).start()
        self.port = int(server.server_address[1])

    def stop(self) -> None:
        self._entity.shutdown()

    def _accepted(self, event: Event) -> None:
        self.associations += 1

    def _matching(self, wanted: Dataset) -> list[Dataset]:
        keys = {"PatientID", *UIDS.values()} & {element.keyword for element in wanted if element.value}
        return [
            one for one in self.held
            if self.all_match or all(str(one.get(key)) in str(wanted[key].value).split("\\") or one.get(key) in _many(wanted[key].value) for key in keys)
        ]  # fmt: skip

    def _find(self, event: Event) -> Answers:
        wanted, seen = event.identifier, set()
        level = str(wanted.QueryRetrieveLevel)
        self.asked.append((level, wanted))
        time.sleep(self.hush_s)
        matching = self._matching(wanted)
        for one in matching:
            uid = str(one[UIDS[level]].value)
            if uid in seen:
                continue
            seen.add(uid)
            row = Dataset()
            row.QueryRetrieveLevel = level
            row.SpecificCharacterSet = one.get("SpecificCharacterSet", "")
            for element in wanted:
                if element.keyword in one:
                    row[element.tag] = one[element.tag]
            row.NumberOfStudyRelatedInstances = sum(o.StudyInstanceUID == one.StudyInstanceUID for o in self.held)
            row.NumberOfSeriesRelatedInstances = sum(o.SeriesInstanceUID == one.SeriesInstanceUID for o in self.held)
            answered = self.answer(level, row)
            if answered is not None:
                yield PENDING, answered
        yield SUCCESS, None

    def _get(self, event: Event) -> Iterator[Any]:
        matching = self._matching(event.identifier)
        self.asked.append(("GET", event.identifier))
        time.sleep(self.hush_s)
        if self.retrieve is not None:
            yield from self.retrieve(event, matching) or ()
            return
        yield len(matching)
        for one in matching:
            yield PENDING, one


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def final(event: Event, status: int = SUCCESS, **counters: int) -> None:
    """Send a last response of our own making, counters as given or left out."""
    said = C_GET()
    said.MessageIDBeingRespondedTo = event.message_id
    said.AffectedSOPClassUID = event.request.AffectedSOPClassUID
    said.Status = status
    for name, number in counters.items():
        setattr(said, f"NumberOf{name}Suboperations", number)
    event.assoc.dimse.send_msg(said, event.context.context_id)
