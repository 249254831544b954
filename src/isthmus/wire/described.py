"""Described studies: series and instances as a manifest or a report holds them, both directions.

Source: MADO; EU imaging report; wire.md §7 (TOL rows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from isthmus.errors import CountryMisanswered
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node, coding, concept
from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier, is_uid, plain_uid
from isthmus.model.imaging import Instance, Series, Study
from isthmus.model.people import Organisation, Patient
from isthmus.wire.packs.pack import Pack


def write_series(
    series: Series, pack: Pack, *, frames: str, endpoint: list[Node] | None = None, performers: list[Node] | None = None
) -> Node:
    """Write a series with its instances; `frames` names the extension that counts frames there."""
    url, title = pack.extensions[frames], pack.extensions["key_object_title"]
    return el.without_nothing(
        {
            "extension": _site_at_home(series.body_site, pack),
            "uid": series.series_instance_uid,
            "number": series.number,
            "modality": el.coding(pack.systems["dcm"], series.modality),
            "description": series.description,
            "numberOfInstances": len(series.instances),
            "endpoint": endpoint,
            "bodySite": write_code(series.body_site),
            "laterality": write_code(series.laterality),
            "started": series.started,
            "performer": performers,
            "instance": [_write_instance(instance, pack.systems["uri"], url, title) for instance in series.instances],
        }
    )


def _write_instance(instance: Instance, uri: str, frames: str, title: str) -> Node:
    node: Node = {
        "uid": instance.sop_instance_uid,
        "sopClass": {"system": uri, "code": f"urn:oid:{instance.sop_class_uid}"},
    }
    if instance.number is not None:
        node["number"] = instance.number
    if instance.description is not None:
        node["title"] = instance.description
    extensions: list[Node] = []
    if instance.number_of_frames is not None:
        extensions.append({"url": frames, "valueInteger": instance.number_of_frames})
    if instance.title is not None:
        extensions.append({"url": title, "valueCodeableConcept": {"coding": [write_code(instance.title)]}})
    return {"extension": extensions} | node if extensions else node


def write_code(code: Code | None) -> Node | None:
    """One coding. A code of the country's own is marked as the one that was chosen there; without a URI it has no system."""
    if code is None:
        return None
    written = el.coding(code.system if ":" in code.system else "", code.code, code.display)
    return {name: value for name, value in written.items() if value} | (
        {"userSelected": True} if code.is_original else {}
    )


def write_codings(code: Code) -> list[Node]:
    """A code and, where it was mapped from one at home, that one beside it. Source: requirements.md §5.10."""
    return [written for one in (code, code.original) if (written := write_code(one)) is not None]


def read_codings(codings: Iterable[Node]) -> Code | None:
    """The first code that others know, with the one at home beside it; the one at home where there is no other."""
    held = list(codings)
    known = next((code for c in held if not c.get("userSelected") and (code := read_code(c)) is not None), None)
    own = next((code for c in held if c.get("userSelected") and (code := read_code(c)) is not None), None)
    return replace(known, original=own) if known is not None and own is not None else known or own


def _site_at_home(site: Code | None, pack: Pack) -> list[Node] | None:
    """A body site of a series is one coding in R4: the original stands beside it as R5 would have it."""
    if site is None or site.original is None:
        return None
    inner = {"url": "concept", "valueCodeableConcept": concept(*write_codings(site))}
    return [{"url": pack.extensions["series_body_site"], "extension": [inner]}]


def _read_site(node: Node, pack: Pack) -> Code | None:
    for extension in el.extensions(node, pack.extensions["series_body_site"]):
        for inner in el.extensions(extension, "concept"):
            if (code := read_codings(el.codings(inner, "valueCodeableConcept"))) is not None:
                return code
    return read_code(el.child(node, "bodySite"))


def read_uid(text: str | None, path: str) -> str:
    """A UID with or without prefix. Raises CountryMisanswered."""
    uid = plain_uid(text or "")
    if not is_uid(uid):
        raise CountryMisanswered("a UID is missing or none", path=path)
    return uid


def study_uid(node: Node, pack: Pack) -> str | None:
    """The Study Instance UID among the identifiers, by system or type; None when there is none."""
    for identifier in el.children(node, "identifier"):
        coded = any(c.get("code") == pack.codes["study_instance_uid"] for c in el.codings(identifier, "type"))
        uid = plain_uid(el.text(identifier, "value") or "")
        if (coded or identifier.get("system") == pack.systems["uid"]) and is_uid(uid):
            return uid
    return None


def read_regions(node: Node, pack: Pack) -> tuple[Code, ...]:
    """Regions from any of the three extensions; the spine's codes are one. Source: TOL-01; wire.md C16."""
    urls = (pack.extensions[name] for name in ("region_manifest", "region_report", "region_base"))
    found: dict[str, Code] = {}
    for extension in el.extensions(node, *urls):
        for c in el.codings(extension, "valueCodeableConcept"):
            code = read_code(c)
            if code is not None and code.code in pack.aliases["spine"]:
                code = Code(code.system, pack.codes["spine_manifest"], code.display)
            if code is not None:
                found.setdefault(code.code, code)
    return tuple(found.values())


def read_code(c: Node) -> Code | None:
    code = el.text(c, "code")
    if code is None:
        return None
    return Code(el.text(c, "system") or "", code, el.text(c, "display"), is_original=c.get("userSelected") is True)


def first_code(codings: Iterable[Node]) -> Code | None:
    return next((code for c in codings if (code := read_code(c)) is not None), None)


def write_procedure(study: Study, words: str | None) -> Node:
    """The requested procedure: as a code that other countries know where there is one, and in the words of who requested it."""
    known = study.procedure_code
    return concept(*(write_codings(known) if known else []), words=words)


