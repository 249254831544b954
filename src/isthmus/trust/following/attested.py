"""What a participant says of its own next keys and addresses, signed with the key that counts already: the wait of an addition ends.

Who stole the list's key alone cannot say it. A statement lives a week at most; what the list had revoked waits whatever is said.

Source: trust.md §2.2 ("attest"), T87.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime

from isthmus.errors import InvalidAssertion, UntrustedCountry
from isthmus.trust.jws import read_statement, sign
from isthmus.trust.keys import SigningKey, StatementKey
from isthmus.trust.trustlist import Participant, TrustList

TYP = "ncp-attest+jwt"
AUDIENCE = "ncp-trustlist"
LIFE_S = 7 * 86400
USE = "receipt"  # one of the uses of K-sig
_GOOD = ("current", "previous", "next")


def write_attest(ncp_id: str, entries: Iterable[str], key: SigningKey, now: datetime) -> str:
    """Countersign entries of the list, by the names that `additions.entries` gives them."""
    issued = int(now.timestamp())
    claims = {
        "iss": ncp_id, "sub": ncp_id, "aud": AUDIENCE, "jti": secrets.token_urlsafe(16), "iat": issued,
        "exp": issued + LIFE_S, "entries": sorted(entries),
    }  # fmt: skip
    return sign(claims, key, TYP)


def attested(listed: TrustList, before: TrustList, now: datetime) -> frozenset[str]:
    """The names of entries in `listed` that their participant countersigned with a key that counted in the list `before`.

    A statement that does not hold, or speaks of another participant's entries, is as if it were not there.
    """
    known = {participant.ncp_id: participant for participant in before.participants}
    return frozenset(
        name
        for participant in listed.participants
        if participant.ncp_id in known
        for name in _said(participant, known[participant.ncp_id], now)
    )


def _said(participant: Participant, before: Participant, now: datetime) -> Iterator[str]:
    still = {key.thumbprint for key in participant.keys if key.status in _GOOD}
    outgoing = [key for key in before.keys if key.holds(USE, now) and key.thumbprint in still]
    revoked = {key.thumbprint for key in before.keys if key.status not in _GOOD}
    revoked |= {key.spki_sha256 for key in before.tls if key.status not in _GOOD}

    def key_for(iss: str, kid: str) -> StatementKey:
        for key in outgoing:
            if iss == participant.ncp_id and key.kid == kid:
                return key
        raise UntrustedCountry("no key that counted before")

    for token in participant.attest:
        try:
            statement = read_statement(
                token, typ=frozenset({TYP}), key_for=key_for, audience=frozenset({AUDIENCE}), max_life_s=LIFE_S, now=now,
                x5t=None,
            )  # fmt: skip
        except InvalidAssertion:
            continue
        names = statement.claims.get("entries")
        for name in names if isinstance(names, list) else ():
            words = name.split(" ") if isinstance(name, str) else []
            if len(words) > 2 and words[1] == participant.ncp_id and revoked.isdisjoint(words):
                yield name
