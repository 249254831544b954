"""The section of the settings that names who vouches for a professional: identity services, and how their words become ours.

Source: interfaces.md §8; trust.md §2.13.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from isthmus.errors import SettingsProblem
from isthmus.model.assurance import LEVELS
from isthmus.sections import setting

CLAIMS: Final = {
    "name": "name",
    "role": "role",
    "workplace": "organisation",
    "national_identifier": "",
    "on_behalf_of": "",
    "on_behalf_of_role": "",
}
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_ISCO = re.compile(r"[0-9]{4}")


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where professionals work: what the identity service calls it, and what the other countries are told."""

    said: str = setting("the claim's value")
    name: str = setting("the organisation's name")
    id: str = setting("its identifier, a URI")
    facility_type: str = setting("Hospital, Resident Physician, Pharmacy or Other", "Hospital")
    point_of_care: str = setting("name of the place where the patient is, if it is another", "")
    point_of_care_id: str = setting("its identifier", "")


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An identity service that professionals sign in with."""

    name: str = setting("a word for it: small letters, digits, hyphens; it stands before the professional's identifier")
    label: str = setting("what professionals call it")
    kind: Literal["oidc"] = setting("what it speaks: oidc (OpenID Connect, authorization code with PKCE)", "oidc")
    issuer: str = setting("its issuer, an https address as it writes it")
    client_id: str = setting("what it calls this portal")
    secret: str = setting("the secret it gave us, best as file:PATH; or `key`", "")
    key: str = setting("our private key (JWK, ES256) to show ourselves with: private_key_jwt", "")
    authority: str = setting(
        "file with the certificate of the authority that vouches for its server; none: those of the system", ""
    )
    origins: tuple[str, ...] = setting("further origins where its endpoints lie, like https://id.example:8443", ())
    scope: str = setting("what is asked for", "openid profile")
    claims: Mapping[str, str] = setting(
        "which claim says what; workplace and role may be lists of texts; national_identifier may be left out, and on_behalf_of with "
        "on_behalf_of_role: the physician for whom a clerk acts",
        factory=lambda: dict(CLAIMS),
    )
    acr: Mapping[str, str] = setting(
        "its levels of assurance: what it says in acr, and what that is: low, substantial, high", factory=dict
    )
    roles: Mapping[str, str] = setting(
        "its roles: what it says, and the ISCO-08 code; of several the first of this table counts", factory=dict
    )
    workplaces: tuple[Workplace, ...] = setting(
        "where professionals work, a table each: said, name, id, facility_type, point_of_care, point_of_care_id", ()
    )

    @property
    def allowed(self) -> frozenset[str]:
        """The origins that may be asked, and that a browser may be sent to."""
        return frozenset(origin(url) for url in (self.issuer, *self.origins))


def origin(url: str) -> str:
    """Scheme, host and port of an address, the port always said."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or {'https': 443, 'http': 80}.get(parts.scheme, 0)}"


def check_providers(providers: tuple[Provider, ...]) -> None:
    """What no node starts with. Raises SettingsProblem."""
    names = [provider.name for provider in providers]
    for provider in providers:
        key = f"signin.providers ({provider.name})"
        if _NAME.fullmatch(provider.name) is None or names.count(provider.name) > 1 or provider.name == "accounts":
            raise SettingsProblem(f"{key}: a name is small letters, digits and hyphens, and stands once", key=key)
        for url in (provider.issuer, *provider.origins):
            parts = urlsplit(url)
            if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
                raise SettingsProblem(f"{key}: issuer and origins are https addresses", key=key)
        if bool(provider.secret) == bool(provider.key):
            raise SettingsProblem(f"{key}: give either secret or key", key=key)
        if "openid" not in provider.scope.split():
            raise SettingsProblem(f"{key}: scope has openid in it", key=key)
        _tables(provider, key)


def _tables(provider: Provider, key: str) -> None:
    if provider.claims.keys() - CLAIMS:
        raise SettingsProblem(f"{key}: claims names {', '.join(CLAIMS)}", key=key)
    if not provider.acr or set(provider.acr.values()) - set(LEVELS):
        raise SettingsProblem(f"{key}: acr says for each of its levels which it is: {', '.join(LEVELS)}", key=key)
    if not provider.roles or not all(_ISCO.fullmatch(code) for code in provider.roles.values()):
        raise SettingsProblem(f"{key}: roles says for each of its roles the ISCO-08 code of four digits", key=key)
    if not provider.workplaces:
        raise SettingsProblem(f"{key}: workplaces names at least one", key=key)
