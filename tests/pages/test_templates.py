"""What holds for all templates: nothing inline that the policy would refuse, every text goes through the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isthmus.pages import render
from isthmus.pages.icons import PATHS
from isthmus.pages.language import language

FOLDER = Path(render.__file__).parent / "templates"
TEMPLATES = sorted(path.name for path in FOLDER.glob("*.html"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_holds_style_or_script(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|javascript:|hx-on|hx-vals=.js", text) is None
    assert re.findall(r"<script(?![^>]*\ssrc=\"/static/)[^>]*>", text) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_is_marked_safe_in_a_template(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert re.search(r"\|\s*safe|autoescape false", text) is None


@pytest.mark.parametrize("code", ["en", "el"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_compiles_in_every_language(name: str, code: str) -> None:
    template = render._environment(code).get_template(name)

    assert template.name == name


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_icon_of_a_template_is_drawn(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert set(re.findall(r'icon\("(\w+)"', text)) <= set(PATHS)


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_between_tags_goes_through_the_catalogue(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    bare = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}|<kbd>.*?</kbd>|<title>.*?</title>", "", text, flags=re.DOTALL)
    words = {w.strip() for w in re.findall(r">([^<>]+)<", bare)} - {""}

    plain = {w for w in words if re.search(r"[A-Za-z]{3,}", w) and '="' not in w}

    assert plain <= {"Isthmus", "OHIF", "Apache License 2.0", "Sofia Sans, SIL Open Font License 1.1"}
    assert re.findall(r'(?:aria-label|placeholder|title|alt)="[A-Za-z]', text) == []


def test_a_page_carries_policy_and_no_store() -> None:
    answer = render.page_answer(200, b"", language("el"))
    headers = {name.lower(): value for name, value in answer.headers}

    assert headers["cache-control"] == "no-store"
    assert headers["content-language"] == "el"
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
        "font-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def test_the_two_dark_blocks_of_the_style_are_alike() -> None:
    text = (FOLDER.parent / "static/portal.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root(?:\[data-theme=\"dark\"\]|:not\(\[data-theme=\"light\"\]\)) \{([^}]*)\}", text)
    tokens = [re.findall(r"--[\w-]+: [^;]+", block) for block in blocks if "--ground" in block]

    assert len(tokens) == 2
    assert tokens[0] == tokens[1]


def test_a_link_on_the_patients_band_has_the_bands_colour_and_not_that_of_the_page() -> None:
    style = (FOLDER.parent / "static/more.css").read_text(encoding="utf-8")

    assert re.search(r"\.patient__visit a \{ color: var\(--on-banner\); \}", style)
