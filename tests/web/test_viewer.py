"""The built viewer and reader in Chromium, under the portal's policy."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
GRAPHICS = {
    "software": ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
    "none": ["--disable-3d-apis"],
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]


@pytest.fixture
def served() -> Iterator[Callable[..., str]]:
    """Serves files as a study; its pages ask for this fixture, so that they are closed before their server ends."""
    with ExitStack() as running:

        def serve(*files: Path) -> str:
            command = [sys.executable, str(ROOT / "web/tests/harness.py"), *map(str, files)]
            harness = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            running.enter_context(harness)
            running.callback(harness.terminate)
            assert harness.stdout is not None
            return harness.stdout.readline().strip()

        yield serve


@pytest.fixture(scope="module", params=list(GRAPHICS))
def browser(front_end: None, request: pytest.FixtureRequest) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--disable-background-networking", "--no-first-run", *GRAPHICS[request.param]]
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, served: Callable[..., str]) -> Iterator[Any]:  # closed before what serves it
    """A page that fails the test when the policy refused anything or a script broke."""
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    yield opened
    opened.close()
    apart = ("logo.svg", "404")
    assert [line for line in trouble if not any(word in line for word in apart)] == []


def shown(page: Any) -> np.ndarray[Any, Any]:
    page.wait_for_selector("html[data-viewer=ready]")
    address = page.evaluate("document.querySelector('.port__image').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB"))


def state(page: Any, name: str) -> str:
    return str(page.evaluate("name => document.documentElement.dataset[name]", name))


def ramp(path: Path, **changes: object) -> Path:
    """Four large squares of stored values 0, 1365, 2730 and 4095."""
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = generate_uid(), generate_uid(), "OT"
    data.Rows = data.Columns = 100
    data.SamplesPerPixel, data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 1, 16, 12, 11, 0
    data.PhotometricInterpretation, data.WindowCenter, data.WindowWidth = "MONOCHROME2", 2048, 4096
    data.PixelData = np.repeat(np.repeat([[0, 1365], [2730, 4095]], 50, 0), 50, 1).astype("<u2").tobytes()
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def squares(image: np.ndarray[Any, Any]) -> list[int]:
    """The grey in the middle of each of the four squares."""
    height, width = image.shape[:2]
    side = min(height, width) / 4
    return [int(image[int(height / 2 + y * side), int(width / 2 + x * side), 0]) for y in (-1, 1) for x in (-1, 1)]


@pytest.mark.fault("F59")
@pytest.mark.parametrize(
    ("changes", "greys"),
    [
        ({}, [0, 85, 170, 255]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, [255, 170, 85, 0]),
        ({"WindowCenter": [2048, 1], "WindowWidth": [4096, 2]}, [0, 85, 170, 255]),
        (
            {"PixelRepresentation": 1, "RescaleIntercept": -1024, "RescaleSlope": 1, "WindowCenter": -1024},
            [128, 213, 42, 127],
        ),
    ],
)
def test_greys_are_those_of_the_standard(
    page: Any, served: Callable[..., str], tmp_path: Path, changes: dict[str, object], greys: list[int]
) -> None:
    address = served(ramp(tmp_path / "ramp.dcm", **changes))
    page.goto(address)
    image = shown(page)

    assert squares(image) == pytest.approx(greys, abs=1)


@pytest.mark.fault("F62")
def test_slices_lie_in_the_order_of_the_body(page: Any, served: Callable[..., str], tmp_path: Path) -> None:
    series = generate_uid()
    heights = [20, 0, 50, 10, 40, 30]
    plane = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SeriesInstanceUID": series, "InstanceNumber": 1}
    for i, z in enumerate(heights):
        ramp(tmp_path / f"{i}.dcm", ImagePositionPatient=[0, 0, z], **plane)

    address = served(tmp_path)
    page.goto(address)
    page.wait_for_selector("html[data-loaded='6'][data-viewer=ready]")
    page.keyboard.press("Home")
    seen = []
    for _ in heights:
        page.wait_for_timeout(60)
        seen.append(page.inner_text(".over--bs").split(" · ")[-1])
        page.keyboard.press("ArrowDown")

    assert seen == ["0 mm", "10 mm", "20 mm", "30 mm", "40 mm", "50 mm"]


@pytest.mark.parametrize(
    "name",
    [
        "dicom/ct_mado_study_b/Series_B_1/I0.dcm",
        "dicom/us_multiframe_jpeg",
        "dicom/mr_transfer_syntaxes/4_rle.dcm",
        "dicom/mr_transfer_syntaxes/7_jpegls_a.dcm",
        "dicom/mr_transfer_syntaxes/9_j2k_lossless.dcm",
        "dicom/xa_wg04/XA1_JPLY.dcm",
    ],
)
def test_each_compression_is_drawn(
    page: Any, served: Callable[..., str], sample: Callable[[str], Path], name: str
) -> None:
    address = served(sample(name))
    page.goto(address)
    image = shown(page)

    assert len(np.unique(image)) > 50


def test_a_length_set_by_keys_is_spoken(page: Any, served: Callable[..., str], sample: Callable[[str], Path]) -> None:
    address = served(sample("dicom/mr_t1_studyforrest"))
    page.goto(address)
    shown(page)
    for key in ["l", "Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Enter"]:
        page.keyboard.press(key)
    spoken = page.inner_text(".port [aria-live]")

    assert spoken.endswith(" mm")
    assert 5 < float(spoken.split()[0]) < 40


@pytest.mark.fault("F58")
def test_an_object_without_a_picture_is_offered(
    page: Any, served: Callable[..., str], sample: Callable[[str], Path]
) -> None:
    address = served(sample("dicom/sr/reportki.dcm"))
    page.goto(address)
    page.wait_for_selector("html[data-viewer=ready]")
    link = page.get_attribute(".port__note a", "href")

    assert link is not None
    assert link.startswith("/instances/")


@pytest.mark.fault("F66")
def test_tools_are_reached_and_told_by_keyboard(
    page: Any, served: Callable[..., str], sample: Callable[[str], Path]
) -> None:
    address = served(sample("dicom/mr_t1_studyforrest"))
    page.goto(address)
    shown(page)
    page.focus("[data-tool=scroll]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.get_attribute("[data-tool=window]", "aria-pressed") == "true"
    assert page.get_attribute("[data-tool=scroll]", "aria-pressed") == "false"


@pytest.mark.fault("F57")
def test_an_original_is_drawn_with_its_text(
    page: Any, served: Callable[..., str], sample: Callable[[str], Path]
) -> None:
    pdf = next(sample("pdf").glob("*.pdf"))

    address = served(pdf)
    page.goto(f"{address}reader")
    page.wait_for_selector("[data-reader=ready]")
    text = page.inner_text(".textLayer")

    assert "Radiologie" in text


def test_pages_answer_their_keys(page: Any, served: Callable[..., str], sample: Callable[[str], Path]) -> None:
    address = served(sample("dicom/sr/reportki.dcm"))
    page.goto(f"{address}portal")
    page.wait_for_load_state("networkidle")

    def focus_after(*keys: str) -> str:
        for key in keys:
            page.keyboard.press(key)
        return str(page.evaluate("document.activeElement.id"))

    rows = [focus_after("j"), focus_after("j"), focus_after("k")]
    page.keyboard.press("v")
    images = page.url
    page.keyboard.press("g")
    page.keyboard.press("f")
    find = page.url
    typed = [focus_after("/"), focus_after("j")]

    assert rows == ["report1", "images2", "report1"]
    assert images.endswith("#images1")
    assert find.endswith("#find")
    assert typed == ["filter", "filter"]


def test_a_chosen_country_brings_its_fields_and_the_focus(
    page: Any, served: Callable[..., str], sample: Callable[[str], Path]
) -> None:
    address = served(sample("dicom/sr/reportki.dcm"))
    page.goto(f"{address}portal")
    page.wait_for_load_state("networkidle")
    page.click("label:has-text('Greece')")
    page.wait_for_selector("#identifier:focus")
    kept = page.evaluate("[localStorage.length, sessionStorage.length]")

    assert kept == [0, 0]
