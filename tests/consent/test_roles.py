"""Who may do what: the matrix of the package, and one of the country's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.config import Consent, Settings
from isthmus.consent.roles import ROLES, Act, read_roles, roles_of
from isthmus.errors import InsufficientRights, SettingsProblem
from isthmus.model.people import HealthProfessional, Organisation, Principal

ALL = set(Act)
KNOCK, CARE = {Act.IDENTIFY}, ALL - {Act.BREAK_GLASS}
TABLE = {
    "2211": ALL, "2212": ALL, "221": ALL, "2261": ALL, "2222": CARE, "2221": CARE - {Act.PIXELS},
    "3211": CARE - {Act.REPORT}, "2262": KNOCK, "2264": KNOCK, "2265": KNOCK, "2266": KNOCK, "2267": KNOCK, "2269": KNOCK,
    "4412": KNOCK, "2263": set(), "3212": set(), "4110": set(), "22": set(), "": set(), "9999": set(), "22611": ALL,
}  # fmt: skip


def settings_of(folder: Path, roles: str = "") -> Settings:
    return Settings(
        folder=folder,
        file=folder / "isthmus.toml",
        env="test",
        country="AA",
        ncp_id="urn:x",
        consent=Consent(roles=roles),
    )


def somebody(role: str, principal: str | None = None) -> HealthProfessional:
    acts_for = None if principal is None else Principal("doctor-1", principal)
    return HealthProfessional("p", "P", role, Organisation("Hospital"), on_behalf_of=acts_for)


@pytest.mark.threat("T48")
@pytest.mark.parametrize(("role", "acts"), TABLE.items())
def test_the_matrix_says_what_a_role_may_do(role: str, acts: set[Act]) -> None:
    assert ROLES.acts_of(role) == acts


@pytest.mark.parametrize(
    ("role", "expected"), [("2212", True), ("2261", True), ("2222", True), ("2221", False), ("9", False)]
)
def test_physicians_dentists_and_midwives_see_what_is_labelled_restricted(role: str, expected: bool) -> None:
    assert ROLES.is_physician(role) is expected


@pytest.mark.threat("T48")
@pytest.mark.parametrize("principal", [None, "2221", "4412", "", "9999"])
def test_a_clerk_without_a_physician_behind_may_do_nothing(principal: str | None) -> None:
    with pytest.raises(InsufficientRights) as refusal:
        ROLES.require(somebody("4412", principal), Act.IDENTIFY)

    assert refusal.value.reason == "role"


@pytest.mark.threat("T48")
def test_a_clerk_on_behalf_of_a_physician_knocks_and_no_more() -> None:
    clerk = somebody("4412", "2212")

    ROLES.require(clerk, Act.IDENTIFY)
    for act in ALL - KNOCK:
        with pytest.raises(InsufficientRights):
            ROLES.require(clerk, act)


def test_whoever_names_a_principal_without_need_gains_nothing_by_it() -> None:
    assert ROLES.open_to(somebody("2221", "2212")) == CARE - {Act.PIXELS}


def test_a_country_replaces_the_whole_matrix_by_its_own(tmp_path: Path) -> None:
    file = tmp_path / "roles.toml"
    file.write_text('[[roles]]\ncodes = ["2221"]\nname = "nurses"\nacts = ["identify", "list", "pixels"]\n')

    own = roles_of(settings_of(tmp_path, "roles.toml"))

    assert own.acts_of("2221") == {Act.IDENTIFY, Act.LIST, Act.PIXELS}
    assert own.acts_of("2212") == frozenset()
    assert roles_of(settings_of(tmp_path)) is ROLES


BAD = {
    "no code": '[[roles]]\ncodes = []\nname = "x"\nacts = []',
    "nothing": "",
    "a code twice": '[[roles]]\ncodes = ["2221", "2221"]\nname = "x"\nacts = []',
    "a code of one digit": '[[roles]]\ncodes = ["2"]\nname = "x"\nacts = []',
    "a word as a code": '[[roles]]\ncodes = ["doctors"]\nname = "x"\nacts = []',
    "an act that is none": '[[roles]]\ncodes = ["221"]\nname = "x"\nacts = ["everything"]',
    "an unknown word": '[[roles]]\ncodes = ["221"]\nname = "x"\nacts = []\nphysican = true',
    "no TOML": "[[roles",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_matrix_that_is_not_whole_does_not_start(text: str) -> None:
    with pytest.raises(SettingsProblem):
        read_roles(text, "roles.toml")


def test_a_matrix_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem):
        roles_of(settings_of(tmp_path, "roles.toml"))
