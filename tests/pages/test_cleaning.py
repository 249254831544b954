"""Foreign HTML keeps words and structure, and nothing that loads, links or acts."""

from __future__ import annotations

import pytest

from isthmus.pages.cleaning import clean


@pytest.mark.threat("T70")
@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<style>body{display:none}</style>",
        '<img src="https://elsewhere.example/x.png" onerror="alert(1)">',
        "<svg><script>alert(1)</script></svg>",
        '<iframe src="https://elsewhere.example"></iframe>',
        '<object data="x"></object>',
        '<form action="/find"><input name="country"><button>Go</button></form>',
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
        "<!--[if IE]><script>alert(1)</script><![endif]-->",
        '<meta http-equiv="refresh" content="0;url=https://elsewhere.example">',
        '<base href="https://elsewhere.example">',
        '<link rel="stylesheet" href="https://elsewhere.example">',
    ],
)
def test_nothing_hostile_survives(hostile: str) -> None:
    kept = clean(f"<div>before {hostile} after</div>")

    assert "before" in kept
    assert "after" in kept
    for sign in (
        "script",
        "style",
        "img",
        "svg",
        "iframe",
        "object",
        "form",
        "input",
        "button",
        "http",
        "alert(",
        "display",
    ):
        assert sign not in kept


@pytest.mark.threat("T93")
@pytest.mark.parametrize(
    "attribute",
    [
        "style='color:red'",
        "class='card'",
        "id='main'",
        "hx-get='/sign-out'",
        "data-pdf='/x'",
        "onclick='x()'",
        "title='x'",
    ],
)
def test_no_attribute_survives_but_language_and_cell_spans(attribute: str) -> None:
    assert clean(f"<p {attribute} lang='el'>Λόγια</p>") == '<p lang="el">Λόγια</p>'


def test_a_link_leaves_its_words() -> None:
    assert clean('<p>See <a href="javascript:alert(1)">the image</a>.</p>') == "<p>See the image.</p>"


def test_tables_stay_tables() -> None:
    kept = clean('<table><tr><th colspan="2">A</th></tr><tr><td>1</td><td>2</td></tr></table>')

    assert 'colspan="2"' in kept
    assert kept.count("<td>") == 2
