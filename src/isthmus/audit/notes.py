"""The newest note of a kind in the trail: what a database of ours may have forgotten, the trail still knows.

Source: trust.md §2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import opened
from isthmus.storage.database import Database
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.sealed import MasterKey


def latest_note(db: Database, master: MasterKey, kind: str) -> Mapping[str, str] | None:
    """The details of the newest note whose exchange id is its kind; None when there is none that opens."""

    def reading(connection: Any) -> Mapping[str, str] | None:
        unseal = MonthKeys(master).unsealer(connection)
        mine = (audit_trail.c.kind == "event", audit_trail.c.exchange_id == kind)
        for row in rows(connection, *mine, newest_first=True):
            said, _ = opened(row, unseal)
            if said is not None and said.get("event") == kind:
                return {str(name): str(value) for name, value in said["details"].items()}
        return None

    return db.read_now(reading)
