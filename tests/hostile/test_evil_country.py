"""Country B against a country of the list whose answers are hostile: nothing of them is believed, kept, or run after."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from tests.hostile.evil import (
    ANOTHER,
    PACK,
    SHE,
    STUDY,
    Stage,
    http,
    instance,
    manifest_of,
    multipart,
    part,
    staged,
)

from isthmus.commands.visit_images import Patience, fetch_study
from isthmus.errors import (
    ArrivalRefused,
    ContentMismatch,
    CountryMisanswered,
    CountryTimedOut,
    ImagesPreparing,
    IsthmusError,
    NationalInfrastructureUnavailable,
    UntrustedCountry,
)
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import Asking
from isthmus.trust.issue import issue_node
from isthmus.wire.manifests import write_manifest
from isthmus.wire.outcomes import write_outcome

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path / "countries") as made:
        yield made


async def fetched(visit: Asking, folder: Path, patience: Patience | None = None) -> dict[str, Any]:
    """Fetch the study as `isthmus visit images` does."""
    return await fetch_study(
        visit.client, visit.visit, "AA", STUDY.study_instance_uid, folder=folder, series=(), instance=None, resume=False,
        bar=lambda done, total: None, patience=patience,
    )  # fmt: skip


def received(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads((folder / STUDY.study_instance_uid / "received.json").read_bytes())
    return told


def files(folder: Path) -> list[Path]:
    """What of the study lies in the folder, parts included."""
    return sorted(
        p for p in (folder / STUDY.study_instance_uid).rglob("*") if p.is_file() and p.name != "received.json"
    )


async def test_from_a_country_that_answers_rightly_the_study_comes(stage: Stage, tmp_path: Path) -> None:
    async with stage.visit() as visit:
        note = await fetched(visit, tmp_path / "out")

    assert (note["count"], note["missing"]) == (3, [])
    assert [path.read_bytes() for path in files(tmp_path / "out")] == sorted(
        (instance(number) for number in range(3)), key=lambda body: next(p for p in files(tmp_path / "out") if p.read_bytes() == body)
    )  # fmt: skip


async def test_images_that_a_slow_archive_prepares_are_waited_for_and_come(stage: Stage, tmp_path: Path) -> None:
    good, told = stage.evil.says["images"], list[float]()
    stage.evil.says["images"] = http(write_outcome(ImagesPreparing("tape")), status=503, headers={"Retry-After": "1"})

    def tell(wait_s: float) -> None:
        told.append(wait_s)
        stage.evil.says["images"] = good

    async with stage.visit() as visit:
        note = await fetched(visit, tmp_path / "out", Patience(60, tell))

    assert (told, note["count"], note["missing"]) == ([1.0], 3, [])


async def test_patience_with_a_slow_archive_ends_in_its_own_words(stage: Stage, tmp_path: Path) -> None:
    stage.evil.says["images"] = http(write_outcome(ImagesPreparing("tape")), status=503, headers={"Retry-After": "90"})

    async with stage.visit() as visit:
        with pytest.raises(ImagesPreparing) as refused:
            await fetched(visit, tmp_path / "out", Patience(60, lambda wait_s: None))

    assert refused.value.meaning.exit_status == 5
    assert len(received(tmp_path / "out")["missing"]) == 3


# addresses


def elsewhere(port: int) -> list[str]:
    """Addresses that are not of the country's own base."""
    return [
        f"https://127.0.0.1:{port}/fhir/Bundle/b-manifest", f"http://127.0.0.1:{port}/x", "https://169.254.169.254/latest/meta-data",
        f"https://[::1]:{port}/x", f"https://2130706433:{port}/x", f"https://0x7f.1:{port}/x", "file:///etc/passwd", "gopher://127.0.0.1/x",
        "{base}.evil/Bundle/b-manifest", "{base}@127.0.0.1/Bundle/b-manifest", "{base}/../Bundle/b-manifest", "//127.0.0.1/x",
        "{base}/Bundle/b-manifest#x", "{base}\\@evil/Bundle/b-manifest", "https://user@{host}/fhir/Bundle/b-manifest",
    ]  # fmt: skip


@pytest.mark.requirement("WAD-15")
@pytest.mark.threat("T54")
async def test_an_entry_that_points_elsewhere_is_refused_and_nobody_goes_there(stage: Stage) -> None:
    base = f"{stage.evil.base}/fhir"

    async with stage.visit() as visit:
        for url in elsewhere(stage.bait.port):
            listed = stage.evil.listed()
            where = url.replace("{base}", base).replace("{host}", base.split("/")[2])
            listed["entry"][0]["resource"]["content"][0]["attachment"]["url"] = where
            stage.evil.says["list"] = http(orjson.dumps(listed))
            with pytest.raises(CountryMisanswered):
                await visit.find_documents()

    assert stage.bait.connections == 0
    assert (stage.last().outcome, stage.last().reason) == ("incomplete", "peer-response")


