"""Makes every form of every report from its source text: the PDF as issued, and the document Country A imports.

    python tools/demo/make_reports.py

Writes `ID.pdf`, and `ID.json` or `ID.xml`, beside `ID.toml`; the results are committed. The same bytes each time, given the same fonts
(DejaVu Sans Condensed) and the same reportlab. The Bundle is what `isthmus.wire.report` writes, only indented.
"""

from __future__ import annotations

import orjson
from report_cda import write_cda
from report_pdf import load_fonts, moment, write_pdf
from report_source import imaging_report
from report_words import WORDS
from study_facts import Facts, facts_of

from isthmus.demo.reports import DemoReport, reports
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

Sections = list[tuple[str, str, list[str]]]


def sections_of(report: DemoReport, studies: list[Facts], compared: list[Facts]) -> Sections:
    """Key, heading and paragraphs of the letter; the CDA document says the same."""
    source, content = report.source, report.source["content"]
    words, order = WORDS[source["language"]], source["order"]
    requester = f"{words['dr']} {order['requester']['given']} {order['requester']['family']}"
    procedure = [content["procedure"]] + ([f"{words['dose']}: {content['dose']}"] if "dose" in content else [])
    findings = list(content["findings"])
    if "key_images" in content:
        findings.append(f"{words['key_images']}: {content['key_images_note']} ({len(content['key_images'])})")
    texts = {
        "imaging_study": [named(s) for s in studies],
        "order": [
            f"{words['question']}: {order['question']}",
            f"{words['requester']}: {requester}",
            f"{words['accession']}: {', '.join(s.accession for s in studies)}; {words['order_number']}: {order['placer']}",
        ],
        "history": list(content["history"]) or [words["unavailable"]],
        "procedure": procedure,
        "comparison": [named(s) for s in compared] or [words["none_compared"]],
        "findings": findings,
        "impression": list(content["impression"]),
        "recommendation": list(content.get("recommendation", [])),
    }
    return [(key, words[key], paragraphs) for key, paragraphs in texts.items() if paragraphs]


def named(study: Facts) -> str:
    return f"{study.description} ({study.modality}), {moment(study.started)}"


def facts(report: DemoReport) -> tuple[list[Facts], list[Facts]]:
    """The studies a report is about, and those it compares with."""
    studies = [facts_of(report, label) for label in report.studies]
    return studies, [facts_of(report, label) for label in report.source["content"].get("compared", [])]


def pdf_of(report: DemoReport) -> bytes:
    """The report as issued."""
    studies, compared = facts(report)
    return write_pdf(report, studies, sections_of(report, studies, compared))


def document_of(report: DemoReport, pdf: bytes) -> bytes:
    """What Country A imports; `pdf` is the report as issued."""
    studies, compared = facts(report)
    if report.form == "pdf":
        return pdf
    if report.form == "cda":
        return write_cda(report, studies, sections_of(report, studies, compared))
    nothing = WORDS[report.source["language"]]["none_compared"]
    body = write_report(imaging_report(report, studies, compared, nothing, pdf), load_pack())
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> None:
    load_fonts()
    for report in reports().values():
        pdf = pdf_of(report)
        if report.form != "cda":
            report.pdf.write_bytes(pdf)
        report.document.write_bytes(document_of(report, pdf))


if __name__ == "__main__":
    main()
