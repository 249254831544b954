"""Associations in: a storage SCP that takes from whom it knows, every class and syntax, as it comes.

Known is a calling AE title from an address of its own, and, with TLS, a certificate. Others are not talked to: an unknown address is
hung up on before a byte is read. Each instance becomes an arrival, written as received, never decoded.

Source: PS3.4 Annex B; PS3.8 §9.3.4; trust.md T99.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, NoReturn

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from isthmus.errors import SettingsProblem
from isthmus.transport.dimse.arrivals import Receiver
from isthmus.transport.dimse.contexts import VERIFICATION, preferred
from isthmus.transport.dimse.library import PDU_BYTES, Messages, arm, ended, stored

LOG = logging.getLogger("isthmus.transport")
ASSOCIATIONS_MAX: Final = 16
REQUEST_S: Final = 10.0  # from the connection to the association's request
TOLD_PER_S: Final = 0.5  # refused connections that are told in the log
_NOT_RECOGNISED: Final = (0x01, 0x01, 0x03)  # rejected for good, by the user, calling AE title not recognised
_NOT_CALLED: Final = (0x01, 0x01, 0x07)  # the same, called AE title not recognised
_LATER: Final = (0x02, 0x03, 0x02)  # rejected for now, by the provider, local limit exceeded


def _whatever(certificate: bytes | None) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Sender:
    """Who may send, and how it is known: all of it has to hold. `shows` is asked about its certificate (DER), None without TLS."""

    ae_title: str
    calls_from: Callable[[str], bool]
    name: str = ""
    shows: Callable[[bytes | None], bool] = _whatever
    parallel: int = 4
    per_s: float = 20.0  # associations; burst twice that


class Listener:
    """One port of ours. `take` gives the receiver of an association of a sender."""

    def __init__(
        self, host: str, port: int, ae_title: str, senders: Sequence[Sender], take: Callable[[Sender], Receiver],
        folder: Path, *, silence_s: float = 30.0, associations: int = ASSOCIATIONS_MAX,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:  # fmt: skip
        self._at, self._take, self._folder, self._silence_s = (host, port), take, folder, silence_s
        self._tls = tls
        self._server: _Server | None = None
        self._senders = [(sender, _Pace(sender.per_s)) for sender in senders]
        self._entity = ApplicationEntity(ae_title=ae_title)
        self._entity.add_supported_context(VERIFICATION)
        self._entity.require_called_aet = True
        self._entity.maximum_associations = associations
        self._entity.maximum_pdu_size = PDU_BYTES
        self._entity.acse_timeout, self._entity.dimse_timeout = min(REQUEST_S, silence_s), silence_s
        self._entity.network_timeout = silence_s

    def start(self) -> int:
        """Listen; gives the port, the second time too. Raises SettingsProblem when the address cannot be had."""
        if self._server is not None:
            return int(self._server.server_address[1])
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, arm, [self._folder, None, self._silence_s]),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_STORE, stored),
            *((event, ended) for event in (evt.EVT_ABORTED, evt.EVT_RELEASED, evt.EVT_CONN_CLOSE)),
        ]
        try:
            self._server = server = _Server(
                self._entity, self._at, self._entity.ae_title, self._entity.supported_contexts, evt_handlers=handlers
            )
        except OSError as error:
            raise SettingsProblem(f"port {self._at[1]} cannot be listened on: {error.strerror}") from error
        server.calls_from = lambda address: any(sender.calls_from(address) for sender, _ in self._senders)
        server.handshake, server.silence_s = self._tls, self._silence_s
        server.telling = _Pace(TOLD_PER_S)
        server.connections = 2 * self._entity.maximum_associations
        self._entity._servers.append(server)
        serving = partial(server.serve_forever, poll_interval=0.1)
        threading.Thread(target=serving, name=f"dimse-{self._entity.ae_title}", daemon=True).start()
        return int(server.server_address[1])

    def stop(self) -> None:
        """End what runs; what is not answered for yet will be sent again by its sender."""
        self._entity.shutdown()
        self._server = None

    def _requested(self, event: Event) -> None:
        """Who asks, and what for: an unknown one is rejected, of the syntaxes of each context one is chosen."""
        made = event.assoc
        asked = made.requestor.primitive
        if asked is None or not isinstance(made.dimse, Messages):
            return None
        calling = (asked.calling_ae_title or "").strip()
        shown = made.dul.socket.socket if made.dul.socket is not None else None
        certificate = shown.getpeercert(binary_form=True) if isinstance(shown, ssl.SSLSocket) else None
        address = made.requestor.address
        known = (
            (s, pace) for s, pace in self._senders
            if s.ae_title == calling and s.calls_from(address) and s.shows(certificate)
        )  # fmt: skip
        sender, pace = next(known, (None, None))
        if sender is None or pace is None:
            LOG.warning(
                "an unknown sender was rejected at port %d: AE title %a from %s", self._at[1], calling[:16], address
            )
            return _reject(event, _NOT_RECOGNISED)
        if (called := (asked.called_ae_title or "").strip()) != self._entity.ae_title:
            LOG.warning(
                "%s was rejected at port %d: it calls AE title %a and not %a",
                sender.name or sender.ae_title, self._at[1], called[:16], self._entity.ae_title,
            )  # fmt: skip
            return _reject(event, _NOT_CALLED)
        if self._held_by(sender) >= sender.parallel or not pace.may():
            LOG.warning("%s has too many associations at port %d", sender.name or sender.ae_title, self._at[1])
            return _reject(event, _LATER)
        made.dimse.sender = sender
        made.dimse.receiver = self._take(sender)
        for context in asked.presentation_context_definition_list or ():
            context.transfer_syntax = [UID(preferred([str(uid) for uid in context.transfer_syntax]))]
        return None

    def _held_by(self, sender: Sender) -> int:
        running = self._server.active_associations if self._server is not None else []
        return sum(isinstance(one.dimse, Messages) and one.dimse.sender is sender for one in running)


def _reject(event: Event, words: tuple[int, int, int]) -> None:
    event.assoc.acse.send_reject(*words)
    event.assoc.kill()


class _Pace:
    """How often: a bucket that fills."""

    def __init__(self, per_s: float) -> None:
        self._per_s, self._left, self._at = per_s, 2 * per_s, monotonic()
        self._lock = threading.Lock()

    def may(self) -> bool:
        with self._lock:
            now = monotonic()
            self._left = min(2 * self._per_s, self._left + (now - self._at) * self._per_s)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class _Server(ThreadedAssociationServer):
    """The library's server, with nobody waiting for anybody else's handshake, and a bound on connections."""

    daemon_threads = True
    calls_from: Callable[[str], bool] | None = None
    handshake: Callable[[], ssl.SSLContext] | None = None
    silence_s = 30.0
    connections = 2 * ASSOCIATIONS_MAX
    telling: _Pace

    def get_request(self) -> tuple[socket.socket, Any]:
        assert self.socket is not None  # it listens
        connection, address = self.socket.accept()
        try:
            connection.settimeout(self.silence_s)
            if self.calls_from is None or not self.calls_from(address[0]):
                self._refuse(address[0], "no sender has this address")
            if len(self.active_associations) >= self.connections:
                self._refuse(address[0], "there are too many connections")
            if self.handshake is not None:
                connection = self.handshake().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:
            connection.close()
            raise
        return connection, address

    def _refuse(self, address: str, why: str) -> NoReturn:
        """Hang up; say so, but not as often as anybody likes to knock."""
        if self.telling.may():
            port = self.server_address[1]
            LOG.warning("a connection from %s to port %s was refused: %s", address, port, why)
        raise ConnectionRefusedError

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOG.info("a connection to a DIMSE port ended before it was an association")
