"""What lies under a path: folders, names of every kind, archives honest and hostile.

Source: interfaces.md §11; field-faults F68.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.archive.conftest import NOW, SANDBOX, Node, dicom

from isthmus.archive.folders import Order, bring
from isthmus.archive.reports import Reports
from isthmus.archive.verdicts import REASONS, Verdict
from isthmus.errors import SettingsProblem
from isthmus.storage.members import MAX_MEMBERS, leads_outside
from isthmus.wire.packs.pack import load_pack


def _brought(
    node: Node, *paths: Path, order: Order | None = None, stopped: Callable[[], bool] | None = None
) -> list[Verdict]:
    intake = node.intake()
    reports = Reports(node.database, intake.container, lambda: NOW, load_pack(), SANDBOX)
    return list(bring(intake, reports, [str(path) for path in paths], order or Order(), stopped or (lambda: False)))


def _fates(verdicts: list[Verdict], root: Path) -> dict[str, str]:
    return {v.path.removeprefix(f"{root}/").split("!")[-1]: v.reason or v.outcome for v in verdicts}


@pytest.mark.fault("F68")
def test_content_decides_and_paths_are_told_as_given(node: Node, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    names = [
        "tête, face/IM 1",
        "FILE08.DCM",
        "IM00001",
        unicodedata.normalize("NFD", "Ångström") + ".txt",
        "blank ",
        "x" * 200 + "/" + "y" * 200,
    ]
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(dicom(number))
    before = sorted(folder.rglob("*"))

    verdicts = _brought(node, folder)

    assert _fates(verdicts, folder) == dict.fromkeys(names, "accepted")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.fault("F68")
def test_links_that_leave_the_folder_are_not_followed(node: Node, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "in"
    outside.mkdir()
    folder.mkdir()
    (outside / "a.dcm").write_bytes(dicom(1))
    (folder / "b.dcm").write_bytes(dicom(2))
    (folder / "to outside").symlink_to(outside)
    (folder / "to file").symlink_to(outside / "a.dcm")
    (folder / "itself").symlink_to(folder)
    (folder / "twin").symlink_to(folder / "b.dcm")
    os.mkfifo(folder / "pipe")

    verdicts = _brought(node, folder)

    assert _fates(verdicts, folder) == {"b.dcm": "accepted", "to outside": "link", "to file": "link", "pipe": "link"}


def test_a_path_that_does_not_exist_stops_before_anything_is_read(node: Node, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom())

    with pytest.raises(SettingsProblem) as caught:
        _brought(node, tmp_path / "a.dcm", tmp_path / "nothing-here")

    assert caught.value.meaning.exit_status == 2
    assert not node.rows()


def test_a_directory_of_files_is_read_past(node: Node, sample: Callable[[str], Path]) -> None:
    verdicts = _brought(node, sample("dicom/dicomdir_pcir"))

    assert {v.outcome for v in verdicts} == {"accepted"}
    assert not [v for v in verdicts if v.path.endswith("DICOMDIR")]


def _zip(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, body in members:
            archive.writestr(info, body)
    return path


def _tar(path: Path, *members: tuple[tarfile.TarInfo | str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # the mode is a parameter here
        for info, body in members:
            info = tarfile.TarInfo(info) if isinstance(info, str) else info
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def _link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def _special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


HOSTILE = {
    "good.dcm": "accepted", "deep/er/good.dcm": "accepted", "../evil.dcm": "path-outside", "/tmp/absolute.dcm": "path-outside",
    "text.txt": "not-dicom", "inside.zip": "nested-archive", "inside.tar": "nested-archive", "link.dcm": "link",
}  # fmt: skip


def _members(tmp_path: Path) -> list[tuple[str, bytes]]:
    inner, packed = _zip(tmp_path / "i.zip", ("a", dicom(9))), _tar(tmp_path / "i.tar", ("a", dicom(9)))
    return [
        ("good.dcm", dicom(1)), ("../evil.dcm", dicom(2)), ("/tmp/absolute.dcm", dicom(3)), ("text.txt", b"no image" * 100),
        ("inside.zip", inner.read_bytes()), ("inside.tar", packed.read_bytes()), ("deep/er/good.dcm", dicom(4)),
    ]  # fmt: skip


def test_members_of_a_zip_are_each_judged(node: Node, tmp_path: Path) -> None:
    archive = _zip(tmp_path / "study.zip", *_members(tmp_path), (_link("link.dcm"), b"/etc/passwd"))

    verdicts = _brought(node, archive)

    assert _fates(verdicts, tmp_path) == HOSTILE
    assert all(v.path.startswith(f"{archive}!") for v in verdicts)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_of_a_tar_are_each_judged(node: Node, tmp_path: Path, mode: str) -> None:
    links = [(_special("link.dcm", kind), b"") for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)]
    archive = _tar(tmp_path / "study.tar", *_members(tmp_path), *links, mode=mode)

    verdicts = _brought(node, archive)

    assert _fates(verdicts, tmp_path) == HOSTILE
    assert sorted(v.outcome for v in verdicts).count("refused") == 8


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_and_foreign_names_in_a_tar_are_told(node: Node, tmp_path: Path, form: int) -> None:
    name = "série/" * 20 + "IM 1" if form != tarfile.USTAR_FORMAT else "serie/" * 20 + "IM 1"
    path = tmp_path / "long.tar"
    with tarfile.open(path, "w", format=form) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(dicom())
        archive.addfile(info, io.BytesIO(dicom()))

    assert _fates(_brought(node, path), tmp_path) == {name: "accepted"}


@pytest.mark.parametrize("pack", [lambda p, *m: _zip(p, *m), lambda p, *m: _tar(p, *m, mode="w:gz")])
def test_a_member_that_inflates_beyond_its_bound_is_refused(
    node: Node, tmp_path: Path, pack: Callable[..., Path]
) -> None:
    bomb = dicom()[:-44] + b"\xe0\x7f\x10\x00OW\x00\x00" + (200 << 20).to_bytes(4, "little") + bytes(200 << 20)

    verdicts = _brought(node, pack(tmp_path / "bomb", ("good.dcm", dicom(1)), ("bomb.dcm", bomb)))

    assert "bomb" in {v.reason for v in verdicts}
    assert len(node.rows()) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[: len(body) // 2],
        lambda body: body[:-10],
        lambda body: body[:60] + b"\xff" * 40 + body[100:],
        lambda body: body[:4],
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar", "gz"])
def test_a_damaged_archive_is_refused_and_nothing_breaks(
    node: Node, tmp_path: Path, kind: str, damage: Callable[[bytes], bytes]
) -> None:
    members = [(f"{number}.dcm", dicom(number)) for number in range(3)]
    whole = (
        _zip(tmp_path / "w", *members)
        if kind == "zip"
        else _tar(tmp_path / "w", *members, mode="w:gz" if kind == "gz" else "w")
    )
    broken = tmp_path / "broken"
    broken.write_bytes(damage(whole.read_bytes()))

    verdicts = _brought(node, broken)

    assert {v.outcome for v in verdicts} <= {"accepted", "refused"}
    assert all(v.reason in REASONS for v in verdicts if v.outcome == "refused")
    assert len(node.rows()) == len([v for v in verdicts if v.outcome == "accepted"])


def test_an_archive_of_more_members_than_allowed_is_refused_unread(node: Node, tmp_path: Path) -> None:
    archive = _zip(tmp_path / "many.zip", ("a.dcm", dicom()))
    body = archive.read_bytes()
    at = body.index(b"PK\1\2")
    entries = body[at : body.rindex(b"PK\5\6")] * (MAX_MEMBERS + 1)
    size, start = (number.to_bytes(4, "little") for number in (len(entries), at))
    archive.write_bytes(body[:at] + entries + b"PK\5\6" + bytes(4) + b"\1\0\1\0" + size + start + bytes(2))  # says: one

    verdicts = _brought(node, archive)

    assert [v.reason for v in verdicts] == ["too-many-members"]


@pytest.mark.parametrize("name", ["", "/a", "\\a", "../a", "a/../../b", "a\\..\\b", "C:a", "C:\\a", "a\0b"])
def test_names_that_lead_outside_are_known(name: str) -> None:
    assert leads_outside(name)


def test_a_stop_between_files_loses_nothing_that_was_answered_for(node: Node, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.dcm").write_bytes(dicom(number))
    asked = iter([False, False, False, True])

    verdicts = _brought(node, *sorted(tmp_path.glob("*.dcm")), stopped=lambda: next(asked))

    assert [v.outcome for v in verdicts] == ["accepted"] * 3
    assert len(node.rows()) == 3


def test_documents_that_do_not_say_whose_they_are_are_refused(node: Node, tmp_path: Path) -> None:
    (tmp_path / "cda").write_bytes(b"<?xml version='1.0'?><ClinicalDocument xmlns='urn:hl7-org:v3'/>")
    (tmp_path / "pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")

    verdicts = _brought(node, tmp_path / "cda", tmp_path / "pdf")

    assert [v.reason for v in verdicts] == ["not-a-report", "no-patient"]


def test_the_archive_is_not_brought_into_itself(node: Node) -> None:
    node.bring(dicom())

    verdicts = _brought(node, node.settings.folder, node.settings.path(node.settings.blobs))

    assert [verdict.reason for verdict in verdicts if verdict.path.endswith("archive")] == ["own-archive"] * 2
    assert not [verdict for verdict in verdicts if verdict.outcome == "accepted"]
