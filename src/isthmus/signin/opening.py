"""From the settings to the providers that professionals sign in with; and what a portal in production must not be without.

Source: interfaces.md §8; trust.md §2.13, §2.14.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from isthmus.config import Settings
from isthmus.errors import SettingsProblem
from isthmus.providers import Provider
from isthmus.signin.accounts import Accounts
from isthmus.signin.locks import Locks
from isthmus.signin.oidc import OpenIdProvider
from isthmus.signin.password import NAME, PasswordProvider
from isthmus.signin.provider import SignInProvider
from isthmus.signin.sessions import Sessions
from isthmus.signin.struck_off import StruckOff
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.transport.services import Services
from isthmus.trust.keys import load_signing_key

CALLBACK = "/sign-in/callback"


def open_providers(
    settings: Settings, db: Database, master: MasterKey, clock: Callable[[], datetime]
) -> Mapping[str, SignInProvider]:
    """The providers by name, those of the settings first. Raises SettingsProblem when there is none, or the stand-in in production."""
    _allowed(settings)
    providers: dict[str, SignInProvider] = {
        section.name: _openid(section, settings, clock) for section in settings.signin.providers
    }
    if settings.signin.accounts:
        locks = Locks(db, master, clock)
        providers[NAME] = PasswordProvider(accounts_of(settings), locks, settings.country, clock)
    if not providers:
        raise SettingsProblem(
            "nobody can sign in: give [[signin.providers]], or in demo and test accounts", key="signin"
        )
    return providers


def sessions_of(settings: Settings, db: Database, clock: Callable[[], datetime]) -> Sessions:
    """The sessions of a node, without those who were struck off."""
    file = settings.signin.struck_off
    return Sessions(db, clock, StruckOff(settings.path(file) if file else None))


def accounts_of(settings: Settings) -> Accounts:
    """The accounts of the settings. Raises SettingsProblem."""
    if not settings.signin.accounts:
        raise SettingsProblem("signin.accounts names no file", key="signin.accounts")
    return Accounts(settings.path(settings.signin.accounts), settings.env)


def _openid(section: Provider, settings: Settings, clock: Callable[[], datetime]) -> OpenIdProvider:
    assert settings.portal is not None  # asked before
    key = load_signing_key(settings.path(section.key), settings.env) if section.key else None
    authority = settings.path(section.authority) if section.authority else None
    parts = urlsplit(settings.portal.public)
    back = f"{parts.scheme}://{parts.netloc}{CALLBACK}"
    return OpenIdProvider(section, Services(section.name, section.allowed, authority), back=back, key=key, clock=clock)


def _allowed(settings: Settings) -> None:
    """In production: no stand-in; browsers come by https, through a proxy on this machine that ends it."""
    if settings.env != "prod" or settings.portal is None:
        return
    if settings.signin.accounts:
        raise SettingsProblem("practice accounts are for demo and test alone", reason="stand-in", key="signin.accounts")
    if urlsplit(settings.portal.public).scheme != "https":
        raise SettingsProblem("portal.public is an https address in production", key="portal.public")
    host = settings.portal.host
    if host != "localhost" and not _is_loopback(host):
        raise SettingsProblem(
            "portal.host is a loopback address in production: a proxy on this machine ends the browsers' TLS",
            key="portal.host",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
