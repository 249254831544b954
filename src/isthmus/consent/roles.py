"""Who may do what: roles by ISCO-08 code, checked in Country B before any token and again in Country A.

The matrix is data, `roles.toml`; a country may have one of its own. The longer beginning of a code counts before the shorter; a role
that is not in it is refused.

Source: trust.md D11, §3.4, T48.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources

import msgspec

from isthmus.config import Settings
from isthmus.errors import InsufficientRights, SettingsProblem
from isthmus.model.people import HealthProfessional

_CODE = re.compile(r"[0-9]{2,4}")


class Act(StrEnum):
    """What a role may do."""

    IDENTIFY = "identify"
    LIST = "list"
    REPORT = "report"
    MANIFEST = "manifest"
    PIXELS = "pixels"
    BREAK_GLASS = "btg"


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the matrix."""

    codes: tuple[str, ...]
    name: str
    acts: tuple[Act, ...]
    physician: bool = False
    on_behalf_of: bool = False


@dataclass(frozen=True, slots=True)
class Roles:
    """A matrix: roles by the beginning of their code."""

    by_code: Mapping[str, Role] = field(repr=False)

    def acts_of(self, role: str) -> frozenset[Act]:
        """What the role may do; nothing for an unknown one."""
        row = self._row(role)
        return frozenset(row.acts) if row is not None else frozenset()

    def is_physician(self, role: str) -> bool:
        row = self._row(role)
        return row is not None and row.physician

    def open_to(self, who: HealthProfessional) -> frozenset[Act]:
        """What this professional may do: nothing for who should act for a physician and names none."""
        row, principal = self._row(who.role), who.on_behalf_of
        alone = principal is None or not self.is_physician(principal.role)
        return frozenset() if row is None or (row.on_behalf_of and alone) else frozenset(row.acts)

    def require(self, who: HealthProfessional, act: Act) -> None:
        """Refuse what this professional may not do. Raises InsufficientRights (role)."""
        if act not in self.open_to(who):
            raise InsufficientRights(f"role {who.role} may not ask for this: {act.value}", reason="role")

    def _row(self, role: str) -> Role | None:
        return next((self.by_code[role[:n]] for n in (4, 3, 2) if role[:n] in self.by_code), None)


def read_roles(text: str, named: str) -> Roles:
    """Read a matrix. Raises SettingsProblem: not TOML, an act that is none, a code given twice or no code."""
    try:
        rows = msgspec.convert(tomllib.loads(text).get("roles", []), tuple[Role, ...])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsProblem(f"the roles {named} are not well-formed: {error}", key="consent.roles") from error
    codes = [code for row in rows for code in row.codes]
    if not codes or len(set(codes)) != len(codes) or not all(_CODE.fullmatch(code) for code in codes):
        raise SettingsProblem(f"the roles {named}: a code has two to four digits and stands once", key="consent.roles")
    return Roles({code: row for row in rows for code in row.codes})


def roles_of(settings: Settings) -> Roles:
    """The country's own matrix, or that of the package. Raises SettingsProblem."""
    if not settings.consent.roles:
        return ROLES
    file = settings.path(settings.consent.roles)
    try:
        return read_roles(file.read_text(encoding="utf-8"), file.name)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsProblem(f"the roles {file} cannot be read", key="consent.roles") from error


ROLES = read_roles(resources.files(__package__ or "").joinpath("roles.toml").read_text(encoding="utf-8"), "roles.toml")
