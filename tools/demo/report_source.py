"""The report as its source text says it, for the product's own writer: nothing else writes the Bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid5

from study_facts import Facts

from isthmus.demo.reports import DemoReport
from isthmus.demo.studies import NAMESPACE
from isthmus.model.codes import LOINC, Code
from isthmus.model.identifiers import Identifier
from isthmus.model.people import HumanName, Organisation
from isthmus.model.report.comparison import ComparedStudy, Comparison
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.dose import Dose
from isthmus.model.report.examination import Examination, Procedure, Recommendation
from isthmus.model.report.header import Attester, Header, Person
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.order import Order
from isthmus.model.report.presented_form import PresentedForm
from isthmus.model.report.sites import Site
from isthmus.model.report.statements import Finding, Statement


def imaging_report(
    report: DemoReport, studies: list[Facts], compared: list[Facts], not_compared: str, pdf: bytes
) -> ImagingReport:
    """All chapters. `not_compared` are the words for a report that compares with nothing."""
    source, content = report.source, report.source["content"]
    earlier = tuple(
        ComparedStudy(f.study.study_instance_uid, f.started, f.description, (f.modality,)) for f in compared
    )
    return ImagingReport(
        header(report),
        order(report, studies),
        examination(report, studies),
        (Dose(content["dose"], studies[0].study.study_instance_uid),) if "dose" in content else (),
        tuple(_key_images(content, studies)),
        Comparison(None if earlier else not_compared, earlier),
        (PresentedForm("application/pdf", pdf, source["language"], source["title"]),),
    )


def identifier_of(report: DemoReport, version: int = 1) -> Identifier:
    return Identifier("urn:ietf:rfc:3986", f"urn:uuid:{uuid5(NAMESPACE, f'report|{report.family}|{version}')}")


def organisation_of(report: DemoReport) -> Organisation:
    there = report.source.get("organisation")
    return report.country.organisation(there["name"], there["id"]) if there else report.country.hospital


def person_of(report: DemoReport, person: dict[str, str]) -> Person:
    number = Identifier(f"urn:oid:{report.country.professional_issuer}", person["id"])
    return Person(HumanName(person["family"], (person["given"],)), number)


def header(report: DemoReport) -> Header:
    """A preliminary report has nobody yet who answers for it."""
    source = report.source
    author, organisation = person_of(report, source["author"]), organisation_of(report)
    return Header(
        identifier=identifier_of(report),
        patient=report.patient,
        title=source["title"],
        date=source["authored"],
        type=Code(LOINC, source["type"]),
        status=report.status,
        language=source["language"],
        version=str(report.version),
        authors=(author,),
        organisation=organisation,
        attester=Attester(author, source["authored"]) if report.status != "preliminary" else None,
        custodian=organisation,
        document_identifier=identifier_of(report, report.version) if report.version > 1 else None,
    )


def order(report: DemoReport, studies: list[Facts]) -> Order:
    asked = report.source["order"]
    return Order(
        accession_numbers=tuple(number for facts in studies for number in facts.study.accession_numbers),
        placer_order_numbers=(Identifier(f"urn:oid:{report.country.placer_issuer}", asked["placer"]),),
        requested=_described(studies),
        placed=asked["placed"],
        requester=person_of(report, asked["requester"]),
        reasons=(Statement(asked["question"]),),
        history=tuple(Statement(text) for text in report.source["content"]["history"]),
    )


def examination(report: DemoReport, studies: list[Facts]) -> Examination:
    """The term of the site is English, so it is told in an English report alone; the code is told in each."""
    content, site = report.source["content"], studies[0].site
    told = site if report.source["language"] == "en" else Code(site.system, site.code)
    procedure = Procedure(
        Statement(_described(studies)),
        content["procedure"],
        studies[0].started,
        sites=(Site(told.display or "", told),),
    )
    return Examination(
        studies=tuple(facts.study for facts in studies),
        procedures=(procedure,),
        performed=studies[0].started,
        regions=tuple(dict.fromkeys(region for facts in studies for region in facts.study.regions)),
        findings=tuple(_seen(content, "findings", studies)),
        impressions=tuple(_seen(content, "impression", studies)),
        recommendations=tuple(Recommendation(text) for text in content.get("recommendation", [])),
    )


def _described(studies: list[Facts]) -> str:
    return "; ".join(facts.description for facts in studies)


def _seen(content: dict[str, Any], name: str, studies: list[Facts]) -> Iterator[Finding]:
    """What is said; where `NAME_seen_in` tells originals for it, with the images made of them."""
    texts, images = content[name], _images(studies)
    seen_in = content.get(f"{name}_seen_in", [[] for _ in texts])
    for text, originals in zip(texts, seen_in, strict=True):
        yield Finding(text, images=tuple(images[original] for original in originals))


def _key_images(content: dict[str, Any], studies: list[Facts]) -> Iterator[KeyImage]:
    images = _images(studies)
    for original in content.get("key_images", []):
        yield replace(images[original], comment=content["key_images_note"])


def _images(studies: list[Facts]) -> dict[str, KeyImage]:
    return {original: image for facts in studies for original, image in facts.images.items()}
