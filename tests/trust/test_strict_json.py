"""The one reader of JSON that others signed: what two readers could understand differently is refused, and nothing costs more than its length."""

from __future__ import annotations

import time

import pytest

from isthmus.trust.strict_json import MAX_DEPTH, read_json, read_object

COSTLY = {
    "a string of escapes that never ends": b'"' + b'\\"' * 500_000,
    "a list of it": b'["' + b'\\"' * 500_000,
    "strings without end": b'"a' * 500_001,
    "brackets": b"[" * 1_000_000,
    "objects": b'{"a":' * 200_000,
    "digits": b"[" + b"9" * 1_000_000 + b"]",
    "one long string": b'["' + b"a" * 1_000_000,
}


@pytest.mark.threat("T16")
@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY.keys())
def test_a_megabyte_of_malice_is_refused_in_a_blink(body: bytes) -> None:
    began = time.process_time()

    with pytest.raises(ValueError):
        read_json(body)

    assert time.process_time() - began < 0.5  # a second reading per character would take minutes


def test_depth_is_that_of_brackets_outside_strings() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert read_json(deepest) is not None
    assert read_json(b'{"a": "[[[[[[[[[[[[", "b\\"[[[[[[[[[": 1}') == {"a": "[[[[[[[[[[[[", 'b"[[[[[[[[[': 1}
    with pytest.raises(ValueError, match="deeper"):
        read_json(b"[" + deepest + b"]")
    with pytest.raises(ValueError, match="deeper"):
        read_json(b'["\\\\", ' + deepest + b"]")


@pytest.mark.threat("T16")
@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}', b'{"a": {"b": 1, "b": 2}}', b"[NaN]", b"[Infinity]", b"[-Infinity]", b"[1e400]", b'["\\ud800"]',
        b'{"\\udc00": 1}', b'["\xff"]', "\ufeff[]".encode(), b"", b"[1,]", b"[1] []", b"'a'", b'["\n"]', b'"\\',
    ],
)  # fmt: skip
def test_what_two_readers_could_take_differently_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(body)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"a"', b"null"])
def test_an_object_is_an_object(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_object(body)
