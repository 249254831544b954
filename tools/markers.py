"""Which tests carry a mark: `@pytest.mark.requirement("…")`, `threat`, `fault`. Read from the source, so that nothing has to run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def marked(kind: str) -> dict[str, list[str]]:
    """For each id that a mark of this kind names, the tests that carry it, as `room/test_page.py::name`."""
    found: dict[str, list[str]] = {}
    for page in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(page.read_text(encoding="utf-8"))
        everywhere = [id for node in tree.body if _is_pytestmark(node) for id in _ids(node, kind)]
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                own = [id for decorator in node.decorator_list for id in _ids(decorator, kind)]
                for id in dict.fromkeys((*everywhere, *own)):
                    found.setdefault(id, []).append(
                        f"{page.relative_to(ROOT / 'tests')}::{node.name.removeprefix('test_')}"
                    )
    return found


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)


def _ids(node: ast.AST, kind: str) -> Iterator[str]:
    """The ids in every `mark.kind(…)` below."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == kind:
            yield from (str(argument.value) for argument in call.args if isinstance(argument, ast.Constant))
