"""What one trust list says that another does not: for a person who is about to sign, or to let something in.

Source: trust.md §6.1 (diff).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from isthmus.trust.trustlist import Participant, TrustList


def differences(before: TrustList, after: TrustList) -> list[dict[str, str]]:
    """Every difference: which country, what of it, before, after."""
    found = [{"country": "", "what": what, "before": a, "after": b} for what, a, b in _heads(before, after) if a != b]
    old, new = ({p.ncp_id: p for p in listed.participants} for listed in (before, after))
    for ncp_id in sorted(old.keys() | new.keys()):
        country = (new.get(ncp_id) or old[ncp_id]).country
        said, says = (_says(each[ncp_id]) if ncp_id in each else {} for each in (old, new))
        found += [
            {"country": country, "what": what, "before": said.get(what, ""), "after": says.get(what, "")}
            for what in sorted(said.keys() | says.keys())
            if said.get(what, "") != says.get(what, "")
        ]
    return found


def _heads(before: TrustList, after: TrustList) -> Iterator[tuple[str, str, str]]:
    yield "number", str(before.seq), str(after.seq)
    yield "env", before.env, after.env
    authorities = [", ".join(sorted(_digest(der) for der in listed.tls_ca)) for listed in (before, after)]
    yield "authorities", authorities[0], authorities[1]


def _digest(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()[:16]


def _says(participant: Participant) -> Mapping[str, str]:
    policy, mask = participant.policy, participant.mask
    says = {
        "status": participant.status,
        "roles": ", ".join(sorted(participant.roles)),
        "pack": participant.pack,
        "phone": participant.phone,
        "origins": ", ".join(sorted(participant.endpoints.origins)),
        "services": ", ".join(sorted(participant.services)),
        "level of assurance": policy.min_loa,
        "presence": ", ".join(sorted(policy.patient_presence)),
        "break-glass": f"{policy.btg}, against an opt-out {policy.optout_btg}",
        "patients a day": str(policy.patients_per_day),
        "search mask": ", ".join(
            [*(f"{entry.system} {entry.pattern}" for entry in mask.identifiers), *(f"{k} {v}" for k, v in sorted(mask.traits.items()))]
        ),
    }  # fmt: skip
    for key in participant.keys:
        says[f"key {key.kid}"] = f"{key.status}, for {','.join(sorted(key.uses))}, {key.thumbprint[:16]}, {_bounds(key.not_before, key.not_after)}"  # fmt: skip
    for tls in participant.tls:
        says[f"TLS key {tls.spki_sha256[:16]}"] = f"{tls.status}, for {','.join(sorted(tls.uses))}, {_bounds(tls.not_before, tls.not_after)}"  # fmt: skip
    return says


def _bounds(not_before: int, not_after: int) -> str:
    return f"{not_before or 'any time'} to {not_after or 'any time'}"
