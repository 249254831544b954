"""The house held to its own description: contracts, sizes, door-plates, sources, reasons, and what may be said and used where.

An exception stands in a table of this page, with its reason; one that is not needed any more is refused too.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from isthmus import errors

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "isthmus"
MODULES = sorted(SRC.rglob("*.py"))
ROOMS = sorted({module.parent for module in MODULES})
PURE = ("errors.py", "model", "fhir", "dicom", "wire", "originals", "conformance/requirements", "consent/decision.py", "audit/verify.py")  # fmt: skip
PASSES = {"Known", "Introduced", "Admitted"}
FUNCTION_MAX, MODULE_MAX, ROOM_MAX = 60, 400, 14
DICOM_MAX_BYTES = 15_000_000

LONG_MODULES = {"errors.py": "a list: the tree of errors and the table of what each means"}
LONG_FUNCTIONS: dict[str, str] = {}
LARGE_ROOMS = {
    "commands": "a list: one file a command",
    "country_a": "a file for each question it answers, and what the gate asks before",
    "country_b": "a file for each question it asks, and the probe that asks a border about itself",
    "dicom": "a grammar: one file a part of it, each small",
    "wire": "the border's language: a file a row, both encodings of a manifest, and the notes of logs",
    "model": "nouns: one file a noun, each small",
    "wire/report": "the chapters of the data set, a file each, and what they share",
}
PACKAGE_DATA = {"wire/packs/pack.py": "reads the drafts, which are data of the package (decision 0003)"}
UNSPOKEN = {
    "uvloop": "uvicorn takes it where it is there",
    "httptools": "uvicorn takes it where it is there",
}
"""Runtime dependencies that no module imports."""
BROUGHT_ALONG = {
    "yarl": "the addresses of aiohttp, which depends on it",
    "markupsafe": "what Jinja need not escape again",
    "pytest": "the connector contract is a test, for whoever writes a connector",
}
"""What is imported and comes with a declared dependency."""

LICENCE_IN_A_FILE = {"fhirpathpy": "MIT: its metadata names the file alone"}
"""Runtime dependencies whose metadata do not say their licence in words."""

TRAITS = {
    "accession_number", "birth_date", "body", "claims", "family", "given", "handle", "identifier", "identifiers", "names",
    "patient", "patient_id", "person", "sub", "text", "title", "token", "traits", "typed", "value",
}  # fmt: skip
"""Names that hold what a patient or a secret is known by: not for a message or a log line."""

HARMLESS = {
    "act.value": "the name of an act, of an enumeration",
    "kind.value": "the name of a kind of file",
    "purpose.value": "the name of a key object selection's purpose",
    "', '.join((k.system for k in mask.identifiers))": "the systems of a country's search mask, not a number of anybody's",
}
"""Expressions that use such a name and tell nothing of a patient."""

VAGUE = ("utils", "util", "helpers", "helper", "common", "base", "manager", "handler", "misc")


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind in the package, and where it stands."""
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, kinds):
                yield f"{name_of(module)}:{getattr(node, 'lineno', 0)}", node


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def docstrings() -> Iterator[tuple[str, str]]:
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield name_of(module), ast.get_docstring(node) or ""


