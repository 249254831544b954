"""What the product is made of: one index, every file by its digest, bounds on what comes next; and no secret in what is kept or shipped."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FRONT = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
NPM = "https://registry.npmjs.org/"
SECRET = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{32}|\"d\"\s*:\s*\"[A-Za-z0-9_-]{40,}\"")


@pytest.mark.threat("T80")
@pytest.mark.threat("T103")
def test_every_python_package_comes_from_one_index_and_by_its_digest() -> None:
    elsewhere, undigested = [], []
    for package in LOCK["package"]:
        if package["name"] == "isthmus":
            continue
        if package["source"] != {"registry": "https://pypi.org/simple"}:
            elsewhere.append(package["name"])
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        undigested += [file["url"] for file in files if not file.get("hash", "").startswith("sha256:")]
        elsewhere += [file["url"] for file in files if urlsplit(file["url"]).hostname != "files.pythonhosted.org"]

    assert (elsewhere, undigested) == ([], [])
    assert "index" not in PROJECT.get("tool", {}).get("uv", {})


@pytest.mark.threat("T80")
def test_every_direct_dependency_has_an_upper_bound() -> None:
    asked = [
        *PROJECT["project"]["dependencies"],
        *(one for group in PROJECT["dependency-groups"].values() for one in group),
    ]

    assert [one for one in asked if isinstance(one, str) and "<" not in one and "==" not in one] == []


@pytest.mark.threat("T103")
def test_the_extras_of_the_product_name_only_packages_of_others_that_exist_in_the_lock() -> None:
    locked = {package["name"] for package in LOCK["package"]}
    named = re.findall(
        r'"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?[<>=~!]', "\n".join(map(str, json.dumps(PROJECT["project"]).split(",")))
    )

    assert {name.lower().replace("_", "-") for name in named} <= locked
    assert [name for name in locked if name.startswith("isthmus")] == ["isthmus"]


@pytest.mark.threat("T102")
def test_every_package_of_the_front_end_comes_from_one_host_and_by_its_digest() -> None:
    packages = {name: entry for name, entry in FRONT.items() if name}

    assert packages
    assert [n for n, e in packages.items() if not e.get("resolved", NPM).startswith(NPM)] == []
    assert "registry" not in (ROOT / "web" / ".npmrc").read_text(encoding="utf-8"), "the registry is npm's own"
    assert [n for n, e in packages.items() if not e.get("integrity", "").startswith("sha512-")] == []


@pytest.mark.threat("T102")
def test_the_front_ends_own_list_names_exact_versions_and_no_script_of_a_package_runs() -> None:
    package = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))
    wanted = {**package.get("dependencies", {}), **package.get("devDependencies", {})}
    build = (ROOT / "hatch_build.py").read_text(encoding="utf-8")

    assert {
        name: version for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+[\w.-]*", version)
    } == {}
    assert build.count('npm("ci"') == build.count('npm("ci", "--ignore-scripts"')


@pytest.mark.threat("T79")
def test_no_private_key_is_kept_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone: git ls-files does not answer")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]

    assert len(files) > 500
    assert [str(file) for file in files if file.is_file() and SECRET.search(file.read_bytes())] == []
    assert SECRET.search(b'{"d":"' + b"A" * 43 + b'"}'), "the pattern finds a key"
