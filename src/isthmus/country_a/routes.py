"""A row of the border's table: a path, what is needed for it, and who answers.

Source: architecture.md §7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from isthmus.country_a.passes import Needs

Verb = Callable[
    [Any, Any, Any, str], Awaitable[None]
]  # the border, the visit, the request, and what stood for the braces


@dataclass(frozen=True)
class Route:
    """One row: the path, by which methods, what is needed, and who answers."""

    path: str  # {…} stands for one segment, {path} at the end for any number
    methods: tuple[str, ...]
    needs: Needs
    verb: Verb

    def rest(self, path: str, method: str) -> str | None:
        """What stands for the braces, and the verb still needs; None when the row is another."""
        if ("GET" if method == "HEAD" else method) not in self.methods:
            return None
        wanted, given = self.path.split("/"), path.split("/")
        if wanted[-1] == "{path}":
            given = [*given[: len(wanted) - 1], "/".join(given[len(wanted) - 1 :])]
        if len(wanted) != len(given) or not all(given[1:]):
            return None
        pairs = list(zip(wanted, given, strict=True))
        if any(mine != theirs for mine, theirs in pairs if not mine.startswith("{")):
            return None
        return "/".join(theirs for mine, theirs in pairs if mine.startswith("{"))
