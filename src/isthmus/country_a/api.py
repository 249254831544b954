"""The border's route table: path, pass needed, verb. Being built: nothing is answered yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from isthmus.config import Settings
from isthmus.errors import NationalInfrastructureUnavailable


def border_app(
    settings: Settings,
    *,
    directory: Any,  # trust.directory.Directory
    trail: Any,  # audit.trail.Trail
    state: Any,  # storage.database.Database of STATE
    master: Any,  # storage.sealed.MasterKey (K-env)
    national: Any,  # national.connector.NationalConnector, or None for a node that only asks
    directives: Any,  # consent.directives.Directives
    clock: Callable[[], datetime],
) -> Any:
    """The ASGI app of the border's listener: transport.inbound.Inbound around Country A's rows.

    The node's own keys (`at`, its certificate) are read from the settings. A node without sources answers its capability alone.
    """
    raise NationalInfrastructureUnavailable("the border is not built yet")
