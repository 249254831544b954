"""A border to try things at: Country A with an in-memory register, asked without sockets by countries that can also cheat.

Trust list, keys, trail, state and gate are the real ones; only what lies behind the connector, and the line, are stand-ins. What
was said stands in `conversation`, to be held against the requirements.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import Any
from urllib.parse import urlencode

import orjson

from isthmus.audit.trail import Trail
from isthmus.config import Consent, Settings, read_settings
from isthmus.conformance.evidence import Exchange
from isthmus.consent.directives import Directives
from isthmus.country_a.api import border_app
from isthmus.country_a.log import Log
from isthmus.model.context import Emergency, PointOfCare, Purpose, Representative, TreatmentRelationship
from isthmus.model.people import HealthProfessional, Organisation, Patient
from isthmus.sandbox import Sandbox
from isthmus.storage.database import open_state
from isthmus.storage.sealed import MasterKey
from isthmus.testing.register import Register
from isthmus.transport.grid import Grid
from isthmus.trust import pki
from isthmus.trust.certificates import own_certificate_der, x5t_s256
from isthmus.trust.directory import Directory
from isthmus.trust.encoding import base64url, unbase64url
from isthmus.trust.jws import sign
from isthmus.trust.keys import SigningKey, load_signing_key
from isthmus.trust.trustlist import write_trust_list
from isthmus.wire import assertions
from isthmus.wire.tokens import write_token_request

COUNTRIES = ("AA", "BB", "CC")
UNCONSCIOUS = "GCS 7 after a fall, no relatives present."
FINE = Grid(1, 1, 1)  # nobody looks at the time here; a test that does gives `Grid()`
POINT = PointOfCare("urn:oid:2.999.2.4.1", "Hospital of Country B", "BB")
DOCTOR = HealthProfessional(
    sub="doctor-1", name="Dr Practice", role="2212", organisation=Organisation("Hospital", "urn:oid:2.999.2.4.1"),
    session="session-1",
)  # fmt: skip


class Clock:
    """Says what it was told."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass(frozen=True)
class Reply:
    """An answer as it arrived. `whole` is false when it ended before it was complete."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """Our error code, of an OperationOutcome or of the token endpoint's JSON."""
        said = self.json()
        if "error_uri" in said:
            return str(said["error_uri"]).removeprefix("urn:ncp:error:")
        return str(said["issue"][0]["details"]["coding"][0]["code"])

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [entry["resource"] for entry in self.json().get("entry", [])]


