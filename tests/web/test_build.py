"""The build of the front end: what it promises to the pages and to the wheel."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src/isthmus/pages/static"
BUILT = STATIC / "built"

needs_build = pytest.mark.skipif(not BUILT.is_dir(), reason="the front end is not built (python hatch_build.py)")


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locked() -> dict[str, dict[str, object]]:
    packages: dict[str, dict[str, object]] = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]
    return packages


def test_the_fingerprint_follows_the_sources_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = load_hook()
    monkeypatch.setattr(hook, "WEB", tmp_path)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "main.ts").write_text("one")
    before = hook.fingerprint()

    (tmp_path / "node_modules/left.js").write_text("anything")
    beside = hook.fingerprint()
    (tmp_path / "main.ts").write_text("two")
    after = hook.fingerprint()

    assert beside == before
    assert after != before


def test_every_version_is_exact() -> None:
    package = json.loads((ROOT / "web/package.json").read_text())

    wanted = {**package["dependencies"], **package["devDependencies"]}

    assert [name for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    assert {name: locked()[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_all_that_is_shipped_of_others_is_free_and_named() -> None:
    listed = (STATIC / "THIRD-PARTY.txt").read_text()

    shipped = {
        path.removeprefix("node_modules/"): p
        for path, p in locked().items()
        if path and not p.get("dev") and not p.get("optional")
    }

    free = {"MIT", "ISC", "Apache-2.0", "BSD-3-Clause", "BSD-0-Clause", "0BSD", "(MIT AND Zlib)"}
    assert {str(p["license"]) for p in shipped.values()} <= free
    assert [name for name, p in shipped.items() if f"{name} {p['version']}: {p['license']}" not in listed] == []


def test_the_archive_patterns_are_anchored() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]

    patterns = build["targets"]["sdist"]["include"] + build["targets"]["sdist"]["exclude"]

    assert [pattern for pattern in patterns if not pattern.startswith("/")] == []


@needs_build
@pytest.mark.parametrize("name", ["portal.js", "viewer.js", "viewer.css", "reader.js", "reader.css"])
def test_entries_keep_their_names(name: str) -> None:
    assert (BUILT / name).stat().st_size > 500


@needs_build
def test_nothing_is_fetched_from_another_host_and_nothing_is_evaluated() -> None:
    scripts = [BUILT / "portal.js", BUILT / "viewer.js", *BUILT.glob("assets/decode.worker-*.js")]

    text = "".join(path.read_text() for path in scripts)

    assert re.findall(r"""(?:fetch|import|Worker|open)\(\s*["'`]https?:""", text) == []
    assert re.findall(r"\beval\(|new Function\(", text) == []


def test_the_harness_knows_every_word_the_viewer_says() -> None:
    known = set(json.loads((ROOT / "web/tests/words.json").read_text()))
    sources = "".join(path.read_text() for path in (ROOT / "web/viewer").glob("*.ts"))

    said = set(re.findall(r"""say\(\s*'(\w+)'""", sources)) | set(re.findall(r"'(kind_\w+)'", sources))

    assert len(said) > 20
    assert said - known == set()
