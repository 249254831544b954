"""Studies told in the two other ways: ImagingStudy and QIDO-RS (WAD-19, WAD-20)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from isthmus.conformance.requirement import Kind, requirement
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.wire.packs.pack import Pack

_TAG = re.compile(r"[0-9A-F]{8}")


@requirement(
    "WAD-19", Kind.ROW, "DICOM JSON: tags in order, each with its VR; the study and where it is", source="PS18"
)
def wad_19(node: Node, pack: Pack) -> Iterator[str]:
    if list(node) != sorted(node) or not all(_TAG.fullmatch(tag) for tag in node):
        yield "tags"
    for tag, element in node.items():
        if not isinstance(element, dict) or len(str(element.get("vr"))) != 2 or element.get("Value") == []:
            yield tag
    if not is_uid(_value(node, "0020000D")):
        yield "0020000D"
    if not re.match(r"https://.+/studies/", _value(node, "00081190")):
        yield "00081190"


def _value(node: Node, tag: str) -> str:
    values = el.child(node, tag).get("Value")
    return str(values[0]) if isinstance(values, list) and values else ""


@requirement(
    "WAD-20", Kind.STUDIES, "studies by UID, counted, about one patient, without an endpoint", source="NCP, EUI"
)
def wad_20(node: Node, pack: Pack) -> Iterator[str]:
    if el.number(node, "total") is None or bundles.link(node, "self") is None:
        yield "Bundle"
    studies = [el.child(entry, "resource") for entry in el.children(node, "entry")]
    for study in studies:
        series = el.children(study, "series")
        uids = [i for i in el.children(study, "identifier") if i.get("system") == pack.systems["uid"]]
        if len(uids) != 1 or not is_uid(plain_uid(str(uids[0].get("value")))):
            yield "ImagingStudy.identifier"
        counted = len(series), sum(len(el.children(one, "instance")) for one in series)
        if (study.get("numberOfSeries"), study.get("numberOfInstances")) != counted:
            yield "ImagingStudy.numberOfInstances"
        if any("endpoint" in holder for holder in (study, *series)):
            yield "ImagingStudy.endpoint"
        if set(el.child(study, "subject")) != {"reference"}:
            yield "ImagingStudy.subject"
    if len({el.text(study, "subject", "reference") for study in studies}) > 1:
        yield "ImagingStudy.subject"
