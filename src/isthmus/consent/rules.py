"""What the country says, whatever the patient says: regime, accepted ways of recognising a patient, labels.

Source: trust.md §3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

RESTRICTED_LABEL = "R"
VERY_RESTRICTED_LABEL = "V"


@dataclass(frozen=True, slots=True)
class Rules:
    """The country's rules for one decision.

    `opt_in`: nothing without a permission. `presence`: how a patient may have been recognised. `purposes`: for which it answers at all.
    `services`: what the country offers by its list entry.
    """

    opt_in: bool
    presence: frozenset[str]
    services: frozenset[str]
    purposes: frozenset[str] = frozenset({"TREAT"})
