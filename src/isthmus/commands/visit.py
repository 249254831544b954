"""`isthmus visit`: Country B at the command line. The process *is* Country B: it reads the node's settings, uses its keys,
writes its trail, and speaks to Country A itself.

Source: interfaces.md §4.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from isthmus.commands.output import Json, emit, progress, refuse_stand_in, settings_of, show, table, verbose_of
from isthmus.errors import MalformedRequest, SettingsProblem
from isthmus.model.amounts import amount

if TYPE_CHECKING:
    from isthmus.country_b.client import Client
    from isthmus.country_b.visit import Visit
    from isthmus.model.queries import PatientQuery

app = typer.Typer(no_args_is_help=True)
T = TypeVar("T")
FORMS = ("original", "structured", "manifest-fhir", "manifest-kos")


@dataclass(frozen=True)
class Asked:
    """Who asks and for whom, as it stands before the verb."""

    login: str
    country: str
    identifier: str
    family: str | None
    given: str | None
    birth_date: str | None
    gender: str | None
    purpose: str
    reason: str | None


_AS = typer.Option(
    "--as", metavar="LOGIN", help="The professional, by login: a stand-in for sign-in, demo and test only."
)
_COUNTRY = typer.Option("--country", metavar="CC", help="The country that holds the patient's data.")
_IDENTIFIER = typer.Option("--identifier", metavar="SYSTEM|VALUE", help="The patient's identifier there.")
As = Annotated[str, _AS]
Country = Annotated[str, _COUNTRY]
PatientId = Annotated[str, _IDENTIFIER]
MaybeAs = Annotated[str | None, _AS]  # before a verb: `visit find --help` must answer without them
MaybeCountry = Annotated[str | None, _COUNTRY]
MaybePatientId = Annotated[str | None, _IDENTIFIER]
Family = Annotated[str | None, typer.Option("--family", help="Family name.")]
Given = Annotated[str | None, typer.Option("--given", help="Given name.")]
Born = Annotated[str | None, typer.Option("--birth-date", metavar="YYYY-MM-DD", help="Birth date.")]
Gender = Annotated[str | None, typer.Option("--gender", help="male, female, other or unknown.")]


@app.callback()
def _asked(
    ctx: typer.Context,
    login: MaybeAs = None,
    country: MaybeCountry = None,
    identifier: MaybePatientId = None,
    family: Family = None,
    given: Given = None,
    birth_date: Born = None,
    gender: Gender = None,
    purpose: Annotated[
        str,
        typer.Option("--purpose", help="TREAT, ETREAT (emergency treatment), BTG (emergency access; needs --reason)."),
    ] = "TREAT",
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why, for BTG: at least 20 characters; the patient can read it.")
    ] = None,
) -> None:
    """Find, list, get, images: one visit of a health professional to a patient of another country.

    It states for the professional: identity document seen, notice given, treatment relationship confirmed now.

    \b
    Example:
      isthmus --config bb/isthmus.toml visit --as ME --country AA --identifier 'SYSTEM|VALUE' --family F --birth-date D list
    """
    given_ = {"--as": login, "--country": country, "--identifier": identifier}
    missing = [name for name, value in given_.items() if not value]
    ctx.obj = missing or Asked(
        login or "", country or "", identifier or "", family, given, birth_date, gender, purpose, reason
    )


async def begin(client: Client, asked: Asked, *, confirm: bool) -> Visit:
    """Find the one person, and confirm the treatment relationship. Raises PatientNotFound, InsufficientRights."""
    from dataclasses import replace

    from isthmus.country_b import patients
    from isthmus.country_b.visit import new_visit, place_of
    from isthmus.ground import speak_for
    from isthmus.model.context import Purpose

    professional = replace(speak_for(client.settings, asked.login), session=secrets.token_hex(16))
    try:
        purpose = Purpose(asked.purpose)
    except ValueError:
        raise MalformedRequest("--purpose is TREAT, ETREAT or BTG", reason="value", path="--purpose") from None
    point = place_of(professional, client.settings.country)
    visit = new_visit(professional, point, purpose, client.clock(), client.roles)
    found = await patients.find_patients(client, visit, asked.country, query_of(asked))
    visit = visit.found(asked.country, found)
    return _confirmed(client, visit, asked.country, asked.reason or "") if confirm else visit


def query_of(asked: Asked) -> PatientQuery:
    """The search for the one person. Raises MalformedRequest."""
    from isthmus.model.identifiers import PatientIdentifier
    from isthmus.model.queries import PatientQuery

    return PatientQuery(
        (PatientIdentifier.read(asked.identifier),),
        asked.family,
        (asked.given,) if asked.given else (),
        asked.birth_date,
        asked.gender,
    )


def _confirmed(client: Client, visit: Visit, country: str, reason: str) -> Visit:
    from dataclasses import replace
    from datetime import UTC, datetime

    from isthmus.model.context import EMERGENCY_WORDS_MIN, Emergency, Purpose, TreatmentRelationship, emergency_words

    now, emergency = client.clock(), None
    if visit.purpose is Purpose.BTG:
        if len(emergency_words(reason)) < EMERGENCY_WORDS_MIN:
            raise MalformedRequest(
                f"--purpose BTG needs --reason, at least {EMERGENCY_WORDS_MIN} characters",
                reason="value",
                path="--reason",
            )
        emergency = Emergency("other", reason, datetime.fromtimestamp(visit.professional.auth_time, UTC))
    relationship = TreatmentRelationship(
        purpose=visit.purpose,
        method="id-document",
        document_country=country,
        verified_at=now,
        notice_version="1",
        notice_language="en",
        notice_given=True,
        encounter=secrets.token_urlsafe(12),
        confirmed_at=now,
        point_of_care=visit.point_of_care,
        emergency=emergency,
    )
    return replace(visit, relationship=relationship)


def run(ctx: typer.Context, work: Callable[[Client, Asked], Awaitable[T]]) -> T:
    """Do something as Country B, with its keys and its trail."""
    refuse_stand_in(ctx)
    settings, asked = settings_of(ctx), ctx.obj
    if not isinstance(asked, Asked):
        raise SettingsProblem(
            f"Missing option {', '.join(asked)}, before the verb; see `isthmus visit --help`", reason="usage"
        )

    async def inside() -> T:
        from isthmus.ground import asking

        async with asking(settings) as client:
            try:
                return await work(client, asked)
            finally:
                if verbose_of(ctx):
                    for (country, word), times in sorted(client.forgiven.items()):
                        sys.stderr.write(f"forgiven {country}: {word} ({times})\n")

    return asyncio.run(inside())


@app.command()
def find(ctx: typer.Context, json: Json = False) -> None:
    """Who is this: the one person found, or exit 4. Never candidates.

    \b
    Example:
      isthmus --config bb/isthmus.toml visit --as ME --country AA --identifier 'SYSTEM|VALUE' --family F --birth-date D find
    """

    async def work(client: Client, asked: Asked) -> dict[str, Any]:
        patient = (await begin(client, asked, confirm=False)).patient_in(asked.country)
        identifier = {"system": patient.identifier.system, "value": patient.identifier.value}
        person = {"family": patient.name.family, "given": list(patient.name.given), "birthDate": patient.birth_date}
        return {"patient": {"identifier": identifier, **person, "gender": patient.gender}}

    emit(run(ctx, work), json, _person)


def _person(answer: dict[str, Any]) -> None:
    rows = table("family", "given", "born", "gender", "identifier")
    p = answer["patient"]
    rows.add_row(p["family"], " ".join(p["given"]), p["birthDate"], p["gender"], p["identifier"]["value"])
    show(rows)


@app.command("list")
def list_(
    ctx: typer.Context,
    kind: Annotated[
        str | None, typer.Option("--kind", help="study or report: only examinations that have one.")
    ] = None,
    modality: Annotated[str | None, typer.Option("--modality", help="CT,MR: any of these.")] = None,
    region: Annotated[str | None, typer.Option("--region", help="Body region, a SNOMED CT code.")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="From this day on.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Up to and including this day.")] = None,
    study: Annotated[str | None, typer.Option("--study", metavar="UID", help="This study alone.")] = None,
    accession: Annotated[
        str | None, typer.Option("--accession", metavar="SYSTEM|VALUE", help="This accession number.")
    ] = None,
    json: Json = False,
) -> None:
    """Studies and their reports, newest first.

    \b
    Example:
      isthmus --config bb/isthmus.toml visit --as ME --country AA --identifier 'SYSTEM|VALUE' --family F --birth-date D list --modality CT,MR
    """
    from isthmus.commands import visit_list

    query = visit_list.query_of(modality, first, last, study)
    visit_list.kept([], kind, region, accession)

    async def work(client: Client, asked: Asked) -> dict[str, Any]:
        from isthmus.country_b.documents import find_documents
        from isthmus.model.pairing import pair

        visit = await begin(client, asked, confirm=True)
        found = await find_documents(client, visit, asked.country, query)
        return visit_list.as_json(visit_list.kept(pair(found), kind, region, accession))

    emit(run(ctx, work), json, visit_list.for_people)


@app.command()
def get(
    ctx: typer.Context,
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="A document's id, from the list.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.")],
    form: Annotated[
        str, typer.Option("--form", help="original, structured, manifest-fhir or manifest-kos.")
    ] = "structured",
    json: Json = False,
) -> None:
    """One document: a report as issued (PDF, CDA) or structured (FHIR), or the manifest of a study in either form.

    \b
    Example:
      isthmus --config bb/isthmus.toml visit --as ME --country AA --identifier 'SYSTEM|VALUE' --family F --birth-date D get ID --form original --out r.pdf
    """
    if form not in FORMS:
        raise MalformedRequest(f"--form is one of {', '.join(FORMS)}", reason="value", path="--form")

    async def work(client: Client, asked: Asked) -> bytes:
        from isthmus.country_b import documents
        from isthmus.model.documents import DocumentKind
        from isthmus.wire.report.document import original_of

        visit = await begin(client, asked, confirm=True)
        if form == "manifest-fhir":
            return (await documents.get_manifest(client, visit, asked.country, document))[1]
        if form == "manifest-kos":
            return (await documents.get_kos(client, visit, asked.country, document))[1]
        if form == "original":
            listed = await documents.get_entry(client, visit, asked.country, document)
            if listed.kind in (DocumentKind.REPORT_PDF, DocumentKind.REPORT_CDA):
                return await documents.get_binary(client, visit, asked.country, listed)
        _, body = await documents.get_report(client, visit, asked.country, document)
        return original_of(body)[1] if form == "original" else body

    body = run(ctx, work)
    _write(out, body)
    emit(
        {"file": str(out), "form": form, "bytes": len(body)},
        json,
        lambda a: print(f"{a['file']}: {amount(a['bytes'], 'byte')}, {form}"),
    )


def _write(out: Path, body: bytes) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".part-{secrets.token_hex(8)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(body)
    part.rename(out)


def _bar(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """Says how far a fetch is: on a terminal the bar moves, elsewhere a line a hundred images."""
    said = 0

    def bar(done: int, total: int) -> None:
        nonlocal said
        advance(done - said)
        said = done
        if not sys.stderr.isatty() and done and done % 100 == 0:
            sys.stderr.write(f"{done} of {amount(total, 'image')}\n")

    return bar


@app.command()
def images(
    ctx: typer.Context,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID, from the list.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Writes DIR/STUDY/SERIES/SOP.dcm.")],
    series: Annotated[
        list[str] | None, typer.Option("--series", metavar="UID", help="Only this series; repeatable.")
    ] = None,
    instance: Annotated[str | None, typer.Option("--instance", metavar="UID", help="Only this instance.")] = None,
    key_images: Annotated[
        bool, typer.Option("--key-images", help="Only those that key object selections mark.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Fetch only what is not there yet.")] = False,
    wait: Annotated[
        int, typer.Option("--wait", metavar="MINUTES", min=0, help="How long to wait for a slow archive.")
    ] = 10,
    json: Json = False,
) -> None:
    """The images of a study, byte for byte as the country sent them, with what came in received.json.

    A broken transfer leaves only whole files and exits 6; the same command with --resume fetches the rest. Images that a slow archive
    still prepares are waited for; when the time is over the exit status is 5.

    \b
    Example:
      isthmus --config bb/isthmus.toml visit --as ME --country AA --identifier 'SYSTEM|VALUE' --family F --birth-date D images 2.25.1234 --out here --resume
    """
    from isthmus.model.identifiers import checked_uid

    for uid in (study, *(series or ()), *((instance,) if instance else ())):
        checked_uid(uid)

    async def work(client: Client, asked: Asked) -> dict[str, Any]:
        from isthmus.commands.visit_images import Patience, fetch_study, say_waiting

        visit = await begin(client, asked, confirm=True)
        with progress("images") as advance:
            return await fetch_study(
                client,
                visit,
                asked.country,
                study,
                folder=out,
                series=series or (),
                instance=instance,
                key_images=key_images,
                resume=resume,
                bar=_bar(advance),
                patience=Patience(wait * 60, say_waiting),
            )

    emit(
        run(ctx, work),
        json,
        lambda a: print(f"{amount(a['count'], 'image')}, {a['bytes'] / 1e6:.1f} MB in {out / study}"),
    )
