"""The portal's own words: groups of the filter, sexes, the viewer, the keys. One table each, message ids in English.

What is coded is named by `terminology/display.py`, in the reader's language also where the interface has it not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from isthmus.model.codes import DCM, Code
from isthmus.model.imaging import BY_PRODUCTS
from isthmus.pages.language import N_, Language
from isthmus.terminology.display import Term, Words
from isthmus.terminology.valuesets import REPORT_STATUS

# how the filter groups modalities: name in the address, letters on the plate, words, DICOM codes
KINDS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("ct", "CT", N_("CT"), ("CT",)),
    ("mr", "MR", N_("MR"), ("MR",)),
    ("xr", "XR", N_("X-ray"), ("CR", "DX", "RG", "RF", "PX", "IO")),
    ("us", "US", N_("Ultrasound"), ("US", "IVUS")),
    ("nm", "NM", N_("Nuclear medicine"), ("NM", "PT")),
    ("mg", "MG", N_("Mammography"), ("MG",)),
    ("xa", "XA", N_("Angiography"), ("XA",)),
    ("ot", "", N_("Other kinds"), ()),
)
REGIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("head", N_("Head and neck"), ("774007",)),
    ("chest", N_("Chest"), ("67734004",)),
    ("abdomen", N_("Abdomen"), ("63337009",)),
    ("heart", N_("Heart and vessels"), ("80891009", "113257007")),
    ("breast", N_("Breast"), ("76752008",)),
    ("spine", N_("Spine"), ("1141981001", "421060004", "737561001")),
    ("limb", N_("Arm, leg"), ("53120007", "61685007")),
    ("whole", N_("Whole body"), ("38266002",)),
)
# the shape and the icon of a report's status; what it is called, the terminology knows
SHAPES = {
    "final": ("final", "fine"),
    "registered": ("preliminary", "clock"),
    "partial": ("preliminary", "clock"),
    "preliminary": ("preliminary", "clock"),
    "amended": ("amended", "edit"),
    "corrected": ("amended", "edit"),
    "appended": ("amended", "edit"),
    "cancelled": ("superseded", "cross"),
    "entered-in-error": ("superseded", "cross"),
}
SUPERSEDED = N_("Superseded")
RECOGNISED = {  # how a patient was recognised, in the order in which it is offered
    "id-document": N_("Identity document"),
    "ehic": N_("European Health Insurance Card"),
    "unable": N_("Could not show a document"),
}
BASES = {"guardian": N_("Guardian"), "proxy": N_("Authorised by the person"), "next-of-kin": N_("Next of kin")}
SEXES = {"female": N_("Female"), "male": N_("Male"), "other": N_("Other"), "unknown": N_("Not known")}
# sections of a report in the order in which they are read, by LOINC
SECTIONS = ("59776-5", "18834-2", "55111-9", "11329-0", "55115-0", "18726-0", "73568-8")


@dataclass(frozen=True, slots=True)
class ShownStatus:
    """The status of a report as it is shown; `language` is that of the words, where it is not the page's."""

    words: str
    language: str
    shape: str
    icon: str


def shown_status(status: str | None, words: Words, spoken: Language, *, superseded: bool = False) -> ShownStatus | None:
    """How a report stands; nothing for one that does not say."""
    if superseded:
        return ShownStatus(spoken.say(SUPERSEDED), "", "superseded", "history")
    if status not in SHAPES:
        return None
    term = words.term(Code(REPORT_STATUS, status))
    return ShownStatus(term.words, term.language if term.language != spoken.code else "", *SHAPES[status])


@dataclass(frozen=True, slots=True)
class Offer:
    """What a country offers all its patients, stage by stage. Source: requirements.md §1.6."""

    reports: bool
    studies: bool  # which images there are
    images: bool  # the images themselves; of no use where nobody says which there are

    @classmethod
    def of(cls, services: Collection[str]) -> Offer:
        """Read the entry in the trust list."""
        studies = "imaging-manifest" in services
        return cls("imaging-report" in services, studies, studies and "imaging-pixels" in services)

    @property
    def whole(self) -> bool:
        return self.reports and self.images

    def words(self, spoken: Language) -> str:
        """As it stands beside the country's name."""
        return spoken.say(SHARED[self.reports, self.studies, self.images])


SHARED = {
    (True, True, True): N_("Shares reports and images."),
    (True, True, False): N_("Shares reports, and which images there are; the images themselves not yet."),
    (True, False, False): N_("Shares reports; images not yet."),
    (False, True, True): N_("Shares images; reports not yet."),
    (False, True, False): N_("Shares which images there are; the images themselves and reports not yet."),
    (False, False, False): N_("Shares no imaging yet."),
}


