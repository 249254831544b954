"""pynetdicom as this house lets it be: silent, bounded, and with an instance's bytes going to where we say.

By itself it logs identifiers, believes any announced length, joins fragments in any order, waits without end for a peer that stalls in
the middle of a PDU, and holds an instance in memory or in a file of a name of its own. An association is `arm`ed when its connection opens.

Source: PS3.8 §9.3; PS3.7 §9; trust.md §2.9, T47.
"""

from __future__ import annotations

import logging
import queue
import socket
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pydicom.config
from pydicom.dataset import Dataset
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from isthmus.transport.dimse.arrivals import (
    CANNOT_UNDERSTAND,
    NOT_ASKED_FOR,
    OUT_OF_RESOURCES,
    SUCCESS,
    Arrival,
    Left,
    Receiver,
    Spool,
)

PDU_BYTES: Final = 128 << 10  # what we say we take
PDU_MAX_BYTES: Final = 1 << 20  # what we take at most, whatever the peer announces
COMMAND_BYTES: Final = 64 << 10
IDENTIFIER_BYTES: Final = 4 << 20  # an answer to C-FIND, or a list of what failed
INSTANCE_BYTES: Final = 16 << 30
QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux

_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.UNRESTRICTED_STORAGE_SERVICE = True  # any composite object is one: a private class too
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote values

_SILENT = logging.getLogger("pynetdicom")  # its lines name patients
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


class _Bounded(BytesIO):
    """A part of a message in memory, up to a limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit = limit_bytes

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self._limit:
            raise ValueError("longer than what is taken")
        return super().write(data)


class DataSet(_Bounded):
    """The data set of a message: an instance goes to its receiver as it comes, anything else is short and stays in memory."""

    def __init__(self, messages: Messages, message: DIMSEMessage) -> None:
        super().__init__(IDENTIFIER_BYTES)
        self._messages, self._message = messages, message
        self.arrival: Arrival | None = None
        self.refused = SUCCESS

    def write(self, data: Any, /) -> int:
        if not isinstance(self._message, C_STORE_RQ):
            return super().write(data)
        if self.arrival is None and self.refused == SUCCESS:
            self._begin()
        if self.arrival is not None:
            try:
                self.arrival.add(data)
            except (OSError, ValueError):  # it is taken to its end, so that the peer hears why
                self._refuse(OUT_OF_RESOURCES)
        return len(data)

    def _begin(self) -> None:
        try:
            self.arrival = self._messages.arrival(self._message)
        except PermissionError:
            self._refuse(NOT_ASKED_FOR)
        except (AttributeError, KeyError, UnicodeError):
            self._refuse(CANNOT_UNDERSTAND)
        except (OSError, ValueError):
            self._refuse(OUT_OF_RESOURCES)

    def _refuse(self, status: int) -> None:
        self.refused = status
        self.break_off()

    def break_off(self) -> None:
        """It will not become whole."""
        if self.arrival is not None and not self.arrival.complete:
            self.arrival.break_off()
            if self._messages.receiver is not None:
                self._messages.receiver.broken(self.arrival)
            self.arrival = None


class Order:
    """The fragments of one message: of one context, its command first and whole, then its data set. Source: PS3.8 §E.2."""

    def __init__(self) -> None:
        self._context: int | None = None
        self._commanded = False

    def judge(self, primitive: P_DATA) -> None:
        """Raises ValueError for a fragment that has no place where it comes."""
        for context, fragment in primitive.presentation_data_value_list:
            flags = fragment[0] if fragment else 0
            if bool(flags & 1) == self._commanded or self._context not in (None, context):
                raise ValueError("a fragment out of order")
            self._context = context
            self._commanded = self._commanded or flags & 3 == 3


class Messages(DIMSEServiceProvider):
    """The messages of one association: bounded, and silence measured by bytes, not by messages."""

    def __init__(self, association: Association, folder: Path, receiver: Receiver | None, silence_s: float) -> None:
        super().__init__(association)
        self.receiver = receiver
        self._silence_s, self._heard_at = silence_s, monotonic()
        self._folder = folder
        self.left = False
        self.sender: object = None  # who it is of, where we answer
        self._spool: Spool | None = None
        self._order = Order()

    def receive_primitive(self, primitive: P_DATA) -> None:
        self._heard_at = monotonic()
        if self.message is None:
            self.message, self._order = DIMSEMessage(), Order()
            self.message.encoded_command_set = _Bounded(COMMAND_BYTES)
            self.message.data_set = DataSet(self, self.message)
        try:
            self._order.judge(primitive)
            super().receive_primitive(primitive)
        except Exception:  # what is no message, or too long, is not answered: the association ends
            if isinstance(self.message.data_set, DataSet):
                self.message.data_set.break_off()
            self.message = None
            self.dul.event_queue.put("Evt19")

    def get_msg(self, block: bool = False) -> Any:
        """The next message; (None, None) when the peer has been silent for too long, or is gone.

        Where we ask, only who asks takes: the library's own loop, pausing a moment too late, would take an answer and drop it.
        """
        if not block:
            return (None, None) if self.assoc.is_requestor else super().get_msg(block=False)
        self._heard_at = monotonic()
        while (left := self._heard_at + self._silence_s - monotonic()) > 0:
            try:
                return self.msg_queue.get(timeout=min(left, 0.5))
            except queue.Empty:
                if not self.dul.is_alive():
                    break
        return None, None

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Nothing is said any more once we have hung up."""
        if not self.left:
            super().send_msg(primitive, context_id)

    def arrival(self, message: DIMSEMessage) -> Arrival:
        """Begin an instance. Raises PermissionError when nobody takes it."""
        if self.receiver is None:
            raise PermissionError
        said = message.command_set
        context = self.assoc._accepted_cx[message.context_id or 0]
        self._spool = self._spool or Spool(self._folder)
        found = Arrival(
            self._spool, str(said.AffectedSOPClassUID), str(said.AffectedSOPInstanceUID), str(context.transfer_syntax[0]),
            INSTANCE_BYTES,
        )  # fmt: skip
        try:
            self.receiver.begun(found)
        except BaseException:
            found.release()
            raise
        return found

    def end(self) -> None:
        """The association is over: what was on its way is not whole."""
        message = self.message
        if message is not None and isinstance(message.data_set, DataSet):
            message.data_set.break_off()
        if self._spool is not None:
            self._spool.close()


