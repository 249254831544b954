"""What whoever sits at the command line can do next, by the reason of the error: every reason has one.

A message that says it itself, after a semicolon, is left as it is.

Source: interfaces.md §2.
"""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.errors import IsthmusError

_HELP = "`--help` after the command shows how it is asked"
_PEER = "ask the operator of the other country's node, with the exchange's number; both trails have it"
_TRUST = "compare this node's keys and clock with the trust list, `trust show`; then call the operator of the list"
_OURS = "see the node's log under the exchange's number"
_LATER = "say the same command again in a minute; if it stays so, call the other country's desk"
_WRONG_PERSON = "do not use what came before; tell the hospital there, with the exchange's number"
_NOT_BUILT = "ask for what is offered; the reference lists it"
_SMALLER = "ask for less at a time: one study, one series, a shorter period"

NEXT: Mapping[str, str] = {
    "malformed": _HELP,
    "required": _HELP,
    "value": _HELP,
    "uid": "copy it whole from `list`",
    "search-mask": "give all that it asks for, of --family, --given, --birth-date and --gender",
    "search-mask-value": "copy the number as it stands on the card, and the birth date as YYYY-MM-DD",
    "misdirected": "compare the address with `public` in the settings of the node that is asked",
    "no-host": "compare the address with `public` in the settings of the node that is asked",
    "not-allowed": _PEER,
    "grant": _PEER,
    "grant-type": _PEER,
    "grant-scope": _PEER,
    "param": _NOT_BUILT,
    "media": "ask for another --form; `list` says which there are",
    "body-media": "bring it in a form that is read: DICOM, a FHIR document Bundle, CDA or PDF",
    "coding": _PEER,
    "transfer-coding": _PEER,
    "no-route": _NOT_BUILT,
    "limit": _SMALLER,
    "header-limit": _SMALLER,
    "too-costly": _SMALLER,
    "rate": "wait ten minutes, then say it again",
    "peer-not-trusted": "`trust show` says which countries are active; the operator of the list adds or resumes one",
    "client-assertion": _TRUST,
    "hpa-invalid": _TRUST,
    "trc-invalid": _TRUST,
    "nok-invalid": _TRUST,
    "presence": "identify the patient by a document that the country accepts",
    "token-missing": _OURS,
    "token": _TRUST,
    "token-expired": "say the same command again: it gets a new token",
    "replay": "say the same command again; if it stays so, look for a second node with this one's keys",
    "replay-hpa": "say the same command again; if it stays so, look for a second node with this one's keys",
    "patient-mismatch": _WRONG_PERSON,
    "loa": "sign in by a stronger means",
    "no-consent": "nothing can be done here; what the patient does not share cannot be seen",
    "role": "let somebody ask whose role may: a physician of the team",
    "purpose": "ask for --purpose TREAT",
    "access-code": "ask without an access code",
    "scope": "confirm the treatment relationship anew: say the command again",
    "sign-in": "use a login that stands in the file of accounts; in the demo they are on its screen and in the ready file",
    "identity": "sign in at the identity service again; if it stays so, compare its settings and the clocks",
    "no-role": "have role and workplace put into the tables of signin.providers, and look into signin.struck_off",
    "not-offered": "`trust show` says what the country offers; ask the hospital there for the rest",
    "not-found": "`list` shows what there is now",
    "no-match": "check the number and the birth date on the card; nothing was opened",
    "multiple-matches": "give the family name too",
    "withdrawn": "do not rely on what you have of it; call the hospital there if you acted on it",
    "preparing": "say the same command again in a few minutes, with --wait for longer",
    "unreachable": _LATER,
    "timed-out": _LATER,
    "backend": "see to the register, archive or database that is named, then say it again; in another country, call its desk",
    "trustlist": "put a list in force, `trust show` says which is held; then say it again",
    "audit": "see to the disk and database of the trail, `audit verify`; without a record nothing is given",
    "peer-response": _PEER,
    "peer-limit": _SMALLER,
    "incomplete": "say it again, for images with --resume: what came whole is kept",
    "digest": _PEER,
    "dicom-rejected": _PEER,
    "wrong-patient": _WRONG_PERSON,
    "receipt": "what was sent and what arrived differ: compare both trails, and tell the other country's desk",
    "settings": "mend what is named, then start again; the settings reference has every key",
    "usage": _HELP,
    "stand-in": "let the professional sign in at the portal",
    "internal": "report it with what --verbose shows",
}


def sentence(error: IsthmusError) -> str:
    """What happened, and what to do."""
    message = " ".join(str(error).split())
    return message if "; " in message else f"{message.rstrip('.')}; {NEXT[error.reason]}"
