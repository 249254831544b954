"""`isthmus trust sign | suspend | resume | revoke`: what the list's operator does, with the operator's key. No node does these.

Without `--list` and `--key` it is the list of practice countries, whose operator's key lies beside it.

Source: interfaces.md §2; trust.md §6.1, §6.3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.commands.output import Json, Options, emit, printable, settings_of
from isthmus.errors import SettingsProblem
from isthmus.trust.keys import SigningKey, load_signing_key
from isthmus.trust.operator import lists

ListFile = Annotated[Path | None, typer.Option("--list", metavar="FILE", help="The signed list to change.")]
KeyFile = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The operator's private key (JWK).")]
LifeHours = Annotated[
    float | None, typer.Option("--life-h", metavar="H", min=0.1, help="How long it holds; as before if not given.")
]
Country = Annotated[str, typer.Argument(metavar="COUNTRY", help="Two letters, or its ncp_id.")]


@dataclass(frozen=True)
class Desk:
    """A list and the key that signs it."""

    file: Path
    key: SigningKey
    env: str
    life_h: float | None = None

    def change(self, change: Callable[[lists.Body], None]) -> lists.Signed:
        body = lists.read_body(self.file, lists.pinned(self.key))
        change(body)
        return self.publish(body)

    def publish(self, body: lists.Body) -> lists.Signed:
        life_s = int(self.life_h * 3600) if self.life_h is not None else lists.life_of(body, self.env)
        return lists.publish(self.file, body, self.key, env=self.env, life_s=life_s, now=datetime.now(UTC))


def desk_of(
    ctx: typer.Context, list_: Path | None, key: Path | None, life_h: float | None = None, env: str | None = None
) -> Desk:
    """The list and key that were named, or those of the practice countries that the settings belong to. Raises SettingsProblem."""
    options = ctx.find_root().obj
    named = isinstance(options, Options) and options.config is not None
    if not named and (list_ is None or key is None):
        raise SettingsProblem(
            "give --list and --key, or the settings of a practice country before the command", reason="usage"
        )
    if named:
        settings = settings_of(ctx)
        if list_ is None and "://" in settings.trust.list:
            raise SettingsProblem("trust.list is an address: give the file with --list", reason="usage")
        list_ = list_ or settings.path(settings.trust.list)
        key = key or list_.parent / "operator" / "operator.key.jwk"
        env = env or settings.env
    assert list_ is not None  # asked before
    assert key is not None
    env = env or _env_of(list_)
    return Desk(list_, load_signing_key(key, env), env, life_h)


def _env_of(file: Path) -> str:
    """For which environment the list is that lies there; a first one says it with --env."""
    from isthmus.trust.encoding import unbase64url

    try:
        body = json.loads(unbase64url(file.read_text("ascii").split(".")[1]))
        return str(body["env"])
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise SettingsProblem("say with --env for which environment the list is", reason="usage") from error


def sign(
    ctx: typer.Context,
    body: Annotated[
        Path | None, typer.Argument(metavar="[BODY]", help="JSON with tls_ca and participants; else the list as it is.")
    ] = None,
    request: Annotated[
        list[Path] | None,
        typer.Option("--request", metavar="FILE", help="What a country asks for (`isthmus keys rotate` writes it)."),
    ] = None,
    list_: ListFile = None,
    key: KeyFile = None,
    life_h: LifeHours = None,
    env: Annotated[str | None, typer.Option("--env", help="demo, test or prod: of a first list.")] = None,
    as_json: Json = False,
) -> None:
    """Sign the list with its next number: as it is, from a file, or with what countries asked for. What nodes would refuse is not signed.

    In production, lists live 24 hours at most and are signed again every hour: put this into a timer.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust sign
      isthmus trust sign --list trustlist.jws --key operator.key.jwk --request bb-sig.request.json
    """
    desk = desk_of(ctx, list_, key, life_h, env)
    fresh = _json(body) if body is not None else None
    asked = [_json(file) for file in request or ()]
    countries: list[str] = []

    def change(held: lists.Body) -> None:
        if fresh is not None:
            held.update({name: fresh[name] for name in ("tls_ca", "participants") if name in fresh})
        countries.extend(lists.apply_request(held, each) for each in asked)

    if fresh is not None and not desk.file.exists():
        change(first := dict(fresh))
        signed = desk.publish({**first, "seq": int(first.get("seq", 0))})
    else:
        signed = desk.change(change)
    emit({**_said(signed), "requests": countries}, as_json, _show)


def suspend(
    ctx: typer.Context, country: Country, list_: ListFile = None, key: KeyFile = None, as_json: Json = False
) -> None:
    """Suspend a country: its traffic ends in both directions within a minute, open connections and running transfers included.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust suspend BB
    """
    _set_status(desk_of(ctx, list_, key), country, "suspended", as_json)


def resume(
    ctx: typer.Context, country: Country, list_: ListFile = None, key: KeyFile = None, as_json: Json = False
) -> None:
    """Let a suspended country come back.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust resume BB
    """
    _set_status(desk_of(ctx, list_, key), country, "active", as_json)


def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="KEY", help="Its kid, or the SPKI digest of a TLS key.")],
    list_: ListFile = None,
    key: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Revoke one key: what it signed is refused, and connections it made end, within a minute. It cannot come back without waiting.

    \b
    Example:
      isthmus --config aa/isthmus.toml trust revoke bb-hpa-1
    """
    whose: list[str] = []
    signed = desk_of(ctx, list_, key).change(lambda body: whose.append(lists.revoke(body, name)))
    value = {**_said(signed), "country": whose[0], "key": name, "status": "revoked"}
    emit(
        value,
        as_json,
        lambda said: typer.echo(f"{said['key']} of {said['country']} is revoked (list number {said['sequence']})"),
    )


