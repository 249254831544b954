"""A large answer through nginx, with the very settings of the guide: it goes on as it comes, and never to a disk.

Source: field-faults F45; docs/guides/behind-a-proxy.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.streaming.conftest import Authority, Identity, Node

from isthmus.model.pieces import FileRange, Mark, Piece
from isthmus.testing.engines.counterparts import free_ports, need
from isthmus.transport.answers import Answer, Receive, Send
from isthmus.transport.inbound import Request
from isthmus.transport.pump import pump

pytestmark = [pytest.mark.anyio, pytest.mark.fault("F45"), pytest.mark.timeout(600)]

MIB = 1 << 20
INSTANCE = 8 * MIB
LARGE_MIB = int(os.environ.get("ISTHMUS_PROXY_MIB", "256"))
READY_S = 10.0
GUIDE = Path(__file__).parents[2] / "docs/guides/behind-a-proxy.md"
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
REQUEST = b"GET /study HTTP/1.1\r\nHost: node.test\r\nConnection: close\r\n\r\n"


def of_the_guide(part: str, port: int) -> str:
    """The settings of one part of the guide, towards a node on this port."""
    block = re.search(rf"```nginx\n# {part}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    towards, count = re.subn(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", block[1])
    assert count == 1
    return towards


@dataclass
class Proxy:
    """One that runs: its port, and where it would put what it does not pass on."""

    port: int
    kept: Path
    most_kept: int = 0
    _watching: asyncio.Task[None] | None = field(default=None, repr=False)

    async def watch(self) -> None:
        while True:
            sizes = [file.stat().st_size for file in self.kept.rglob("*") if file.is_file()]
            held = [fd.stat().st_size for fd in _open_files(self.kept)]
            self.most_kept = max(self.most_kept, sum(sizes), sum(held))
            await asyncio.sleep(0.02)


def _open_files(folder: Path) -> list[Path]:
    """Files below a folder that some process has open, unlinked ones too: nginx takes the name away at once."""
    found = []
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(fd).startswith(str(folder)):
                found.append(fd)
        except OSError:
            continue
    return found


@asynccontextmanager
async def nginx(folder: Path, http: str = "", stream: str = "") -> AsyncIterator[Proxy]:
    program, (port,) = need("nginx", "nginx-light"), free_ports(1)
    if stream and not STREAM_MODULE.exists():
        pytest.skip("nginx has no stream module here (package libnginx-mod-stream)")
    kept = folder / "kept"
    kept.mkdir()
    paths = "".join(
        f"{name}_temp_path {kept}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    who = "user root;" if os.geteuid() == 0 else ""  # else its workers are nobody, who may not write there
    lines = f"{who} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\nevents {{}}\n"
    if http:
        lines += f"http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port}; location / {{ {http} }} }} }}"
    else:
        lines = f"load_module {STREAM_MODULE};\n{lines}stream {{ server {{ listen 127.0.0.1:{port}; {stream} }} }}"
    lines = lines.replace("large_client_header_buffers 4 32k;", "")  # of the server, not of a place in it
    if http and "large_client_header_buffers" in http:
        lines = lines.replace("location /", "large_client_header_buffers 4 32k; location /")
    file = folder / "nginx.conf"
    file.write_text(lines, "utf-8")
    process = subprocess.Popen([program, "-p", folder, "-c", file], stderr=subprocess.DEVNULL)
    try:
        await _ready(port)
        proxy = Proxy(port, kept)
        watching = asyncio.create_task(proxy.watch())
        yield proxy
        watching.cancel()
    finally:
        process.terminate()
        process.wait()


async def _ready(port: int) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


class Study:
    """Answers with as many instances as are wanted; knows how many it has begun."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "instance"
        self.file.write_bytes(os.urandom(INSTANCE))
        self.count, self.begun = LARGE_MIB * MIB // INSTANCE, 0
        whole = hashlib.sha256()
        for _ in range(self.count):
            whole.update(self.file.read_bytes())
        self.sha256 = whole.hexdigest()

    async def __call__(self, request: Request, send: Send, receive: Receive) -> None:
        answer = Answer(200, (("Content-Type", "application/octet-stream"),), self._pieces())
        await pump(answer, request, send, receive)

    def _pieces(self) -> Iterator[Piece]:
        for number in range(self.count):
            self.begun += 1
            yield FileRange(str(self.file), 0, INSTANCE)
            yield Mark(f"2.25.{number}", INSTANCE)


@dataclass
class Read:
    """What came: its digest, and how much of the study was begun when the first bytes were there and its reader paused."""

    sha256: str
    begun_early: int


async def read(port: int, study: Study, tls: ssl.SSLContext | None = None) -> Read:
    """Read an answer: a little, then nothing for a moment, then all of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    writer.write(REQUEST)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert head.startswith(b"HTTP/1.1 200"), head
    await asyncio.sleep(2)
    early = study.begun
    digest = hashlib.sha256()
    if b"chunked" in head.lower():
        while size := int(await reader.readline(), 16):
            digest.update(await reader.readexactly(size))
            await reader.readline()
    else:
        while part := await reader.read(MIB):
            digest.update(part)
    writer.close()
    return Read(digest.hexdigest(), early)


async def test_a_study_goes_through_nginx_as_it_comes_and_never_to_its_disk(node: Node, tmp_path: Path) -> None:
    study = Study(tmp_path)

    async with node(study) as port, nginx(tmp_path, http=of_the_guide("http", port)) as proxy:
        came = await read(proxy.port, study)

    assert came.sha256 == study.sha256
    assert came.begun_early < study.count // 2
    assert proxy.most_kept == 0


async def test_without_any_setting_our_word_alone_keeps_it_off_the_disk(node: Node, tmp_path: Path) -> None:
    study = Study(tmp_path)

    async with node(study) as port, nginx(tmp_path, http=_bare(port)) as proxy:
        came = await read(proxy.port, study)

    assert (came.sha256, proxy.most_kept) == (study.sha256, 0)


async def test_a_proxy_that_does_not_heed_the_word_would_keep_it(node: Node, tmp_path: Path) -> None:
    study = Study(tmp_path)
    deaf = _bare(0) + "proxy_ignore_headers X-Accel-Buffering;"

    async with node(study) as port, nginx(tmp_path, http=deaf.replace(":0;", f":{port};")) as proxy:
        came = await read(proxy.port, study)

    assert came.sha256 == study.sha256
    assert proxy.most_kept > 16 * MIB


async def test_the_border_goes_through_nginx_with_the_countrys_own_certificate(
    node: Node, authority: Authority, ours: Identity, theirs: Identity, tmp_path: Path
) -> None:
    study = Study(tmp_path)

    async with (
        node(study, tls=lambda: authority.server(ours)) as port,
        nginx(tmp_path, stream=of_the_guide("stream", port)) as proxy,
    ):
        came = await read(proxy.port, study, authority.client(theirs))
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await read(proxy.port, study, authority.client(None))

    assert came.sha256 == study.sha256
    assert came.begun_early < study.count // 2


def _bare(port: int) -> str:
    return f"proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Host $http_host;"
