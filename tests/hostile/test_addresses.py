"""Forty-five kinds of addresses in six places of a hostile country's answers: nobody goes there, as the interpreter itself tells it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.hostile.evil import PACK, STUDY, Stage, http, manifest_of, staged

from isthmus.errors import IsthmusError
from isthmus.model.documents import DocumentKind
from isthmus.wire.kos import write_kos
from isthmus.wire.manifests import write_manifest

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ADDRESSES = (
    # the machine itself, in every spelling
    "https://127.0.0.1:{bait}/x", "http://127.0.0.1:{bait}/x", "https://localhost:{bait}/x", "https://[::1]:{bait}/x",
    "https://[::ffff:127.0.0.1]:{bait}/x", "https://[::ffff:7f00:1]:{bait}/x", "https://2130706433:{bait}/x", "https://0x7f000001:{bait}/x",
    "https://0x7f.1:{bait}/x", "https://0177.0.0.1:{bait}/x", "https://127.1:{bait}/x", "https://0:{bait}/x", "https://127.0.0.1.:{bait}/x",
    "https://127%2e0%2e0%2e1:{bait}/x", "https://①②⑦.⓪.⓪.①:{bait}/x", "https://[64:ff9b::7f00:1]:{bait}/x", "https://[2002:7f00:1::]:{bait}/x",
    # inside a network
    "https://169.254.169.254/latest/meta-data", "https://[fd00:ec2::254]/latest", "https://10.0.0.1/x", "https://192.168.0.1/x", "https://pacs.hospital.invalid/x",
    # the country's own name, misread
    "{base}.evil/fhir/Bundle/b-manifest", "{base}@127.0.0.1:{bait}/x", "{base}\\@127.0.0.1:{bait}/x", "{base}%40127.0.0.1:{bait}/x",
    "https://user@{host}/fhir/Bundle/b-manifest", "https://user:secret@{host}/fhir/Bundle/b-manifest", "https://127.0.0.1:{bait}#@{host}/fhir",
    "https://127.0.0.1:{bait}?@{host}/fhir", "https://127.0.0.1:{bait}/;@{host}/fhir", "{base}/../../x", "{base}/%2e%2e/%2e%2e/x",
    "{base}/fhir/Bundle/b-manifest#x",     "{base}0/fhir/Bundle/b-manifest", "{base}/fhir.evil/Bundle/b-manifest", "http://{host}/fhir/Bundle/b-manifest",
    "//127.0.0.1:{bait}/x",
    "\\\\127.0.0.1:{bait}\\x",
    # other ways than HTTPS
    "file:///etc/passwd", "gopher://127.0.0.1:{bait}/x", "ftp://127.0.0.1:{bait}/x", "dict://127.0.0.1:{bait}/x", "data:application/fhir+json,{{}}",
    "java\tscript:x",
    "https://xn--127.0.0.1-9o1c:{bait}/x", "https://\u0430\u0430.example:{bait}/x",
)  # fmt: skip


class Calls:
    """Whom this process calls or looks up, told by the interpreter (PEP 578); no hook can be taken away, so it is switched."""

    def __init__(self) -> None:
        self.on, self.made = False, list[tuple[str, Any]]()
        sys.addaudithook(self._heard)

    def _heard(self, event: str, said: tuple[Any, ...]) -> None:
        if self.on and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
            self.made.append((event, said[1] if event == "socket.connect" else said[0]))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        self.made, self.on = [], True
        try:
            yield
        finally:
            self.on = False


@pytest.fixture(scope="module")
def calls() -> Calls:
    return Calls()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path / "countries") as made:
        yield made


def _attachment(stage: Stage, where: str) -> None:
    listed = stage.evil.listed()
    listed["entry"][0]["resource"]["content"][0]["attachment"]["url"] = where
    stage.evil.says["list"] = http(orjson.dumps(listed))


def _next(stage: Stage, where: str) -> None:
    listed = stage.evil.listed()
    listed["link"].append({"relation": "next", "url": where})
    stage.evil.says["list"] = http(orjson.dumps(listed))


def _redirect(stage: Stage, where: str) -> None:
    said = where.encode("ascii", "backslashreplace").decode().replace("\t", "")
    stage.evil.says["list"] = http(
        b"", status=307, headers={"Location": said, "Refresh": f"0; url={said}", "Content-Location": said}
    )


def _endpoint(stage: Stage, where: str) -> None:
    stage.evil.says["document"] = http(write_manifest(replace(manifest_of(STUDY), endpoint_address=where), PACK))


def _retrieve_url(stage: Stage, where: str) -> None:
    listed = stage.evil.listed()
    document = listed["entry"][0]["resource"]
    document["content"][0]["attachment"] |= {
        "contentType": "application/dicom",
        "url": f"{stage.evil.base}/fhir/Binary/b-kos",
    }
    stage.evil.says["list"] = http(orjson.dumps(listed))
    body = write_kos(replace(manifest_of(STUDY), endpoint_address=where), PACK)
    stage.evil.says["document"] = http(body, "application/dicom")


def _reference(stage: Stage, where: str) -> None:
    listed = stage.evil.listed()
    listed["entry"][0]["fullUrl"] = where
    listed["entry"][0]["resource"]["context"] = {
        "related": [{"reference": where}],
        "sourcePatientInfo": {"reference": where},
    }
    listed["entry"][0]["resource"]["author"] = [{"reference": where}]
    stage.evil.says["list"] = http(orjson.dumps(listed))


PLACES: dict[str, Callable[[Stage, str], None]] = {
    "Attachment.url": _attachment, "Bundle.link": _next, "Location": _redirect, "Endpoint.address": _endpoint,
    "Retrieve URL": _retrieve_url, "Reference": _reference,
}  # fmt: skip


@pytest.mark.threat("T54")
@pytest.mark.threat("T55")
@pytest.mark.threat("T56")
@pytest.mark.parametrize("place", PLACES)
async def test_nobody_calls_an_address_that_a_hostile_country_writes(place: str, stage: Stage, calls: Calls) -> None:
    evil, tried, made = stage.evil, 0, 0

    async with stage.visit() as visit:
        for written in ADDRESSES:
            evil.right()
            where = written.format(bait=stage.bait.port, base=evil.base, host=evil.base.rpartition("/")[2])
            try:
                PLACES[place](stage, where)
            except (ValueError, IsthmusError):
                continue  # what our own writer cannot even write, by this way
            tried += 1
            with calls.watched(), contextlib.suppress(IsthmusError):
                for document in await visit.find_documents():
                    if document.kind in (DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS):
                        await visit.get_manifest(document)

            made += len(calls.made)
            own = int(evil.base.rpartition(":")[2])
            assert {said for event, said in calls.made if event == "socket.connect"} <= {("127.0.0.1", own)}, where
            assert {said for event, said in calls.made if event != "socket.connect"} <= {"127.0.0.1"}, where

    assert len(ADDRESSES) >= 45
    assert tried >= 40
    assert stage.bait.connections == 0
    assert made >= tried, "the interpreter told of no call at all"
