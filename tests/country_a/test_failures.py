"""The table of what a border can say, row by row: status, issue type, our code, and the headers that go with it.

One border meets every row; rows that belong to seams, to Country B or to the handshake are named at the end with the reason.

Source: wire.md §1.10; trust.md §2.7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from isthmus.errors import MEANINGS, ImagesPreparing, NationalInfrastructureUnavailable
from isthmus.model.context import Purpose
from isthmus.testing.border import DOCTOR, PracticeBorder, Reply, traits
from isthmus.testing.register import CT, HIDDEN, RESTRICTED, SEEN, THEIRS, TWIN, fill

pytestmark = pytest.mark.anyio
STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class Asking:
    """A border with a care token in hand."""

    def __init__(self, border: PracticeBorder, token: str, handle: str) -> None:
        self.border, self.token, self.handle = border, token, handle

    async def list(self, query: Mapping[str, str] | None = None, **headers: str) -> Reply:
        asked = {"patient": f"Patient/{self.handle}"} if query is None else dict(query)
        return await self.border.ask("/fhir/DocumentReference", token=self.token, query=asked, headers=headers)

    async def filtered(self, **more: str) -> Reply:
        return await self.list({"patient": f"Patient/{self.handle}", **more})

    async def get(self, path: str, accept: str = "*/*", **more: Any) -> Reply:
        return await self.border.ask(
            path, token=self.token, headers={"accept": accept, **more.pop("headers", {})}, **more
        )

    async def find(self, **change: str) -> Reply:
        form = {name: value for name, value in {**traits(SEEN), **change}.items() if value}
        return await self.border.ask("/fhir/Patient/_search", token=await self.border.token(), form=form)

    async def knock(self, hpa: Any = None, **more: Any) -> Reply:
        return await self.border.knock(self.border.bb.request(hpa, **more))

    async def knock_with(self, **form: str) -> Reply:
        assertion = dict(parse_qsl(self.border.bb.request().decode()))["client_assertion"]
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        whole = {
            "grant_type": "client_credentials",
            "client_assertion_type": kind,
            "client_assertion": assertion,
            **form,
        }
        return await self.border.knock(urlencode(whole).encode())

    async def trc(self, **changes: Any) -> dict[str, Any]:
        claims = self.border.bb.trc_claims(replace(SEEN, handle=self.handle))
        claims["extensions"]["ehdsi"]["trc"] |= changes
        return claims

    async def inner(self, **more: str) -> Reply:
        bb = self.border.bb
        return await self.knock_with(
            client_assertion=bb.sign_client(bb.client_claims(bb.sign_hpa(bb.hpa_claims()), **more))
        )


@dataclass(frozen=True)
class Row:
    """One row: what is done, and what is said. `issue` is the OAuth error at the token endpoint."""

    reason: str
    ask: Callable[[Asking], Awaitable[Reply]]
    status: int
    issue: str
    code: str
    header: str = ""
    words: str = ""


def _said(reply: Reply) -> tuple[int, str, str]:
    body = reply.json()
    issue = body["error"] if "error" in body else body["issue"][0]["code"]
    return reply.status, issue, reply.code


async def _replayed(a: Asking) -> Reply:
    body = a.border.bb.request()
    await a.border.knock(body)
    return await a.border.knock(body)


async def _replayed_hpa(a: Asking) -> Reply:
    hpa = a.border.bb.hpa_claims()
    await a.knock(hpa)
    return await a.knock(hpa)


async def _mask_value(a: Asking) -> Reply:
    return await a.find(identifier=f"{SEEN.identifier.system}|12")


async def _presence(a: Asking) -> Reply:
    proof = {"method": "guess", "document_country": "AA", "verified_at": int(a.border.clock().timestamp())}
    return await a.knock(trc=await a.trc(identification=proof))


async def _scope(a: Asking) -> Reply:
    return await a.border.ask("/fhir/DocumentReference", token=await a.border.token())


async def _twice(a: Asking) -> Reply:
    return await a.border.knock(a.border.bb.request() + b"&grant_type=client_credentials")


async def _bad_client(a: Asking) -> Reply:
    return await a.knock_with(client_assertion=a.border.bb.sign_hpa(a.border.bb.hpa_claims()))


async def _by_clerk(a: Asking) -> Reply:
    return await a.knock(a.border.bb.hpa_claims(replace(DOCTOR, sub="clerk", role="4110")))


async def _json_body(a: Asking) -> Reply:
    said = {"content-type": "application/json"}
    return await a.border.ask("/fhir/DocumentReference/_search", method="POST", token=a.token, body=b"{}", headers=said)


async def _large(a: Asking) -> Reply:
    return await a.border.ask("/fhir/DocumentReference/_search", token=a.token, form={"patient": "9" * (1 << 20)})


ROWS = (
    Row("peer-not-trusted", lambda a: a.border.ask("/fhir/metadata", certificate=None), 403, "security", "peer-not-trusted"),
    Row("misdirected", lambda a: a.get("/fhir/metadata", headers={"host": "a.example"}), 421, "security", "misdirected"),
    Row("no-host", lambda a: a.get("/fhir/metadata", headers={"host": ""}), 400, "security", "misdirected"),
    Row("malformed", lambda a: a.get("/fhir/%2e%2e/metadata"), 400, "structure", "malformed"),
    Row("not-allowed", lambda a: a.get("/fhir/Patient/x", method="DELETE"), 405, "not-supported", "malformed", "allow", "GET"),
    Row("coding", lambda a: a.get("/fhir/metadata", headers={"content-encoding": "gzip"}), 415, "not-supported", "coding"),
    Row("transfer-coding", lambda a: a.get("/fhir/metadata", headers={"transfer-encoding": "gzip"}), 400, "not-supported", "coding"),
    Row("limit", _large, 413, "too-long", "limit"),
    Row("too-costly", lambda a: a.filtered(type=",".join(["x"] * 200)), 413, "too-costly", "limit"),
    Row("replay", _replayed, 401, "invalid_client", "replay"),
    Row("replay-hpa", _replayed_hpa, 400, "invalid_grant", "replay"),
    Row("client-assertion", _bad_client, 401, "invalid_client", "client-assertion"),
    Row("hpa-invalid", lambda a: a.knock(a.border.bb.hpa_claims() | {"aud": "x"}), 400, "invalid_grant", "hpa-invalid"),
    Row("trc-invalid", lambda a: _knock_trc(a, sid="other"), 400, "invalid_grant", "trc-invalid"),
    Row("nok-invalid", lambda a: a.inner(nok="x"), 400, "invalid_grant", "nok-invalid"),
    Row("access-code", lambda a: a.inner(access_code="x"), 403, "invalid_grant", "access-code"),
    Row("grant-type", lambda a: a.knock_with(grant_type="password"), 400, "unsupported_grant_type", "grant"),
    Row("grant-scope", lambda a: a.knock_with(scope="dicomweb.retrieve"), 400, "invalid_scope", "grant"),
    Row("grant", _twice, 400, "invalid_request", "grant"),
    Row("loa", lambda a: a.knock(a.border.bb.hpa_claims() | {"acr": "low"}), 403, "insufficient_user_authentication", "loa",
        "www-authenticate", "acr_values="),
    Row("role", _by_clerk, 403, "invalid_scope", "role"),
    Row("purpose", lambda a: a.knock(a.border.bb.hpa_claims(purpose=Purpose.PATRQT)), 403, "invalid_scope", "purpose"),
    Row("presence", _presence, 403, "invalid_grant", "presence"),
    Row("token-missing", lambda a: a.border.ask("/fhir/Bundle/x"), 401, "login", "token", "www-authenticate", "Bearer"),
    Row("token", lambda a: a.border.ask("/fhir/Bundle/x", token="x"), 401, "security", "token", "www-authenticate", "invalid_token"),
    Row("scope", _scope, 403, "forbidden", "scope", "www-authenticate", "insufficient_scope"),
    Row("patient-mismatch", lambda a: a.list({"patient": "Patient/other"}), 403, "forbidden", "patient-mismatch"),
    Row("search-mask", lambda a: a.find(birthdate=""), 400, "required", "search-mask"),
    Row("search-mask-value", _mask_value, 400, "value", "search-mask"),
    Row("required", lambda a: a.list({"status": "current"}), 400, "required", "malformed"),
    Row("value", lambda a: a.filtered(date="2024-13"), 400, "invalid", "malformed"),
    Row("uid", lambda a: a.get("/dicom-web/studies/1..2", STORED), 400, "value", "malformed"),
    Row("param", lambda a: a.filtered(shoe="43"), 400, "not-supported", "param"),
    Row("media", lambda a: a.list(accept="application/fhir+xml"), 406, "not-supported", "media"),
    Row("media", lambda a: a.get(f"/dicom-web/studies/{CT}", "application/dicom"), 406, "not-supported", "media"),
    Row("body-media", _json_body, 415, "not-supported", "media"),
    Row("not-found", lambda a: a.get("/fhir/Bundle/none", "application/fhir+json"), 404, "not-found", "not-found"),
    Row("not-found", lambda a: a.get(f"/dicom-web/studies/{THEIRS}", STORED), 404, "not-found", "not-found"),
    Row("no-route", lambda a: a.get(f"/dicom-web/studies/{CT}/metadata"), 404, "not-supported", "not-found"),
    Row("no-route", lambda a: a.get("/fhir/Observation"), 404, "not-supported", "not-found"),
)  # fmt: skip


async def _knock_trc(a: Asking, **changes: Any) -> Reply:
    return await a.knock(trc=await a.trc(**changes))


@pytest.fixture
async def asking(border: PracticeBorder) -> Asking:
    return Asking(border, *await border.care(SEEN))


@pytest.mark.requirement("CAP-07")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
async def test_a_row_is_said_as_the_table_has_it(asking: Asking, row: Row) -> None:
    reply = await row.ask(asking)

    assert _said(reply) == (row.status, row.issue, row.code)
    assert row.words in reply.headers.get(row.header, "")
    assert MEANINGS[row.reason].status == row.status
    fhir = "error" not in reply.json()
    assert reply.headers["content-type"].startswith("application/fhir+json" if fhir else "application/json")
    assert reply.headers["cache-control"] == "no-store"
    for secret in (SEEN.identifier.value, SEEN.name.family, "Traceback"):
        assert secret not in reply.body.decode()


@pytest.mark.requirement("SEC-02")
async def test_an_expired_token_is_said_to_be_expired(asking: Asking) -> None:
    asking.border.clock.forward(seconds=331)

    reply = await asking.list()

    assert _said(reply) == (401, "expired", "token")
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]


async def test_what_a_country_does_not_offer_is_501(asking: Asking) -> None:
    asking.border.offer("imaging-report")

    for path in (f"/dicom-web/studies/{CT}", "/dicom-web/studies", "/fhir/ImagingStudy"):
        assert _said(await asking.get(path)) == (501, "not-supported", "not-offered")
    assert (await asking.list()).status == 200


@pytest.mark.requirement("CAP-13")
async def test_nothing_found_and_several_found_are_answers(asking: Asking) -> None:
    nobody = await asking.find(birthdate="1901-02-03")
    asking.border.register.people.append(replace(SEEN))
    several = await asking.find()
    nothing = await asking.filtered(type="http://loinc.org|11502-2")
    rows = await asking.get("/dicom-web/studies", query={"StudyDate": "19010101"})

    assert (nobody.status, nobody.json()["total"], nobody.entries) == (200, 0, [])
    assert several.entries[0]["issue"] == [{"severity": "information", "code": "multiple-matches"}]
    assert (nothing.status, nothing.json()["total"], nothing.entries) == (200, 0, [])
    assert (rows.status, rows.body) == (204, b"")


@pytest.mark.parametrize(
    ("fails", "issue", "code", "wait"),
    [
        (NationalInfrastructureUnavailable("away"), "transient", "backend", None),
        (ImagesPreparing("from tape", retry_after_s=90), "transient", "preparing", "90"),
    ],
)
async def test_what_lies_behind_says_when_to_come_again(
    asking: Asking, fails: Exception, issue: str, code: str, wait: str | None
) -> None:
    asking.border.register.fails = fails

    reply = await asking.get(f"/dicom-web/studies/{CT}", STORED)

    assert _said(reply) == (503, issue, code)
    assert reply.headers["retry-after"] == (wait or reply.headers["retry-after"])


@pytest.mark.requirement("AUD-09")
async def test_without_a_trail_or_a_list_nothing_is_given(asking: Asking) -> None:
    asking.border.trail.stop()
    no_trail = await asking.list()
    asking.border.trail.start()
    asking.border.clock.forward(days=400)
    no_list = await asking.list()

    assert _said(no_trail) == (503, "no-store", "audit")
    assert _said(no_list) == (503, "transient", "trustlist")
    assert all(int(reply.headers["retry-after"]) > 0 for reply in (no_trail, no_list))


async def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with PracticeBorder(tmp_path / "practice", limits_of="test") as border:
        fill(border.register, tmp_path)
        asking = Asking(border, *await border.care(SEEN))
        wrong = [await asking.find(birthdate="1901-02-03") for _ in range(6)]

    assert _said(wrong[-1]) == (429, "throttled", "rate")
    assert int(wrong[-1].headers["retry-after"]) > 0


@pytest.mark.requirement("RET-07")
async def test_another_patients_and_a_restricted_document_are_one_answer(asking: Asking) -> None:
    asking.border.say(RESTRICTED, "restrict-study", HIDDEN)
    token, handle = await asking.border.care(TWIN)
    theirs = await asking.border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})

    replies = [
        await asking.get(f"/fhir/{kind}/{id_}", "application/fhir+json")
        for id_ in (theirs.entries[0]["id"], "0" * 40)
        for kind in ("Bundle", "DocumentReference")
    ]

    assert {_said(reply) for reply in replies} == {(404, "not-found", "not-found")}
    assert len({reply.body for reply in replies}) == 1


ELSEWHERE = {
    "header-limit": "the listener's, before there is a request (tests/streaming)",
    "not-offered": "above", "token-expired": "above", "rate": "above", "backend": "above", "preparing": "above",
    "audit": "above", "trustlist": "above", "no-match": "an answer, above", "multiple-matches": "an answer, above",
    "no-consent": "never leaves Country A", **dict.fromkeys(("sign-in", "identity", "no-role"), "Country B's own"),
    "internal": "never on purpose (tests/hostile)",
    "receipt": "both lists have to differ (tests/country_a/test_receipts)",
    "settings": "at start", "usage": "at start", "stand-in": "at start",
    "withdrawn": "Country B says it (tests/country_b/portal/test_withdrawn)",
    **dict.fromkeys(("unreachable", "timed-out", "peer-response", "peer-limit", "incomplete", "digest", "dicom-rejected",
                     "wrong-patient"), "Country B says it"),
}  # fmt: skip


def test_every_meaning_stands_in_a_row_or_elsewhere_for_a_reason() -> None:
    assert {row.reason for row in ROWS} | set(ELSEWHERE) == set(MEANINGS)
