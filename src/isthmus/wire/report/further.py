"""Further sections: those of a report that are none of its chapters, written as they came, so that nothing of it is lost.

What has words alone has them as a note too, since a section without entries says either why or what.

Source: REP-08, REP-09, REP-23; eu-imaging-composition-1 and -2.
"""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node, coding, concept
from isthmus.fhir.narrative import cleaned, inside, narrative, paragraphs, words_in
from isthmus.model.report.document import Section
from isthmus.wire.report.binding import Binder, write_empty

NOTE = "http://hl7.org/fhir/StructureDefinition/note"
DEEP = 8


def write_further(binder: Binder) -> Iterator[Node]:
    """Write every section that no chapter has."""
    chapters = set(binder.pack.sections.values())
    for section in binder.report.sections:
        if section.code is None or section.code.code not in chapters:
            yield _write(section, binder, 0)


def _write(section: Section, binder: Binder, depth: int) -> Node:
    inner = [_write(one, binder, depth + 1) for one in section.sections] if depth < DEEP else []
    language = binder.report.header.language
    kept = inside(cleaned(section.narrative), language) if section.narrative else ""
    written = kept or paragraphs(_split(section.lines))
    words = words_in(written)
    code = section.code
    title = section.title or (code.display or code.code if code else "–")
    empty = not inner and (not words or section.empty_reason is not None)
    return el.without_nothing(
        {
            "extension": [{"url": NOTE, "valueAnnotation": {"text": words}}]
            if words and not inner and not empty
            else None,
            "title": title,
            "code": concept(coding(code.system, code.code, code.display)) if code else {"text": title},
            "text": narrative(
                written if words else paragraphs([binder.words["unavailable"] if empty else title]),
                language,
            ),
            "emptyReason": write_empty(section.empty_reason, binder.pack) if empty else None,
            "section": inner,
        }
    )


def _split(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        yield from line.splitlines()