class Peer:
    """A country that asks, with its real keys. What it signs can be changed before it is signed."""

    def __init__(self, settings: Settings, audience: str, clock: Clock) -> None:
        self.ncp_id, self.audience, self.clock = settings.ncp_id, audience, clock
        self.certificate = own_certificate_der(settings)
        self.sig: SigningKey = load_signing_key(settings.path(settings.keys.sig), settings.env)
        self.hpa_key: SigningKey = load_signing_key(settings.path(settings.keys.hpa), settings.env)

    @property
    def frame(self) -> dict[str, Any]:
        return {
            "issuer": self.ncp_id, "audience": self.audience, "x5t": x5t_s256(self.certificate),
            "jti": secrets.token_urlsafe(16), "now": self.clock(),
        }  # fmt: skip

    def hpa_claims(self, professional: HealthProfessional = DOCTOR, purpose: Purpose = Purpose.TREAT) -> dict[str, Any]:
        professional = replace(professional, auth_time=professional.auth_time or int(self.clock().timestamp()) - 60)
        return assertions.write_hpa(
            professional, **self.frame, purpose=purpose, point_of_care=POINT, home_community_id="urn:oid:2.999.2.1"
        )

    def trc_claims(
        self, patient: Patient, professional: HealthProfessional = DOCTOR, purpose: Purpose = Purpose.TREAT, method: str = "id-document",
        emergency: Emergency | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        now = self.clock()
        bond = TreatmentRelationship(purpose, method, "AA", now, "1", "en", True, "encounter-1", now, POINT, emergency)
        return assertions.write_trc(bond, patient, **self.frame, sub=professional.sub, sid=professional.session)

    def client_claims(self, hpa: str, trc: str | None = None, **more: Any) -> dict[str, Any]:
        claims = assertions.write_client_assertion(**self.frame, hpa=hpa, trc=trc)
        claims["extensions"]["ehdsi"] |= more
        return claims

    def sign_client(self, claims: Mapping[str, Any]) -> str:
        return sign(claims, self.sig, "client-authentication+jwt")

    def sign_hpa(self, claims: Mapping[str, Any]) -> str:
        return sign(claims, self.hpa_key, "hpa+jwt")

    def sign_trc(self, claims: Mapping[str, Any]) -> str:
        return sign(claims, self.sig, "trc+jwt")

    def nok_claims(self, handle: str, basis: str = "guardian", until: datetime | None = None) -> dict[str, Any]:
        """Somebody speaks for the patient of this handle."""
        shown = base64url(hashlib.sha256(b"a court's decision").digest())
        who, ends = Representative("representative-1", basis, shown, until), self.clock() + timedelta(hours=2)
        return assertions.write_nok(who, handle, **self.frame, ends=ends)

    def sign_nok(self, claims: Mapping[str, Any]) -> str:
        return sign(claims, self.sig, "nok+jwt")

    def request(
        self,
        hpa: Mapping[str, Any] | None = None,
        trc: Mapping[str, Any] | None = None,
        nok: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The form of a token request around these claims."""
        inner = self.sign_hpa(self.hpa_claims() if hpa is None else hpa)
        more = {} if nok is None else {"nok": self.sign_nok(nok)}
        outer = self.client_claims(inner, None if trc is None else self.sign_trc(trc), **more)
        return write_token_request(self.sign_client(outer))


class PracticeBorder:
    """Country AA's border in this process. `ask` speaks to it as a country would, `token` and `care` knock first."""

    def __init__(
        self,
        folder: Path,
        *,
        limits_of: str = "demo",
        requests_per_s: int | None = None,
        register: Register | None = None,
        grid: Grid = FINE,
        law: Consent | None = None,
        parallel_images: int | None = None,
    ) -> None:
        self.clock, self.register, self.folder = Clock(), register or Register(), folder
        if not (folder / "trustlist.jws").exists():  # one that is there is opened again, as after a restart
            pki.init(folder, countries=COUNTRIES, ports=pki.default_ports(COUNTRIES), now=self.clock.now)
        made = {country: folder / country.lower() / "isthmus.toml" for country in COUNTRIES}
        self.settings = read_settings(made["AA"], {})
        state = self.settings
        self.state = open_state(state)
        self.master = MasterKey.load(state.path(state.keys.env))
        self.directory = Directory(state, self.state, self.clock)
        self.directory.refresh()
        self.trail = Trail(self.state, self.master, self.clock, state.folder)
        self.directives = Directives.of_settings(state, self.state, self.clock)
        often = requests_per_s or state.limits.requests_per_s
        limits = replace(state.limits, requests_per_s=often, tokens_per_s=requests_per_s or state.limits.tokens_per_s)
        if parallel_images is not None:
            limits = replace(limits, parallel_images=parallel_images)
        self.sandbox = Sandbox()
        self.log = Log.open(state, self.state, self.master, self.trail, self.directory, self.clock)
        self.app = border_app(
            replace(state, env=limits_of, limits=limits, consent=law or state.consent),
            directory=self.directory, trail=self.trail, state=self.state, master=self.master,
            national=self.register, directives=self.directives, sandbox=self.sandbox, clock=self.clock, grid=grid,
            log=self.log,
        )  # fmt: skip
        ours = state.ncp_id
        self.conversation: list[Exchange] = []
        self.peers = {c: Peer(read_settings(made[c], {}), ours, self.clock) for c in ("BB", "CC")}
        self.bb = self.peers["BB"]

    async def __aenter__(self) -> PracticeBorder:
        self.trail.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sandbox.close()
        self.trail.stop()
        self.state.close()

    def say(self, patient: Patient, kind: str, scope: str = "", *, withdraw: bool = False) -> None:
        """What a patient says, kept at once."""
        change = self.directives.change_now(patient.identifier, kind, scope, withdraw=withdraw)
        assert change is not None
        self.state.write_now(lambda connection: self.directives.write(connection, change))

    def suspend(self, country: str) -> None:
        """Publish a list in which a country is suspended."""
        pki.set_status(self.folder, country, "suspended", now=self.clock())
        self.directory.refresh()

    def offer(self, *services: str) -> None:
        """Publish a list in which Country AA offers these services alone."""
        self.change(0, services=list(services))

    def change(self, participant: int, **members: Any) -> None:
        """Publish a list with other members of one participant, by its place in the list."""
        listed = self.folder / "trustlist.jws"
        body = orjson.loads(unbase64url(listed.read_text().split(".")[1]))
        body["participants"][participant] |= members
        key = load_signing_key(self.folder / "operator" / "operator.key.jwk", "demo")
        listed.write_text(write_trust_list({**body, "seq": body["seq"] + 1}, key))
        self.directory.refresh()

    def events(self) -> int:
        """How many records the trail holds."""
        count: int = self.state.read_now(lambda c: c.exec_driver_sql("SELECT count(*) FROM audit_trail").scalar_one())
        return count

    async def ask(
        self,
        path: str,
        *,
        token: str | None = None,
        query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        method: str = "",
        certificate: bytes | None = b"",
    ) -> Reply:
        """One request. `certificate` b"" means Country BB's own."""
        said = {"host": "127.0.0.1:8711", "accept": "application/fhir+json", **(headers or {})}
        if token is not None:
            said["authorization"] = f"Bearer {token}"
        if form is not None:
            body, said["content-type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        der = self.bb.certificate if certificate == b"" else certificate
        scope = {
            "type": "http", "method": method or ("POST" if form is not None else "GET"), "path": path,
            "raw_path": path.encode(), "query_string": urlencode(query).encode(), "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in said.items() if value],
            "extensions": {"tls": {"client_cert_chain": [DER_cert_to_PEM_cert(der)]}} if der else {},
        }  # fmt: skip
        reply = await _spoken(self.app, scope, body)
        self.conversation.append(
            Exchange(
                method=str(scope["method"]), path=path, origin=f"https://{said['host']}", query=tuple(_pairs(query)), sent=said,
                body=body, status=reply.status, headers=reply.headers, answer=reply.body, whole=reply.whole,
                peer=x5t_s256(der) if der else "", trusted=der in {one.certificate for one in self.peers.values()},
                at=self.clock(),
            )
        )  # fmt: skip
        return reply

    async def knock(self, body: bytes, peer: Peer | None = None) -> Reply:
        """A token request as it stands."""
        form = {"content-type": "application/x-www-form-urlencoded", "accept": ""}
        who = (peer or self.bb).certificate
        return await self.ask("/oauth/token", method="POST", body=body, headers=form, certificate=who)

    async def token(self, professional: HealthProfessional = DOCTOR, peer: Peer | None = None) -> str:
        """A token of the identify stage."""
        who = peer or self.bb
        return str((await self.knock(who.request(who.hpa_claims(professional)), who)).json()["access_token"])

    async def find(self, patient: Patient, token: str, peer: Peer | None = None) -> str:
        """The handle of a patient, found by all traits."""
        reply = await self.ask(
            "/fhir/Patient/_search", token=token, form=traits(patient), certificate=(peer or self.bb).certificate
        )
        return str(reply.entries[0]["id"])

    async def care(
        self, patient: Patient, professional: HealthProfessional = DOCTOR, peer: Peer | None = None
    ) -> tuple[str, str]:
        """A token of the care stage, and the patient's handle."""
        who = peer or self.bb
        handle = await self.find(patient, await self.token(professional, who), who)
        trc = who.trc_claims(replace(patient, handle=handle), professional)
        reply = await self.knock(who.request(who.hpa_claims(professional), trc), who)
        return str(reply.json()["access_token"]), handle

    async def declare(
        self,
        patient: Patient,
        professional: HealthProfessional = DOCTOR,
        *,
        words: str = UNCONSCIOUS,
        signed_in_s: int = 60,
    ) -> tuple[Reply, str]:
        """A token request of the care stage in an emergency, and the patient's handle."""
        signed_in = int(self.clock().timestamp()) - signed_in_s
        who = replace(professional, auth_time=signed_in)
        handle = await self.find(patient, await self.token(professional))
        emergency = Emergency("unconscious", words, datetime.fromtimestamp(signed_in, UTC))
        trc = self.bb.trc_claims(replace(patient, handle=handle), who, Purpose.BTG, "unable", emergency)
        return await self.knock(self.bb.request(self.bb.hpa_claims(who, Purpose.BTG), trc)), handle


def _pairs(query: Mapping[str, str] | Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return query.items() if isinstance(query, Mapping) else query


def traits(patient: Patient) -> dict[str, str]:
    """All fields of the search mask."""
    return {
        "identifier": f"{patient.identifier.system}|{patient.identifier.value}", "family": patient.name.family,
        "given": patient.name.given[0], "birthdate": patient.birth_date, "gender": patient.gender,
    }  # fmt: skip


async def _spoken(app: Any, scope: dict[str, Any], body: bytes) -> Reply:
    """Run one ASGI exchange; the asker stays on the line until it is answered."""
    import anyio

    status, headers, parts, ended = 0, dict[str, str](), list[bytes](), False
    given = False

    async def receive() -> dict[str, Any]:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        nonlocal status, ended
        if message["type"] == "http.response.start":
            status = message["status"]
            headers.update((name.decode(), value.decode()) for name, value in message["headers"])
        else:
            parts.append(bytes(message.get("body", b"")))
            ended = not message.get("more_body", False)

    await app(scope, receive, send)
    return Reply(status, headers, b"".join(parts), ended)
