"""Signed notes as others write them, and nothing that is almost one.

The vectors are from the standard library of Go (`golang.org/x/mod/sumdb/note`), whose format it is, and from the witness protocol's page.
"""

from __future__ import annotations

import pytest

from isthmus.wire.notes import PROOF_MAX, Checkpoint, Line, LogKey, Note, NoteKey, Submission, read_lines

GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
OF_THE_PAGE = (
    "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n"
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
AA = NoteKey.of_seed("ncp.aa.test/audit", bytes(32))
BB = NoteKey.of_seed("ncp.bb.test/audit", bytes(range(32)))
END = Checkpoint("ncp.aa.test/audit", 12, bytes(range(32)))


def test_a_note_of_others_is_read_and_its_signature_holds() -> None:
    key, note = LogKey.read(GO_KEY), Note.read(GO_NOTE)

    assert key.signed(note)
    assert key.vkey == GO_KEY
    assert note.write() == GO_NOTE
    assert not key.signed(Note.read(GO_NOTE.replace("answer", "Answer")))


def test_a_submission_of_others_is_read_and_written_the_same() -> None:
    submission = Submission.read(OF_THE_PAGE.encode())

    assert (submission.old, len(submission.proof), submission.note.checkpoint.size) == (20852014, 4, 20852163)
    assert submission.write() == OF_THE_PAGE.encode()


def test_a_checkpoint_is_signed_by_its_log_and_cosigned_by_a_witness() -> None:
    note = AA.sign(END)
    cosigned = note.with_lines(read_lines(BB.cosign(note, 1_795_450_000).write()))

    read = Note.read(cosigned.write())

    assert read.checkpoint == END
    assert AA.public.signed(read)
    assert BB.public.cosigned_at(read) == 1_795_450_000
    assert not BB.public.signed(read)
    assert AA.public.cosigned_at(read) is None


def test_a_signature_of_one_kind_is_none_of_the_other() -> None:
    note = AA.sign(END)
    raw = note.signatures[0].signature
    as_seen = Line(AA.name, AA.public.id_of(4), (5).to_bytes(8) + raw)

    assert AA.public.cosigned_at(note.with_lines((as_seen,))) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ncp.aa.test/audit\n12\n",
        GO_NOTE.rstrip("\n"),
        GO_NOTE.replace("\n\n—", "\n—"),
        GO_NOTE.replace("— PeterNeumann", "-- PeterNeumann"),
        GO_NOTE.replace("nAM=", "nAN="),
        GO_NOTE + "\x00\n",
        GO_NOTE.replace("your problem,", "your\rproblem,"),
        "a\n\n" + "— a AAAAAAAA\n" * 65,
        "x" * (65 << 10) + GO_NOTE,
    ],
)
def test_what_is_almost_a_note_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever the words
        Note.read(text)


@pytest.mark.parametrize(
    "body",
    [b"origin\n012\n" + END.body[-45:], b"origin\n-1\n" + END.body[-45:], b"origin\n12\nAAAA\n", b"\n1\n" + END.body[-45:], b"origin\n12"],
)  # fmt: skip
def test_what_is_almost_a_checkpoint_is_none(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Checkpoint.read(body)


@pytest.mark.parametrize(
    ("old", "new"),
    [("old 20852014", "old 0020852014"), ("old 20852014", "new 20852014"), ("Dpkaw=\n", "Dpkaw=\n" * (PROOF_MAX + 1)), ("PlRNCrwH", "PlRN")],
)  # fmt: skip
def test_what_is_almost_a_submission_is_none(old: str, new: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Submission.read(OF_THE_PAGE.replace(old, new).encode())


@pytest.mark.parametrize(
    "vkey", ["", GO_KEY[:-4], GO_KEY.replace("c74f20a3", "c74f20a4"), GO_KEY.replace("+ARpc", "+BRpc")]
)
def test_what_is_almost_a_key_is_none(vkey: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        LogKey.read(vkey)