def from_smp(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="SMP service metadata of one country (XML).")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the draft of its entry is written.")],
    as_json: Json = False,
) -> None:
    """Read what today's network publishes of a country, and write a draft of its entry in the list. It is never signed by itself.

    The XML signature is not verified: do that with the network's own tools. The draft is suspended, has no keys for statements, and
    whatever has to be seen to is said. Put it among the participants of a body for `trust sign`.

    \b
    Example:
      isthmus trust from-smp pt-fhir.xml pt-ism.xml --out pt.json
    """
    from isthmus.trust.operator.smp import draft_from

    try:
        draft = draft_from({file.name: file.read_bytes() for file in files})
        lists.write_request(out, draft.participant)
    except OSError as error:
        raise SettingsProblem(
            f"{error.filename} cannot be read or written: {error.strerror}", reason="usage"
        ) from error
    value = {"file": str(out), "participant": draft.participant, "signature": "not verified", "remarks": draft.remarks}
    emit(value, as_json, _show_draft)


def _show_draft(value: dict[str, Any]) -> None:
    typer.echo(f"{value['file']}: {value['participant']['ncp_id']}, not verified, not signed. Look at:")
    for remark in value["remarks"]:
        typer.echo(printable(f"- {remark}"))


def _set_status(desk: Desk, country: str, status: str, as_json: bool) -> None:
    signed = desk.change(lambda body: lists.set_status(body, country, status))
    value = {"sequence": signed.listed.seq, "country": country, "status": status}
    emit(
        value,
        as_json,
        lambda said: typer.echo(f"{said['country']} is {said['status']} (list number {said['sequence']})"),
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsProblem(f"{file} is no JSON file that can be read", reason="usage") from error
    if not isinstance(read, dict):
        raise SettingsProblem(f"{file} is no JSON object", reason="usage")
    return read


def _said(signed: lists.Signed) -> dict[str, Any]:
    until = datetime.fromtimestamp(signed.listed.next_update, UTC).isoformat().replace("+00:00", "Z")
    return {
        "sequence": signed.listed.seq,
        "valid_until": until,
        "digest": signed.listed.digest,
        "file": str(signed.file),
    }


def _show(value: dict[str, Any]) -> None:
    typer.echo(f"{value['file']} is number {value['sequence']}, until {value['valid_until']}")
    for country in value["requests"]:
        typer.echo(f"with what {country} asked for")
