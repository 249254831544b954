"""Sources that the settings name: what is said of the way to one holds, or the node does not start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.archive.conftest import NOW, settings_in

from isthmus.errors import SettingsProblem
from isthmus.national.opening import open_sources
from isthmus.sources import Source, Sources
from isthmus.storage.database import open_index
from isthmus.transport.outbound import Deadlines

FHIR: dict[str, Any] = {"kind": "fhir", "url": "https://hospital.example/fhir"}
DIMSE: dict[str, Any] = {"kind": "dimse", "host": "pacs.example", "peer_ae_title": "PACS"}
WEB: dict[str, Any] = {"kind": "dicomweb", "url": "https://pacs.example/dicom-web"}


def _opened(folder: Path, **source: Any) -> None:
    (folder / "ca.pem").touch()
    settings = settings_in(folder)
    one = Source(patient_issuer="2.999.4.1", accession_issuer="2.999.5.1", time_zone="Europe/Athens", **source)
    held = Sources(reports=(one,)) if one.kind == "fhir" else Sources(images=(one,))
    index = open_index(settings)
    try:
        open_sources(replace(settings, sources=held), index, lambda: NOW)
    finally:
        index.close()


@pytest.mark.parametrize(
    ("source", "key"),
    [
        pytest.param(DIMSE | {"authority": "ca.pem"}, "tls", id="an authority, and no TLS"),
        pytest.param(DIMSE | {"tls_certificate": "ca.pem"}, "tls", id="a certificate, and no TLS"),
        pytest.param(FHIR | {"url": "http://hospital.example/fhir", "authority": "ca.pem"}, "url", id="by http"),
        pytest.param(WEB | {"url": "http://pacs.example/dicom-web", "tls": True}, "tls", id="TLS by http"),
        pytest.param(WEB | {"tls_certificate": "ca.pem"}, "tls_key", id="no key"),
        pytest.param(DIMSE | {"tls": True, "tls_key": "ca.pem"}, "tls_key", id="no certificate"),
        pytest.param(FHIR | {"authority": "none.pem"}, "authority", id="no such file"),
        pytest.param(FHIR | {"url": "hospital.example/fhir"}, "url", id="no address"),
        pytest.param(WEB | {"page_size": 0}, "page_size", id="pages of nothing"),
    ],
)
def test_what_would_do_nothing_is_said_at_start(tmp_path: Path, source: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsProblem) as told:
        _opened(tmp_path, **source)

    assert str(told.value.facts["key"]).endswith(f".{key}")


def test_a_table_of_codes_that_is_not_there_is_said_at_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match="codes"):
        _opened(tmp_path, **DIMSE, codes="none.csv")


@pytest.mark.parametrize("source", [FHIR, DIMSE, WEB, FHIR | {"authority": "ca.pem"}, DIMSE | {"tls": True}])
def test_what_holds_is_opened(tmp_path: Path, source: dict[str, Any]) -> None:
    _opened(tmp_path, **source)


@pytest.mark.fault("F42")
def test_a_silent_source_is_given_up_before_country_b_gives_up() -> None:
    source, country_b = Source(), Deadlines()

    assert source.timeout_s < country_b.first_byte_s
    assert source.images_timeout_s < country_b.idle_s