def tracked() -> list[Path]:
    """What belongs to the repository, as git sees it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no checkout: git lists no files")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_imports_look_down_the_floors() -> None:
    lint = Path(sys.executable).with_name("lint-imports")

    ended = subprocess.run([lint, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_module_is_read_in_one_sitting() -> None:
    long = {name_of(m) for m in MODULES if m.read_text(encoding="utf-8").count("\n") > MODULE_MAX}

    assert long == set(LONG_MODULES)


def test_a_function_fits_on_a_screen() -> None:
    long = {
        f"{where.partition(':')[0]}:{node.name}"
        for where, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_MAX
    }

    assert long == set(LONG_FUNCTIONS)


def test_a_room_is_no_warehouse() -> None:
    large = {name_of(r) for r in ROOMS if len([m for m in r.glob("*.py") if m.name != "__init__.py"]) > ROOM_MAX}

    assert large == set(LARGE_ROOMS)


@pytest.mark.parametrize("room", [r for r in ROOMS if r != SRC], ids=name_of)
def test_a_room_has_a_door_plate_and_nothing_else_at_the_door(room: Path) -> None:
    plate = tree(room / "__init__.py")

    assert ast.get_docstring(plate)
    assert len(plate.body) == 1, "a door-plate re-exports nothing"


def test_every_module_says_what_it_is() -> None:
    assert [name_of(m) for m in MODULES if not ast.get_docstring(tree(m))] == []


def test_files_are_named_after_nouns_of_the_domain() -> None:
    assert [name_of(m) for m in MODULES if m.stem in VAGUE] == []


def source_keys() -> re.Pattern[str]:
    rows = [line for line in (ROOT / "docs/sources.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    keys: set[str] = set()
    for row in rows[1:]:
        for key in row.split("|")[1].split(", "):
            numbered = re.fullmatch(r" *([A-Z])\d+ … [A-Z]\d+ *", key)
            keys.add(rf"{numbered[1]}\d+" if numbered else re.escape(key.strip()))
    return re.compile(rf"(?:{'|'.join(keys)})(?![\w.]*\w)")


def test_every_source_is_a_known_one() -> None:
    known = source_keys()

    unknown = {
        (where, source)
        for where, text in docstrings()
        for cited in re.findall(r"Source:\s+(.*?)(?:\n\s*\n|\Z)", text, re.S)
        for source in (" ".join(one.split()) for one in cited.split(";"))
        if not known.match(source)
    }

    assert unknown == set()


def test_only_the_gate_makes_passes() -> None:
    makers = {
        where.partition(":")[0]
        for where, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in PASSES
    }

    assert makers == {"country_a/gate.py"}


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_pages_say_what_the_code_says() -> None:
    assert reference().stale() == [], "run python tools/reference.py"


def test_links_between_pages_lead_somewhere() -> None:
    pages = [path for path in tracked() if path.suffix == ".md"]

    broken = {
        (page.relative_to(ROOT).as_posix(), target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    }

    assert broken == set()


def test_files_that_pages_name_are_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "explanation").glob("*.md")]

    gone = {
        (page.name, file)
        for page in pages
        if page.exists()
        for file in re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", page.read_text(encoding="utf-8"))
        if not (SRC / file).exists() and not (ROOT / file).exists()
    }

    assert gone == set()


ERRORS = {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.IsthmusError)}


def reasons_of(kind: type[errors.IsthmusError]) -> set[str]:
    said = re.search(r"Reasons: (.*?)\.", " ".join((kind.__doc__ or "").split()))
    named = re.findall(r"(?:^|, )([a-z-]+)", said[1]) if said else []
    return {kind.default_reason, *named}


def test_every_meaning_belongs_to_a_class_that_names_it() -> None:
    assert set().union(*(reasons_of(kind) for kind in ERRORS.values())) == set(errors.MEANINGS)


def test_an_error_is_raised_with_a_reason_that_its_class_names() -> None:
    wrong = [
        (where, called(node), word.value.value)
        for where, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and called(node) in ERRORS
        for word in node.keywords
        if word.arg == "reason" and isinstance(word.value, ast.Constant) and word.value.value is not None
        if word.value.value not in reasons_of(ERRORS[called(node)])
    ]

    assert wrong == []


def telling(node: ast.AST) -> set[str]:
    """Names and attributes that flow into a piece of text."""
    if ast.unparse(node) in HARMLESS:
        return set()
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def written(argument: ast.AST) -> set[str]:
    """The names that become part of the text: pieces of an f-string, a sum, a format."""
    if isinstance(argument, ast.JoinedStr):
        return set().union(*(telling(v.value) for v in argument.values if isinstance(v, ast.FormattedValue)), set())
    return set() if isinstance(argument, ast.Constant) else telling(argument)


def test_no_error_message_names_a_patient() -> None:
    telltale = [
        (where, sorted(found))
        for where, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in ERRORS
        for argument in node.args
        if (found := written(argument) & TRAITS)
    ]

    assert telltale == []


def test_no_log_line_names_a_patient() -> None:
    telltale = [
        (where, sorted(found))
        for where, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and re.match(r"(LOG|log|logger|_log)\.", called(node))
        for argument in (*node.args, *(word.value for word in node.keywords))
        if (found := written(argument) & TRAITS)
    ]

    assert telltale == []


def test_a_number_of_things_is_written_by_one_function() -> None:
    things = re.compile(
        r" (instances|documents|images|studies|files|events|patients|reports|persons|exchanges|records)(?![/\w])"
    )
    bound = re.compile(r"^[A-Z_]+$|size$")  # a limit, and what is never one
    plural = [
        where
        for where, node in nodes(ast.JoinedStr)
        if isinstance(node, ast.JoinedStr)
        for value, text in pairwise(node.values)
        if isinstance(value, ast.FormattedValue)
        and isinstance(text, ast.Constant)
        and things.match(str(text.value))
        and not bound.search(ast.unparse(value.value))
    ]

    assert plural == []


def test_only_commands_print() -> None:
    printing = [
        where
        for where, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and called(node) == "print" and not where.startswith("commands/")
    ]

    assert printing == []


CLOCKS_AND_DICE = re.compile(
    r"(?:open|print|input|.*\bopen|(?:.*\.)?(?:datetime|date)\.(?:now|utcnow|today)|time\.(?:time|time_ns|monotonic|sleep)|random\.\w+|secrets\.\w+"
    r"|os\.\w+|uuid\.uuid[14]|.*\.(?:read_text|read_bytes|write_text|write_bytes)|asyncio\.\w+|subprocess\.\w+)"
)
OUTSIDE = {
    "asyncio", "anyio", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket", "subprocess", "tempfile",
    "threading", "time",
}  # fmt: skip


def in_pure_rooms(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for where, node in nodes(kind):
        module = where.partition(":")[0]
        if module not in PACKAGE_DATA and any(module == room or module.startswith(f"{room}/") for room in PURE):
            yield where, node


def test_pure_rooms_ask_neither_clock_nor_dice_nor_disk() -> None:
    asked = [
        (where, called(node))
        for where, node in in_pure_rooms(ast.Call)
        if isinstance(node, ast.Call) and CLOCKS_AND_DICE.fullmatch(called(node))
    ]
    brought = [
        (where, name)
        for kind in (ast.Import, ast.ImportFrom)
        for where, node in in_pure_rooms(kind)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")])
        if str(name).partition(".")[0] in OUTSIDE
    ]

    assert (asked, brought) == ([], [])


def test_a_check_that_is_switched_off_says_which_and_why() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (*MODULES, *sorted((ROOT / "tests").rglob("*.py")))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"# type: ignore(?!\[[\w, -]+\]  # \w)", line) and path != Path(__file__)
    ]

    assert silent == []


def runtime() -> dict[str, str]:
    """Every distribution that an installed Isthmus brings along, and its licence in its own words."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    todo, found = [Requirement(text) for text in project["dependencies"]], dict[str, str]()
    while todo:
        wanted = todo.pop()
        if wanted.name.lower() in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        known = importlib.metadata.metadata(wanted.name)
        classified = [c for c in known.get_all("Classifier") or () if c.startswith("License")]
        found[wanted.name.lower()] = " ".join((known["License-Expression"] or known["License"] or "", *classified))
        todo += [Requirement(text) for text in importlib.metadata.requires(wanted.name) or ()]
    return found


