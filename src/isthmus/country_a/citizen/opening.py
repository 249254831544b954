"""The citizen's pages of a node, made of its parts. Until a citizen's identity service is built in, practice accounts sign in, never in production.

Source: trust.md §2.13, §2.14.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from isthmus.audit.access import Accesses
from isthmus.audit.trail import Trail
from isthmus.config import Settings
from isthmus.consent.directives import Directives
from isthmus.consent.emergency import Emergencies
from isthmus.consent.notices import Notices
from isthmus.consent.roles import roles_of
from isthmus.country_a.citizen.app import citizen_app
from isthmus.country_a.citizen.desk import Desk
from isthmus.country_a.holdings import Deciding
from isthmus.errors import SettingsProblem
from isthmus.national.connector import NationalConnector
from isthmus.signin.locks import Locks
from isthmus.signin.opening import accounts_of
from isthmus.signin.password import PasswordProvider
from isthmus.signin.sessions import Sessions
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.transport.inbound import Inbound
from isthmus.trust.directory import Directory

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def open_citizen(
    settings: Settings,
    directory: Directory,
    trail: Trail,
    state: Database,
    master: MasterKey,
    national: NationalConnector,
    clock: Callable[[], datetime],
) -> Inbound:
    """Raises SettingsProblem in production, and without TLS anywhere but on this machine."""
    citizen = settings.citizen
    if citizen is None:
        raise SettingsProblem("the settings have no [citizen]", key="citizen")
    if settings.env == "prod":
        raise SettingsProblem("citizens sign in with practice accounts alone so far: not in production", key="citizen")
    if urlsplit(citizen.public).scheme != "https" and urlsplit(citizen.public).hostname not in LOOPBACK:
        raise SettingsProblem("without TLS the citizen's pages are for this machine alone", key="citizen.public")
    directives = Directives.of_settings(settings, state, clock)
    can_tell = settings.env != "prod" or Notices(settings).ways
    deciding = Deciding(
        directives,
        national,
        settings.consent,
        lambda: directory.ours,
        clock,
        can_tell=can_tell,
        roles=roles_of(settings),
    )
    locks = Locks(state, master, clock)

    def countries() -> Mapping[str, str]:
        others = (one for one in directory.current.participants if one.country != settings.country and "B" in one.roles)
        return {one.country: one.name.get("en", one.country) for one in others}

    desk = Desk(
        settings, deciding, directives, national, trail, Accesses(state, master), Emergencies(state, master, clock),
        Sessions(state, clock), PasswordProvider(accounts_of(settings), locks, settings.country, clock), countries,
        lambda: directory.ours.pack, clock,
    )  # fmt: skip
    return citizen_app(desk)
