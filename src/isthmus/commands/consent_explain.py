"""`isthmus consent explain`: what follows from what a patient said, document by document, and why. On the trail for the patient to see.

Source: interfaces.md §2; trust.md §6.1.
"""

from __future__ import annotations

import getpass
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.commands.output import Json, emit, settings_of, show, table
from isthmus.errors import DocumentNotFound, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier

if TYPE_CHECKING:
    from isthmus.consent.decision import Decision, DirectiveSet
    from isthmus.consent.directives import Directives
    from isthmus.consent.reasons import Reason
    from isthmus.ground import Ground

TRANSACTION, SUPERVISION = "explain", "HCOMPL"

_WORDS = {
    "given": "given",
    "withdrawn": "withdrawn by its source",
    "nothing-crosses": "nothing crosses: an opt-out, or no permission",
    "not-offered": "this country does not offer it",
    "role": "not for this role",
    "label": "its source labels it so",
    "directive": "restricted",
    "linked": "hidden with what it belongs to",
    "no-permission": "not permitted",
}


@dataclass(frozen=True, slots=True)
class _Question:
    """Who asks for whom, and when."""

    patient: PatientIdentifier
    country: str
    organisation: str
    person: str
    role: str
    purpose: str
    at: datetime
    version: str = ""  # of the decision then, where there was one


