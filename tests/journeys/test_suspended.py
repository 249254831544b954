"""Who is suspended, or whose key is revoked, has nothing under way any more within a minute: open connections, a running study, both ways."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.test_in_the_middle import new_patient, of_images, person_of, taken_slowly, unaware
from tests.journeys.test_turnover import prompt

from isthmus.country_b.images import get_images
from isthmus.errors import UntrustedCountry
from isthmus.model.queries import ImagesQuery
from isthmus.testing.two_countries import Asking, InMemory, TwoCountries, at_hand, prepare

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]
MOST_S = 60.0
CONNECTIONS = 50


@pytest.fixture
def pair(at_rest: Path, tmp_path: Path) -> Iterator[TwoCountries]:
    prepare(tmp_path / "pair", at_rest)
    prompt(tmp_path / "pair")
    with at_hand(tmp_path / "pair") as made:
        yield made


def context_of(pair: TwoCountries) -> ssl.SSLContext:
    """As Country B connects."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings = pair.b.settings
    context.load_cert_chain(settings.path(settings.keys.tls_certificate), settings.path(settings.keys.tls_key))
    context.load_verify_locations(pair.demo.folder / "ca.pem")
    return context


async def kept_open(pair: TwoCountries) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which one question was answered."""
    port = pair.demo.ports.countries["AA"].border
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context_of(pair))
    writer.write(
        f"GET /fhir/metadata HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/fhir+json\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    await reader.readexactly(int(length.split(b":")[1]))
    return reader, writer


def tls_key_of(pair: TwoCountries, country: str) -> str:
    said = json.loads(pair.a.command("trust", "show", "--json").stdout)["countries"]
    keys = next(each for each in said if each["country"] == country)["keys"]
    return str(next(key["spki_sha256"] for key in keys if "spki_sha256" in key))


@pytest.mark.threat("T03")
@pytest.mark.threat("T04")
async def test_fifty_open_connections_and_a_running_study_end_when_their_key_is_revoked(
    pair: TwoCountries, tmp_path: Path
) -> None:
    pair.demo.start()
    study = new_patient(pair, tmp_path, instances=40, rows=1024, columns=1024)
    since = pair.since()
    opened = [await kept_open(pair) for _ in range(CONNECTIONS)]
    began = 0.0

    async def revoke() -> None:
        nonlocal began
        began = time.monotonic()
        ended = await asyncio.to_thread(pair.a.command, "trust", "revoke", tls_key_of(pair, "BB"))
        assert ended.returncode == 0
        async with asyncio.timeout(MOST_S):
            assert await asyncio.gather(*(reader.read() for reader, _ in opened)) == [b""] * CONNECTIONS

    async with unaware(pair).visit(person_of(study)) as visit:
        came = await taken_slowly(visit, study.study_instance_uid, revoke)
        took_s = time.monotonic() - began
        with pytest.raises(UntrustedCountry):
            await visit.find_documents()

    assert 1 <= came < 40
    assert took_s < MOST_S
    told = of_images(since.pairs())
    assert told.a is not None
    assert told.b is not None
    assert (told.a.outcome, told.a.reason, told.b.outcome) == ("incomplete", "stopped", "incomplete")


@pytest.mark.threat("T03")
async def test_the_country_that_asks_hears_one_that_is_suspended_no_further(pair: TwoCountries, tmp_path: Path) -> None:
    settings = pair.a.settings.file  # Country A goes on as if nothing had happened
    settings.write_text(settings.read_text("utf-8").replace("poll_s = 0.3", "poll_s = 3600.0"), "utf-8")
    pair.demo.start()
    study = new_patient(pair, tmp_path, instances=40, rows=1024, columns=1024)
    since, came = pair.since(), 0

    async def take(visit: Asking) -> None:
        nonlocal came
        async for _ in get_images(visit.client, visit.visit, "AA", ImagesQuery(study.study_instance_uid), InMemory()):
            came += 1
            if came == 1:
                ended = await asyncio.to_thread(pair.b.command, "trust", "suspend", "AA")
                assert ended.returncode == 0
                await asyncio.sleep(2)

    async with pair.b.visit(person_of(study)) as visit:
        with pytest.raises(UntrustedCountry):
            await take(visit)
        with pytest.raises(UntrustedCountry):
            await visit.find_documents()

    assert came < 40
    ended = [(each.b, each.a) for each in since.pairs() if each.b is not None and each.b.transaction == "RAD-107"]
    assert [(b.outcome, b.reason) for b, _ in ended] == [("incomplete", "peer-not-trusted")]
    assert [
        each for each in since.pairs() if each.a is not None and each.a.transaction == "ITI-67"
    ] == []  # nothing was sent
