"""Which presentation contexts are proposed, so that nothing is compressed anew and every class has one.

A context of its own for each compressed syntax: the peer then finds the one in which an instance lies. The uncompressed ones share a
context, Explicit VR Little Endian first: what crosses is that, and a peer that can gives it.

Source: PS3.8 §9.3.2.2; PS3.4 §C.5.3; wire.md §1.8; field-faults F47.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pynetdicom.presentation import PresentationContext, build_context

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
