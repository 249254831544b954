"""Mutants tried for a while: none may break a reader, hang it, or make it grow. Source: trust.md T63, T72, T98."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.hostile.peak import peak_kib

HANG_S, MOST_MIB = 2.0, 500


@dataclass(frozen=True)
class Tried:
    """What came of a run: how many were tried, how many of them could be read, and the slowest in seconds of the processor."""

    count: int
    read: int
    slowest_s: float
    mib: float

    def __str__(self) -> str:
        return f"{self.count} mutants, {self.read} of them read, the slowest in {self.slowest_s:.2f} s, {self.mib:.0f} MiB more"


def try_out(form: str, seed: int, mutants: Iterable[bytes], seconds: float, read: Callable[[bytes], bool]) -> Tried:
    """Try mutants for so long. Raises AssertionError with seed and number for the first that breaks something, or takes too long."""
    until, count, done, slowest = time.monotonic() + seconds, 0, 0, 0.0
    before = peak_kib(anew=True)
    for data in mutants:
        began = time.process_time()
        try:
            done += read(data)
        except Exception as error:
            said = f"{form} mutant {count} of seed {seed} ({len(data)} bytes): {type(error).__name__}: {error}"
            raise AssertionError(said) from error
        took = time.process_time() - began
        assert took < HANG_S, f"{form} mutant {count} of seed {seed} took {took:.1f} s"
        count, slowest = count + 1, max(slowest, took)
        if time.monotonic() > until:
            break
    grown = (peak_kib() - before) / 1024
    assert grown < MOST_MIB, f"{form}, seed {seed}: {grown:.0f} MiB more"
    return Tried(count, done, slowest, grown)
