"""Images: every spelling of Accept, what is chosen, and multipart in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import ContentMismatch, CountryMisanswered, MalformedRequest, UnsupportedRequest
from isthmus.model.pieces import FileRange, Mark, StoredInstance
from isthmus.model.queries import ImagesQuery
from isthmus.wire.images import (
    EXPLICIT_LE,
    HEAD_MAX_BYTES,
    IMAGES_ACCEPT,
    OUTSIDE_MAX_BYTES,
    PartEnd,
    PartReader,
    PartStart,
    boundary_of,
    choose,
    content_type,
    images_path,
    read_accept,
    read_path,
    weave,
)  # fmt: skip

J2K = "1.2.840.10008.1.2.4.90"
H264 = "1.2.840.10008.1.2.4.102"
PLAIN = StoredInstance("1.2", "1.2.3", "1.2.3.4", EXPLICIT_LE, FileRange("x", 0, 10), 10, "ab" * 32)
PACKED = replace(PLAIN, sop_instance_uid="1.2.3.5", transfer_syntax_uid=J2K)
VIDEO = replace(PLAIN, sop_instance_uid="1.2.3.6", transfer_syntax_uid=H264, video=True)


@pytest.mark.fault("F32")
@pytest.mark.parametrize(
    "accept",
    [
        IMAGES_ACCEPT,
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'Multipart/Related;TYPE="application/dicom";Transfer-Syntax="*"',
        'multipart/related ; type="application/dicom" ; transfer-syntax=* ; q=0.9, application/json;q=0.1',
        "*/*; transfer-syntax=*",
        'text/html, multipart/related; type="application/dicom"; transfer-syntax=*',
    ],
)
def test_every_spelling_of_as_stored_is_read(accept: str) -> None:
    wanted = read_accept(accept, level="study")

    assert wanted.syntaxes is None
    assert not wanted.single_part


@pytest.mark.fault("F33")
@pytest.mark.parametrize("accept", [None, "", "*/*", 'multipart/related; type="application/dicom"', "multipart/*"])
def test_no_syntax_means_explicit_little_endian(accept: str | None) -> None:
    wanted = read_accept(accept, level="series")

    assert wanted.syntaxes == frozenset({EXPLICIT_LE})


def test_a_list_of_syntaxes_is_read_without_those_that_never_cross() -> None:
    one = 'multipart/related; type="application/dicom"; transfer-syntax='

    wanted = read_accept(f"{one}{J2K};q=0.5, {one}1.2.840.10008.1.2, {one}{EXPLICIT_LE};q=0", level="study")

    assert wanted.syntaxes == frozenset({J2K})


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom; transfer-syntax=*"',
        "application/dicom+json", 'multipart/related; type="application/octet-stream"', "image/jpeg", "nonsense",
        'multipart/related; type="application/dicom', "application/dicom",
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2',
    ],
)  # fmt: skip
def test_what_is_not_given_is_refused_with_the_right_header(accept: str) -> None:
    with pytest.raises(UnsupportedRequest) as caught:
        read_accept(accept, level="study")

    assert (caught.value.reason, caught.value.meaning.status) == ("media", 406)
    assert "transfer-syntax=*" in caught.value.message


def test_a_single_part_is_for_one_instance() -> None:
    assert read_accept("application/dicom; transfer-syntax=*", level="instance").single_part


def undecodable(instance: StoredInstance) -> None:
    return None


def decoded(instance: StoredInstance) -> StoredInstance | None:
    """As if everything but video could be decoded."""
    form = replace(instance, transfer_syntax_uid=EXPLICIT_LE, recoded_from=instance.transfer_syntax_uid, sha256=None)
    return None if instance.video else form


ONE = 'multipart/related; type="application/dicom"; transfer-syntax='
RLE = "1.2.840.10008.1.2.5"


@pytest.mark.requirement("WAD-03", "WAD-04", "WAD-05")
@pytest.mark.fault("F33")
@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        (None, EXPLICIT_LE),
        ("*/*", EXPLICIT_LE),
        ('multipart/related; type="application/dicom"', EXPLICIT_LE),
        (IMAGES_ACCEPT, J2K),
        (f"{ONE}{EXPLICIT_LE}", EXPLICIT_LE),
        (f"{ONE}{RLE};q=0.9, {ONE}{J2K};q=0.1", J2K),
        (f"{ONE}{EXPLICIT_LE}, {ONE}{J2K};q=0.1", J2K),
        (f"{ONE}{RLE}, {ONE}{EXPLICIT_LE};q=0.1", EXPLICIT_LE),
        (f"{ONE}{RLE}, */*;q=0.1", EXPLICIT_LE),
    ],
)
def test_what_is_stored_goes_where_it_is_accepted_and_explicit_little_endian_where_not(
    accept: str | None, sent: str
) -> None:
    chosen, missing = choose([PACKED], read_accept(accept, level="study"), decoded)

    assert [(one.transfer_syntax_uid, one.recoded_from) for one in chosen] == [(sent, None if sent == J2K else J2K)]
    assert missing == []


@pytest.mark.requirement("WAD-05", "WAD-08")
@pytest.mark.parametrize("syntax", [EXPLICIT_LE, RLE])
def test_what_is_not_to_be_had_as_asked_is_missing_or_406_when_it_is_all(syntax: str) -> None:
    wanted = read_accept(f"{ONE}{syntax}", level="study")
    fits = replace(PLAIN, transfer_syntax_uid=syntax)

    assert choose([fits, PACKED], wanted, undecodable) == ([fits], [PACKED])
    with pytest.raises(UnsupportedRequest) as caught:
        choose([PACKED], wanted, undecodable)
    assert "transfer-syntax=*" in caught.value.message


@pytest.mark.fault("F25")
def test_video_travels_as_it_is_or_is_missing() -> None:
    only = f"{ONE}{EXPLICIT_LE}"

    assert choose([VIDEO], read_accept(None, level="instance"), decoded) == ([VIDEO], [])
    assert choose([VIDEO], read_accept(IMAGES_ACCEPT, level="instance"), decoded) == ([VIDEO], [])
    assert choose([PLAIN, VIDEO], read_accept(only, level="study"), decoded) == ([PLAIN], [VIDEO])
    with pytest.raises(UnsupportedRequest):
        choose([VIDEO], read_accept(only, level="instance"), decoded)


def _woven(instances: list[StoredInstance], contents: list[bytes], boundary: str) -> bytes:
    contents = list(contents)
    out = b""
    for piece in weave(instances, boundary):
        if isinstance(piece, bytes):
            out += piece
        elif isinstance(piece, FileRange):
            out += contents.pop(0)
    return out


def _fed(reader: PartReader, chunks: Iterable[bytes]) -> tuple[list[tuple[dict[str, str], bytes]], list[PartEnd]]:
    parts: list[tuple[dict[str, str], bytes]] = []
    ends = []
    for chunk in chunks:
        for event in reader.feed(memoryview(chunk)):
            if isinstance(event, PartStart):
                parts.append((dict(event.headers), b""))
            elif isinstance(event, PartEnd):
                ends.append(event)
            else:
                parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event))
    return parts, ends


def test_part_heads_are_true_and_marks_stand_between() -> None:
    recoded = replace(PLAIN, recoded_from="1.2.840.10008.1.2", sha256=None, size_bytes=None)

    pieces = list(weave([PLAIN, recoded], "b"))

    assert pieces[0] == (
        b"--b\r\nContent-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\nContent-Length: 10\r\n"
        b"Content-Digest: sha-256=:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=:\r\n\r\n"
    )
    assert pieces[2] == Mark("1.2.3.4", 10, "ab" * 32)
    assert b"NCP-Recoded-From: 1.2.840.10008.1.2\r\n" in pieces[3]  # type: ignore[operator]  # a head is bytes
    assert pieces[-1] == b"\r\n--b--\r\n"


@pytest.mark.fault("F35")
@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(1, 23))
def test_what_is_woven_is_read_however_it_is_cut(contents: list[bytes], cut: int) -> None:
    body = _woven([PLAIN] * len(contents), contents, "b1")

    reader = PartReader("b1")
    parts, ends = _fed(reader, (body[i : i + cut] for i in range(0, len(body), cut)))
    reader.close()

    assert [content for _, content in parts] == contents
    assert [end.size_bytes for end in ends] == [len(content) for content in contents]


FOREIGN = {
    "preamble and epilogue": b"hello\r\n--b\r\nA: 1\r\n\r\none\r\n--b\r\nA: 2\r\n\r\ntwo\r\n--b--\r\nbye --b\r\n",
    "line end before the first boundary": b"\r\n--b\r\na: 1\r\n\r\none\r\n--b\r\nA:2\r\n\r\ntwo\r\n--b--",
    "lone line feeds": b"--b\nA: 1\n\none\n--b\nA: 2\n\ntwo\n--b--\n",
    "padding after the boundary": b"--b  \r\nA: 1\r\n\r\none\r\n--b\t\r\nA: 2\r\n\r\ntwo\r\n--b-- \r\n",
    "a wrong length": b"--b\r\nA: 1\r\nContent-Length: 99\r\n\r\none\r\n--b\r\nA: 2\r\n\r\ntwo\r\n--b--\r\n",
}


@pytest.mark.fault("F35")
@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("cut", [1, 2, 7, 1000])
def test_other_peoples_multipart_is_read(name: str, cut: int) -> None:
    body = FOREIGN[name]

    reader = PartReader("b")
    parts, _ = _fed(reader, (body[i : i + cut] for i in range(0, len(body), cut)))
    reader.close()

    assert [content for _, content in parts] == [b"one", b"two"]
    assert [headers["a"] for headers, _ in parts] == ["1", "2"]


def test_a_longer_boundary_inside_is_content() -> None:
    body = b"--b\r\n\r\none\r\n--bc\r\n\r\n--\n--b-x\r\ntwo\r\n--b--\r\n"

    parts, _ = _fed(PartReader("b"), [body])

    assert parts == [({}, b"one\r\n--bc\r\n\r\n--\n--b-x\r\ntwo")]


@pytest.mark.fault("F39")
@pytest.mark.parametrize("body", [b"", b"--b\r\nA: 1\r\n\r\none", b"--b\r\nA: 1\r\n\r\none\r\n--b\r\n", b"--b\r\nA"])
def test_without_its_closing_boundary_an_answer_is_incomplete(body: bytes) -> None:
    reader = PartReader("b")
    _fed(reader, [body])

    with pytest.raises(ContentMismatch):
        reader.close()


def test_whole_parts_before_the_break_are_kept() -> None:
    parts, ends = _fed(PartReader("b"), [b"--b\r\nContent-Length: 4\r\n\r\none\r\n--b\r\n\r\ntw"])

    assert parts[0][1] == b"one"
    assert ends == [PartEnd(3, 4)]


def test_an_endless_head_is_not_held() -> None:
    with pytest.raises(CountryMisanswered):
        _fed(PartReader("b"), [b"--b\r\n"] + [b"A: 1\r\n" * 1000] * (HEAD_MAX_BYTES // 6000 + 2))


@pytest.mark.parametrize("begun", [b"", b"--b\r\n\r\none\r\n--b--\r\n"], ids=["before the parts", "after them"])
def test_an_answer_that_goes_on_outside_its_parts_is_refused(begun: bytes) -> None:
    with pytest.raises(CountryMisanswered) as refused:
        _fed(PartReader("b"), [begun] + [b"." * 65536] * (OUTSIDE_MAX_BYTES // 65536 + 1))

    assert refused.value.reason == "peer-limit"


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (content_type("abc"), "abc"),
        ('multipart/related;boundary="a b:c";type="application/dicom"', "a b:c"),
        ("Multipart/Related; Boundary=x", "x"),
        ("application/dicom; transfer-syntax=1.2", None),
    ],
)
def test_the_boundary_is_found(value: str, boundary: str | None) -> None:
    assert boundary_of(value) == boundary


@pytest.mark.parametrize("value", [None, "", "text/html", "multipart/related", 'multipart/related; boundary="a\r\nb"'])
def test_an_answer_without_boundary_is_refused(value: str | None) -> None:
    with pytest.raises(MalformedRequest):
        boundary_of(value)


def test_paths_go_both_ways() -> None:
    for query in (ImagesQuery("1.2"), ImagesQuery("1.2", "1.3"), ImagesQuery("1.2", "1.3", "1.4")):
        assert read_path(images_path(query).split("/")) == query
    assert read_path(["studies", "1.2", "metadata"]) is None
    with pytest.raises(MalformedRequest):
        read_path(["studies", "1..2"])
    with pytest.raises(MalformedRequest):
        images_path(ImagesQuery("1.2/../3"))
