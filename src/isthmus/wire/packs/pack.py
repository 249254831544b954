"""A pack: the addresses and codes of one set of drafts. A new draft changes a TOML file, not code.

A file may name another as its `base`, and then holds only what differs.

Source: wire.md §4.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from isthmus.errors import SettingsProblem

DEFAULT_PACK = "eu-2026-09"
OLDEST_FIRST = ("ehdsi-9.1", "eu-2026-09-plain", "eu-2026-09")


@dataclass(frozen=True, slots=True)
class Pack:
    """Tables of one set of drafts, each from our name to theirs."""

    name: str
    systems: Mapping[str, str]
    codes: Mapping[str, str]
    extensions: Mapping[str, str]
    profiles: Mapping[str, str]
    sections: Mapping[str, str]
    parameters: Mapping[str, str]
    claims: Mapping[str, tuple[str, ...]]
    aliases: Mapping[str, tuple[str, ...]]
    kos: Mapping[str, tuple[str, ...]]  # concepts of the key object selection: value, scheme, meaning
    kos_aliases: Mapping[str, tuple[str, ...]]  # values that mean the same concept when read
    plain_kos: bool = False  # manifests in DICOM without image library, for readers that refuse one


@cache
def load_pack(name: str = DEFAULT_PACK) -> Pack:
    """Give the pack of this name. Raises SettingsProblem when the product does not carry it."""
    tables = _tables(name)
    return Pack(
        name=name,
        claims=_lists(tables["claims"]),
        aliases=_lists(tables["aliases"]),
        kos=_lists(tables["kos"]),
        kos_aliases=_lists(tables["kos_aliases"]),
        plain_kos=tables.get("options", {}).get("plain_kos", False),
        **{table: MappingProxyType(tables[table]) for table in _TABLES},
    )


def agreed_pack(one: str, other: str) -> Pack:
    """Give the pack in which two countries speak: of the two that the trust list names, the older.

    Both sides come to the same one; `docs/decisions/0008` says why. Raises SettingsProblem when the product does not carry it.

    Source: wire.md §4.
    """
    if not {one, other} <= set(OLDEST_FIRST):
        raise SettingsProblem("the trust list names a profile pack that this product does not carry", key="pack")
    return load_pack(min(one, other, key=OLDEST_FIRST.index))


def _tables(name: str) -> dict[str, dict[str, Any]]:
    source = resources.files("isthmus.wire.packs").joinpath(f"{name}.toml")
    try:
        own = tomllib.loads(source.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise SettingsProblem("no profile pack of this name", key="pack") from exc
    base = _tables(own.pop("base")) if "base" in own else {}
    return base | {table: base.get(table, {}) | values for table, values in own.items()}


_TABLES = ("systems", "codes", "extensions", "profiles", "sections", "parameters")


def _lists(table: dict[str, Any]) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({key: tuple(values) for key, values in table.items()})
