"""What validators of others, written in Python, say of documents: reads file names a line, writes a line of JSON for each engine.

Run in an environment of its own (requirements.txt beside this page): nothing of it is needed by the product or its tests.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")


def schema(file: Path) -> Callable[[dict[str, Any]], str | None]:
    """HL7's JSON Schema of R4: the whole Bundle, and each resource in it by its own definition."""
    import jsonschema

    whole = json.loads(file.read_text(encoding="utf-8"))
    by_kind: dict[str, Any] = {}

    def judged(node: dict[str, Any]) -> str | None:
        kind = str(node.get("resourceType"))
        if kind not in whole["definitions"]:
            return f"no resource: {kind}"
        if kind not in by_kind:
            by_kind[kind] = jsonschema.Draft6Validator(whole | {"oneOf": [{"$ref": f"#/definitions/{kind}"}]})
        for problem in by_kind[kind].iter_errors(_hollow(node)):
            return problem.message[:200]
        for entry in node.get("entry") or [] if isinstance(node.get("entry"), list) else []:
            inside = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(inside, dict) and (said := judged(inside)):
                return said
        return None

    return judged


def _hollow(node: dict[str, Any]) -> dict[str, Any]:
    """A Bundle whose entries hold no more than their kind: the schema's choice between all resources is slow, and says nothing."""
    entries = node.get("entry")
    if node.get("resourceType") != "Bundle" or not isinstance(entries, list):
        return node
    hollow = {"resourceType": "Basic", "code": {"text": "x"}}
    return node | {
        "entry": [
            e | {"resource": hollow} if isinstance(e, dict) and isinstance(e.get("resource"), dict) else e
            for e in entries
        ]
    }


def resources() -> Callable[[dict[str, Any]], str | None]:
    from fhir.resources.R4B import get_fhir_model_class

    def judged(node: dict[str, Any]) -> str | None:
        try:
            get_fhir_model_class(str(node.get("resourceType"))).model_validate(node)
        except Exception as problem:
            return str(problem)[:200]
        return None

    return judged


def pyrofile() -> Callable[[dict[str, Any]], str | None]:
    from pyrofile_validator import Validator
    from pyrofile_validator.config import ValidatorConfig

    engine = Validator(ValidatorConfig(error_on_unknown_profile=False, allow_unknown_extensions=True))

    def judged(node: dict[str, Any]) -> str | None:
        wrong = [issue for issue in engine.validate_resource(node).issues if issue.severity.value == "error"]
        return f"{wrong[0].path}: {wrong[0].message}"[:200] if wrong else None

    return judged


def main(schema_file: str) -> None:
    engines = {"jsonschema": schema(Path(schema_file)), "fhir.resources": resources(), "pyrofile-validator": pyrofile()}
    for line in sys.stdin:
        node = json.loads(Path(line.strip()).read_bytes())
        for name, judged in engines.items():
            try:
                said = judged(node)
            except Exception as broken:  # an engine that gives up has not said that it is sound
                said = f"{type(broken).__name__}: {broken}"[:200]
            print(json.dumps({"engine": name, "file": line.strip(), "wrong": said}), flush=True)


main(sys.argv[1])
