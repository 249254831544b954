"""A process that serves images and searches at Country A's border as fast as it can, until somebody ends it.

It says in a file, a line each, which exchange began to be answered with content: written before the first byte is given, and there
whatever becomes of the process. With a limit no file may grow beyond so much: a full disk.
"""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import signal
import traceback
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import Any, NoReturn

from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import CT, SEEN, fill

AT_ONCE = 8


def scope_of(border: PracticeBorder, path: str, token: str, number: str) -> dict[str, Any]:
    headers = {"host": "127.0.0.1:8711", "authorization": f"Bearer {token}", "x-request-id": number, "accept": "*/*"}
    chain = [DER_cert_to_PEM_cert(border.bb.certificate)]
    return {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"tls": {"client_cert_chain": chain}},
    }  # fmt: skip


async def served(border: PracticeBorder, path: str, token: str, out: int) -> None:
    """One request; its first byte of content is written down before it is given."""
    number, status, given = secrets.token_hex(8), 0, False

    async def receive() -> dict[str, Any]:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message.get("body") and status == 200:
            os.write(out, f"{number}\n".encode())
            status = 0  # once
        elif message.get("body") and status == 503:
            os.write(out, b"refused\n")

    await border.app(scope_of(border, path, token, number), receive, send)


async def serving(folder: Path, out: int, limit: int | None) -> None:
    async with PracticeBorder(folder / "practice", requests_per_s=1_000_000, parallel_images=1000) as border:
        fill(border.register, folder)
        token, handle = await border.care(SEEN)
        paths = (f"/dicom-web/studies/{CT}", f"/fhir/Patient/{handle}")
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        os.write(out, b"ready\n")

        async def endless(place: int) -> None:
            while True:
                await served(border, paths[place % 2], token, out)

        await asyncio.gather(*(endless(place) for place in range(AT_ONCE)))


def served_by(folder: Path, file: Path, limit: int | None) -> NoReturn:
    """Be that process, until it is killed."""
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        asyncio.run(serving(folder, os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), limit))
    except BaseException:
        traceback.print_exc()
    os._exit(1)
