"""Change the code that guards the border in one place at a time and see whether a test notices. By hand, after `make coverage`.

Each mutant is one site of a module's syntax tree (a comparison, a condition, a number, a statement left out, a value not given), drawn
with a fixed seed; it meets, in a copy of the tree, the tests that reach its line, nearest first. Survivors are looked at: a test is
added, or `tools/mutants.toml` says why no test can tell.

python tools/mutants.py [module …]
"""

from __future__ import annotations

import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from coverage import CoverageData

ROOT = Path(__file__).resolve().parents[1]
PAGE = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text("utf-8"))
SEED, EACH, TESTS_MAX, LIMIT_S, AT_ONCE = 12, 20, 20, 60, 2
MEMORY_MAX = 4 << 30  # a loop that never ends may fill a list
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A place that can be changed: its line, what is changed, and the change."""

    line: int
    what: str
    change: Callable[[], None]


@dataclass(frozen=True)
class Mutant:
    """One module, changed in one place."""

    module: str
    line: int
    what: str
    said: str  # the line as it stands
    source: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.module}: {self.what}: {self.said}"


def sites(tree: ast.Module) -> Iterator[Site]:
    """Every place of a module, in the order of its text. Annotations and what only a class or module says once are left alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in (one for statement in node.body for one in ast.walk(statement)):
                yield from _of_node(inner)
            yield from _statements(node)
        elif isinstance(node, ast.Assign) and node in tree.body:
            for inner in ast.walk(node.value):
                yield from _of_node(inner)


def _of_node(node: ast.AST) -> Iterator[Site]:
    match node:
        case ast.Compare():
            for place, op in enumerate(node.ops):
                other = COMPARED[type(op)]
                yield Site(
                    node.lineno,
                    f"{type(op).__name__} to {other.__name__}",
                    partial(node.ops.__setitem__, place, other()),
                )
        case ast.BoolOp():
            other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield Site(
                node.lineno,
                f"{type(node.op).__name__} to {type(other_op).__name__}",
                partial(setattr, node, "op", other_op),
            )
        case ast.BinOp() if type(node.op) in COUNTED:
            swapped = COUNTED[type(node.op)]
            yield Site(
                node.lineno, f"{type(node.op).__name__} to {swapped.__name__}", partial(setattr, node, "op", swapped())
            )
        case ast.If() | ast.While() | ast.IfExp():
            denied = ast.UnaryOp(ast.Not(), node.test)
            yield Site(node.lineno, "condition denied", partial(setattr, node, "test", denied))
        case ast.Constant(value=bool()):
            yield Site(
                node.lineno, f"{node.value} to {not node.value}", partial(setattr, node, "value", not node.value)
            )
        case ast.Constant(value=int(number)):
            for step in (1, -1):
                yield Site(
                    node.lineno,
                    f"{number:d} to {number + step:d}",
                    partial(setattr, node, "value", number + step),
                )


def _statements(node: ast.AST) -> Iterator[Site]:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if not isinstance(body, list):
            continue
        for place, one in enumerate(body):
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue  # has its own turn
            document = isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
            if isinstance(one, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise) and not document:
                yield Site(one.lineno, f"{type(one).__name__} left out", partial(body.__setitem__, place, ast.Pass()))
            elif isinstance(one, ast.Return) and one.value is not None and not _is_none(one.value):
                yield Site(one.lineno, "None returned", partial(setattr, one, "value", ast.Constant(None)))
            yield from _statements(one)
            for handler in getattr(one, "handlers", ()):
                yield from _statements(handler)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def mutants_of(module: str, reached: CoverageData) -> list[Mutant]:
    """EACH of a module's mutants, always the same; those that change nothing anybody could see are left out."""
    text = (ROOT / "src" / "isthmus" / module).read_text("utf-8")
    lines, before = text.splitlines(), ast.unparse(ast.parse(text))
    near: list[str] = PAGE["tests"][module]
    file = next(f for f in reached.measured_files() if f.endswith(f"src/isthmus/{module}"))
    contexts = reached.contexts_by_lineno(file)
    everything = {one for several in contexts.values() for one in several if one}
    order = list(range(len(list(sites(ast.parse(text))))))
    random.Random(f"{SEED} {module}").shuffle(order)
    found: dict[str, Mutant] = {}
    for place in order:
        if len(found) == EACH:
            break
        tree = ast.parse(text)
        site = list(sites(tree))[place]
        site.change()
        changed = ast.unparse(ast.fix_missing_locations(tree))
        those = {one for one in contexts.get(site.line, ()) if one} or everything
        mutant = Mutant(module, site.line, site.what, lines[site.line - 1].strip(), changed, _nearest(those, near))
        if changed != before and changed not in found and mutant.name not in PAGE["equivalent"]:
            found[changed] = mutant
    return list(found.values())


