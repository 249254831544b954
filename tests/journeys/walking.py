"""The way of a professional in the browser, as far as several journeys walk it."""

from __future__ import annotations

from typing import Any

from isthmus.model.people import Patient


def look_for(page: Any, patient: Patient) -> None:
    """From the form to the list: say who it is, and confirm the treatment relationship."""
    page.fill("[name=identifier]", patient.identifier.value)
    page.fill("[name=family]", patient.name.family)
    page.fill("[name=birth-date]", patient.birth_date)
    page.keyboard.press("Enter")
    page.check("[name=relationship]")
    page.click("main button")
