"""The PACS of the tests itself: it starts, takes files, answers, and is gone afterwards."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from isthmus.testing.engines.orthanc import orthanc
from isthmus.testing.studies import SyntheticStudy


def test_it_takes_a_study_and_ends_with_the_block(tmp_path: Path) -> None:
    made = tmp_path / "made"
    SyntheticStudy(instances=3, rows=16, columns=16).write(made)

    with orthanc(tmp_path) as pacs:
        taken = pacs.load([made])
        held = pacs.ask("GET", "/statistics")

    assert taken == held["CountInstances"] == 3
    assert pacs.process.poll() is not None


def test_it_asks_for_the_account_when_told_to(tmp_path: Path) -> None:
    with orthanc(tmp_path, account=("isthmus", "of-a-test")) as pacs:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{pacs.dicomweb}/studies")

        assert refused.value.code == 401
        assert pacs.ask("GET", "/dicom-web/studies") == []
