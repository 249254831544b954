"""`isthmus token`: an access token for people who want to reach a border with their own client.

Source: interfaces.md §5.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import typer

from isthmus.commands.output import Json, emit
from isthmus.commands.visit import As, Asked, Born, Country, Family, Gender, Given, PatientId, begin, run

if TYPE_CHECKING:
    from isthmus.country_b.client import Client

app = typer.Typer()


@app.command()
def token(
    ctx: typer.Context,
    login: As,
    country: Country,
    identifier: PatientId,
    family: Family = None,
    given: Given = None,
    birth_date: Born = None,
    gender: Gender = None,
    json: Json = False,
) -> None:
    """Print an access token, the patient's handle and a curl line that uses both (demo and test only).

    The token is bound to this node's TLS certificate and lives five minutes.

    \b
    Example:
      isthmus --config bb/isthmus.toml token --country AA --identifier 'urn:oid:2.999.1.2.1|0123456789' \\
        --family Papadaki --birth-date 1961-04-09 --as radiologist
    """
    ctx.obj = Asked(login, country, identifier, family, given, birth_date, gender, "TREAT", None)

    async def work(client: Client, asked: Asked) -> dict[str, Any]:
        from isthmus.country_b.tokens import care_token

        visit = await begin(client, asked, confirm=True)
        granted = await care_token(client, visit, asked.country)
        endpoints, handle = client.directory.country(asked.country).endpoints, visit.patient_in(asked.country).handle
        return {
            "access_token": granted.access_token,
            "expires_in": granted.expires_in,
            "patient": handle,
            "fhir": endpoints.fhir,
            "dicomweb": endpoints.dicomweb,
            "curl": _curl(
                client,
                granted.access_token,
                f"{endpoints.fhir}/DocumentReference?patient=Patient/{handle}&status=current",
            ),
        }

    emit(run(ctx, work), json, _for_people)


def _curl(client: Client, access_token: str, url: str) -> str:
    settings = client.settings
    authority = settings.path(settings.trust.list).with_name("ca.pem")
    words = ["curl", "--silent", "--cacert", str(authority)]
    words += [
        "--cert",
        str(settings.path(settings.keys.tls_certificate)),
        "--key",
        str(settings.path(settings.keys.tls_key)),
    ]
    return shlex.join([*words, "--header", f"Authorization: Bearer {access_token}", url])


def _for_people(answer: dict[str, Any]) -> None:
    print(f"token    {answer['access_token']}")
    print(f"         for {answer['expires_in']} s, with this node's certificate alone")
    print(f"patient  {answer['patient']}")
    print(f"\n{answer['curl']}")
