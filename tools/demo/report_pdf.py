"""The report as issued: an A4 letter with embedded fonts, the same bytes each time."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from report_words import WORDS
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import BaseDocTemplate, Frame, KeepTogether, PageTemplate, Paragraph, Spacer, Table
from study_facts import Facts

from isthmus.demo.people import HOSPITAL
from isthmus.demo.reports import DemoReport

FONTS = Path("/usr/share/fonts/truetype/dejavu")
INK, ACCENT, PALE = HexColor("#1d2733"), HexColor("#1f5f66"), HexColor("#eef3f3")
MARGIN = 22 * mm
HEADED = ("findings", "impression", "recommendation")


def load_fonts() -> None:
    for name, file in (("Text", "DejaVuSansCondensed.ttf"), ("Bold", "DejaVuSansCondensed-Bold.ttf")):
        pdfmetrics.registerFont(TTFont(name, str(FONTS / file)))


BODY = ParagraphStyle("body", fontName="Text", fontSize=10, leading=14.5, textColor=INK, spaceAfter=3)
LABEL = ParagraphStyle("label", parent=BODY, fontSize=8.2, leading=11, textColor=ACCENT, spaceAfter=0)
TITLE = ParagraphStyle("title", parent=BODY, fontName="Bold", fontSize=16, leading=21, spaceBefore=2, spaceAfter=8)
HEADING = ParagraphStyle(
    "heading", parent=BODY, fontName="Bold", fontSize=10.5, textColor=ACCENT, spaceBefore=9, spaceAfter=2
)
STRONG = ParagraphStyle("strong", parent=BODY, fontName="Bold")
RIGHT = ParagraphStyle("right", parent=LABEL, alignment=TA_RIGHT)


def day(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%d.%m.%Y")


def moment(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%d.%m.%Y, %H:%M")


def write_pdf(report: DemoReport, studies: list[Facts], sections: list[tuple[str, str, list[str]]]) -> bytes:
    """`sections` are key, heading and paragraphs, the same the Bundle carries."""
    source, words = report.source, WORDS[report.source["language"]]
    buffer = BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=38 * mm,
        bottomMargin=26 * mm,
        title=source["title"],
        author=organisation_of(report),
        subject=words["invented"],
        creator="Isthmus demo",
        lang=source["language"],
        initialFontName="Text",  # else Helvetica is named, and not embedded
        invariant=1,
    )
    frame = Frame(MARGIN, 26 * mm, A4[0] - 2 * MARGIN, A4[1] - 64 * mm, 0, 0, 0, 0)
    document.addPageTemplates(
        PageTemplate("letter", [frame], onPage=lambda canvas, doc: letterhead(canvas, doc, report, words))
    )
    story: list[Any] = [facts_table(report, studies, words), Spacer(1, 7 * mm), Paragraph(source["title"], TITLE)]
    for key, heading, paragraphs in sections:
        if key in ("imagingstudy", "order"):
            continue  # in the table above
        style = STRONG if key == "impression" else BODY
        story.append(KeepTogether([Paragraph(heading, HEADING), *(Paragraph(p, style) for p in paragraphs)]))
    author = source["author"]
    signature = f"{words['dr']} {author['given']} {author['family']}"
    story.append(
        KeepTogether(
            [
                Spacer(1, 9 * mm),
                Paragraph(signature, STRONG),
                Paragraph(f"{words['signed']} {moment(source['authored'])}", LABEL),
            ]
        )
    )
    document.build(story)
    return buffer.getvalue()


def organisation_of(report: DemoReport) -> str:
    there = report.source.get("organisation")
    return str(there["name"]) if there else HOSPITAL.name


def letterhead(canvas: Any, document: Any, report: DemoReport, words: dict[str, str]) -> None:
    width, height = A4
    canvas.saveState()
    canvas.setFillColor(ACCENT)
    for step, rise in enumerate((6, 9, 7)):  # an isthmus between two shores
        canvas.roundRect(MARGIN + step * 4 * mm, height - 24 * mm, 2.6 * mm, rise * mm, 1.2 * mm, stroke=0, fill=1)
    canvas.setFont("Bold", 13)
    canvas.setFillColor(INK)
    canvas.drawString(MARGIN + 15 * mm, height - 19 * mm, organisation_of(report))
    canvas.setFont("Text", 9)
    canvas.drawString(MARGIN + 15 * mm, height - 24 * mm, words["department"])
    canvas.setFillColor(ACCENT)
    canvas.setFont("Bold", 8)
    canvas.drawRightString(width - MARGIN, height - 14 * mm, words["invented"])
    canvas.setStrokeColor(ACCENT)
    canvas.setLineWidth(0.8)
    canvas.line(MARGIN, height - 29 * mm, width - MARGIN, height - 29 * mm)
    note = Paragraph(words["note"], LABEL)
    note.wrapOn(canvas, width - 2 * MARGIN - 24 * mm, 20 * mm)
    note.drawOn(canvas, MARGIN, 12 * mm)
    canvas.setFont("Text", 8.2)
    canvas.drawRightString(width - MARGIN, 12 * mm, f"{words['page']} {document.page}")
    canvas.restoreState()


def facts_table(report: DemoReport, studies: list[Facts], words: dict[str, str]) -> Table:
    source, patient = report.source, report.patient
    names = [f"{n.family} {' '.join(n.given)}" for n in patient.names]
    if source["language"] == "el":
        names.reverse()
    order = source["order"]
    requester = f"{words['dr']} {order['requester']['given']} {order['requester']['family']}"
    pairs = [
        (words["patient"], " / ".join(names)),
        (words["examination"], "<br/>".join(f"{s.description} ({s.modality})" for s in studies)),
        (words["born"], f"{day(patient.birth_date)}, {words[patient.gender]}"),
        (words["date"], "<br/>".join(moment(s.started) for s in studies)),
        (words["identifier"], patient.identifier.value),
        (words["accession"], "<br/>".join(s.accession for s in studies)),
        (words["requester"], requester),
        (words["order_number"], order["placer"]),
        (words["question"], order["question"]),
        (words["status"], moment(source["authored"])),
    ]
    cells = [[Paragraph(label, LABEL), Paragraph(value, BODY)] for label, value in pairs]
    rows = [[cells[i], cells[i + 1]] for i in range(0, len(cells), 2)]
    half = (A4[0] - 2 * MARGIN) / 2
    return Table(
        rows,
        colWidths=[half, half],
        style=[
            ("FONTNAME", (0, 0), (-1, -1), "Text"),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("BACKGROUND", (0, 0), (-1, -1), PALE),
            ("TOPPADDING", (0, 0), (-1, -1), 4),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
            ("LEFTPADDING", (0, 0), (-1, -1), 9),
        ],
    )
