"""Break-glass at the border: who may declare an emergency, what it shows, what is recorded, and what is owed to the patient."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson
import pytest

from isthmus.audit.account import Account
from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import opened
from isthmus.config import Notices as Section
from isthmus.consent.emergency import Emergencies
from isthmus.consent.notices import Notices
from isthmus.errors import DocumentNotFound
from isthmus.model.people import Patient
from isthmus.operations.emergencies import Duties
from isthmus.testing.border import DOCTOR, UNCONSCIOUS, PracticeBorder, Reply
from isthmus.testing.register import CT, EMPTY, OPTED_OUT, SEEN

pytestmark = pytest.mark.anyio
DAY_S, AA = 86_400, "urn:ehealth:aa:ncp-idp"


async def listed(border: PracticeBorder, patient: Patient) -> int:
    reply, handle = await border.declare(patient)
    token = str(reply.json()["access_token"])
    found = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})
    return int(found.json()["total"])


def emergencies_of(border: PracticeBorder) -> Emergencies:
    return Emergencies(border.state, border.master, border.clock)


def events(border: PracticeBorder) -> list[tuple[str, str]]:
    """The emergency's records in order: its code, and whose it is."""
    keys = MonthKeys(border.master)

    def read(connection: Any) -> list[tuple[str, str]]:
        unseal = keys.unsealer(connection)
        said = [opened(row, unseal)[0] for row in rows(connection) if row.kind == "intent"]
        return [
            (one["details"].get("event", one["transaction"]), one["patient"]["value"])
            for one in said
            if one and one["transaction"] in ("emergency", "notice", "review")
        ]

    return border.state.read_now(read)


async def test_an_emergency_shows_what_the_patient_restricted_and_nothing_marks_it(border: PracticeBorder) -> None:
    border.say(SEEN, "restrict-study", CT)

    token, handle = await border.care(SEEN)
    ordinary = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})
    reply, handle = await border.declare(SEEN)
    lifted = await border.ask(
        "/fhir/DocumentReference", token=reply.json()["access_token"], query={"patient": f"Patient/{handle}"}
    )

    assert (ordinary.json()["total"], lifted.json()["total"]) == (2, 5)
    assert {frozenset(entry) for entry in ordinary.entries} >= {frozenset(entry) for entry in lifted.entries}


@pytest.mark.threat("T45")
async def test_an_opt_out_stays_closed_unless_the_country_says_otherwise(border: PracticeBorder) -> None:
    border.say(OPTED_OUT, "opt-out")

    assert await listed(border, OPTED_OUT) == 0
    border.clock.forward(minutes=1)
    border.change(0, policy={**POLICY, "optout_btg": True})
    assert await listed(border, OPTED_OUT) == 2


POLICY = {
    "min_loa": "substantial",
    "patient_presence": ["id-document"],
    "btg": True,
    "optout_btg": False,
    "patients_per_day": 200,
}


@pytest.mark.threat("T34")
async def test_a_token_of_an_emergency_tells_nothing_of_what_the_patient_said(border: PracticeBorder) -> None:
    border.say(SEEN, "restrict-study", CT)
    border.say(OPTED_OUT, "opt-out")

    sizes = {len((await border.declare(patient))[0].body) for patient in (SEEN, OPTED_OUT, EMPTY)}

    assert len(sizes) == 1


@pytest.mark.threat("T44")
@pytest.mark.parametrize(
    ("role", "words", "signed_in_s", "status", "code"),
    [
        ("2221", UNCONSCIOUS, 60, 403, "role"),
        ("2222", UNCONSCIOUS, 60, 403, "role"),
        ("2212", "", 60, 400, "trc-invalid"),
        ("2212", "too short", 60, 400, "trc-invalid"),
        ("2212", "x" + 40 * " " + "y", 60, 400, "trc-invalid"),
        ("2212", 30 * "\0", 60, 400, "trc-invalid"),
        ("2212", 30 * "\u3164", 60, 400, "trc-invalid"),
        ("2212", UNCONSCIOUS, 301, 403, "loa"),
        ("2212", UNCONSCIOUS, -5, 403, "loa"),
    ],
)
async def test_whoever_may_not_declare_one_is_refused(
    border: PracticeBorder, role: str, words: str, signed_in_s: int, status: int, code: str
) -> None:
    reply, _ = await border.declare(SEEN, replace(DOCTOR, role=role), words=words, signed_in_s=signed_in_s)

    assert (reply.status, reply.code) == (status, code)
    assert emergencies_of(border).list_now() == []