@pytest.mark.requirement("WAD-15")
@pytest.mark.threat("T54")
async def test_a_manifest_whose_images_lie_elsewhere_is_refused(stage: Stage) -> None:
    hostile = manifest_of(STUDY)
    stage.evil.says["document"] = http(
        write_manifest(replace(hostile, endpoint_address=f"https://127.0.0.1:{stage.bait.port}/dicom-web"), PACK)
    )

    async with stage.visit() as visit:
        (document,) = await visit.find_documents()
        with pytest.raises(CountryMisanswered):
            await visit.get_manifest(document)

    assert stage.bait.connections == 0


@pytest.mark.requirement("WAD-16")
@pytest.mark.threat("T54")
async def test_a_manifest_that_names_the_countrys_own_address_is_read(stage: Stage) -> None:
    own = replace(manifest_of(STUDY), endpoint_address=f"{stage.evil.base}/dicom-web")
    stage.evil.says["document"] = http(write_manifest(own, PACK))

    async with stage.visit() as visit:
        (document,) = await visit.find_documents()
        manifest, _ = await visit.get_manifest(document)

    assert manifest.endpoint_address == f"{stage.evil.base}/dicom-web"


@pytest.mark.threat("T55")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(stage: Stage, status: int) -> None:
    where = f"https://127.0.0.1:{stage.bait.port}/"
    stage.evil.says["list"] = http(b"", status=status, headers={"Location": where, "Refresh": f"0; url={where}"})

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered):
            await visit.find_documents()

    assert stage.bait.connections == 0


@pytest.mark.threat("T57")
@pytest.mark.parametrize(
    "path", ["https://127.0.0.1:{port}/fhir/DocumentReference?x=1", "/fhir/../DocumentReference?x", "Patient?x=1"]
)
async def test_a_next_page_elsewhere_is_not_asked_for(stage: Stage, path: str) -> None:
    listed = stage.evil.listed()
    listed["link"].append({"relation": "next", "url": path.replace("{port}", str(stage.bait.port))})
    stage.evil.says["list"] = http(orjson.dumps(listed))

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered):
            await visit.find_documents()

    assert stage.bait.connections == 0
    assert sum("DocumentReference" in line for line in stage.evil.heard) == 1


# too much


@pytest.mark.threat("T57")
async def test_a_list_that_goes_on_and_on_is_left(stage: Stage) -> None:
    listed = stage.evil.listed()
    listed["link"].append({"relation": "next", "url": f"{stage.evil.base}/fhir/DocumentReference?again=1"})
    stage.evil.says["list"] = http(orjson.dumps(listed))

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered) as caught:
            await visit.find_documents()

    assert caught.value.reason == "peer-limit"
    assert sum("DocumentReference" in line for line in stage.evil.heard) == 50


@pytest.mark.threat("T57")
async def test_a_gzip_bomb_is_not_inflated(stage: Stage) -> None:
    bomb = gzip.compress(b"[" + b" " * (64 << 20))
    stage.evil.says["list"] = http(bomb, headers={"Content-Encoding": "gzip"})

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered) as caught:
            await visit.find_documents()

    assert caught.value.reason == "peer-limit"


@pytest.mark.threat("T57")
async def test_json_without_end_is_left(stage: Stage) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            sent += 0x10000
            await writer.drain()
            await asyncio.sleep(0)  # draining a closed TLS stream never waits

    stage.evil.says["list"] = endless

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered) as caught:
            await visit.find_documents()

    assert caught.value.reason == "peer-limit"
    assert sent < 64 << 20


@pytest.mark.threat("T64")
async def test_json_as_deep_as_a_well_is_no_answer(stage: Stage) -> None:
    stage.evil.says["list"] = http(b'{"a":' * 100_000)

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered):
            await visit.find_documents()


# silence


@pytest.mark.fault("F42")
async def test_a_country_that_never_answers_is_given_up(stage: Stage) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    stage.evil.says["list"] = silent

    async with stage.visit() as visit:
        with pytest.raises(CountryTimedOut):
            await visit.find_documents()

    assert stage.last().outcome == "failed"


@pytest.mark.fault("F42")
async def test_a_country_that_falls_silent_in_the_middle_is_given_up(stage: Stage, tmp_path: Path) -> None:
    async def stalled(writer: asyncio.StreamWriter) -> None:
        writer.write(multipart(part(instance(0)), part(instance(1)), part(instance(2)))[:-400])
        await writer.drain()
        await asyncio.sleep(20)

    stage.evil.says["images"] = stalled

    async with stage.visit() as visit:
        with pytest.raises(ContentMismatch):
            await fetched(visit, tmp_path)

    assert received(tmp_path)["count"] == 2


# another person, another study


