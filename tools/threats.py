"""Write the table of threats into docs/explanation/security.md: each threat, and the tests that show it answered, or why there is none.

python tools/threats.py [--check]

The page's text above the table is written by hand; what follows the line `<!-- threats -->` is written here.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from markers import ROOT, marked

PAGE = ROOT / "docs" / "explanation" / "security.md"
LIST = Path(__file__).with_suffix(".toml")
FROM_HERE = "<!-- threats -->\n"


def groups() -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The threats by group, and what stands instead of a test."""
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    instead = listed.pop("instead")
    return listed, instead


def answer(id: str, tests: list[str], instead: dict[str, str]) -> str:
    """The tests, or the reason; raises ValueError where neither stands."""
    if tests:
        told = "<br>".join(f"`{test}`" for test in tests)
        return f"{told}<br>*{instead[id]}*" if id in instead else told
    if id not in instead:
        raise ValueError(f"{id} is shown by no test, and no reason is given")
    return f"**no test**: {instead[id]}"


def table() -> str:
    """What follows the line."""
    listed, instead = groups()
    shown = marked("threat")
    threats = {id: words for group in listed.values() for id, words in group.items()}
    lines = [
        f"{sum(id in shown for id in threats)} of {len(threats)} threats are shown by tests; the others say what stands instead."
    ]
    for title, group in listed.items():
        lines += ["", f"### {title}", "", "| | threat | shown by |", "|---|---|---|"]
        lines += [f"| {id} | {words} | {answer(id, shown.get(id, []), instead)} |" for id, words in group.items()]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page as it should be."""
    written, _, _ = PAGE.read_text(encoding="utf-8").partition(FROM_HERE)
    return written + FROM_HERE + "\n" + table()


def main() -> int:
    if "--check" in sys.argv:
        stale = PAGE.read_text(encoding="utf-8") != page()
        print(
            "out of date: docs/explanation/security.md; run python tools/threats.py" if stale else "",
            end="\n" if stale else "",
        )
        return int(stale)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
