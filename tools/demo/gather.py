"""Copies the originals of the demo out of the public sample set and writes their provenance.

    python tools/demo/gather.py SAMPLES

`SAMPLES` is the sample set's folder with its `index.csv`. Only licences of grade A are taken; the digest of every file is
compared with the index. The phantom (`phantom.py`) is made first, since the provenance names it too.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import sys
from pathlib import Path

DATA = Path(__file__).parents[2] / "src" / "isthmus" / "demo" / "data"

# folder: what it is, licence, file with its text, whom to name, and which files (all when empty)
SOURCES: dict[str, tuple[str, str, str, str, tuple[str, ...]]] = {
    "ct_mado_study_b": (
        "CT of a test object with a key-image note: study B of the IHE MADO samples",
        "CC-BY-4.0",
        "CC-BY-4.0-ihe.txt",
        "IHE International, Inc., MADO sample study B, CC-BY-4.0",
        (),
    ),
    "mr_t1_studyforrest": (
        "MR of the head, T1-weighted, de-faced",
        "PDDL-1.0",
        "PDDL-1.0.txt",
        "studyforrest.org (Hanke, Stadler and others), example-dicom-structural, ODC-PDDL-1.0",
        (),
    ),
    "mr_head_three_series": (
        "MR of the head, three diffusion series",
        "BSD-2-Clause",
        "BSD-2-dcmqatoshiba.txt",
        "Chris Rorden, dcm_qa_toshiba; acquired at GHU Paris by C. Debacker, BSD-2-Clause",
        (),
    ),
    "mr_transfer_syntaxes": (
        "MR of the head, one image in several encodings",
        "BSD-2-Clause",
        "BSD-2-dcmqa.txt",
        "Chris Rorden and Michael Harms, dcm_qa_ts, BSD-2-Clause",
        ("4_rle.dcm", "7_jpegls_a.dcm", "9_j2k_lossless.dcm"),
    ),
    "dx_chest_nih": (
        "Radiograph of the chest",
        "MIT",
        "MIT-nhsx.txt",
        "NIH Clinical Center, ChestX-ray14 (Wang and others, CVPR 2017), as in the NHSX covid-chest-imaging-database, MIT",
        (),
    ),
    "us_multiframe_jpeg": (
        "Ultrasound of the heart, ten frames",
        "Apache-2.0",
        "Apache-2.0-gcp.txt",
        "Google LLC, healthcare-dicom-dicomweb-adapter, Apache-2.0",
        (),
    ),
    "pt_flt_breast": (
        "PET with fluorothymidine, one slice",
        "CC-BY-3.0",
        "CC-BY-3.0.txt",
        "The Cancer Imaging Archive, ACRIN-FLT-Breast (Kinahan and others 2017, doi:10.7937/K9/TCIA.2017.ol20zmxg; "
        "Clark and others 2013, doi:10.1007/s10278-013-9622-7), as in suyashkumar/dicom (MIT-suyashkumar.txt), CC-BY-3.0",
        (),
    ),
}
PHANTOM = (
    "mg_phantom",
    "Mammogram of a phantom: synthetic, calculated by tools/demo/phantom.py",
    "CC0-1.0",
    "CC0-1.0.txt",
    "the Isthmus authors, synthetic phantom, CC0-1.0",
)
TEXTS = {
    "CC-BY-4.0-ihe.txt": "CC-BY-4.0-ihe.txt",
    "PDDL-1.0.txt": "PDDL-1.0.txt",
    "BSD-2-dcmqatoshiba.txt": "BSD-2-dcmqatoshiba.txt",
    "BSD-2-dcmqa.txt": "BSD-2-dcmqa.txt",
    "MIT-nhsx.txt": "MIT-nhsx.txt",
    "Apache-2.0-gcp.txt": "Apache-2.0-gcp.txt",
    "CC-BY-3.0-tcia-flt.txt": "MIT-suyashkumar.txt",
    "CC0-hl7eu.txt": "CC0-1.0.txt",
}
TAIL = """
# Subsets of this font are embedded in the reports, whose texts are the Isthmus authors' own.
[font]
title = "DejaVu Sans Condensed"
licence = "Bitstream-Vera"
licence_text = "LICENSES/DejaVu.txt"
"""
HEAD = """\
# Where the demo's images come from. Written by tools/demo/gather.py; the files are unmodified.
# "Re-labelled" for the demonstration means: a changed copy, made when a demo starts, with an invented patient
# and new UIDs; the pixels are the original's.
"""


def main(samples: Path) -> None:
    index = {row["file"]: row for row in csv.DictReader((samples / "index.csv").open())}
    text = HEAD
    for folder, (title, licence, licence_text, attribution, only) in SOURCES.items():
        rows = [r for name, r in index.items() if name.startswith(f"dicom/{folder}/")]
        rows = [r for r in rows if not only or Path(r["file"]).name in only]
        assert all(r["licence_grade"] == "A" for r in rows), folder
        origin = f"{rows[0]['origin']}@{rows[0]['ref']}"
        text += head_of(folder, title, licence, licence_text, attribution, origin)
        for row in rows:
            here = row["file"].removeprefix("dicom/")
            target = DATA / "dicom" / here
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(samples / row["file"], target)
            text += line_of(target, row["sha256"], row["path"])
    folder, *words = PHANTOM
    text += head_of(folder, *words, "tools/demo/phantom.py")
    for path in sorted((DATA / "dicom" / folder).iterdir()):
        text += line_of(path, hashlib.sha256(path.read_bytes()).hexdigest(), "")
    (DATA / "provenance.toml").write_text(text + TAIL)
    for there, here in TEXTS.items():
        shutil.copyfile(samples / "LICENSES" / there, DATA / "LICENSES" / here)
    for path in DATA.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def head_of(folder: str, title: str, licence: str, licence_text: str, attribution: str, origin: str) -> str:
    words = {
        "folder": folder,
        "title": title,
        "licence": licence,
        "licence_text": f"LICENSES/{licence_text}",
        "attribution": attribution,
        "origin": origin,
    }
    return "\n[[source]]\n" + "".join(f'{name} = "{value}"\n' for name, value in words.items())


def line_of(path: Path, sha256: str, there: str) -> str:
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path
    here = path.relative_to(DATA / "dicom")
    return f'[[source.file]]\npath = "{here}"\nsha256 = "{sha256}"\nthere = "{there}"\n'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
