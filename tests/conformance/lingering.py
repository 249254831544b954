"""A judge that some files hold up, loaded by a child of the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from isthmus.conformance import child
from isthmus.dicom.windows import Source


def judge_task(source: Source, options: Mapping[str, object]) -> Iterator[bytes]:
    said = source.read_at(0, min(16, source.size_bytes))
    while said == b"%PDF-slow":
        pass
    held = [bytes(64 << 20) for _ in range(1000)] if said == b"%PDF-large" else []
    if said == b"%PDF-odd":
        raise ValueError(len(held))
    yield from child.judge_task(source, options)
