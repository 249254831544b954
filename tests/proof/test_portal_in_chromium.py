"""Every study of the demonstration, opened in the portal's viewer (`make proof`)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.journeys.test_portal_in_chromium import Demo, chromium, demo, draw_every_study_of

__all__ = ["chromium", "demo"]
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_study_to_be_seen_draws_an_image(chromium: Any, demo: Demo) -> None:  # noqa: F811  # the fixtures
    patients = [p for p in demo.ready["patients"] if p["studies"]]

    assert draw_every_study_of(patients, chromium, demo) == sum(p["studies"] for p in patients)
