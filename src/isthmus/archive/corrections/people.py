"""Two identifiers that are one person, and a merge that was none.

The subsumed identifier is no longer valid: a search by it finds nobody, a visit under it is given nothing. What was issued under it is
the survivor's, and says so with the identifier it was issued under; the register tells both countries that it was theirs. Directives
are not copied: each decision about the survivor joins what was said under either.

Decision 0012. Source: ITI-78.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, func, insert, select, update

from isthmus.archive import index, register
from isthmus.archive.corrections.trace import Done
from isthmus.errors import PatientNotFound, SettingsProblem
from isthmus.model.documents import WITHDRAWN
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.schema.archive import documents, instances, merged, patients, rejections, studies

STUDY, DOCUMENT = "study", "document"
LAST = "last"  # the highest number of a document at the merge: what has a higher one came since


def merge(connection: Connection, former: PatientIdentifier, into: PatientIdentifier) -> Done:
    """Make `former` an old identifier of `into`. Done already, it changes nothing.

    Raises PatientNotFound; SettingsProblem for two who are, by name and birth date, two people.
    """
    survivor = _registered(connection, into)
    number = _row_of(connection, former)
    if former == into:
        raise SettingsProblem("a patient is not merged into itself", reason="usage")
    if register.is_merged(connection, former):
        if survivor != (register.person_row(connection, former) or (0,))[0]:
            raise SettingsProblem(
                "this identifier was merged into another patient before; split it first", reason="usage"
            )
        return Done(told=["It is merged already; nothing changed."])
    mine, theirs = register.patient_of(connection, survivor), register.patient_of(connection, number)
    if register.contradicts(mine, register.Traits(theirs.names, theirs.birth_date, theirs.gender)):
        raise SettingsProblem(
            "name and birth date differ both: these are two people; bring the register up to date first", reason="usage"
        )
    here = studies.c.patient_id == number, studies.c.source == ""
    uids = list(connection.execute(select(studies.c.study_instance_uid).where(*here)).scalars())
    of = documents.c.patient_id == number, documents.c.source == ""
    held = list(connection.execute(select(documents.c.number).where(*of)).scalars())
    last = int(connection.execute(select(func.max(documents.c.number))).scalar() or 0)
    for kind, items in ((STUDY, uids), (DOCUMENT, held), (LAST, [last])):
        for item in items:
            connection.execute(insert(merged).values(former=number, kind=kind, item=str(item)))
    connection.execute(update(patients).where(patients.c.id == number).values(merged_into=survivor))
    done = _hand_over(connection, uids, held, number, survivor)
    done.told = [
        "The old number finds nobody any more; what was issued under it is listed for the patient who stays.",
        "What was said under either number about sharing holds for both.",
    ]
    done.people = 1
    return done


def split(connection: Connection, former: PatientIdentifier) -> Done:
    """Undo a merge: what the identifier had goes back to it, and what came since and names it.

    Reports that came since stay with the survivor, and each is named to the operator, who alone can tell whose it is.

    Raises PatientNotFound; SettingsProblem when it was not merged.
    """
    number = _row_of(connection, former)
    survivor = connection.execute(select(patients.c.merged_into).where(patients.c.id == number)).scalar()
    if survivor is None:
        raise SettingsProblem("this identifier was not merged: use move for single studies and reports", reason="usage")
    had = connection.execute(select(merged).where(merged.c.former == number)).all()
    owners = {row.study_instance_uid: row.patient_id for row in connection.execute(select(studies))} if had else {}
    uids = {row.item for row in had if row.kind == STUDY and owners.get(row.item) == survivor}
    uids |= _named_by(connection, former, survivor)
    wanted = documents.c.number.in_([int(row.item) for row in had if row.kind == DOCUMENT])
    still = select(documents.c.number).where(wanted, documents.c.patient_id == survivor)
    held = list(connection.execute(still).scalars())
    since = _reports_since(connection, max((int(row.item) for row in had if row.kind == LAST), default=None), survivor)
    connection.execute(update(patients).where(patients.c.id == number).values(merged_into=None))
    connection.execute(delete(merged).where(merged.c.former == number))
    done = _hand_over(connection, sorted(uids), held, int(survivor), number)
    _hold_strangers(connection, int(survivor), number, done)
    done.told = ["The number is valid again, with what it had.", *since]
    done.people = 1
    done.tell_held("instance")
    return done


def _reports_since(connection: Connection, last: int | None, survivor: int) -> list[str]:
    """What to tell of reports that came since a merge: whose they are is not written on every one of them."""
    if last is None:  # merged by a version that did not keep it
        return ["Reports that came since the merge stay: see archive list."]
    d = documents.c
    of = d.patient_id == survivor, d.number > last, d.kind.startswith("report"), d.source == ""
    own = d.foreign_id.is_(None), d.state != WITHDRAWN  # what is an instance goes with its study
    numbers = list(connection.execute(select(d.number).where(*of, *own).order_by(d.number)).scalars())
    if not numbers:
        return ["No report came since the merge."]
    named = ", ".join(map(str, numbers))
    return [
        f"Reports that came since the merge stay with the other number: {named}. Look at each; archive move --report gives it back."
    ]


def _hold_strangers(connection: Connection, survivor: int, former: int, done: Done) -> None:
    """What stays with the survivor and names the other is held: from now on it is a stranger's name."""
    i = instances.c
    theirs = (i.patient_id == survivor) & i.said_patient.in_(names_of(connection, former)) & (i.state == "served")
    uids = list(connection.execute(select(i.study_instance_uid).where(theirs).distinct()).scalars())
    done.held += connection.execute(update(instances).where(theirs).values(state="corrected")).rowcount
    for uid in uids:
        index.withdraw(connection, uid)
    done.studies |= set(uids)


