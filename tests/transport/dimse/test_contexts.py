"""Which contexts are proposed: nothing compressed anew, no class without one, never more than fit."""

from __future__ import annotations

import pytest

from isthmus.dicom.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, SYNTAXES
from isthmus.transport.dimse.contexts import CONTEXTS_MAX, in_associations, preferred, storage_contexts

CT = "1.2.840.10008.5.1.4.1.1.2"
BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
ENDOSCOPY_VIDEO = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def proposed(sop_class: str, *, apart: bool = False) -> list[list[str]]:
    return [[str(one) for one in context.transfer_syntax] for context in storage_contexts(sop_class, apart=apart)]


def test_each_compressed_syntax_has_a_context_of_its_own() -> None:
    alone = {one[0] for one in proposed(CT) if len(one) == 1}

    assert alone == {u for u, s in SYNTAXES.items() if s.encapsulated and not s.video} | {DEFLATED_LE}


def test_the_uncompressed_ones_share_one_with_what_crosses_first() -> None:
    assert proposed(CT)[0] == [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE]


def test_a_peer_that_cannot_change_gets_them_apart() -> None:
    assert proposed(BASIC_TEXT, apart=True) == [
        [EXPLICIT_LE],
        [IMPLICIT_LE],
        [EXPLICIT_BE],
        [DEFLATED_LE],
    ]


def test_text_is_not_proposed_as_pixels_and_video_is_for_video() -> None:
    video = {uid for uid, syntax in SYNTAXES.items() if syntax.video}

    assert len(proposed(BASIC_TEXT)) == 2
    assert video <= {one[0] for one in proposed(ENDOSCOPY_VIDEO)}
    assert not video & {one[0] for one in proposed(CT)}


@pytest.mark.fault("F47")
def test_many_classes_take_several_associations_and_none_is_left_out() -> None:
    classes = [f"1.2.840.10008.5.1.4.1.1.2.{number}" for number in range(40)]

    groups = in_associations(classes)

    assert sorted(one for group in groups for one in group) == sorted(classes)
    assert all(sum(len(storage_contexts(one)) for one in group) <= CONTEXTS_MAX - 2 for group in groups)
    assert len(groups) > 1


def test_a_sender_is_never_made_to_compress() -> None:
    assert preferred([JPEG_BASELINE, IMPLICIT_LE, EXPLICIT_LE]) == EXPLICIT_LE
    assert preferred([JPEG_BASELINE]) == JPEG_BASELINE
    assert preferred(["1.2.3.4", IMPLICIT_LE]) == IMPLICIT_LE
    assert preferred(["1.2.3.4"]) == "1.2.3.4"
