"""Calculates the demo's mammogram: a synthetic phantom, labelled as such in pixels and header.

    python tools/demo/phantom.py

No open-licence mammogram of the right kind was found, so this one shows nobody: half an ellipse with texture, fibres,
specks and masses like a quality phantom's. The same bytes each time (same numpy and Pillow).
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

TARGET = Path(__file__).parents[2] / "src/isthmus/demo/data/dicom/mg_phantom/phantom_l_cc.dcm"
ROWS, COLUMNS = 640, 480
NAMESPACE = UUID("9d0f2d5c-3a39-5f0e-8d6b-1b1f0c5b9a10")
MG_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"


def pixels() -> np.ndarray:
    """Twelve bits, MONOCHROME2, the chest wall on the left as a left cranio-caudal view hangs."""
    random = np.random.default_rng(20260301)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(float)
    edge = 1 - ((y - ROWS / 2) / 265) ** 2 - (x / 375) ** 2
    breast = np.clip(edge / 0.12, 0, 1)
    texture = np.zeros((ROWS, COLUMNS))
    for step, weight in ((80, 0.5), (40, 0.3), (20, 0.2)):
        grid = random.random((ROWS // step + 2, COLUMNS // step + 2))
        texture += weight * np.asarray(
            Image.fromarray((grid * 255).astype("uint8")).resize((COLUMNS, ROWS), Image.Resampling.BICUBIC), dtype=float
        )
    gland = np.exp(-(((y - ROWS / 2) / 170) ** 2) - ((x - 150) / 150) ** 2)
    picture = breast * (900 + 900 * gland * (0.35 + texture / 255))
    for row, column, radius in ((190, 120, 17), (250, 210, 12), (330, 150, 9), (390, 230, 7)):
        picture += 520 * np.exp(-(((y - row) ** 2 + (x - column) ** 2) / (2 * radius**2))) * breast
    for row, column in ((430, 110), (330, 260)):
        for angle in range(5):
            dy, dx = 13 * np.sin(angle * 2.5), 13 * np.cos(angle * 2.5)
            picture += 1500 * (((y - row - dy) ** 2 + (x - column - dx) ** 2) < 4.5)
    for row, column, length, slope in ((290, 70, 60, 0.7), (460, 180, 70, -0.6), (230, 285, 45, 0.4)):
        off = np.abs((y - row) - slope * (x - column)) / np.hypot(1, slope)
        picture += 380 * np.exp(-((off / 2.2) ** 2)) * (np.abs(x - column) < length / 2)
    picture += breast * random.normal(0, 22, picture.shape)
    label = Image.new("L", (COLUMNS, ROWS))
    draw = ImageDraw.Draw(label)
    draw.text((318, 20), "L CC", fill=255, font=ImageFont.load_default(30))
    draw.text((258, 596), "SYNTHETIC PHANTOM", fill=255, font=ImageFont.load_default(20))
    picture = np.maximum(picture, np.asarray(label, dtype=float) / 255 * 3200)
    return np.clip(picture, 0, 4095).astype("<u2")


def uid(name: str) -> str:
    return f"2.25.{uuid5(NAMESPACE, name).int}"


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def header() -> Dataset:
    dataset = Dataset()
    plain = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", ""],
        "SOPClassUID": MG_PRESENTATION,
        "SOPInstanceUID": uid("instance"),
        "StudyDate": "20260101",
        "SeriesDate": "20260101",
        "AcquisitionDate": "20260101",
        "ContentDate": "20260101",
        "StudyTime": "101500",
        "SeriesTime": "101600",
        "AcquisitionTime": "101630",
        "ContentTime": "101640",
        "AccessionNumber": "",
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
        "Manufacturer": "Isthmus demo",
        "ManufacturerModelName": "Synthetic phantom",
        "DeviceSerialNumber": "0",
        "SoftwareVersions": "1",
        "ReferringPhysicianName": "",
        "StudyDescription": "SYNTHETIC PHANTOM",
        "SeriesDescription": "SYNTHETIC PHANTOM L CC",
        "PatientName": "Phantom^Synthetic",
        "PatientID": "PHANTOM-1",
        "PatientBirthDate": "",
        "PatientSex": "O",
        "BodyPartExamined": "BREAST",
        "KVP": "28",
        "DistanceSourceToDetector": "660",
        "DistanceSourceToPatient": "600",
        "EstimatedRadiographicMagnificationFactor": "1.1",
        "ExposureTime": "900",
        "XRayTubeCurrent": "90",
        "Exposure": "81",
        "ImagerPixelSpacing": ["0.4", "0.4"],
        "BodyPartThickness": "45",
        "CompressionForce": "100",
        "DetectorType": "DIRECT",
        "DetectorID": "0",
        "FieldOfViewShape": "RECTANGLE",
        "FieldOfViewDimensions": ["192", "256"],
        "FieldOfViewOrigin": ["0", "0"],
        "FieldOfViewRotation": "0",
        "FieldOfViewHorizontalFlip": "NO",
        "PositionerType": "MAMMOGRAPHIC",
        "PositionerPrimaryAngle": "0",
        "StudyInstanceUID": uid("study"),
        "SeriesInstanceUID": uid("series"),
        "StudyID": "1",
        "SeriesNumber": "1",
        "InstanceNumber": "1",
        "PatientOrientation": ["A", "R"],
        "ImageLaterality": "L",
        "ImageComments": "SYNTHETIC PHANTOM: calculated, shows nobody",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "QualityControlImage": "YES",
        "BurnedInAnnotation": "NO",
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "WindowCenter": "1500",
        "WindowWidth": "3000",
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
        "RescaleType": "US",
        "LossyImageCompression": "00",
        "PresentationLUTShape": "IDENTITY",
        "OrganExposed": "BREAST",
        "BreastImplantPresent": "NO",
    }
    for keyword, value in plain.items():
        setattr(dataset, keyword, value)
    view = code("399162004", "SCT", "cranio-caudal")
    view.ViewModifierCodeSequence = Sequence()
    dataset.ViewCodeSequence = Sequence([view])
    dataset.AnatomicRegionSequence = Sequence([code("76752008", "SCT", "Breast")])
    dataset.AcquisitionContextSequence = Sequence()
    return dataset


def main() -> None:
    dataset = header()
    dataset.PixelData = pixels().tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.preamble = b"\0" * 128
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = uid("implementation")
    dataset.file_meta.ImplementationVersionName = "ISTHMUS_DEMO"
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(TARGET, enforce_file_format=True)


if __name__ == "__main__":
    main()
