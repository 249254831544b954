"""The body of a CDA document as an outline: sections with their narrative, entries as what is told.

Source: CDA R2 §4.3 (body); PS3.20 §9, §10; HL7 V3 (data types).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Final
from xml.etree.ElementTree import Element

from isthmus.model.codes import DCM, SNOMED, Code
from isthmus.model.identifiers import is_uid
from isthmus.model.numbers import written
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Quantity
from isthmus.originals.cda.elements import NOTHING, TYPE, V3, all_of, at, code_of, period, words
from isthmus.originals.cda.narrative import by_id, lines, xhtml
from isthmus.originals.outline import MEDICATION, PROCEDURE, Part, Told

STUDY, SERIES, FRAMES = "113014", "113015", "121190"
IMAGE: Final = "DGIMG"
_SITE, _METHOD = Code(SNOMED, "363698007", "Finding site"), Code(SNOMED, "370129005", "Method")
_KINDS: Final = (
    *("observation", "act", "procedure", "organizer", "substanceAdministration", "supply", "encounter"),
    *("regionOfInterest", "observationMedia"),
)
_SORTS: Final = {"procedure": PROCEDURE, "substanceAdministration": MEDICATION}
_CONTEXT: Final = frozenset({"2.16.840.1.113883.10.20.6.2.5", "1.2.840.10008.9.3"})
_LISTS: Final = ("entryRelationship", "component")
_STRUCTURE: Final = frozenset({(DCM, STUDY), (DCM, SERIES)})  # where the objects lie: the manifest says it


class Body:
    """A structured body, read section by section."""

    def __init__(self, root: Element) -> None:
        self._body = at(root, "component", "structuredBody")
        self._where = dict(_objects(root))

    def outline(self, title: str) -> Part:
        return Part(title, parts=tuple(self._section(one) for one in self._body.iterfind(f"{V3}component/{V3}section")))

    def _section(self, node: Element) -> Part:
        text = at(node, "text")
        named = by_id(text) if text is not NOTHING else {}
        told = [one for entry in all_of(node, "entry") for one in self._told(entry, named)]
        return Part(
            title=words(at(node, "title")) or (at(node, "code").get("displayName") or ""),
            code=code_of(at(node, "code")),
            told=tuple(told),
            parts=tuple(self._section(one) for one in node.iterfind(f"{V3}component/{V3}section")),
            narrative=xhtml(text) or None,
            lines=tuple(lines(text)),
        )

    def _told(self, around: Element, named: Mapping[str, str]) -> Iterator[Told]:
        """What stands in an entry, or in the relation of one to another."""
        for kind in _KINDS:
            for node in all_of(around, kind):
                one = self._entry(node, kind, named)
                if one is not None:
                    yield one

    def _entry(self, node: Element, kind: str, named: Mapping[str, str]) -> Told | None:
        code = code_of(at(node, "code"))
        if node.get("negationInd") == "true":
            return None  # what is denied is in the narrative, in words; turned round it would be said
        if code is not None and (code.system, code.code) in _STRUCTURE:
            return None
        below = [one for name in _LISTS for relation in all_of(node, name) for one in self._told(relation, named)]
        images = tuple(self._images(node))
        if kind in ("observation", "regionOfInterest") and node.get("classCode") == IMAGE:
            return Told(images=images)
        given = kind == "substanceAdministration"
        if given:
            code = code_of(at(node, "consumable", "manufacturedProduct", "manufacturedMaterial", "code"))
        text, value = _quantity(at(node, "doseQuantity")) if given else _value(at(node, "value"), named)
        said = _referred(at(node, "text"), named)
        sites = [
            Told(_SITE.display or "", _SITE, value=found)
            for one in all_of(node, "targetSiteCode")
            if (found := code_of(one))
        ]
        methods = [
            Told(_METHOD.display or "", _METHOD, value=found)
            for one in all_of(node, "methodCode")
            if (found := code_of(one))
        ]
        seen = [image for one in below if not (one.text or one.value or one.more) for image in one.images]
        return Told(
            name=_name(node, code, kind, named),
            code=code,
            text=text or (said if value is None else ""),
            value=value,
            images=tuple(dict.fromkeys((*images, *seen))),
            more=(*sites, *methods, *(one for one in below if one.text or one.value or one.more or one.name)),
            observed=period(at(node, "effectiveTime"))[0],
            interpretations=tuple(filter(None, map(code_of, all_of(node, "interpretationCode")))),
            kind=PROCEDURE if _is_context(node) else _SORTS.get(kind, ""),
        )

    def _images(self, node: Element) -> Iterator[KeyImage]:
        """The instance that an image observation names, with its frames; never the address that stands beside it."""
        if node.get("classCode") != IMAGE:
            return
        frames = [
            int(value)
            for one in node.iter(f"{V3}observation")
            if at(one, "code").get("code") == "113036" and (value := at(one, "value").get("value") or "").isdecimal()
        ]
        for one in all_of(node, "id"):
            sop = one.get("root") or ""
            if not is_uid(sop):
                continue
            series, study = self._where.get(sop, (None, None))
            for frame in frames[:50] or [0]:
                yield KeyImage(sop, series, study, frame=frame or None)


def _is_context(node: Element) -> bool:
    """Whether an act says which procedure a section is about. Source: PS3.20 §10.1; C-CDA (Procedure Context)."""
    return any(one.get("root") in _CONTEXT for one in all_of(node, "templateId"))


def _objects(root: Element) -> Iterator[tuple[str, tuple[str, str]]]:
    """Series and study of each object of the catalogue. Source: PS3.20 §9.1."""
    for study in _acts(root, STUDY):
        for series in _acts(study, SERIES):
            for one in series.iter(f"{V3}observation"):
                uids = [next((i.get("root") or "" for i in all_of(node, "id")), "") for node in (one, series, study)]
                if all(map(is_uid, uids)):
                    yield uids[0], (uids[1], uids[2])


def _acts(node: Element, code: str) -> Iterator[Element]:
    return (act for act in node.iter(f"{V3}act") if at(act, "code").get("code") == code)


def _name(node: Element, code: Code | None, kind: str, named: Mapping[str, str]) -> str:
    """What an entry is about: its code in words, else the words it was chosen for; a product by its own name."""
    if kind == "substanceAdministration":
        material = at(node, "consumable", "manufacturedProduct", "manufacturedMaterial")
        product = code_of(at(material, "code"))
        return words(at(material, "name")) or (product.display or product.code if product else "")
    shown = code.display if code else None
    return shown or _referred(at(node, "code", "originalText"), named) or (code.code if code else "")


def _referred(node: Element, named: Mapping[str, str]) -> str:
    """Words, or those of the narrative that are referred to."""
    target = (at(node, "reference").get("value") or "").removeprefix("#")
    return named.get(target, "") if target else words(node)


def _value(node: Element, named: Mapping[str, str]) -> tuple[str, Quantity | Code | None]:
    """Words and value, by data type. Source: HL7 V3 (data types)."""
    kind = (node.get(TYPE) or "").rpartition(":")[2]
    if node is NOTHING or node.get("nullFlavor"):
        return "", None
    if kind in ("PQ", "INT", "REAL"):
        return _quantity(node)
    if kind in ("CD", "CE", "CV", "CO", "CS"):
        code = code_of(node)
        return ("", code) if code else (_referred(at(node, "originalText"), named), None)
    if kind.startswith("IVL"):
        ends = [_end(at(node, end)) for end in ("low", "high")]
        return " – ".join(ends) if any(ends) else _end(node), None
    if kind in ("RTO", "RTO_PQ_PQ"):
        return "/".join(filter(None, (_end(at(node, part)) for part in ("numerator", "denominator")))), None
    if kind == "TS":
        return period(node)[0] or "", None
    return _referred(node, named) or (node.get("value") or ""), None


def _quantity(node: Element) -> tuple[str, Quantity | None]:
    said, unit = (node.get("value") or "").strip(), (node.get("unit") or "").strip()
    try:
        value = written(said) if len(said) <= 32 else float("nan")
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        return " ".join(filter(None, (said, unit))), None
    return "", Quantity(value, unit if unit != "1" else None, unit or None)


def _end(node: Element) -> str:
    return " ".join(filter(None, (node.get("value"), node.get("unit"))))
