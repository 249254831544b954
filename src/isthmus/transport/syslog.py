"""Syslog messages over TLS to a receiver that never answers.

What the other side's system has not acknowledged, or what went into a connection that broke right afterwards, counts as not
delivered: the caller gives it again. Inside the country, named in the settings.

Source: RFC 5425; ITI-20.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import ssl
import struct
import termios
from collections.abc import Callable, Iterable

from isthmus.errors import NationalInfrastructureUnavailable

CONNECT_S = 5.0
TAKEN_S = 10.0
SETTLE_S = 1.0
_LOOK_S = 0.02


class SyslogLine:
    """One connection, made when it is needed."""

    def __init__(self, name: str, host: str, port: int, context: Callable[[], ssl.SSLContext]) -> None:
        self._name, self._host, self._port, self._context = name, host, port, context
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def give(self, frames: Iterable[bytes]) -> None:
        """Send frames; returns when the other side has them. Raises NationalInfrastructureUnavailable: none of them counts."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = self._open = self._open or await self._connect()
            async with asyncio.timeout(TAKEN_S):
                for frame in frames:
                    writer.write(frame)
                    await writer.drain()
                while _waiting(writer):  # noqa: ASYNC110  # the kernel tells nobody
                    await asyncio.sleep(_LOOK_S)
            await _still_there(reader)
        except (OSError, TimeoutError, EOFError, ssl.SSLError) as error:
            await self.close()
            raise NationalInfrastructureUnavailable(f"{self._name} does not take syslog: {_why(error)}") from error

    async def close(self) -> None:
        if self._open is None:
            return
        writer, self._open = self._open[1], None
        writer.close()
        with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(1):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._context(), server_hostname=self._host)


async def _still_there(reader: asyncio.StreamReader) -> None:
    """Wait a little whether the connection breaks over what was just given. What a receiver says is thrown away."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            while await reader.read(4096):
                pass
            raise EOFError


def _waiting(writer: asyncio.StreamWriter) -> bool:
    """Whether bytes wait in us, or in our system for the other side's acknowledgement. Raises EOFError when there is no line any more."""
    if writer.transport.get_write_buffer_size():
        return True
    socket = writer.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        raise EOFError
    told = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
    return bool(struct.unpack("i", told)[0])


def _why(error: BaseException) -> str:
    """In words of ours."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not accepted; authority in the settings names who issued it"
    if isinstance(error, ssl.SSLError):
        return "no TLS connection"
    if isinstance(error, TimeoutError):
        return "silent for too long"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "it broke off the connection"
