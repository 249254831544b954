"""C-STORE into the archive: any composite object, from the senders of the settings, each into its own source.

A sender may delete what it was told is stored, so nothing is told before bytes and row are durable. What is held for the operator is
stored, with a warning that says why; what is refused is a failure, with the reason of the fixed list; a disk that is full is asked for
again. The same instance once more changes nothing.

    accepted, unchanged      0x0000
    quarantined              0xB000, with the reason
    refused: other bytes     0x0111 (duplicate SOP instance)
    refused: no DICOM, cut   0xC000 (cannot understand)
    refused: anything else   0xA900 (does not match)
    cannot be written now    0xA700 (out of resources)

Source: PS3.4 Table B.2-1; PS3.7 Annex C; interfaces.md §11; trust.md T99.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

from isthmus.archive.intake import Intake
from isthmus.archive.verdicts import ACCEPTED, QUARANTINED, REASONS, UNCHANGED, Verdict
from isthmus.config import Settings
from isthmus.dicom.faults import REASONS as OF_THE_FILE
from isthmus.errors import IsthmusError
from isthmus.sections import Sender as Listed
from isthmus.sources import Source
from isthmus.transport.dimse.arrivals import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS, Arrival
from isthmus.transport.dimse.inbound import Listener, Sender
from isthmus.trust.certificates import intake_context

LOG = logging.getLogger("isthmus.archive")
KEPT_WITH_WARNING: Final = 0xB000
DUPLICATE: Final = 0x0111
DOES_NOT_MATCH: Final = 0xA900
COMMENT_MAX: Final = 64  # LO


class Lends(Protocol):
    """Who has intakes: lends one of a source for as long as a block lasts."""

    def images(self, source: Source) -> AbstractContextManager[Intake]: ...


class CStore:
    """The DIMSE port of the archive."""

    def __init__(self, settings: Settings, desk: Lends) -> None:
        self._desk, self._settings = desk, settings
        intake = settings.intake
        assert intake is not None  # asked before
        self._intake = intake
        self._sources = {one.name: one for one in settings.sources.images if one.kind == "files"}
        self._listed = {one.name: one for one in intake.senders if one.ae_title}
        self._listener = Listener(
            intake.dimse.host, intake.dimse.port, intake.dimse.ae_title,
            [_sender(one, tls=intake.dimse.tls) for one in self._listed.values()], self._take, settings.folder / "arriving",
            silence_s=intake.dimse.silence_s, associations=intake.dimse.associations,
            tls=self._context if intake.dimse.tls else None,
        )  # fmt: skip

    def start(self) -> int:
        """Listen; gives the port. Raises SettingsProblem."""
        if self._intake.dimse.tls:
            self._context()  # what is wrong with it is said now
        return self._listener.start()

    def stop(self) -> None:
        self._listener.stop()

    def _take(self, sender: Sender) -> _Sent:
        return _Sent(self._desk, sender.name, self._sources[self._listed[sender.name].source])

    def _context(self) -> ssl.SSLContext:
        files = self._intake.tls_certificate, self._intake.tls_key, self._intake.tls_authority
        certificate, key, authority = map(self._settings.path, files)
        return intake_context(certificate, key, authority, self._settings.env)


class _Sent:
    """What one association of a sender brings."""

    def __init__(self, desk: Lends, name: str, source: Source) -> None:
        self._desk, self._name, self._source = desk, name, source

    def begun(self, arrival: Arrival) -> None:
        """It is looked at when it is whole: half of it could not be kept."""

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        try:
            with self._desk.images(self._source) as intake:
                verdicts = intake.dicom(arrival, self._name)
                verdict = (*verdicts, *intake.flush())[-1]
        except (IsthmusError, OSError) as error:
            LOG.error("an instance of %s could not be kept: %s", self._name, type(error).__name__)
            return OUT_OF_RESOURCES, "cannot be kept now; send again"
        finally:
            arrival.release()
        return _told(verdict)

    def broken(self, arrival: Arrival) -> None:
        arrival.release()


def _told(verdict: Verdict) -> tuple[int, str]:
    """Status and comment: the reason by its name, and as much of its sentence as there is room for."""
    if verdict.outcome in (ACCEPTED, UNCHANGED):
        return SUCCESS, ""
    reason = verdict.reason or "unreadable"
    comment = f"{reason}: {REASONS[reason]}"[:COMMENT_MAX]
    if verdict.outcome == QUARANTINED:
        return KEPT_WITH_WARNING, comment
    if reason == "other-bytes":
        return DUPLICATE, comment
    return (CANNOT_UNDERSTAND if reason in OF_THE_FILE else DOES_NOT_MATCH), comment


def _sender(listed: Listed, *, tls: bool) -> Sender:
    return Sender(
        listed.ae_title, listed.calls_from, listed.name, partial(_shows, listed) if tls else _nothing_to_show,
        parallel=listed.parallel, per_s=listed.requests_per_s,
    )  # fmt: skip


def _nothing_to_show(certificate: bytes | None) -> bool:
    return True


def _shows(listed: Listed, certificate: bytes | None) -> bool:
    """Whether a certificate, which an authority of ours has issued, is the one that the settings name. None named: any."""
    if certificate is None:
        return False
    if listed.certificate_name:
        names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [name.value for name in names] == [listed.certificate_name]
    return not listed.certificate or hashlib.sha256(certificate).hexdigest() == listed.certificate_sha256
