"""Write the matrix of requirements: each sentence of the border's contract, its function, the tests that show it, and whether it holds.

python tools/requirements.py [--check]

`make conformance` runs the tests first, so that the page is written of a run in which all of them held.
"""

from __future__ import annotations

import sys
from collections import Counter
from inspect import getsourcefile
from pathlib import Path

from isthmus.conformance.requirement import REQUIREMENTS, Requirement
from isthmus.conformance.requirements import all as groups

sys.path.insert(0, str(Path(__file__).parent))

from markers import marked

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "conformance" / "requirements.md"
GROUPS = {
    "CAP": "Capability and exchanges", "PID": "Patient identification", "DRS": "Document search", "DRC": "Document entries",
    "RET": "Document retrieve", "MFH": "Manifest in FHIR", "MKO": "Manifest as key object selection", "WAD": "Images",
    "REP": "Report", "SEC": "Security", "AUD": "Audit", "TOL": "Terminology and tolerance",
}  # fmt: skip
OPEN = {
    "WAD-11": "holds at 1 GiB, the largest study that is proven; 4 GB have not been measured",
    "WAD-21": "open: Country B shows images in its own viewer and in OHIF, which are handed no address of another's; a hospital's own"
    " viewer (IID) would be launched by a template of the settings, and there is none yet",
}
"""What is not shown, or not whole, and why."""


def result(id: str, tests: list[str]) -> str:
    """Whether a requirement holds; raises ValueError where neither a test nor a reason says so."""
    if id in OPEN:
        return OPEN[id]
    if not tests:
        raise ValueError(f"{id} is shown by no test, and no reason is given")
    return "holds"


def matrix() -> str:
    """The page."""
    assert groups.GROUPS
    shown = marked("requirement")
    results = {id: result(id, shown.get(id, [])) for id in REQUIREMENTS}
    counted = Counter("open" if told.startswith("open") else "holds" for told in results.values())
    lines = [
        "# Requirements", "",
        f"Every sentence of the border's contract is a function: {len(REQUIREMENTS)} of them, of which {counted['holds']} hold"
        f" and {counted['open']} are open for the reason given.", "",
        "Written by `make conformance` from `src/isthmus/conformance/requirements/` and from the tests that carry",
        "`@pytest.mark.requirement`. The same functions judge files and borders (`isthmus check`) and, those that are cheap, live traffic. That",
        "each of them can fail is shown by [mutants](../../tests/conformance/mutants.toml). What is judged, by the kind in the second column:",
        "[evidence](../../src/isthmus/conformance/evidence.py).",
    ]  # fmt: skip
    for prefix, title in GROUPS.items():
        rows = sorted((row for id, row in REQUIREMENTS.items() if id.startswith(prefix)), key=lambda row: row.id)
        lines += [
            "",
            f"## {title}",
            "",
            "| id | judges | what is asked | source | function | tests | result |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_line(row, shown.get(row.id, []), results[row.id]) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: Requirement, tests: list[str], told: str) -> str:
    kinds = ", ".join(kind.value for kind in row.kinds) + (" · cheap" if row.cheap else "")
    asked = row.statement.replace("|", "\\|") + (f" *({row.severity})*" if row.severity != "error" else "")
    packs = f" *(pack {', '.join(sorted(row.packs))})*" if row.packs else ""
    page = Path(getsourcefile(row.check) or "").name
    function = f"[{row.check.__name__}](../../src/isthmus/conformance/requirements/{page})"
    named = "<br>".join(f"`{test}`" for test in tests)
    return f"| {row.id} | {kinds} | {asked}{packs} | {row.source} | {function} | {named} | {told} |"


def main() -> int:
    if "--check" in sys.argv:
        stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != matrix()
        print(
            "out of date: docs/conformance/requirements.md; run make conformance" if stale else "",
            end="\n" if stale else "",
        )
        return int(stale)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(matrix(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