def arm(event: Event, folder: Path, receiver: Receiver | None, silence_s: float) -> None:
    """Bind to EVT_CONN_OPEN: from the first byte on, the association is bounded in size and in time."""
    association = event.assoc
    association.dimse = Messages(association, folder, receiver, silence_s)
    held = association.dul.socket
    if held is None or held.socket is None:
        return
    held.socket.settimeout(silence_s)
    held.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a command and its data set are two writes
    vars(held)["recv"] = partial(
        _received, held, silence_s
    )  # over the method: the library has no other place for a bound
    machine = association.dul.state_machine
    vars(machine)["do_action"] = partial(_done, association, machine.do_action)


def _received(held: AssociationSocket, silence_s: float, size: int) -> bytearray:
    """So many bytes, if they are not too many and come in time."""
    connection = held.socket
    if size > PDU_MAX_BYTES or connection is None:
        raise OSError("a PDU longer than what is taken")
    deadline = monotonic() + silence_s
    data, got = bytearray(size), 0
    while got < size:
        if monotonic() > deadline:
            raise TimeoutError("a PDU that does not end")
        with memoryview(data) as view:
            read = connection.recv_into(view[got:])
        if not read:
            return data[:got]
        got += read
    if QUICK_ACK is not None:
        connection.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)  # else a peer's two writes wait 40 ms for each other
    return data


def _done(association: Association, act: Callable[[str], None], event: str) -> None:
    """A step of the library's state machine. What has no place in it ends the association, without a trace on the console."""
    try:
        act(event)
    except Exception:
        association.is_established = False
        association.dul.kill_dul()
        if association.dul.socket is not None:
            association.dul.socket.close()


def stored(event: Event) -> Dataset:
    """Bind to EVT_C_STORE: an instance is whole, its receiver says what becomes of it."""
    data_set, messages = getattr(event.request, "DataSet", None), event.assoc.dimse
    status, comment = CANNOT_UNDERSTAND, ""
    if isinstance(data_set, DataSet) and isinstance(messages, Messages):
        if data_set.arrival is None:
            status = data_set.refused or CANNOT_UNDERSTAND
        elif messages.receiver is not None:
            data_set.arrival.finish()
            try:
                status, comment = messages.receiver.stored(data_set.arrival)
            except Left:
                messages.left = True
                event.assoc.abort(block=False)
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment[:64]
    return answer


def ended(event: Event) -> None:
    """Bind to whatever ends an association: what was on its way is not whole."""
    if isinstance(event.assoc.dimse, Messages):
        event.assoc.dimse.end()
