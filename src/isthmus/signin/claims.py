"""From what an identity service says of a person to a health professional, by the tables of the settings; what is in no table is refused.

Source: trust.md §2.5 (HPA), §2.13; OIDC Core §5.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from isthmus.errors import InsufficientRights, WeakAuthentication
from isthmus.model.assurance import LEVELS, LOA
from isthmus.model.people import HealthProfessional, Organisation, Principal
from isthmus.providers import CLAIMS, Provider, Workplace
from isthmus.trust.encoding import base64url

SUB_MAX = 128
TEXT_MAX = 200


def needed(section: Provider) -> frozenset[str]:
    """The claims without which nobody is a professional here."""
    return frozenset(_claim(section, word) for word in ("name", "role", "workplace"))


def professional_of(section: Provider, claims: Mapping[str, Any], auth_time: int) -> HealthProfessional:
    """The professional of these claims. Raises InsufficientRights (identity, no-role), WeakAuthentication."""
    workplace = _workplace(section, claims)
    place = None
    if workplace.point_of_care:
        place = Organisation(workplace.point_of_care, workplace.point_of_care_id or workplace.id)
    identifier = claims.get(_claim(section, "national_identifier"))
    principal = _texts(claims.get(_claim(section, "on_behalf_of")))
    principal_role = [section.roles.get(role, "") for role in _texts(claims.get(_claim(section, "on_behalf_of_role")))]
    return HealthProfessional(
        sub=_subject(section.name, claims),
        name=_text(claims, _claim(section, "name")),
        role=_role(section, claims),
        organisation=Organisation(workplace.name, workplace.id),
        facility_type=workplace.facility_type,
        acr=LOA + _level(section, claims.get("acr")),
        auth_time=auth_time,
        amr=tuple(word for word in _texts(claims.get("amr"))[:8]) or ("unsaid",),
        on_behalf_of=Principal(principal[0], principal_role[0]) if len(principal) == len(principal_role) == 1 else None,
        place=place,
        national_identifier=identifier if isinstance(identifier, str) and 0 < len(identifier) <= TEXT_MAX else None,
    )


def _level(section: Provider, acr: object) -> str:
    """The level of assurance that this is here. Raises WeakAuthentication for one that nobody wrote down."""
    if not isinstance(acr, str) or acr not in section.acr:
        raise WeakAuthentication(
            "the identity service says no level of assurance, or one that the settings do not have"
        )
    return section.acr[acr]


def asked_for(section: Provider, least: str) -> str:
    """The `acr_values` to ask for: all of its levels that reach, the lowest first."""
    rank = LEVELS.index(least) if least in LEVELS else 0
    fitting = [acr for acr, level in section.acr.items() if LEVELS.index(level) >= rank]
    return " ".join(sorted(fitting, key=lambda acr: LEVELS.index(section.acr[acr])))


def _claim(section: Provider, word: str) -> str:
    return section.claims.get(word, CLAIMS[word])


def _subject(provider: str, claims: Mapping[str, Any]) -> str:
    """Stable, and never another's: the provider's word stands before it; a long one is told by its digest."""
    sub = f"{provider}:{_text(claims, 'sub', 255)}"
    return sub if len(sub) <= SUB_MAX else f"{provider}:{base64url(hashlib.sha256(sub.encode()).digest())}"


def _role(section: Provider, claims: Mapping[str, Any]) -> str:
    said = _texts(claims.get(_claim(section, "role")))
    for role, code in section.roles.items():
        if role in said:
            return code
    raise InsufficientRights("the identity service says no role that the settings have", reason="no-role")


def _workplace(section: Provider, claims: Mapping[str, Any]) -> Workplace:
    said = _texts(claims.get(_claim(section, "workplace")))
    for workplace in section.workplaces:
        if workplace.said in said:
            return workplace
    raise InsufficientRights("the identity service says no workplace that the settings have", reason="no-role")


def _text(claims: Mapping[str, Any], name: str, most: int = TEXT_MAX) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise InsufficientRights(f"the identity service does not say {name} in a text", reason="identity")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