def test_nothing_under_a_gpl_is_installed_with_it() -> None:
    licences = runtime()

    assert {name for name, words in licences.items() if re.search(r"GPL|GNU", words)} == set()
    assert {name for name, words in licences.items() if not words.strip()} == set(LICENCE_IN_A_FILE)


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {Requirement(text).name.lower().replace("_", "-") for text in project["dependencies"]}
    comes_from = importlib.metadata.packages_distributions()
    imported = (
        {
            name.partition(".")[0]
            for _, node in nodes(ast.Import, ast.ImportFrom)
            for name in (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
            )
        }
        - {"isthmus", ""}
        - sys.stdlib_module_names
    )

    used = {each.lower().replace("_", "-") for name in imported for each in comes_from.get(name, [name])}

    assert declared - used == set(UNSPOKEN)
    assert used - declared == set(BROUGHT_ALONG)


def test_no_path_of_one_machine_is_written_down() -> None:
    private = re.compile(rb"(?<![\w.])/(?:work|root|home/\w+)/|/tmp/[w]/")

    assert [str(path.relative_to(ROOT)) for path in tracked() if private.search(path.read_bytes())] == []


def test_the_images_that_the_package_carries_stay_small() -> None:
    carried = [path for path in SRC.rglob("*") if path.is_file() and path.read_bytes()[128:132] == b"DICM"]

    assert sum(path.stat().st_size for path in carried) <= DICOM_MAX_BYTES
