"""What a country will refuse is refused in Country B, before anything is signed or sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from isthmus.country_b import tokens
from isthmus.country_b.client import Client
from isthmus.country_b.visit import Visit, new_visit
from isthmus.errors import InsufficientRights, InvalidAssertion, IsthmusError, WeakAuthentication
from isthmus.model.context import PointOfCare, Purpose, TreatmentRelationship
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HealthProfessional, HumanName, Organisation, Patient, Principal
from isthmus.trust.trustlist import Policy

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
POINT = PointOfCare("h", "Hospital", "BB")
DOCTOR = HealthProfessional("doctor", "Dr D", "2212", Organisation("Hospital"), session="s")
SOMEBODY = Patient(PatientIdentifier("urn:x", "1"), (HumanName("Testova"),), "1970-01-01", "female", "h-1")
POLICY = Policy(min_loa="substantial", patient_presence=frozenset({"id-document"}))


def client(policy: Policy = POLICY) -> Client:
    """One without keys, certificate or a way out: whoever would sign or send fails in another way."""
    directory = SimpleNamespace(country=lambda code: SimpleNamespace(policy=policy))
    return cast(Client, SimpleNamespace(directory=directory, clock=lambda: NOW, tokens={}))


def visit(who: HealthProfessional = DOCTOR, purpose: Purpose = Purpose.TREAT, method: str = "id-document") -> Visit:
    bond = TreatmentRelationship(purpose, method, "AA", NOW, "1", "en", True, "e", NOW, POINT)
    return replace(new_visit(who, POINT, purpose, NOW).found("AA", SOMEBODY), relationship=bond)


REFUSED: dict[str, tuple[Visit, Policy, type[IsthmusError], str]] = {
    "a low level": (visit(replace(DOCTOR, acr="http://eidas.europa.eu/LoA/low")), POLICY, WeakAuthentication, "loa"),
    "substantial where high is asked": (visit(), replace(POLICY, min_loa="high"), WeakAuthentication, "loa"),
    "a level nobody knows": (visit(replace(DOCTOR, acr="urn:strong")), POLICY, WeakAuthentication, "loa"),
    "a country that asks for no level": (visit(), replace(POLICY, min_loa="none"), WeakAuthentication, "loa"),
    "an insurance card": (visit(method="ehic"), POLICY, InvalidAssertion, "presence"),
    "what a patient asks for": (visit(purpose=Purpose.PATRQT), POLICY, InsufficientRights, "purpose"),
    "an emergency where none is answered": (visit(purpose=Purpose.BTG), POLICY, InsufficientRights, "purpose"),
    "a nurse's emergency": (
        visit(replace(DOCTOR, role="2221"), Purpose.BTG), replace(POLICY, btg=True), InsufficientRights, "role",
    ),
}  # fmt: skip


@pytest.mark.threat("T28")
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_nothing_is_asked_for_what_the_country_would_refuse(
    case: tuple[Visit, Policy, type[IsthmusError], str],
) -> None:
    asking, policy, kind, reason = case

    with pytest.raises(kind) as refusal:
        await tokens.care(client(policy), asking, "AA")

    assert refusal.value.reason == reason


async def test_which_level_is_asked_for_is_said() -> None:
    with pytest.raises(WeakAuthentication) as refusal:
        await tokens.identify(client(replace(POLICY, min_loa="high")), visit(), "AA")

    assert refusal.value.facts == {"acr_values": "http://eidas.europa.eu/LoA/high", "country": "AA"}


@pytest.mark.threat("T48")
@pytest.mark.parametrize(
    "who",
    [
        replace(DOCTOR, role="4412"),
        replace(DOCTOR, role="4412", on_behalf_of=Principal("n", "2221")),
        replace(DOCTOR, role="4110"),
        replace(DOCTOR, role=""),
    ],
)
async def test_who_may_not_knock_does_not(who: HealthProfessional) -> None:
    with pytest.raises(InsufficientRights) as refusal:
        await tokens.identify(client(), visit(who), "AA")

    assert refusal.value.reason == "role"


async def test_what_would_be_answered_goes_on_to_be_signed() -> None:
    """Or all of the above would be refused by the missing keys."""
    allowed: list[Any] = [visit(), visit(method="unable", purpose=Purpose.ETREAT)]

    for asking in allowed:
        with pytest.raises(AttributeError, match="certificate"):
            await tokens.care(client(), asking, "AA")
