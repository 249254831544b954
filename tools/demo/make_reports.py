"""Makes both forms of every report from its source text: the PDF as issued, and the FHIR document Bundle around it.

    python tools/demo/make_reports.py

Writes `ID.pdf` and `ID.json` beside `ID.toml`; the results are committed. The same bytes each time, given the same fonts
(DejaVu Sans Condensed) and the same reportlab.
"""

from __future__ import annotations

import orjson
from report_bundle import Sections, Writer
from report_imaging import Json
from report_pdf import load_fonts, moment, write_pdf
from report_words import WORDS
from study_facts import Facts, facts_of

from isthmus.demo.reports import DemoReport, reports


def sections_of(report: DemoReport, studies: list[Facts], compared: list[Facts]) -> Sections:
    """Headings and paragraphs: what the entries say, in words, the same in both forms."""
    source, content = report.source, report.source["content"]
    words, order = WORDS[source["language"]], source["order"]
    requester = f"{words['dr']} {order['requester']['given']} {order['requester']['family']}"
    procedure = [content["procedure"]] + ([f"{words['dose']}: {content['dose']}"] if "dose" in content else [])
    findings = list(content["findings"])
    if "key_images" in content:
        findings.append(f"{words['key_images']}: {content['key_images_note']} ({len(content['key_images'])})")
    texts = {
        "imagingstudy": [named(s) for s in studies],
        "order": [
            f"{words['question']}: {order['question']}",
            f"{words['requester']}: {requester}",
            f"{words['accession']}: {studies[0].accession}; {words['order_number']}: {order['placer']}",
        ],
        "history": list(content["history"]) or [words["unavailable"]],
        "procedure": procedure,
        "comparison": [named(s) for s in compared] or [content.get("comparison", words["none_compared"])],
        "findings": findings,
        "impression": list(content["impression"]),
        "recommendation": list(content.get("recommendation", [])),
    }
    return [(key, words[key], paragraphs) for key, paragraphs in texts.items() if paragraphs]


def named(study: Facts) -> str:
    return f"{study.description} ({study.modality}), {moment(study.started)}"


def facts(report: DemoReport) -> tuple[list[Facts], list[Facts], Sections]:
    """The studies a report is about, those it compares with, and its sections."""
    studies = [facts_of(report, label) for label in report.studies]
    compared = [facts_of(report, label) for label in report.source["content"].get("compared", [])]
    return studies, compared, sections_of(report, studies, compared)


def bundle_of(report: DemoReport, pdf: bytes) -> Json:
    return Writer(report, *facts(report), pdf).write()


def main() -> None:
    load_fonts()
    for report in reports().values():
        studies, _, sections = facts(report)
        pdf = write_pdf(report, studies, sections)
        report.pdf.write_bytes(pdf)
        report.bundle.write_bytes(
            orjson.dumps(bundle_of(report, pdf), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )


if __name__ == "__main__":
    main()
