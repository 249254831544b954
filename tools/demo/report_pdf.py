"""The report as issued: an A4 letter with embedded fonts, the same bytes each time."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from report_source import organisation_of
from report_words import WORDS
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import BaseDocTemplate, Frame, KeepTogether, PageTemplate, Paragraph, Spacer, Table
from study_facts import Facts

from isthmus.demo.reports import DemoReport

FONTS = Path("/usr/share/fonts/truetype/dejavu")
INK, ACCENT, PALE = HexColor("#1d2733"), HexColor("#1f5f66"), HexColor("#eef3f3")
ALERT = HexColor("#9a2b12")
MARGIN = 22 * mm


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
STANDING = ParagraphStyle("standing", parent=BODY, fontName="Bold", fontSize=11, leading=15, textColor=ALERT)


def standing(report: DemoReport, words: dict[str, str]) -> str:
    """What the reader must not miss: the report is not final, or not the first."""
    version = f", {words['version']} {report.version}" if report.version > 1 else ""
    return f"{words[report.status]}{version}"


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
        author=organisation_of(report).name,
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
    if report.status != "final":
        story.append(Paragraph(standing(report, words), STANDING))
    for key, heading, paragraphs in sections:
        if key in ("imaging_study", "order"):
            continue  # in the table above
        style = STRONG if key == "impression" else BODY
        story.append(KeepTogether([Paragraph(heading, HEADING), *(Paragraph(p, style) for p in paragraphs)]))
    author = source["author"]
    signed = words["unsigned" if report.status == "preliminary" else "signed"]
    signature = f"{words['dr']} {author['given']} {author['family']}"
    story.append(
        KeepTogether(
            [
                Spacer(1, 9 * mm),
                Paragraph(signature, STRONG),
                Paragraph(f"{signed} {moment(source['authored'])}", LABEL),
            ]
        )
    )
    document.build(story)
    return buffer.getvalue()


def letterhead(canvas: Any, document: Any, report: DemoReport, words: dict[str, str]) -> None:
    width, height = A4
    canvas.saveState()
    canvas.setFillColor(ACCENT)
    for step, rise in enumerate((6, 9, 7)):  # an isthmus between two shores
        canvas.roundRect(MARGIN + step * 4 * mm, height - 24 * mm, 2.6 * mm, rise * mm, 1.2 * mm, stroke=0, fill=1)
    canvas.setFont("Bold", 13)
    canvas.setFillColor(INK)
    canvas.drawString(MARGIN + 15 * mm, height - 19 * mm, organisation_of(report).name)
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
    if any(n.language == source["language"] for n in patient.names):
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
        (words[report.status], moment(source["authored"])),
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
