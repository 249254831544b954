"""What the country says, whatever the patient says: regime, accepted ways of recognising a patient, labels, emergency access.

Source: trust.md §3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.consent.roles import ROLES, Roles

CARE = frozenset({"TREAT", "ETREAT"})
BREAK_GLASS = "BTG"
EMERGENCIES = frozenset({"ETREAT", BREAK_GLASS})  # in which a patient may not have been recognised by a document


@dataclass(frozen=True, slots=True)
class Rules:
    """The country's rules for one decision.

    `opt_in`: nothing without a permission. `presence`: how a patient may have been recognised. `services`: what the country offers by
    its list entry. `btg`: emergency access is answered at all; `optout_btg`: also for who opted out, or never permitted; `v_btg`: also
    what is very restricted. `absolute`: subjects of restrictions that it does not lift. `roles`: who may do what. `represented`: somebody
    speaks for the patient whose word counts here.
    """

    opt_in: bool
    presence: frozenset[str]
    services: frozenset[str]
    btg: bool = False
    optout_btg: bool = False
    v_btg: bool = False
    absolute: frozenset[str] = frozenset()
    roles: Roles = ROLES
    represented: bool = False

    @property
    def purposes(self) -> frozenset[str]:
        """For which the country answers at all."""
        return CARE | {BREAK_GLASS} if self.btg else CARE

    def accepts(self, presence: str, purpose: str) -> bool:
        """Whether a patient may have been recognised in this way, for this purpose."""
        if presence == "unable":
            return purpose in EMERGENCIES or self.represented
        return presence in self.presence
