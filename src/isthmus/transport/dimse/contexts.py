"""Which presentation contexts are proposed, so that nothing is compressed anew and every class has one.

A context of its own for each compressed syntax: the peer then finds the one in which an instance lies. The uncompressed ones share a
context, Explicit VR Little Endian first: what crosses is that, and a peer that can gives it.

Source: PS3.8 §9.3.2.2; PS3.4 §C.5.3; wire.md §1.8; field-faults F47.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext, build_context

from isthmus.dicom.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, SYNTAXES

CONTEXTS_MAX: Final = 128
VERIFICATION: Final = "1.2.840.10008.1.1"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2."  # 1 find, 2 move, 3 get
PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1."
ROOTS: Final = (STUDY_ROOT, PATIENT_ROOT)  # in the order of preference

UNCOMPRESSED: Final = (EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE)
STILL: Final = tuple(uid for uid, syntax in SYNTAXES.items() if syntax.encapsulated and not syntax.video)
VIDEO: Final = tuple(uid for uid, syntax in SYNTAXES.items() if syntax.video)

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_MOVING: Final = tuple(_STORAGE + last for last in ("77.1.1.1", "77.1.2.1", "77.1.4.1", "7.4"))
_NO_PIXELS: Final = tuple(_STORAGE + first for first in ("88.", "11.", "104.", "9.", "66"))

_EVERY: Final = tuple(str(context.abstract_syntax) for context in AllStoragePresentationContexts)
_OFTEN: Final = {
    "CR": "1 7", "CT": "2 2.1 7", "DX": "1.1 1.1.1 7", "ECG": "9.1.1 9.1.2 9.1.3", "ES": "77.1.1 77.1.1.1", "GM": "77.1.2 77.1.2.1",
    "IO": "1.3 1.3.1", "KO": "88.59", "MG": "1.2 1.2.1 13.1.3 7", "MR": "4 4.1 4.2 7", "NM": "20", "OP": "77.1.5.1 77.1.5.2",
    "OT": "7 7.4 7.2 7.3", "PR": "11.1 11.2 11.3", "PT": "128 130 7", "REG": "66.1 66.3", "RF": "12.2 12.2.1", "RTDOSE": "481.2",
    "RTIMAGE": "481.1", "RTPLAN": "481.5 481.8", "RTSTRUCT": "481.3", "SC": "7", "SEG": "66.4 66.5", "SM": "77.1.6",
    "SR": "88.11 88.22 88.33 88.34 88.35 88.50 88.67", "US": "6.1 3.1 7", "XA": "12.1 12.1.1", "XC": "77.1.4 77.1.4.1",
}  # fmt: skip
"""Which classes series of a modality mostly are of: they are tried first, and never taken for told."""


def guessed(modality: str | None) -> list[list[str]]:
    """Every class of the standard, in groups that fit into an association: those that are frequent in a modality come first."""
    first = [_STORAGE + last for last in _OFTEN.get(modality or "", "").split()]
    return [*(in_associations(first) if first else ()), *in_associations(set(_EVERY) - set(first))]


def storage_contexts(sop_class_uid: str, *, apart: bool = False) -> list[PresentationContext]:
    """The contexts of one class. `apart`: every uncompressed syntax too has its own, for a peer that cannot change between them."""
    plain: list[list[str]] = [[uid] for uid in UNCOMPRESSED] if apart else [list(UNCOMPRESSED)]
    compressed = () if sop_class_uid.startswith(_NO_PIXELS) else STILL
    compressed += VIDEO if sop_class_uid in _MOVING else ()
    return [build_context(sop_class_uid, one) for one in (*plain, *([uid] for uid in (*compressed, DEFLATED_LE)))]


def in_associations(sop_classes: Iterable[str], taken: int = len(ROOTS), *, apart: bool = False) -> list[list[str]]:
    """The classes in groups whose contexts fit into one association beside those `taken`: in order, none twice."""
    groups: list[list[str]] = [[]]
    room = CONTEXTS_MAX - taken
    for sop_class in sorted(set(sop_classes)):
        needed = len(storage_contexts(sop_class, apart=apart))
        if needed > room and groups[-1]:
            groups.append([])
            room = CONTEXTS_MAX - taken
        groups[-1].append(sop_class)
        room -= needed
    return groups


def preferred(proposed: Sequence[str]) -> str:
    """Which of the syntaxes that a sender proposes in one context is taken: nothing that makes it compress for us."""
    if EXPLICIT_LE in proposed:
        return EXPLICIT_LE
    return next((uid for uid in proposed if uid in SYNTAXES), proposed[0])
