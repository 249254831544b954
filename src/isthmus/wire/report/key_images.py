"""Key images, as DocumentReferences named by UID; an Observation is derived from those it is seen in.

We write the one form, and read also what others write for it: Media, ImagingSelection, Basic in its place, or an identifier alone.
The draft has no place for a frame there: it stands in an extension of ours.

Source: DocumentReferenceKeyImageEuImaging, ObservationFindingEuImaging; R4 Observation.derivedFrom; REP-15, REP-16.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.sites import Site
from isthmus.wire.described import first_code, study_identifier, study_uid
from isthmus.wire.packs.pack import Pack
from isthmus.wire.report.binding import Binder, Opened
from isthmus.wire.report.statements import read_site, write_site

REFERENCES_MAX, IMAGES_MAX = 200, 50  # of one statement
HOLDS: Final = {
    "A.6.1": "DocumentReference.content.attachment.title",
    "A.6.2": "DocumentReference.extension[bodySite]",
    "A.6.3": "DocumentReference.content.attachment.contentType",
    "A.6.4": "DocumentReference.extension[modality]",
    "A.6.5": "DocumentReference.author → Device",
    "A.6.6": "DocumentReference.content.attachment.extension[height], [width], [frames]",
    "A.6.7": "DocumentReference.content.attachment.extension[duration]",
    "A.6.8.1": "DocumentReference.author → PractitionerRole → Practitioner.identifier",
    "A.6.8.2": "… → Practitioner.name",
    "A.6.8.3": "… → PractitionerRole.code",
    "A.6.8.4": "… → PractitionerRole.specialty",
    "A.6.8.5": "… → PractitionerRole.organization",
    "A.6.8.6": "… → Practitioner.telecom, .address",
    "A.6.9": "DocumentReference.description",
    "A.6.10": "DocumentReference.identifier (SOP, series); content.attachment.url",
}  # fmt: skip
"""Where a report in FHIR holds each element of this chapter."""


FORMS = ("DocumentReference", "Media", "ImagingSelection", "Basic")
FRAME_MAX = 10**9
DICOM = "application/dicom"
_FRAMES = re.compile(r"/instances/([0-9.]{1,64})/frames/([0-9]{1,9})(?:[/?,]|$)")
_NUMBER = re.compile(r"[0-9]{1,9}")


def write_key_images(binder: Binder) -> list[Node]:
    """Give references to the key images, which stand in the findings."""
    return [_add(image, binder) for image in binder.report.key_images]


def write_images(binder: Binder, images: Iterable[KeyImage]) -> list[Node]:
    """Give references to the images of a statement; never to one of a study that the report is not about."""
    studies = (None, *binder.report.study_instance_uids)
    return [_add(image, binder) for image in images if image.study_instance_uid in studies]


def _add(image: KeyImage, binder: Binder) -> Node:
    frame = f"/{image.frame}" if image.frame is not None else ""
    return binder.add(f"key-image-{image.sop_instance_uid}{frame}", _write(image, binder))


def _write(image: KeyImage, binder: Binder) -> Node:
    pack = binder.pack
    numbers = [_uid(pack.systems["dicom_tag"], pack.codes["sop_instance_uid"], image.sop_instance_uid, binder)]
    if image.series_instance_uid:
        code = pack.codes["series_instance_uid"]
        numbers.append(_uid(pack.systems["dcm"], code, image.series_instance_uid, binder))
    modality = concept(coding(pack.systems["dcm"], image.modality or "OT"))
    study = image.study_instance_uid
    attachment = {
        "extension": _format(image, pack),
        "contentType": image.media_type or DICOM,
        "url": f"urn:oid:{image.sop_instance_uid}",
        "title": image.title,
    }
    extensions: list[Node] = [{"url": pack.extensions["modality_once"], "valueCodeableConcept": modality}]
    if image.frame is not None:
        extensions.append({"url": pack.extensions["frame"], "valuePositiveInt": image.frame})
    if image.site is not None:
        inner = {"url": "concept", "valueCodeableConcept": write_site(image.site, binder)}
        extensions.append({"url": pack.extensions["body_site_once"], "extension": [inner]})
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": [pack.profiles["key_image"]]},
        "extension": extensions,
        "identifier": numbers,
        "status": "current",
        "category": [concept(coding(pack.systems["loinc"], pack.codes["key_images"]))],
        "subject": binder.ref("patient"),
        "author": [
            *([binder.person(image.performer, in_role=True)] if image.performer else []),
            *([binder.imaging_device(image.device)] if image.device else []),
        ],
        "description": image.comment,
        "content": [
            {
                "extension": [{"url": pack.extensions["thumbnail"], "valueBoolean": False}],
                "attachment": el.without_nothing(attachment),
            }
        ],
        "context": {"related": [{"type": "ImagingStudy", "identifier": study_identifier(study, pack)}]}
        if study
        else None,
    }


def _format(image: KeyImage, pack: Pack) -> list[Node]:
    """Size, frames and duration, as R5 has them. Source: data set A.6."""
    told = {"width": image.width_px, "height": image.height_px, "frames": image.frames}
    made: list[Node] = [
        {"url": pack.extensions[f"attachment_{name}"], "valuePositiveInt": value}
        for name, value in told.items()
        if value
    ]
    if image.duration_s is not None:
        made.append({"url": pack.extensions["attachment_duration"], "valueDecimal": image.duration_s})
    return made


def _uid(system: str, code: str, uid: str, binder: Binder) -> Node:
    return {"type": concept(coding(system, code)), "system": binder.pack.systems["uri"], "value": f"urn:oid:{uid}"}


def read_key_images(opened: Opened) -> tuple[KeyImage, ...]:
    """Read the key images that name an instance, wherever in the report they are referred to.

    One that nothing but a statement refers to is that statement's alone.
    """
    images: dict[tuple[str, int | None], KeyImage] = {}
    theirs = _of_statements(opened)
    for node in opened.closed.of_type("DocumentReference"):
        coded = any(c.get("code") == opened.pack.codes["key_images"] for c in el.codings(node, "category"))
        if coded and id(node) not in theirs and (image := _document(node, opened)) is not None:
            images[image.sop_instance_uid, image.frame] = image
    return tuple(images.values())


def _of_statements(opened: Opened) -> set[int]:
    """The resources that statements are derived from, without those that the report itself refers to."""
    statements = opened.entries("findings", "Observation") + opened.entries("impression", "Observation")
    derived = {
        id(node)
        for statement in statements
        for reference in el.children(statement, "derivedFrom")[:REFERENCES_MAX]
        if (node := opened.closed.find(reference, statement)) is not None
    }
    listed = opened.entries("findings", "DocumentReference") + opened.entries("impression", "DocumentReference")
    told = (opened.find(extension, "valueReference") for extension in el.children(opened.diagnostic, "extension"))
    return derived - {id(node) for node in (*listed, *told)}


def read_images(opened: Opened, statement: Node, studies: frozenset[str]) -> tuple[KeyImage, ...]:
    """Read the images that an Observation is derived from, those of these studies.

    A reference to nothing and an image of another study are left out, and that is forgiven; so is what is too much.
    """
    images: dict[tuple[str, int | None], KeyImage] = {}
    references = el.children(statement, "derivedFrom")
    if len(references) > REFERENCES_MAX:
        opened.forgiven.add("too-many-images")
    for reference in references[:REFERENCES_MAX]:
        for image in _referred(reference, statement, opened):
            if image.study_instance_uid is not None and image.study_instance_uid not in studies:
                opened.forgiven.add("image-of-another-study")
            elif len(images) < IMAGES_MAX:
                images.setdefault((image.sop_instance_uid, image.frame), image)
            else:
                opened.forgiven.add("too-many-images")
    return tuple(images.values())


def _referred(reference: Node, source: Node, opened: Opened) -> tuple[KeyImage, ...]:
    """The images at the end of a reference; what is no image (a study, another finding) is not missed."""
    node = opened.closed.find(reference, source)
    if node is None:
        node = {"resourceType": "DocumentReference", "identifier": reference.get("identifier")}
        if study_uid(node, opened.pack) is not None:
            return ()
        images = tuple(_images(node, opened))
    elif node.get("resourceType") not in FORMS:
        return ()
    elif id(node) in opened.images:
        images = opened.images[id(node)]
    else:
        images = opened.images[id(node)] = tuple(islice(_images(node, opened), IMAGES_MAX))
    if not images:
        opened.forgiven.add("finding-without-image")
    return images


def _images(node: Node, opened: Opened) -> Iterator[KeyImage]:
    """The instances that a resource names, in whichever of the forms it is."""
    if node.get("resourceType") == "Basic":
        yield from _selected(_plain(node))
    elif node.get("resourceType") == "ImagingSelection":
        yield from _selected(node)
    elif (image := _document(node, opened)) is not None:
        yield image


def _document(node: Node, opened: Opened) -> KeyImage | None:
    """A DocumentReference, or a Media, that names an instance."""
    pack = opened.pack
    sop = _named(node, pack.codes["sop_instance_uid"])
    if sop is None:
        return None
    modality = first_code(
        c
        for extension in el.extensions(node, pack.extensions["modality_once"], pack.extensions["modality"])
        for c in el.codings(extension, "valueCodeableConcept")
    ) or first_code(el.codings(node, "modality"))
    return KeyImage(
        sop_instance_uid=sop,
        series_instance_uid=_named(node, pack.codes["series_instance_uid"]),
        study_instance_uid=study_uid(el.child(node, "context", "related"), pack)
        or _named(node, pack.codes["study_instance_uid"]),
        modality=modality.code if modality else None,
        title=el.text(node, "content", "attachment", "title"),
        comment=el.text(node, "description"),
        frame=_frame(node, sop, opened),
        site=_site(node, opened),
        **_format_of(node, opened),
        performer=next((p for a in opened.closed.follow(node, "author") if (p := opened.person(a))), None),
        device=next((d for a in opened.closed.follow(node, "author") if (d := opened.device(a))), None),
    )


def _site(node: Node, opened: Opened) -> Site | None:
    """A body site in any of its forms. Source: TOL-06."""
    for extension in el.extensions(node, opened.pack.extensions["body_site_once"], opened.pack.extensions["body_site"]):
        inner = [el.child(part, "valueCodeableConcept") for part in el.children(extension, "extension")]
        for told in (*inner, el.child(extension, "valueCodeableConcept")):
            if (site := read_site(told, node, opened)) is not None:
                return site
    return None


def _format_of(node: Node, opened: Opened) -> dict[str, Any]:
    attachment, urls = el.child(node, "content", "attachment"), opened.pack.extensions
    told: dict[str, Any] = {}
    for name, member in (("width", "width_px"), ("height", "height_px"), ("frames", "frames")):
        for extension in el.extensions(attachment, urls[f"attachment_{name}"]):
            number = el.number(extension, "valuePositiveInt")
            told[member] = number if number is not None and 0 < number < FRAME_MAX else None
    for extension in el.extensions(attachment, urls["attachment_duration"]):
        seconds = extension.get("valueDecimal")
        told["duration_s"] = (
            float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None
        )
    media = el.text(attachment, "contentType")
    return told | {"media_type": None if media == DICOM else media}


def _frame(node: Node, sop: str, opened: Opened) -> int | None:
    """The frame, from our extension, or from an address that ends at a frame of this instance; it is never followed."""
    for extension in el.extensions(node, opened.pack.extensions["frame"]):
        number = el.number(extension, "valuePositiveInt")
        return number if number is not None and 0 < number < FRAME_MAX else None
    address = el.text(node, "content", "attachment", "url") or el.text(node, "content", "url") or ""
    found = _FRAMES.search(address)
    return int(found[2]) or None if found is not None and found[1] == sop else None


def _selected(node: Node) -> Iterator[KeyImage]:
    """What an ImagingSelection selects: instances, and of each the frames where it names some. Source: ImagingSelectionKeyImageEuImaging."""
    study, series = (_plain_uid(el.text(node, name)) for name in ("studyUid", "seriesUid"))
    for one in el.children(node, "instance"):
        sop = _plain_uid(el.text(one, "uid"))
        frames: list[int | None] = [int(n) for n in el.texts(one, "subset") if _NUMBER.fullmatch(n) and int(n)]
        for frame in frames or [None]:
            if sop is not None:
                yield KeyImage(sop, series, study, frame=frame)


def _plain(basic: Node) -> Node:
    """A Basic as the ImagingSelection that it stands for. Source: ImagingSelectionKeyImageEuImaging (wire.md §2.1)."""
    plain: Node = {"instance": []}
    for extension in el.children(basic, "extension"):
        if _last(extension) == "instance":
            parts = [(_last(part), _value(part)) for part in el.children(extension, "extension")]
            uids, subset = ([value for name, value in parts if name == wanted] for wanted in ("uid", "subset"))
            plain["instance"].append({"uid": next(iter(uids), None), "subset": subset})
        else:
            plain.setdefault(_last(extension), _value(extension))
    return plain


def _last(extension: Node) -> str:
    return str(extension.get("url", "")).rpartition(".")[2]


def _value(extension: Node) -> object:
    return next((value for name, value in extension.items() if name.startswith("value")), None)


def _plain_uid(text: str | None) -> str | None:
    uid = plain_uid(text or "")
    return uid if is_uid(uid) else None


def _named(node: Node, code: str) -> str | None:
    for identifier in el.children(node, "identifier"):
        uid = _plain_uid(el.text(identifier, "value"))
        if uid is not None and any(c.get("code") == code for c in el.codings(identifier, "type")):
            return uid
    return None
