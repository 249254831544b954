"""ImagingStudy: the search for studies as FHIR resources, and its answer. No endpoint crosses: images are fetched at our border.

Source: R4 ImagingStudy; ImagingStudyEuImaging; wire.md §1.9, WAD-20.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from isthmus.fhir import bundles, parameters
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.fhir.parameters import PATIENT_PARAMETERS, Parameter, interval_of
from isthmus.fhir.search import Token
from isthmus.model.codes import DCM, Code
from isthmus.model.identifiers import plain_uid
from isthmus.model.imaging import Study
from isthmus.model.queries import StudyQuery
from isthmus.wire.described import (
    accession_identifier,
    order_identifier,
    study_identifier,
    write_procedure,
    write_series,
)
from isthmus.wire.documents import number_form, region_tokens, spine_form, uid_form
from isthmus.wire.packs.pack import Pack

COUNT, COUNT_MAX = 20, 50
STATUS_SYSTEM = "http://hl7.org/fhir/imagingstudy-status"
PATIENT_NAMES = (*PATIENT_PARAMETERS, "subject")


@dataclass(frozen=True, slots=True)
class Listed:
    """A study under the id that this country knows it by."""

    id: str
    study: Study


def _identifiers(one: Listed, pack: Pack) -> Iterator[Token]:
    yield pack.systems["uid"], f"urn:oid:{one.study.study_instance_uid}"
    yield from ((number.system, number.value) for number in one.study.accession_numbers)


def _orders(one: Listed, pack: Pack) -> Iterator[Token]:
    numbers = (*one.study.accession_numbers, *one.study.placer_order_numbers)
    return ((number.system, number.value) for number in numbers)


def _sites(one: Listed, pack: Pack) -> Iterator[Token]:
    """Of the series, and the study's regions: they are what a country without coded body sites knows."""
    sites: list[Code] = [series.body_site for series in one.study.series if series.body_site is not None]
    return region_tokens((*sites, *one.study.regions), pack)


def _classes(one: Listed, pack: Pack) -> Iterator[Token]:
    classes = {instance.sop_class_uid for series in one.study.series for instance in series.instances}
    return ((pack.systems["uri"], f"urn:oid:{uid}") for uid in sorted(classes))


def _class_form(token: Token, pack: Pack) -> Token:
    return token[0], plain_uid(token[1])


def _plain(token: Token, pack: Pack) -> Token:
    return None, plain_uid(token[1])


def _nothing(one: Listed, pack: Pack) -> Iterator[Token]:
    """No study of ours has the element: known, and never found."""
    return iter(())


_SITE: Parameter[Listed, Pack] = Parameter("token", _sites, spine_form)
DEFINITIONS: dict[str, Parameter[Listed, Pack]] = {
    "identifier": Parameter("token", _identifiers, uid_form),
    "modality": Parameter("token", lambda one, p: ((DCM, modality) for modality in one.study.modalities)),
    "started": Parameter("date", lambda one, p: [(None, one.study.started or "")]),
    "reason": Parameter("token", _nothing),
    "bodysite": _SITE,
    "body-site": _SITE,
    "dicom-class": Parameter("token", _classes, _class_form),
    "status": Parameter("token", lambda one, p: [(STATUS_SYSTEM, "available")]),
    "based-on": Parameter("reference", _nothing),  # an order is named by identifier alone
    "based-on:identifier": Parameter("token", _orders, number_form),
    "series": Parameter("token", lambda one, p: ((None, s.series_instance_uid) for s in one.study.series), _plain),
    "instance": Parameter(
        "token",
        lambda one, p: ((None, i.sop_instance_uid) for s in one.study.series for i in s.instances),
        _plain,
    ),
    "_id": Parameter("token", lambda one, p: [(None, one.id)]),
}
ORDERS: dict[str, Callable[[Listed], str | None]] = {"started": lambda one: one.study.started}


def read_search(pairs: Iterable[tuple[str, str]], zone: tzinfo, pack: Pack, *, base: str | None = None) -> StudyQuery:
    """Read a search. Raises MalformedRequest, UnsupportedRequest."""
    asked = parameters.read_search(
        pairs,
        DEFINITIONS,
        pack,
        zone,
        base=base,
        count=COUNT,
        count_max=COUNT_MAX,
        orders=ORDERS,
        patient=PATIENT_NAMES,
    )
    return StudyQuery(
        patient_handle=asked.handle, patient_identifier=asked.identifier, demands=asked.demands, count=asked.count,
        cursor=asked.cursor, asked=asked.asked, order=asked.order, counted=asked.counted,
    )  # fmt: skip


def matches(one: Listed, query: StudyQuery, pack: Pack, zone: tzinfo) -> bool:
    """True when the study passes every demand; whose it is is not asked here."""
    return all(DEFINITIONS[demand.name].holds(demand, one, zone, pack) for demand in query.demands)


def newest_first(studies: Iterable[Listed], zone: tzinfo, order: tuple[tuple[str, bool], ...] = ()) -> list[Listed]:
    """As asked, otherwise newest first; then by UID, which no two studies share. Without a date: last."""
    latest_first = order[0][1] if order else True

    def key(one: Listed) -> tuple[bool, datetime]:
        interval = interval_of(one.study.started, zone)
        start = datetime.min.replace(tzinfo=zone) if interval is None else interval.start
        return (interval is None) is not latest_first, start

    listed = sorted(studies, key=lambda one: one.study.study_instance_uid, reverse=True)
    return sorted(listed, key=key, reverse=latest_first)


def write_study(one: Listed, *, handle: str, pack: Pack) -> Node:
    """Write one ImagingStudy; the subject is the handle alone, orders are named by identifier."""
    study = one.study
    return el.without_nothing(
        {
            "resourceType": "ImagingStudy",
            "id": one.id,
            "extension": [_region(region, pack) for region in study.regions],
            "identifier": [
                study_identifier(study.study_instance_uid, pack),
                *(accession_identifier(number, pack) for number in study.accession_numbers),
            ],
            "status": "available",
            "modality": [coding(pack.systems["dcm"], modality) for modality in study.modalities],
            "subject": {"reference": f"Patient/{handle}"},
            "started": study.started,
            "basedOn": [
                *(_order(accession_identifier(number, pack)) for number in study.accession_numbers),
                *(_order(order_identifier(number, pack)) for number in study.placer_order_numbers),
            ],
            "numberOfSeries": len(study.series),
            "numberOfInstances": study.instance_count,
            "procedureCode": [write_procedure(study, study.procedure)]
            if study.procedure or study.procedure_code
            else None,
            "description": study.description,
            "series": [write_series(one, pack, frames="frames_manifest") for one in study.series],
        }
    )


def _region(region: Code, pack: Pack) -> Node:
    value = concept(coding(region.system, region.code, region.display))
    return {"url": pack.extensions["region_manifest"], "valueCodeableConcept": value}


def _order(identifier: Node) -> Node:
    return {"type": "ServiceRequest", "identifier": identifier}


def write_found(
    page: Iterable[Listed],
    query: StudyQuery,
    *,
    total: int,
    next_cursor: str | None,
    base: str,
    handle: str,
    pack: Pack,
) -> bytes:
    """Write one page; its links carry the handle, never the identifier."""
    shown = () if query.counted else page
    return el.write_object(
        bundles.page(
            "ImagingStudy",
            [(one.id, write_study(one, handle=handle, pack=pack)) for one in shown],
            base=base,
            asked=(("patient", f"Patient/{handle}"), *query.asked),
            cursors=(query.cursor, next_cursor),
            total=total,
        )
    )
