"""Static files: only what is there, with the right type, the policy, and a way not to send them twice."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from isthmus.errors import DocumentNotFound
from isthmus.pages.static import Static


def test_a_style_is_sent_squeezed_with_its_type(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p { color: red }")

    answer = Static(tmp_path).answer("a.css", {"accept-encoding": "gzip, br"})
    headers = dict(answer.headers)

    assert headers["Content-Type"].startswith("text/css")
    assert gzip.decompress(answer.whole or b"") == b"p { color: red }"
    assert "script-src 'self'" in headers["Content-Security-Policy"]


def test_what_has_not_changed_is_not_sent_again(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p {}")
    static = Static(tmp_path)
    tag = dict(static.answer("a.css", {}).headers)["ETag"]

    assert static.answer("a.css", {"if-none-match": tag}).status == 304
    (tmp_path / "a.css").write_text("p { margin: 0 }")
    assert static.answer("a.css", {"if-none-match": tag}).status == 200


@pytest.mark.parametrize("name", ["b.css", "../a.css", "", "a.css/", ".stamp", "/etc/passwd"])
def test_what_is_not_there_is_not_served(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.css").write_text("p {}")
    (tmp_path / ".stamp").write_text("x")

    with pytest.raises(DocumentNotFound):
        Static(tmp_path).answer(name, {})


def test_only_names_that_change_with_their_content_are_kept_for_long(tmp_path: Path) -> None:
    for name in ("built/assets/x-1a2b.js", "built/portal.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    static = Static(tmp_path)

    assert "immutable" in dict(static.answer("built/assets/x-1a2b.js", {}).headers)["Cache-Control"]
    assert dict(static.answer("built/portal.js", {}).headers)["Cache-Control"] == "no-cache"