@pytest.mark.threat("T52")
async def test_a_list_about_another_patient_is_refused(stage: Stage) -> None:
    listed = stage.evil.listed()
    listed["entry"][0]["resource"]["subject"]["reference"] = "Patient/handle-2"
    stage.evil.says["list"] = http(orjson.dumps(listed))

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered):
            await visit.find_documents()


@pytest.mark.threat("T52")
async def test_another_person_than_the_one_asked_for_is_not_taken(stage: Stage) -> None:
    stage.evil.says["patients"] = stage.evil.says["patients"].replace(b"1234567890", b"9999999999")  # type: ignore[union-attr]  # bytes

    async with stage.asking() as visit:
        with pytest.raises(CountryMisanswered):
            await visit.find(SHE)


@pytest.mark.requirement("RET-10")
@pytest.mark.threat("T52")
async def test_a_document_about_another_patient_is_not_shown(stage: Stage) -> None:
    stage.evil.says["document"] = http(write_manifest(manifest_of(STUDY, ANOTHER), PACK))

    async with stage.visit() as visit:
        (document,) = await visit.find_documents()
        with pytest.raises(ArrivalRefused) as caught:
            await visit.get_manifest(document)

    assert caught.value.reason == "wrong-patient"


OTHER_STUDY = SyntheticStudy(seed=8, patient=SHE, instances=3, rows=8, columns=8)
OF_ANOTHER = SyntheticStudy(seed=7, patient=ANOTHER, instances=3, rows=8, columns=8)


@pytest.mark.requirement("WAD-18")
@pytest.mark.threat("T52")
@pytest.mark.threat("T68")
@pytest.mark.threat("T69")
@pytest.mark.parametrize(
    ("second", "refusal"),
    [
        (lambda: part(instance(1, OF_ANOTHER)), ArrivalRefused),
        (lambda: part(instance(1, OTHER_STUDY)), CountryMisanswered),
        (lambda: part(instance(1), digest=hashlib.sha256(b"something else").digest()), ContentMismatch),
        (lambda: part(instance(1)[:200]), ArrivalRefused),
        (lambda: part(b"<html>no image</html>" * 20), ArrivalRefused),
        (lambda: part(b"MZ" + bytes(126) + instance(1)[128:]), ArrivalRefused),
        (lambda: part(instance(1)).replace(b"application/dicom", b"application/octet-stream"), CountryMisanswered),
    ],
    ids=["another-person", "another-study", "wrong-digest", "cut", "no-dicom", "a-programme", "another-type"],
)  # fmt: skip
async def test_an_instance_that_is_not_right_is_not_kept(
    stage: Stage, tmp_path: Path, second: Callable[[], bytes], refusal: type[IsthmusError]
) -> None:
    stage.evil.says["images"] = multipart(part(instance(0)), second(), part(instance(2)))

    async with stage.visit() as visit:
        with pytest.raises(refusal):
            await fetched(visit, tmp_path)

    assert [path.read_bytes() for path in files(tmp_path)] == [instance(0)]
    assert len(received(tmp_path)["missing"]) == 2
    assert stage.last().outcome in ("failed", "incomplete")


# not whole


@pytest.mark.fault("F35")
@pytest.mark.fault("F39")
async def test_without_a_closing_boundary_whole_parts_stay_and_it_is_incomplete(stage: Stage, tmp_path: Path) -> None:
    stage.evil.says["images"] = multipart(part(instance(0)), part(instance(1)), part(instance(2))[:-50], closing=False)

    async with stage.visit() as visit:
        with pytest.raises(ContentMismatch) as caught:
            await fetched(visit, tmp_path)

    assert caught.value.meaning.exit_status == 6
    assert sorted(path.read_bytes() for path in files(tmp_path)) == sorted((instance(0), instance(1)))
    assert [m["sop_instance_uid"] for m in received(tmp_path)["missing"]] == [STUDY.sop_instance_uid(2)]
    assert (stage.last().outcome, stage.last().reason, stage.last().instances) == ("incomplete", "incomplete", 2)


@pytest.mark.requirement("WAD-09")
@pytest.mark.fault("F39")
async def test_a_study_that_lacks_what_its_manifest_lists_is_incomplete(stage: Stage, tmp_path: Path) -> None:
    stage.evil.says["images"] = multipart(part(instance(0)), part(instance(2)))

    async with stage.visit() as visit:
        with pytest.raises(ContentMismatch) as caught:
            await fetched(visit, tmp_path)

    assert caught.value.meaning.exit_status == 6
    assert "2 of 3" in str(caught.value)
    assert [m["sop_instance_uid"] for m in received(tmp_path)["missing"]] == [STUDY.sop_instance_uid(1)]


