"""What Country B says of its professional when it asks for a token, and how long it keeps what it got."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs

import pytest

from isthmus.country_b import tokens
from isthmus.country_b.client import Call, Client
from isthmus.country_b.visit import Visit, new_visit
from isthmus.errors import InsufficientRights, InvalidAssertion
from isthmus.model.context import Emergency, PointOfCare, Purpose, Representative, TreatmentRelationship
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HealthProfessional, HumanName, Organisation, Patient
from isthmus.trust.certificates import x5t_s256
from isthmus.trust.encoding import base64url, unbase64url
from isthmus.trust.keys import new_signing_key
from isthmus.trust.trustlist import Policy
from isthmus.wire.tokens import write_token

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
POINT = PointOfCare("urn:oid:2.999.2.4.1", "Hospital", "BB")
DOCTOR = HealthProfessional(
    "doctor", "Dr D", "2212", Organisation("Hospital"), session="s", auth_time=int(NOW.timestamp()) - 60
)
SOMEBODY = Patient(PatientIdentifier("urn:x", "1"), (HumanName("Testova"),), "1970-01-01", "female", "h-1")
POLICY = Policy(min_loa="substantial", patient_presence=frozenset({"id-document"}), btg=True)
URGENT = Emergency("unconscious", "GCS 7 after a fall, nobody is there.", NOW - timedelta(minutes=1))


@dataclass
class Line:
    """Country A at the end of the line: it writes down what it hears and answers with a numbered token, or refuses."""

    refusals: list[Exception] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # what B wrote down, in the order of things
    now: datetime = NOW
    certificate: bytes = b"the certificate of today"

    def client(self, emergencies: bool = True) -> Client:
        there = SimpleNamespace(policy=POLICY, ncp_id="urn:ehealth:aa:ncp")
        ours = SimpleNamespace(ncp_id="urn:ehealth:bb:ncp", home_community_id="urn:oid:2.999.2.1")
        made = SimpleNamespace(
            directory=SimpleNamespace(country=lambda code: there, ours=ours), clock=lambda: self.now, tokens={},
            certificate=self.certificate, sig=new_signing_key("sig-1", demo=True), hpa=new_signing_key("hpa-1", demo=True),
            exchange=self.exchange, trail=self, emergencies=self if emergencies else None,
        )  # fmt: skip
        self.made = made
        return cast(Client, made)

    @asynccontextmanager
    async def exchange(self, visit: Visit, country: str, call: Call) -> AsyncIterator[Any]:
        self.heard.append(parse_qs((call.body or b"").decode()))
        self.kept.append("asked")
        if self.refusals:
            raise self.refusals.pop(0)
        yield self

    async def read(self, most: int) -> bytes:
        return write_token(f"token-{len(self.heard)}", 300, "x")

    async def is_known(self, declared: Any) -> bool:
        return "declared" in self.kept

    def beginning(self, declared: Any) -> str:
        return f"{declared.side} {declared.country}"

    async def record(self, intent: Any, outcome: Any, also: Any = None) -> None:
        self.kept.append("declared")


def said(line: Line, place: int, name: str = "") -> dict[str, Any]:
    """The claims of the client assertion of a request, or of a statement inside it."""
    outer = _claims(line.heard[place]["client_assertion"][0])
    return _claims(outer["extensions"]["ehdsi"][name]) if name else outer


def _claims(token: str) -> dict[str, Any]:
    return dict(json.loads(unbase64url(token.split(".")[1])))


def visit(purpose: Purpose = Purpose.TREAT, **bond: Any) -> Visit:
    method = "unable" if purpose is Purpose.BTG else "id-document"
    relationship = TreatmentRelationship(purpose, method, "AA", NOW, "1", "en", True, "e", NOW, POINT)
    found = new_visit(DOCTOR, POINT, purpose, NOW).found("AA", SOMEBODY)
    return replace(found, relationship=replace(relationship, **bond))


async def test_a_token_is_kept_until_shortly_before_its_end_and_asked_for_again_when_it_was_refused() -> None:
    line, asking = Line(), visit()
    client = line.client()

    first = [await tokens.care(client, asking, "AA") for _ in range(2)]
    refused = await tokens.care(client, asking, "AA", refused="token-1")
    line.now += timedelta(seconds=299)
    late = await tokens.care(client, asking, "AA")

    assert (first, refused, late) == (["token-1", "token-1"], "token-2", "token-3")


async def test_what_has_run_out_is_forgotten() -> None:
    line, asking = Line(), visit()
    client = line.client()
    await tokens.care(client, asking, "AA")
    line.now += timedelta(minutes=6)

    await tokens.identify(client, asking, "AA")

    assert len(client.tokens) == 1


async def test_another_professional_never_gets_the_token_of_one() -> None:
    line, asking = Line(), visit()
    client = line.client()

    own = await tokens.care(client, asking, "AA")
    others = await tokens.care(client, replace(asking, professional=replace(DOCTOR, sub="other")), "AA")

    assert own != others


async def test_a_certificate_that_turns_over_meanwhile_is_no_refusal() -> None:
    line, asking = Line(), visit()
    client = line.client()

    class Refusing(list[Exception]):
        """The connection was made with the certificate of tomorrow."""

        def pop(self, *_: Any) -> Exception:
            line.made.certificate = b"the certificate of tomorrow"
            return super().pop()

    line.refusals = Refusing([InvalidAssertion("not bound", reason="client-assertion")])
    token = await tokens.care(client, asking, "AA")

    assert token == "token-2"
    assert [said(line, place, "hpa")["cnf"]["x5t#S256"] for place in (0, 1)] == [
        x5t_s256(b"the certificate of today"),
        x5t_s256(b"the certificate of tomorrow"),
    ]


async def test_a_refusal_with_the_same_certificate_is_one_and_asked_once() -> None:
    line = Line([InvalidAssertion("not so", reason="client-assertion")])

    with pytest.raises(InvalidAssertion):
        await tokens.care(line.client(), visit(), "AA")

    assert len(line.heard) == 1


async def test_without_a_relationship_or_after_its_time_nothing_is_asked() -> None:
    line = Line()
    client = line.client()

    with pytest.raises(InsufficientRights):
        await tokens.care(client, replace(visit(), relationship=None), "AA")
    line.now = visit().expires
    with pytest.raises(InsufficientRights):
        await tokens.care(client, visit(), "AA")

    assert line.heard == []


async def test_an_emergency_is_written_down_here_once_and_before_the_country_hears_of_it() -> None:
    line, asking = Line(), visit(Purpose.BTG, emergency=URGENT)
    client = line.client()

    await tokens.care(client, asking, "AA")
    await tokens.care(client, asking, "AA", refused="token-1")

    assert line.kept == ["declared", "asked", "asked"]


async def test_an_emergency_that_cannot_be_kept_is_not_declared() -> None:
    line = Line()

    with pytest.raises(InsufficientRights):
        await tokens.care(line.client(emergencies=False), visit(Purpose.BTG, emergency=URGENT), "AA")

    assert line.heard == []


async def test_who_speaks_for_the_patient_is_said_of_this_patient_alone() -> None:
    line, who = Line(), Representative("representative-1", "guardian", base64url(bytes(32)))

    await tokens.care(line.client(), visit(representative=who), "AA")
    await tokens.care(line.client(), visit(), "AA")

    assert "h-1" in json.dumps(said(line, 0, "nok"))
    assert "nok" not in said(line, 1)["extensions"]["ehdsi"]