@pytest.mark.threat("T44")
async def test_a_country_whose_entry_does_not_offer_it_answers_none(border: PracticeBorder) -> None:
    border.change(0, policy={**POLICY, "btg": False})

    reply, _ = await border.declare(SEEN)

    assert (reply.status, reply.code) == (403, "purpose")


@pytest.mark.threat("T44")
async def test_a_sign_in_that_is_not_the_one_vouched_for_opens_nothing(border: PracticeBorder) -> None:
    from datetime import UTC, datetime

    from isthmus.model.context import Emergency, Purpose

    handle = await border.find(SEEN, await border.token())
    then = datetime.fromtimestamp(int(border.clock().timestamp()) - 30, UTC)
    trc = border.bb.trc_claims(
        replace(SEEN, handle=handle), DOCTOR, Purpose.BTG, "unable", Emergency("other", UNCONSCIOUS, then)
    )

    reply = await border.knock(border.bb.request(border.bb.hpa_claims(purpose=Purpose.BTG), trc))

    assert (reply.status, reply.code) == (403, "loa")


async def test_its_beginning_is_recorded_once_and_its_end_when_the_hour_is_over(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    duties = Duties(emergencies_of(border), border.trail, Silent(), AA)
    await duties.look()
    border.clock.forward(minutes=61)
    await duties.look()
    await duties.look()

    value = SEEN.identifier.value
    assert events(border) == [("110127", value), ("notice", value), ("110138", value)]


async def test_no_token_of_an_emergency_outlives_its_hour(border: PracticeBorder) -> None:
    from isthmus.model.context import Emergency, Purpose

    began = border.clock()
    handle = await border.find(SEEN, await border.token())
    who = replace(DOCTOR, auth_time=int(began.timestamp()))
    trc = border.bb.trc_claims(
        replace(SEEN, handle=handle), who, Purpose.BTG, "unable", Emergency("other", UNCONSCIOUS, began)
    )
    lives: list[int] = []
    for minutes in (58, 3):
        border.clock.forward(minutes=minutes)
        fresh = {**trc, **{k: v for k, v in border.bb.trc_claims(SEEN).items() if k in ("jti",)}}
        reply = await border.knock(border.bb.request(border.bb.hpa_claims(who, Purpose.BTG), fresh))
        lives.append(reply.json().get("expires_in", 0))

    assert lives == [120, 0]
    assert [kept.declared.reason for kept in emergencies_of(border).list_now()] == [f"other: {UNCONSCIOUS}"]


@pytest.mark.threat("T44")
async def test_the_third_of_a_day_alarms_and_the_twentieth_of_an_hour_is_refused(border: PracticeBorder) -> None:
    replies: list[Reply] = []
    for _ in range(21):
        border.clock.forward(seconds=30)
        replies.append((await border.declare(SEEN))[0])

    assert [reply.status for reply in replies] == [200] * 20 + [429]
    alarms = [said["details"]["word"] for said in noted(border)]
    assert alarms == ["many-of-one-professional", "supervisor"]


def noted(border: PracticeBorder) -> list[dict[str, Any]]:
    keys = MonthKeys(border.master)

    def read(connection: Any) -> list[dict[str, Any]]:
        unseal = keys.unsealer(connection)
        return [said for row in rows(connection) if row.kind == "event" and (said := opened(row, unseal)[0])]

    return [said for said in border.state.read_now(read) if said["event"] == "alarm"]


async def test_a_review_is_due_within_72_hours_alarms_once_and_is_closed_with_a_finding(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    emergencies = emergencies_of(border)
    (kept,) = emergencies.list_now()
    border.clock.forward(hours=73)
    duties = Duties(emergencies, border.trail, Silent(), AA)
    await duties.look()
    await duties.look()

    _, closing = emergencies.reviewing(kept.id, "justified")
    border.state.write_now(closing)

    assert kept.review_due - kept.began == 3 * DAY_S
    assert [said["details"]["word"] for said in noted(border)] == ["review-overdue"]
    assert emergencies.list_now() == []
    assert [one.finding for one in emergencies.list_now(open_only=False)] == ["justified"]
    with pytest.raises(DocumentNotFound):
        emergencies.reviewing(kept.id, "misuse")


async def test_nothing_of_it_lies_in_clear(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    border.state.write_now(emergencies_of(border).keeping_address(SEEN.identifier, "paula@example.org", "patient"))

    stored = border.state.file.read_bytes() + border.state.file.with_name("state.sqlite-wal").read_bytes()

    for secret in (SEEN.identifier.value, UNCONSCIOUS, "paula@example.org", DOCTOR.name):
        assert secret.encode() not in stored


@pytest.mark.threat("T105")
async def test_what_is_kept_of_an_emergency_goes_with_the_records_of_its_month(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    emergencies = emergencies_of(border)
    duties = Duties(emergencies, border.trail, Silent(), AA, keep_months=36)
    border.clock.now = border.clock.now.replace(year=border.clock.now.year + 3)
    await duties.look()
    within = len(emergencies.list_now(open_only=False))

    border.clock.now = (border.clock.now.replace(day=28) + timedelta(days=5)).replace(day=1)
    await duties.look()

    assert (within, emergencies.list_now(open_only=False)) == (1, [])


# the notice


class Silent:
    """Takes every notice."""

    async def tell(self, declared: Any, address: str | None) -> None: ...


@contextmanager
def service(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A notification service that answers with these statuses, one after the other, then 204."""
    took: list[dict[str, Any]] = []
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            took.append(orjson.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(left.pop(0) if left else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", took
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.threat("T44")
@pytest.mark.threat("T110")
async def test_the_patient_is_told_at_once_in_words_that_tell_a_partner_nothing(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    with service() as (url, took):
        section = Section(webhook=url, page="https://my.example/access")
        await Duties(
            emergencies_of(border), border.trail, Notices(replace(border.settings, notices=section)), AA
        ).look()

    (told,) = took
    assert told["patient"] == {"system": SEEN.identifier.system, "value": SEEN.identifier.value}
    assert "https://my.example/access" in told["text"]
    for word in ("BB", "Country", "CT", "head", "emergency", DOCTOR.name):
        assert word not in told["subject"] + told["text"]


async def test_a_service_that_is_away_is_tried_again_until_it_takes_the_notice_once(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    with service(503, 500, 302) as (url, took):
        settings = replace(border.settings, notices=Section(webhook=url))
        duties = Duties(emergencies_of(border), border.trail, Notices(settings), AA)
        for _ in range(6):
            await duties.look()
            border.clock.forward(minutes=5)

    assert len(took) == 4
    assert [kept.notice for kept in emergencies_of(border).list_now()] == ["sent"]


async def test_after_three_days_somebody_has_to_write_a_letter(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    duties = Duties(emergencies_of(border), border.trail, Notices(border.settings), AA)
    await duties.look()
    border.clock.forward(hours=80)
    await duties.look()

    assert [kept.notice for kept in emergencies_of(border).list_now()] == ["unreachable"]
    assert "patient-not-told" in [said["details"]["word"] for said in noted(border)]


async def test_a_mail_leaves_for_the_address_that_the_patient_left(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    emergencies = emergencies_of(border)
    border.state.write_now(emergencies.keeping_address(SEEN.identifier, "paula@example.org", "patient"))
    received: list[bytes] = []
    server = await asyncio.start_server(lambda r, w: smtp(r, w, received), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    section = Section(mail_server="127.0.0.1", mail_port=port, mail_tls=False, mail_from="node@aa.example")

    await Duties(emergencies, border.trail, Notices(replace(border.settings, notices=section)), AA).look()

    server.close()
    (mail,) = received
    assert b"To: paula@example.org" in mail
    assert b"Auto-Submitted: auto-generated" in mail
    assert [kept.notice for kept in emergencies.list_now()] == ["sent"]


async def smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: list[bytes]) -> None:
    """As little of a mail server as a client needs."""
    writer.write(b"220 practice\r\n")
    while line := await reader.readline():
        if line.upper().startswith(b"DATA"):
            writer.write(b"354 go on\r\n")
            body = b""
            while (more := await reader.readline()) not in (b".\r\n", b""):
                body += more
            received.append(body)
        if line.upper().startswith(b"QUIT"):
            writer.write(b"221 bye\r\n")
            break
        writer.write(b"250 so be it\r\n")
    await writer.drain()
    writer.close()


async def test_the_trail_of_an_emergency_is_whole(border: PracticeBorder) -> None:
    await border.declare(SEEN)
    await Duties(emergencies_of(border), border.trail, Silent(), AA).look()
    border.trail.stop()

    assert Account(border.state, border.master, border.settings.folder).verify().problems == []
    border.trail.start()
