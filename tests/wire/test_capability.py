"""Capability: what is told is there, and what is there is told."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import orjson
import pytest

from isthmus.errors import IsthmusError, UnsupportedRequest
from isthmus.model.masks import SearchMask
from isthmus.wire import documents, patients
from isthmus.wire.capability import write_capability, write_smart_configuration
from isthmus.wire.packs.pack import load_pack

PACK = load_pack()
STATEMENT = orjson.loads(
    write_capability(
        base="https://ncpeh.aa.example/fhir",
        services=("imaging-report",),
        pack=PACK,
        software_version="1",
        date="2026-01-01",
    )
)
RESOURCES = {resource["type"]: resource for resource in STATEMENT["rest"][0]["resource"]}


@pytest.mark.requirement("CAP-03")
def test_every_parameter_that_is_declared_is_known_and_has_a_definition() -> None:
    zone, mask = ZoneInfo("UTC"), SearchMask(())

    for parameter in RESOURCES["DocumentReference"]["searchParam"]:
        assert parameter["definition"].startswith("http")
        with pytest.raises(IsthmusError) as caught:
            documents.read_search([(parameter["name"], "")], zone, PACK)
        assert not isinstance(caught.value, UnsupportedRequest)
    for parameter in RESOURCES["Patient"]["searchParam"]:
        with pytest.raises(IsthmusError) as caught:
            patients.read_search([(parameter["name"], "")], mask, PACK)
        assert not isinstance(caught.value, UnsupportedRequest)


def test_a_country_without_documents_declares_none() -> None:
    statement = orjson.loads(
        write_capability(base="https://x.example/fhir", services=(), pack=PACK, software_version="1", date="2026-01-01")
    )

    assert [resource["type"] for resource in statement["rest"][0]["resource"]] == ["Patient"]


@pytest.mark.requirement("CAP-05")
def test_the_smart_configuration_names_one_way_to_a_token() -> None:
    node = orjson.loads(write_smart_configuration(token_endpoint="https://a/oauth/token"))

    assert node["token_endpoint"] == "https://a/oauth/token"
    assert node["grant_types_supported"] == ["client_credentials"]
    assert node["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert "RS256" not in node["token_endpoint_auth_signing_alg_values_supported"]
    assert "system/Patient.s" in node["scopes_supported"]