def _nearest(tests: set[str], near: list[str]) -> tuple[str, ...]:
    """At most TESTS_MAX, from the module's own tests first, and of each function at most three cases at first."""

    def rank(name: str) -> tuple[int, int, str]:
        cases = sorted(one for one in tests if one.split("[")[0] == name.split("[")[0])
        place = next((i for i, start in enumerate(near) if name.startswith(start)), len(near))
        return (0 if cases.index(name) < 3 else 1, place, name)  # fmt: skip

    return tuple(sorted(tests, key=rank)[:TESTS_MAX])


def tree_copied(into: Path) -> Path:
    """The tree as its tests need it: sources and tests copied, the rest beside them by links."""
    copy = into / "tree"
    copy.mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.name in ("src", "tests"):
            shutil.copytree(entry, copy / entry.name)
        elif entry.name not in (".git", "tmp"):
            (copy / entry.name).symlink_to(entry)
    if (ROOT.parent / "shared").exists():
        (into / "shared").symlink_to(ROOT.parent / "shared")
    return copy


def judged(mutant: Mutant, copies: SimpleQueue[Path]) -> tuple[Mutant, str, float]:
    """Whether a test notices: `killed`, `stuck` (noticed by the time limit) or `survived`."""
    copy = copies.get()
    began, file = time.monotonic(), copy / "src" / "isthmus" / mutant.module
    text = file.read_text("utf-8")
    command = [
        "prlimit",
        f"--as={MEMORY_MAX}",
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:schemathesis",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "--timeout=20",
    ]
    env = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
    try:
        file.write_text(mutant.source, "utf-8")
        done = subprocess.run(
            [*command, *mutant.tests], cwd=copy, env=env, capture_output=True, timeout=LIMIT_S, check=False
        )
        word = {0: "survived", 1: "killed", 2: "killed"}.get(done.returncode, f"error {done.returncode}")
    except subprocess.TimeoutExpired:
        word = "stuck"
    finally:
        file.write_text(text, "utf-8")
        copies.put(copy)
    return mutant, word, time.monotonic() - began


def main() -> int:
    modules = sys.argv[1:] or list(PAGE["tests"])
    reached = CoverageData(str(ROOT / "tmp" / "coverage"))
    reached.read()
    mutants = [one for module in modules for one in mutants_of(module, reached)]
    table = {module: [0, 0] for module in modules}
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        copies = SimpleQueue[Path]()
        for place in range(AT_ONCE):
            copies.put(tree_copied(Path(folder) / str(place)))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for mutant, word, took in pool.map(partial(judged, copies=copies), mutants):
                table[mutant.module][0] += 1
                table[mutant.module][1] += word in ("killed", "stuck")
                print(f"{word:9} {took:5.1f} s  line {mutant.line}  {mutant.name}", flush=True)
    for module, (count, noticed) in table.items():
        print(f"{module:24} {noticed:4} of {count:4}")
    count, noticed = (sum(row[i] for row in table.values()) for i in (0, 1))
    print(f"{'all':24} {noticed:4} of {count:4}  {100 * noticed / count:.1f} %")
    return 0 if noticed >= 0.8 * count else 1


if __name__ == "__main__":
    raise SystemExit(main())
