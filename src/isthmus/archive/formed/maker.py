"""Makes the European report document of one report that was issued otherwise: in a child process, with the codes of its source mapped.

One bad file is one report of which nothing can be made, whatever goes wrong with it: nobody else's list waits for it.

Decision 0016. Source: architecture.md §5.6; trust.md §2.9.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from isthmus.config import Settings
from isthmus.errors import IsthmusError, MalformedRequest
from isthmus.model.people import Patient
from isthmus.originals.beside import Beside
from isthmus.originals.child import Asked, made_report
from isthmus.sandbox import Sandbox
from isthmus.sources import Source
from isthmus.terminology.designations import codes_of
from isthmus.terminology.mapping import NO_CODES, Transcoder, Unmapped
from isthmus.terminology.reports import transcode_document
from isthmus.wire.packs.pack import Pack
from isthmus.wire.report.document import ReportIndex, report_index

LOG = logging.getLogger("isthmus.archive")
EDITION: Final = 2  # of what is made: one higher, and everything is made anew
READ_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a report; without bytes where nothing could be made of it."""

    body: bytes
    profile: str  # of the pack: a document, or a collection around what was issued
    said: ReportIndex | None = None  # what the document says of itself
    unmapped: tuple[Unmapped, ...] = ()  # national codes in it that no table knows
    mapped_by: str = ""
    source: str = ""


NOTHING: Final = Made(b"", "")


class Maker:
    """Makes documents of the reports of these sources. `sandbox` belongs to whoever brings it."""

    def __init__(self, settings: Settings, sources: Iterable[Source], pack: Pack, sandbox: Sandbox) -> None:
        self._pack, self._sandbox = pack, sandbox
        self._codes = codes_of(settings, sources)
        self._mapped_by = " ".join(sorted({c.fingerprint[:12] for c in self._codes.values() if c.fingerprint}))

    def made_for(self, patient: Patient) -> str:
        """What a document is made for: this edition, whom the register knows, and the tables of national codes."""
        digest = hashlib.sha256(msgspec.json.encode(patient)).hexdigest()
        return " ".join(filter(None, (str(EDITION), digest, self._mapped_by)))

    def make(self, data: bytes, beside: Beside, source: Source, assembled: str) -> Made:
        """What a child makes of it; NOTHING where it cannot. `assembled` is a FHIR instant: the same input is the same bytes."""
        codes = self._codes.get(source.name, NO_CODES)
        transcoder = Transcoder(codes, source.coding_schemes)
        try:
            asked = Asked(self._pack.name, assembled, beside)
            given = self._sandbox.run_now("report", data, asked.options, deadline_s=READ_S, error=MalformedRequest)
            body = transcode_document(made_report(given), transcoder)
            said = report_index(body, self._pack)
            profile = "report_minimal" if orjson.loads(body).get("type") == "collection" else "report"
        except IsthmusError as error:
            LOG.warning("no European document can be made of a report: %s", error.facts.get("fault", error.message))
            return NOTHING
        except Exception as error:  # whatever a file makes of it: it is this one's fault alone
            LOG.warning("no European document can be made of a report: %s", type(error).__name__)
            return NOTHING
        return Made(body, profile, said, tuple(dict.fromkeys(transcoder.unmapped)), codes.told, source.name)
