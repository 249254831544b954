"""What a STOW-RS sender is told, instance by instance, in DICOM JSON.

Held as written text, not as verdicts: a request of a hundred thousand instances takes some tens of megabytes. What is no instance at all has
no UIDs to be named by and stands under Other Failures, the first thousand of it. The reason's word stands beside the code, privately.

Source: PS3.18 §10.5.3, Annex I.2; PS3.7 §9.1.1.1.9, Annex C.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from isthmus.archive.verdicts import ACCEPTED, QUARANTINED, REFUSED, UNCHANGED, Verdict

OTHER_FAILURES_MAX: Final = 1000
PROCESSING, DUPLICATE, CANNOT_UNDERSTAND = 0x0110, 0x0111, 0xC000
NO_SUCH_SYNTAX, RESOURCES, OTHER_CLASS, IN_QUARANTINE = 0x0122, 0xA700, 0xA900, 0xB100
"""0xB100 is ours, of the class of warnings: kept, and shown to nobody before an operator has looked."""

FAILURES: Final[Mapping[str, int]] = {
    "other-bytes": DUPLICATE,
    "bad-syntax": NO_SUCH_SYNTAX,
    "other-study": OTHER_CLASS,
    "unknown-patient": PROCESSING,
    "unreadable": PROCESSING,
    "too-many-members": RESOURCES,
}
"""Reason of a refusal: Failure Reason. Everything else cannot be understood."""

_PRIVATE: Final = {"00090010": {"vr": "LO", "Value": ["ISTHMUS INTAKE"]}}


class Told:
    """The verdicts of one request."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._stored: list[bytes] = []
        self._failed: list[bytes] = []
        self._other: list[bytes] = []

    def add(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            self.outcomes[verdict.outcome] += 1
            if verdict.reason is not None:
                self.reasons[verdict.reason] += 1
            self._write(verdict)

    @property
    def status(self) -> int:
        """200 all is kept and served, 202 something is not, 409 nothing was kept. An empty request is a bad one."""
        kept = self.outcomes[ACCEPTED] + self.outcomes[UNCHANGED] + self.outcomes[QUARANTINED]
        if kept == 0:
            return 409 if self.outcomes[REFUSED] else 400
        return 202 if self.outcomes[REFUSED] or self.outcomes[QUARANTINED] else 200

    def body(self) -> bytes:
        sequences = {"00081198": self._failed, "00081199": self._stored, "0008119A": self._other}
        written = [
            b'"%s":{"vr":"SQ","Value":[%s]}' % (tag.encode(), b",".join(items))
            for tag, items in sequences.items()
            if items
        ]
        return b"{" + b",".join([b'"00081190":{"vr":"UR"}', *written]) + b"}"

    def _write(self, verdict: Verdict) -> None:
        named = {"00081150": _uid(verdict.sop_class_uid), "00081155": _uid(verdict.sop_instance_uid)}
        if verdict.outcome in (ACCEPTED, UNCHANGED):
            self._stored.append(orjson.dumps(named | {"00081190": {"vr": "UR"}}))
            return
        reason = _PRIVATE | {"00091001": {"vr": "LO", "Value": [verdict.reason]}}
        if verdict.outcome == QUARANTINED and verdict.sop_instance_uid:
            warning = {"00081190": {"vr": "UR"}, "00081196": {"vr": "US", "Value": [IN_QUARANTINE]}}
            self._stored.append(orjson.dumps(named | warning | reason))
            return
        code = (
            IN_QUARANTINE if verdict.outcome == QUARANTINED else FAILURES.get(verdict.reason or "", CANNOT_UNDERSTAND)
        )
        failure = {"00081197": {"vr": "US", "Value": [code]}} | reason
        if verdict.sop_instance_uid:
            self._failed.append(orjson.dumps(named | failure))
        elif len(self._other) < OTHER_FAILURES_MAX:
            self._other.append(orjson.dumps(failure))


def _uid(text: str | None) -> dict[str, Any]:
    return {"vr": "UI", "Value": [text]} if text else {"vr": "UI"}