def _named_by(connection: Connection, former: PatientIdentifier, survivor: int) -> set[str]:
    """Studies that came since the merge and of which every file names the former identifier."""
    i, name = instances.c, f"{former.system}|{former.value}"
    of = select(i.study_instance_uid, i.said_patient).where(i.patient_id == survivor)
    said: dict[str, set[str | None]] = {}
    for row in connection.execute(of):
        said.setdefault(row.study_instance_uid, set()).add(row.said_patient)
    return {uid for uid, names in said.items() if names == {name}}


def _hand_over(connection: Connection, uids: Iterable[str], held: Iterable[int], giver: int, taker: int) -> Done:
    """Studies with all that is kept of them, and documents, from one row of the register to another."""
    done = Done(studies=set(uids))
    names = set(names_of(connection, taker))
    i, s = instances.c, studies.c
    for uid in done.studies:
        mine = (i.study_instance_uid == uid) & (i.patient_id == giver)
        done.instances += connection.execute(update(instances).where(mine).values(patient_id=taker)).rowcount
        now = (i.study_instance_uid == uid) & (i.patient_id == taker)
        strange = now & (i.state == "served") & i.said_patient.is_not(None) & i.said_patient.not_in(names)
        done.held += connection.execute(update(instances).where(strange).values(state="corrected")).rowcount
        known = now & (i.state == "corrected") & i.said_patient.in_(names)
        connection.execute(update(instances).where(known).values(state="served"))
        connection.execute(update(studies).where(s.study_instance_uid == uid).values(patient_id=taker))
        index.withdraw(connection, uid)
    said = rejections.c.note
    notes = select(i.sop_instance_uid).where(i.study_instance_uid.in_(done.studies), i.patient_id == taker)
    connection.execute(update(rejections).where(said.in_(notes)).values(patient_id=taker))
    for number in held:
        rename(connection, number, taker)
        done.documents += 1
    return done


def rename(connection: Connection, number: int, taker: int) -> None:
    """Give a document to another row of the register; its versions stay a family."""
    of = documents.c.number == number
    row = connection.execute(select(documents.c.family, documents.c.kind).where(of)).one()
    values: dict[str, int | str] = {"patient_id": taker}
    if row.family and row.kind.startswith("report"):
        values["family"] = f"{taker}/{row.family.partition('/')[2]}"
    connection.execute(update(documents).where(of).values(values))


def names_of(connection: Connection, number: int) -> list[str]:
    """What files may call a patient: the identifier, and those merged into it; as the index writes them."""
    patient = register.patient_of(connection, number)
    return [f"{one.system}|{one.value}" for one in (patient.identifier, *patient.former)]


def _registered(connection: Connection, identifier: PatientIdentifier) -> int:
    known = register.patient_row(connection, identifier)
    if known is None:
        raise PatientNotFound("the patient who is to stay is not in the register")
    return known[0]


def _row_of(connection: Connection, identifier: PatientIdentifier) -> int:
    row = register.anchor_row(connection, identifier)
    if row is None:
        raise PatientNotFound("the register does not know this identifier")
    return row
