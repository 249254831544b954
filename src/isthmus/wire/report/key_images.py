"""Key images, as DocumentReferences named by UID. Source: DocumentReferenceKeyImageEuImaging; REP-15, REP-16."""

from __future__ import annotations

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.report.key_images import KeyImage
from isthmus.wire.described import first_code, study_identifier, study_uid
from isthmus.wire.report.binding import Binder, Opened


def write_key_images(binder: Binder) -> list[Node]:
    """Give references to the key images, which stand in the findings."""
    return [
        binder.add(f"key-image-{image.sop_instance_uid}", _write(image, binder)) for image in binder.report.key_images
    ]


def _write(image: KeyImage, binder: Binder) -> Node:
    pack = binder.pack
    numbers = [_uid(pack.systems["dicom_tag"], pack.codes["sop_instance_uid"], image.sop_instance_uid, binder)]
    if image.series_instance_uid:
        code = pack.codes["series_instance_uid"]
        numbers.append(_uid(pack.systems["dcm"], code, image.series_instance_uid, binder))
    modality = concept(coding(pack.systems["dcm"], image.modality or "OT"))
    study = image.study_instance_uid
    attachment = {
        "contentType": "application/dicom",
        "url": f"urn:oid:{image.sop_instance_uid}",
        "title": image.title,
    }
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": [pack.profiles["key_image"]]},
        "extension": [{"url": pack.extensions["modality_once"], "valueCodeableConcept": modality}],
        "identifier": numbers,
        "status": "current",
        "category": [concept(coding(pack.systems["loinc"], pack.codes["key_images"]))],
        "subject": binder.ref("patient"),
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


def _uid(system: str, code: str, uid: str, binder: Binder) -> Node:
    return {"type": concept(coding(system, code)), "system": binder.pack.systems["uri"], "value": f"urn:oid:{uid}"}


def read_key_images(opened: Opened) -> tuple[KeyImage, ...]:
    """Read the key images that name an instance; wherever in the report they are referred to."""
    images: dict[str, KeyImage] = {}
    for node in opened.closed.of_type("DocumentReference"):
        pack = opened.pack
        if not any(c.get("code") == pack.codes["key_images"] for c in el.codings(node, "category")):
            continue
        sop = _named(node, pack.codes["sop_instance_uid"])
        if sop is None:
            continue
        modality = first_code(
            c
            for extension in el.extensions(node, pack.extensions["modality_once"], pack.extensions["modality"])
            for c in el.codings(extension, "valueCodeableConcept")
        )
        related = el.child(node, "context", "related")
        images[sop] = KeyImage(
            sop_instance_uid=sop,
            series_instance_uid=_named(node, pack.codes["series_instance_uid"]),
            study_instance_uid=study_uid(related, pack),
            modality=modality.code if modality else None,
            title=el.text(node, "content", "attachment", "title"),
            comment=el.text(node, "description"),
        )
    return tuple(images.values())


def _named(node: Node, code: str) -> str | None:
    for identifier in el.children(node, "identifier"):
        uid = plain_uid(el.text(identifier, "value") or "")
        if any(c.get("code") == code for c in el.codings(identifier, "type")) and is_uid(uid):
            return uid
    return None
