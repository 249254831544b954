from __future__ import annotations

import pytest
from pydicom import uid as judge

from isthmus.dicom.syntaxes import (
    DEFLATED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    SYNTAXES,
    crosses_unchanged,
    is_known,
)


@pytest.mark.parametrize("uid", [syntax for syntax in judge.AllTransferSyntaxes if syntax in SYNTAXES])
def test_the_table_agrees_with_pydicom(uid: judge.UID) -> None:
    ours = SYNTAXES[uid]

    assert ours.explicit is not uid.is_implicit_VR
    assert ours.little_endian is uid.is_little_endian
    assert ours.deflated is uid.is_deflated
    assert ours.encapsulated is uid.is_encapsulated
    assert ours.video is ("MPEG" in uid.name or "HEVC" in uid.name)


@pytest.mark.parametrize("uid", [IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE, "1.2.3", ""])
def test_what_is_recoded_or_unknown_does_not_cross_unchanged(uid: str) -> None:
    assert not crosses_unchanged(uid)


@pytest.mark.fault("F25")
@pytest.mark.parametrize("uid", [EXPLICIT_LE, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.102"])
def test_everything_else_crosses_as_it_is_video_too(uid: str) -> None:
    assert is_known(uid)
    assert crosses_unchanged(uid)
