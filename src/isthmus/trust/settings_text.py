"""The settings files that practice countries get, as text: `pki.py` fills them in, and later changes nothing in them but the ports.

Everything under 2.999 is invented. Source: interfaces.md §8; architecture.md §5.4.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from string import Template

from isthmus.errors import SettingsProblem

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class CountryPorts:
    """Where one practice country listens."""

    border: int
    operations: int
    citizen: int = 0  # none: no pages for its patients


_NODE = Template("""\
# Country $country, an invented country. Written by isthmus; every key here is meant for practice alone.
env = "demo"
country = "$country"
ncp_id = "$ncp_id"
database = "sqlite:///state.sqlite"
blobs = "file:///archive"

[border]
host = "$host"
port = $border
public = "https://$host:$border"

[operations]
host = "$host"
port = $operations

[trust]
list = "../trustlist.jws"
operator_keys = ["../operator/operator.jwk"]
poll_s = 2.0
hold_h = 0.0
""")

_ASKS = Template("""
[portal]
host = "$host"
port = $portal
public = "http://$host:$portal"

[signin]
accounts = "accounts.toml"
""")

_AT_HOME = Template("""
[citizen]
host = "$host"
port = $citizen
public = "http://$host:$citizen"

[signin]
accounts = "accounts.toml"
""")

_ANSWERS = Template("""
[keys]
consent = "keys/consent.jwk"

[consent]
keys = ["keys/consent.public.jwk"]
regime = "opt-out"

[[sources.patients]]
name = "register"
$source
[[sources.reports]]
name = "reports"
$source
[[sources.images]]
name = "archive"
$source
[sources.images.regions]
$regions
""")

_SOURCE = Template("""\
kind = "files"
patient_issuer = "2.999.$number.2.1"
accession_issuer = "2.999.$number.2.2"
placer_issuer = "2.999.$number.2.3"
time_zone = "Europe/Athens"
institution = "$institution"
institution_id = "urn:oid:2.999.$number.2.4|$country-H-001"
location_uid = "2.999.$number.2.6.1"
""")

_REGIONS = {
    "774007": ("HEAD", "BRAIN", "SKULL", "NECK", "HEADNECK", "FACE", "ORBIT", "SINUS", "CSKULL"),
    "67734004": ("CHEST", "LUNG", "THORAX", "SHOULDER", "CHESTABDPELVIS"),
    "63337009": ("ABDOMEN", "PELVIS", "ABDOMENPELVIS", "LIVER", "KIDNEY", "PROSTATE"),
    "76752008": ("BREAST",),
    "80891009": ("HEART", "CARDIAC"),
    "113257007": ("AORTA", "VESSEL", "CORONARYARTERY"),
    "1141981001": ("SPINE", "CSPINE", "TSPINE", "LSPINE", "SSPINE"),
    "53120007": ("ARM", "HAND", "WRIST", "ELBOW", "FOREARM", "FINGER"),
    "61685007": ("LEG", "KNEE", "FOOT", "ANKLE", "HIP", "THIGH", "EXTREMITY"),
    "38266002": ("WHOLEBODY",),
}


def ncp_id(country: str) -> str:
    return f"urn:ehealth:{country.lower()}:ncp-idp"


def with_ports(text: str, ports: CountryPorts, portal_port: int) -> str:
    """The settings as they are kept, with these ports; whatever else somebody wrote into them stays.

    Raises SettingsProblem when a port does not stand in a section of its own, as it was written first.
    """
    wanted = {"border": ports.border, "operations": ports.operations, "portal": portal_port}
    wanted |= {"citizen": ports.citizen} if ports.citizen else {}
    lines, section = [], ""
    for line in text.splitlines(keepends=True):
        if (head := re.match(r"\s*\[+\s*([\w.]+)\s*\]", line)) is not None:
            section = head[1]
        elif (port := wanted.get(section)) is not None:
            line = re.sub(r"^(\s*port\s*=\s*)\d+", rf"\g<1>{port}", line)
            line = re.sub(r'^(\s*public\s*=\s*"[^"]*:)\d+', rf"\g<1>{port}", line)
        lines.append(line)
    moved = "".join(lines)
    try:
        said = tomllib.loads(moved)
    except tomllib.TOMLDecodeError as error:
        raise SettingsProblem(f"the settings cannot be read: {error}") from error
    for name, port in wanted.items():
        if name in said and (said[name].get("port"), f":{port}" in said[name].get("public", f":{port}")) != (
            port,
            True,
        ):
            raise SettingsProblem(
                f"[{name}] needs a line with port and, where it is public, one with its address and port: the demo sets them",
                key=name,
            )
    return moved


def node_settings(country: str, number: int, ports: CountryPorts, *, answers: bool, portal_port: int | None) -> str:
    """The settings of one practice country. `number` is its arc: 2.999.NUMBER."""
    names: dict[str, object] = {
        "country": country,
        "ncp_id": ncp_id(country),
        "number": number,
        "host": HOST,
        "border": ports.border,
        "operations": ports.operations,
        "portal": portal_port,
        "citizen": ports.citizen,
        "institution": "Asfodelos General Hospital (demo)" if number == 1 else f"General Hospital of {country} (demo)",
        "regions": "\n".join(f'{part} = "{code}"' for code, parts in _REGIONS.items() for part in parts),
    }
    names["source"] = _SOURCE.substitute(names)
    texts = [_NODE]
    if portal_port is not None:
        texts.append(_ASKS)
    if answers:
        texts.append(_ANSWERS)
        if ports.citizen and portal_port is None:
            texts.append(_AT_HOME)
    return "".join(text.substitute(names) for text in texts)