def study_identifier(uid: str, pack: Pack) -> Node:
    """A study by its UID. Source: MADO."""
    kind = concept(coding(pack.systems["dcm"], pack.codes["study_instance_uid"]))
    return {"type": kind, "system": pack.systems["uid"], "value": f"urn:oid:{uid}"}


def accession_identifier(number: Identifier, pack: Pack) -> Node:
    """An accession number with its issuer; without one there is no `system`. Source: MADO; field-faults F09."""
    codes = (coding(pack.systems["v2_0203"], "ACSN"), coding(pack.systems["dcm"], pack.codes["accession_number"]))
    return el.without_nothing({"type": concept(*codes), "system": number.system, "value": number.value})


def order_identifier(number: Identifier, pack: Pack) -> Node:
    """An order number of whoever placed the order. Source: wire.md §1.4.1, §2.5."""
    kind = concept(coding(pack.systems["v2_0203"], "PLAC"))
    return el.without_nothing({"type": kind, "system": number.system, "value": number.value})


def order_numbers(
    references: Iterable[Node], source: Node, closed: Closed, pack: Pack
) -> tuple[tuple[Identifier, ...], tuple[Identifier, ...], list[Node]]:
    """Accession numbers, placer numbers, and the orders themselves, that these references of `source` name."""
    accessions: dict[Identifier, None] = {}
    placers: dict[Identifier, None] = {}
    orders = []
    for reference in references:
        found = closed.find(reference, source)
        orders += [found] if found is not None else []
        held = el.children(reference, "identifier") + (el.children(found, "identifier") if found else [])
        for identifier in held:
            codes = {c.get("code") for c in el.codings(identifier, "type")}
            value = el.text(identifier, "value")
            if value is None:
                continue
            if codes & {"ACSN", pack.codes["accession_number"]}:
                accessions.setdefault(Identifier(el.text(identifier, "system"), value))
            elif "PLAC" in codes:
                placers.setdefault(Identifier(el.text(identifier, "system"), value))
    return tuple(accessions), tuple(placers), orders


def read_study(
    node: Node,
    closed: Closed,
    patient: Patient,
    pack: Pack,
    *,
    custodian: Organisation | None = None,
    forgive: Callable[[str], None] = lambda _: None,
) -> Study:
    """Read a study with its series and instances. Raises CountryMisanswered for a UID that is missing or none."""
    uid = study_uid(node, pack)
    if uid is None:
        raise CountryMisanswered("a study without its UID", path="ImagingStudy.identifier")
    accessions, placers, _ = order_numbers(el.children(node, "basedOn"), node, closed, pack)
    series = [_series(one, pack, forgive) for one in el.children(node, "series")]
    counted = (len(series), sum(len(one.instances) for one in series))
    announced = (el.number(node, "numberOfSeries"), el.number(node, "numberOfInstances"))
    if any(said is not None and said != is_ for said, is_ in zip(announced, counted, strict=True)):
        forgive("counts-differ")
    procedure = el.child(node, "procedureCode")
    named = [code for c in el.children(node, "modality") if (code := el.text(c, "code"))]
    return Study(
        study_instance_uid=uid,
        patient=patient,
        series=tuple(sorted(series, key=lambda s: (s.number is None, s.number or 0, s.series_instance_uid))),
        started=el.text(node, "started"),
        description=el.text(node, "description"),
        accession_numbers=accessions,
        placer_order_numbers=placers,
        regions=read_regions(node, pack),
        procedure=el.text(procedure, "text") or el.text(procedure, "coding", "display"),
        procedure_code=read_codings(el.codings(node, "procedureCode")),
        custodian=custodian,
        other_modalities=tuple(dict.fromkeys(code for code in named if code not in {one.modality for one in series})),
    )


def _series(node: Node, pack: Pack, forgive: Callable[[str], None]) -> Series:
    instances = [_instance(one, pack, forgive) for one in el.children(node, "instance")]
    if el.number(node, "numberOfInstances") not in (None, len(instances)):
        forgive("counts-differ")
    return Series(
        series_instance_uid=read_uid(el.text(node, "uid"), "ImagingStudy.series.uid"),
        modality=el.text(node, "modality", "code") or "OT",
        instances=tuple(sorted(instances, key=lambda i: (i.number is None, i.number or 0, i.sop_instance_uid))),
        number=el.number(node, "number"),
        description=el.text(node, "description"),
        body_site=_read_site(node, pack),
        laterality=read_code(el.child(node, "laterality")),
        started=el.text(node, "started"),
    )


def _instance(node: Node, pack: Pack, forgive: Callable[[str], None]) -> Instance:
    sop_class = el.child(node, "sopClass")
    if sop_class.get("system") != pack.systems["uri"]:
        forgive("dcmuid-system")
    told = el.extensions(node, pack.extensions["key_object_title"])
    title = [c for e in told for c in (*el.codings(e, "valueCodeableConcept"), *el.children(e, "valueCoding"))]
    frames = next((el.number(e, "valueInteger") for e in el.children(node, "extension") if _counts_frames(e)), None)
    return Instance(
        sop_instance_uid=read_uid(el.text(node, "uid"), "ImagingStudy.series.instance.uid"),
        sop_class_uid=read_uid(el.text(sop_class, "code"), "ImagingStudy.series.instance.sopClass"),
        number=el.number(node, "number"),
        number_of_frames=frames,
        title=first_code(title),
        description=el.text(node, "title"),
    )


def _counts_frames(extension: Node) -> bool:
    return str(extension.get("url", "")).endswith("NumberOfFrames")