def explain(
    ctx: typer.Context,
    patient: Annotated[str, typer.Option("--patient", metavar="SYSTEM|VALUE", help="The patient's identifier.")] = "",
    did: Annotated[
        str, typer.Option("--did", metavar="ID", help="A decision that was taken: the number in the trail's records.")
    ] = "",
    country: Annotated[str, typer.Option("--country", metavar="CC", help="Who might ask: the country.")] = "",
    role: Annotated[str, typer.Option("--role", metavar="2212", help="In which role, ISCO-08.")] = "2212",
    purpose: Annotated[str, typer.Option("--purpose", help="TREAT, ETREAT or BTG.")] = "TREAT",
    organisation: Annotated[str, typer.Option("--organisation", metavar="ID", help="Of which organisation.")] = "",
    person: Annotated[str, typer.Option("--person", metavar="ID", help="Which professional.")] = "",
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who reads; the account's name if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Say what a professional is given of a patient's documents, and why not the rest: now, or at a decision that was taken.

    With --did the directives are those of that moment; documents are those that are there now. The reading is recorded, and the
    patient sees it.

    \b
    Example:
      isthmus --config aa/isthmus.toml consent explain --patient 'urn:oid:2.999.1.2.1|…' --country BB --role 2221
      isthmus --config aa/isthmus.toml consent explain --did 3q2-7wAAEjRWeJq83v8AEQ
    """
    import asyncio

    if bool(did) == bool(patient) or (patient and not country):
        raise SettingsProblem("say --patient and --country, or --did", reason="usage")
    settings = settings_of(ctx)
    if not settings.answers:
        raise SettingsProblem("this node answers for no country: it has no patients", key="sources")
    from isthmus.ground import Ground, now

    ground = Ground.open(settings)
    try:
        ground.trail.start()
        question = (
            _decided(ground, did)
            if did
            else _Question(PatientIdentifier.read(patient), country, organisation, person, role, purpose, now())
        )
        _record(ground, question, did, by.strip() or getpass.getuser())
        decision, found = asyncio.run(_answered(ground, question))
    finally:
        ground.trail.stop()
        ground.state.close()
    emit(_answer(question, decision, found), as_json, _tell)


def _decided(ground: Ground, did: str) -> _Question:
    """Who asked when this decision was taken. Raises DocumentNotFound."""
    from isthmus.audit.page import MonthKeys, rows
    from isthmus.audit.verify import opened
    from isthmus.storage.schema.audit import audit_trail

    def look(connection: Any) -> dict[str, Any] | None:
        unseal = MonthKeys(ground.master).unsealer(connection)
        for row in rows(connection, audit_trail.c.kind == "intent", newest_first=True):
            record, _ = opened(row, unseal)
            if record and record["decision"]["id"] == did and record["patient"]:
                return record
        return None

    record = ground.state.read_now(look)
    if record is None:
        raise DocumentNotFound("no exchange of this node was decided under this number")
    who = record["patient"]
    return _Question(
        PatientIdentifier(who["system"], who["value"]), record["peer"], record["organisation"],
        record["person"].partition(" ")[0], record["role"], record["purpose"],
        datetime.fromisoformat(record["at"]).astimezone(UTC), record["decision"]["version"],
    )  # fmt: skip


def _record(ground: Ground, question: _Question, did: str, by: str) -> None:
    from isthmus.audit.events import Intent, Outcome

    details = {"country": question.country, "role": question.role, **({"decision": did} if did else {})}
    intent = Intent(
        side="A", transaction=TRANSACTION, exchange_id=secrets.token_hex(16), peer=ground.settings.ncp_id, person=by,
        purpose=SUPERVISION, patient=question.patient, details=details,
    )  # fmt: skip
    ground.trail.record_now(intent, Outcome(outcome="complete"))


class _Then:
    """What a patient had said at a moment: what was withdrawn since held then."""

    def __init__(self, directives: Directives) -> None:
        self._directives = directives

    async def of(self, patient: PatientIdentifier) -> DirectiveSet:
        from isthmus.consent.decision import DirectiveSet

        said = (await self._directives.of(patient)).directives
        return DirectiveSet(tuple(replace(d, active=True) if d.until is not None else d for d in said))


async def _answered(ground: Ground, question: _Question) -> tuple[Decision, list[Reason]]:
    import contextlib

    from isthmus.consent.directives import Directives
    from isthmus.consent.reasons import reasons
    from isthmus.consent.roles import roles_of
    from isthmus.consent.speaking import Recipient
    from isthmus.country_a.holdings import Deciding
    from isthmus.model.queries import DocumentQuery
    from isthmus.national.opening import open_sources
    from isthmus.storage.database import open_index

    clock = lambda: question.at  # noqa: E731
    said = _Then(Directives.of_settings(ground.settings, ground.state, clock))
    with contextlib.closing(open_index(ground.settings)) as index:
        national = open_sources(ground.settings, index, clock)
        try:
            deciding = Deciding(
                said,
                national,
                ground.settings.consent,
                lambda: ground.directory.ours,
                clock,
                can_tell=True,
                roles=roles_of(ground.settings),
            )
            who = Recipient(question.country, question.organisation, question.person, question.role, question.purpose)
            presence = min(deciding.rules.presence, default="unable")
            decision = await deciding.decide_about(question.patient, who, presence)
            pack = ground.directory.ours.pack
            found = await national.find_documents(DocumentQuery(patient=question.patient, statuses=(), pack=pack))
            return decision, reasons(decision, found)
        finally:
            await national.close()


def _answer(question: _Question, decision: Decision, found: list[Reason]) -> dict[str, Any]:
    return {
        "asks": {
            "country": question.country, "organisation": question.organisation, "person": question.person,
            "role": question.role, "purpose": question.purpose, "at": question.at.isoformat(),
        },
        "version": decision.version,
        "version_then": question.version or None,
        "documents": [
            {
                "id": one.document.id, "kind": one.document.kind.value, "study_instance_uids": list(one.document.study_instance_uids),
                "given": one.why == "given", "why": one.why, "directives": list(one.directives),
            }
            for one in found
        ],
    }  # fmt: skip


def _tell(answer: dict[str, Any]) -> None:
    if not answer["documents"]:
        typer.echo("This patient has no documents here.")
        return
    rows = table("document", "kind", "study", "given", "why")
    for one in answer["documents"]:
        why = _WORDS[one["why"]] + (f": {', '.join(one['directives'])}" if one["directives"] else "")
        rows.add_row(one["id"], one["kind"], " ".join(one["study_instance_uids"]), "yes" if one["given"] else "no", why)
    show(rows)