def plate_of(modalities: tuple[str, ...]) -> str:
    """The letters on the plate: of the first kind that is not a by-product."""
    for modality in modalities:
        for _, letters, _, codes in KINDS:
            if modality in codes:
                return letters
    return modalities[0] if modalities else ""


def kinds_of(modalities: tuple[str, ...]) -> frozenset[str]:
    """The filter's groups of a study; by-products count only where there is nothing else."""
    counted = [m for m in modalities if m not in BY_PRODUCTS] or list(modalities)
    return frozenset(next((name for name, _, _, codes in KINDS if m in codes), "ot") for m in counted)


def modality_term(modality: str, words: Words) -> Term:
    """The family that a modality is of."""
    return words.term(Code(DCM, modality))


def sex(gender: str, spoken: Language) -> str:
    return spoken.say(SEXES.get(gender, SEXES["unknown"]))


VIEWER = {
    "position": N_("{n} of {total}"),
    "image_label": N_("Series {series}, image {n} of {total}: {description}"),
    "key_image": N_("Key image: {why}"),
    "window_values": N_("W {width} L {level}"),
    "window_table": N_("Window from the file"),
    "loading": N_("Loading the image."),
    "preparing": N_("Being prepared from a slow archive, about {n} min. It comes by itself."),
    "loaded": N_("{here} of {all} images, {mb} MB"),
    "cancelled": N_("Stopped. {here} of {all} images are here."),
    "failed": N_("This image did not arrive."),
    "try_again": N_("Try again"),
    "undecodable": N_("This image cannot be drawn here. It can be downloaded."),
    "no_pixels": N_("This object holds no image. It can be downloaded."),
    "not_drawn": N_("This series holds no images that can be drawn here. Its objects can be downloaded."),
    "not_drawn_some": N_("{n} more objects of this series are not images."),
    "download_object": N_("Download: {kind} {n}"),
    "read_object": N_("Read: {kind} {n}"),
    "kind_image": N_("image"),
    "kind_key_images": N_("list of key images"),
    "kind_structured_report": N_("structured report"),
    "kind_document": N_("document"),
    "kind_presentation": N_("presentation state"),
    "kind_waveform": N_("waveform"),
    "kind_derived": N_("segmentation or other derived object"),
    "kind_radiotherapy": N_("radiotherapy object"),
    "lossy": N_("Picture compressed; details may be lost."),
    "lossless": N_("Lossless."),
    "length_body": N_("{n} mm"),
    "length_detector": N_("{n} mm at the detector"),
    "length_corrected": N_("{n} mm, corrected for magnification"),
    "length_none": N_("{n} pixels, true size unknown"),
    "yours": N_("yours"),
    "measure_start": N_("Measuring. Arrow keys move the point, Enter sets it."),
    "measure_second": N_("First point set. Move to the second point, then Enter."),
    "measure_deleted": N_("Measurement deleted."),
    "stopped": N_("Stopped: this may be another person"),
    "stopped_lead": N_("What came carries other data than the person you confirmed. Nothing of it has been shown."),
    "stopped_link": N_("What to do"),
}
READER = {
    "page": N_("Page {n} of {total}"),
    "failed": N_("The original cannot be shown here. It can be downloaded."),
    "original": N_("Original report"),
}

# the keys of list, report and viewer; the viewer's own are those of web/viewer/keys.ts
KEYS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        N_("Everywhere"),
        (
            ("?", N_("These keys")),
            ("G F", N_("Find a patient")),
            ("U", N_("One level up")),
        ),
    ),
    (
        N_("Examinations"),
        (
            ("J K", N_("Next and previous row")),
            ("Enter", N_("Open the report, or the images when there is none")),
            ("V", N_("Images of the row")),
            ("/", N_("Filter")),
            ("1 5 A", N_("Period: one year, five years, all")),
        ),
    ),
    (
        N_("Report"),
        (
            ("V", N_("View the images")),
            (".", N_("Next link to an image")),
            ("O", N_("The original")),
            ("P", N_("Download the original")),
            ("E", N_("Unfold all")),
        ),
    ),
    (
        N_("Viewer"),
        (
            ("\u2191 \u2193", N_("Scroll; with Page keys by ten, Home and End")),
            ("S W Z M", N_("Scroll, window, zoom, move with the mouse")),
            ("L", N_("Measure a length; arrows and Enter")),
            ("F1\u2013F8", N_("Windows")),
            ("[ ]", N_("Previous and next series")),
            ("K", N_("Next key image")),
            ("I", N_("Invert")),
            ("Space", N_("Cine")),
            ("0", N_("Reset")),
            ("T", N_("Report")),
            ("Esc", N_("Stop loading")),
        ),
    ),
)
