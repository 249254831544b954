"""The originals are what they were, and may be passed on."""

from __future__ import annotations

import hashlib

from isthmus.demo.provenance import DATA, ORIGINALS, origins

MAY_BE_PASSED_ON = {"CC-BY-4.0", "CC-BY-3.0", "CC0-1.0", "PDDL-1.0", "MIT", "BSD-2-Clause", "Apache-2.0"}


def test_every_original_is_unmodified() -> None:
    files = [file for origin in origins().values() for file in origin.files]

    digests = {file.path: hashlib.sha256(file.path.read_bytes()).hexdigest() for file in files}

    assert digests == {file.path: file.sha256 for file in files}


def test_every_file_has_a_provenance() -> None:
    named = {file.path for origin in origins().values() for file in origin.files}

    there = {path for path in ORIGINALS.rglob("*") if path.is_file()}

    assert there == named


def test_the_images_are_at_most_15_megabytes() -> None:
    size = sum(path.stat().st_size for path in DATA.rglob("*.dcm"))

    assert size <= 15_000_000


def test_every_licence_lets_us_pass_the_images_on_and_its_text_is_there() -> None:
    licences = {origin.licence: origin.licence_text for origin in origins().values()}

    assert set(licences) <= MAY_BE_PASSED_ON
    assert all(text.is_file() and text.stat().st_size > 500 for text in licences.values())


def test_a_credit_names_the_maker_and_says_re_labelled() -> None:
    credits = [origin.credit for origin in origins().values()]

    assert any("IHE International" in credit for credit in credits)
    assert all("Re-labelled" in credit for credit in credits)