@pytest.mark.parametrize("kind", ["text/html", "multipart/related", "application/dicom", "multipart/mixed; boundary=x"])
async def test_images_in_another_wrapping_are_refused(stage: Stage, tmp_path: Path, kind: str) -> None:
    stage.evil.says["images"] = http(instance(0), kind)

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered):
            await fetched(visit, tmp_path)

    assert files(tmp_path) == []


# words


@pytest.mark.threat("T58")
@pytest.mark.threat("T74")
async def test_words_of_the_other_country_stay_out_of_ours(stage: Stage) -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "exception", "diagnostics": "\x1b[2J\r\nSet-Cookie: a=b <script>"}],
    }
    injected = {"X-Request-Id": "../../etc/passwd", "Set-Cookie": "sid=1; Path=/", "NCP-Trust-Seq": "9" * 200}
    stage.evil.says["list"] = http(orjson.dumps(outcome), status=503, headers=injected)

    async with stage.visit() as visit:
        with pytest.raises(NationalInfrastructureUnavailable) as caught:
            await visit.find_documents()

    assert not any(word in str(caught.value) for word in ("\x1b", "Set-Cookie", "<script>"))
    assert caught.value.facts["exchange_id"] == stage.last().exchange_id
    assert stage.last().exchange_id.isalnum()


@pytest.mark.threat("T58")
@pytest.mark.parametrize(
    "line", ["X-Evil: a\rSet-Cookie: b", "X-Evil: a\x00b", "Content-Length: 1\r\nContent-Length: 2", " folded"]
)
async def test_a_header_that_is_none_is_no_answer(stage: Stage, line: str) -> None:
    stage.evil.says["list"] = f"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n{line}\r\n\r\n{{}}".encode("latin-1")  # fmt: skip

    async with stage.visit() as visit:
        with pytest.raises(CountryMisanswered):
            await visit.find_documents()


@pytest.mark.threat("T58")
async def test_what_a_part_says_of_its_recoding_is_a_uid_or_nothing(stage: Stage, tmp_path: Path) -> None:
    stage.evil.says["images"] = multipart(
        part(instance(0), more="NCP-Recoded-From: <script>\r\n"),
        part(instance(1), more="NCP-Recoded-From: 1.2.840.10008.1.2\r\n"),
        part(instance(2)),
    )

    async with stage.visit() as visit:
        note = await fetched(visit, tmp_path)

    told = {one["sop_instance_uid"]: one["recoded_from"] for one in note["instances"]}
    assert [told[STUDY.sop_instance_uid(number)] for number in range(3)] == [None, "1.2.840.10008.1.2", None]


@pytest.mark.threat("T108")
async def test_a_cookie_is_not_carried_into_the_next_question(stage: Stage) -> None:
    listed = http(orjson.dumps(stage.evil.listed()), headers={"Set-Cookie": "session=someone; Path=/"})
    stage.evil.says["list"] = listed

    async with stage.visit() as visit:
        await visit.find_documents()
        await visit.find_documents()

    assert stage.evil.cookies == []


# the key


def foreign(folder: Path) -> tuple[Path, Path]:
    """A certificate of the list's own authority, for a key that the list does not name."""
    now, key = datetime.now(UTC), generate_private_key(SECP256R1())
    authority_key = load_pem_private_key((folder / "operator" / "ca.key").read_bytes(), None)
    assert isinstance(authority_key, EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    made = issue_node("AA", key.public_key(), authority, authority_key, now, now + timedelta(days=1))
    pem, secret = folder / "foreign.pem", folder / "foreign.key"
    pem.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pem, secret


@pytest.mark.threat("T90")
async def test_a_server_with_a_good_chain_and_a_foreign_key_reads_not_one_byte(tmp_path: Path) -> None:
    async with staged(tmp_path / "countries", certificate=foreign) as stage:
        async with stage.asking() as visit:
            with pytest.raises(UntrustedCountry):
                await visit.find(SHE)
        await asyncio.sleep(0.1)  # whatever was sent has come

        assert (stage.evil.heard, stage.evil.heard_bytes) == ([], 0)
        assert stage.last().outcome in ("failed", "refused")


NO_ANSWERS = (b"", b"[]", b"null", b"{}", b"\xff\xfe", b'{"resourceType":"Bundle"}', b'{"resourceType":"Patient"}')


async def asked(visit: Asking) -> None:
    """Every question, one after the other."""
    await visit.find(SHE)
    visit.confirm()
    (document,) = await visit.find_documents()
    await visit.get_manifest(document)


@pytest.mark.parametrize("question", ["token", "patients", "list", "document"])
async def test_an_answer_that_is_something_else_is_said_to_be(stage: Stage, question: str) -> None:
    for body in NO_ANSWERS:
        stage.evil.says[question] = http(body)

        async with stage.asking() as visit:
            with pytest.raises(CountryMisanswered):
                await asked(visit)

        assert question == "document" or stage.last().reason == "peer-response"
