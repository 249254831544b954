"""What stands open: nothing that a header, a setting, a label or another country's key could turn to its advantage."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from markupsafe import escape
from tests.country_b.portal.fakes import participant, portal_in
from tests.hostile.vectors import texts

from isthmus.config import read_settings
from isthmus.errors import SettingsProblem
from isthmus.model.context import Purpose
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import SEEN
from isthmus.testing.two_countries import prepare, two_countries
from isthmus.trust import pki
from isthmus.trust.encoding import unbase64url
from isthmus.trust.jws import sign
from isthmus.trust.keys import load_signing_key

pytestmark = pytest.mark.anyio


@pytest.mark.threat("T22")
async def test_a_token_that_another_country_has_issued_opens_nothing_here(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    claims = orjson.loads(unbase64url(token.split(".")[1]))
    other = read_settings(border.folder / "cc" / "isthmus.toml", {})
    theirs = load_signing_key(other.path(other.keys.at), other.env)

    for wrong in (
        sign({**claims, "iss": other.ncp_id, "aud": other.ncp_id}, theirs, "at+jwt"),
        sign({**claims, "iss": other.ncp_id}, theirs, "at+jwt"),
        sign(claims, theirs, "at+jwt"),
    ):
        reply = await border.ask("/fhir/DocumentReference", token=wrong, query={"patient": f"Patient/{handle}"})
        assert (reply.status, reply.code) == (401, "token")


@pytest.mark.threat("T49")
async def test_the_purpose_is_the_tokens_whatever_a_request_says_of_it(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    form = {"patient": handle, "status": "current"}
    plain = await border.ask("/fhir/DocumentReference/_search", token=token, form=form)

    for name in ("purpose-of-use", "x-purpose-of-use", "x-isthmus-purpose", "purpose", "break-the-glass"):
        said = await border.ask(
            "/fhir/DocumentReference/_search", token=token, form=form, headers={name: Purpose.BTG.value}
        )
        assert (said.status, said.body) == (plain.status, plain.body)
        asked = await border.ask("/fhir/DocumentReference/_search", token=token, form={**form, name: Purpose.BTG.value})
        assert (asked.status, asked.code) == (400, "param")


@pytest.mark.threat("T37")
@pytest.mark.parametrize("switch", ["enabled = false", "off = true", "stand_in = true", "always = true", "engine = 1"])
def test_no_setting_switches_consent_off(switch: str, tmp_path: Path) -> None:
    made = pki.init(tmp_path, countries=("AA", "BB"), ports=pki.default_ports(("AA", "BB")), now=datetime.now(UTC))
    file = made.settings["AA"]
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[consent]", f"[consent]\n{switch}", 1), encoding="utf-8")

    with pytest.raises(SettingsProblem) as refused:
        read_settings(file, {})

    assert "[consent]" in text
    assert switch.split()[0] in str(refused.value)


@pytest.mark.threat("T59")
async def test_a_pattern_made_to_take_for_ever_takes_no_time(border: PracticeBorder) -> None:
    identifiers = [{"system": SEEN.identifier.system, "pattern": r"(\d+)+$", "label": {"en": "Number"}}]
    border.change(0, search_mask={"identifiers": identifiers, "traits": {"family": "required"}})
    token = await border.token()
    form = {"identifier": f"{SEEN.identifier.system}|{'1' * 63}x", "family": "Practice"}

    began = time.process_time()
    reply = await border.ask("/fhir/Patient/_search", token=token, form=form)

    assert (reply.status, reply.code) == (400, "search-mask")
    assert time.process_time() - began < 0.5


@pytest.mark.threat("T59")
@pytest.mark.parametrize("words", texts()[:7])
async def test_a_label_of_the_trust_list_is_text_in_the_form(words: str, tmp_path: Path) -> None:
    portal = portal_in(tmp_path)
    listed = participant()
    mask = replace(listed.mask, identifiers=(replace(listed.mask.identifiers[0], label={"en": words}),))
    portal.desk.directory.participants[:] = [replace(listed, mask=mask, name={"en": words})]  # type: ignore[attr-defined]  # the fake directory
    browser = portal.browser()

    page = await browser.sign_in()
    portal.desk.sandbox.close()

    assert str(escape(words))[:12] in page.text
    assert words not in page.text or not re.search(r"[<>\"']", words)


@pytest.mark.threat("T101")
@pytest.mark.parametrize(
    "name", ["x_forwarded_host", "x_forwarded_proto", "forwarded", "x_original_url", "x_rewrite_url", "x_host"]
)
async def test_a_header_of_a_proxy_changes_no_page_and_no_page_may_be_kept(name: str, tmp_path: Path) -> None:
    portal = portal_in(tmp_path)
    plain = await portal.browser().once("GET", "/sign-in")

    said = await portal.browser().once("GET", "/sign-in", headers={name: "attacker.example"})
    portal.desk.sandbox.close()

    assert "attacker.example" not in said.text + str(said.headers)
    assert said.status == plain.status
    assert said.headers["cache-control"] == "no-store"


@pytest.mark.slow
@pytest.mark.threat("T83")
def test_a_node_listens_where_its_settings_say_and_nowhere_else(at_rest: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "pair", at_rest)
    with two_countries(tmp_path / "pair") as countries:
        for node in (countries.a, countries.b):
            named = re.findall(r"^port = (\d+)", node.settings.file.read_text(encoding="utf-8"), re.MULTILINE)
            addresses = _listening(node.pid)

            assert {port for _, port in addresses} <= set(map(int, named))
            assert {host for host, _ in addresses} == {"127.0.0.1"}
            assert len(addresses) >= 2


def _listening(pid: int) -> set[tuple[str, int]]:
    """Host and port of every socket on which a process, or a child of it, listens. Source: proc(5)."""
    family = {pid} | {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    inodes = set()
    for each in family:
        for handle in Path(f"/proc/{each}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(handle)))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in inodes:
                address, _, port = local.partition(":")
                host = ".".join(str(byte) for byte in reversed(bytes.fromhex(address))) if table == "tcp" else address
                found.add((host, int(port, 16)))
    return found
