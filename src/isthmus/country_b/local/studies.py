"""QIDO-RS: which studies, series and instances the visit's person has, told by the manifests; nothing is fetched for it.

Nothing found is an empty array at every level.

Source: PS3.18 §10.6; RAD-129; field-faults F37.
"""

from __future__ import annotations

from isthmus.country_b.local.asked import Asked
from isthmus.model.documents import Document
from isthmus.transport.answers import Answer
from isthmus.wire.studies import qido

FUZZY = '299 - "The fuzzymatching parameter is not supported. Only literal matching has been performed."'


async def find_rows(level: qido.Level, asked: Asked) -> Answer:
    """Answer a search at a level, below the study and series that the path names.

    Raises UnsupportedRequest, MalformedRequest; ContextMismatch when PatientID is another's.
    """
    asked.accepts(qido.MEDIA_TYPE, "application/json")
    patient = asked.reader.patient
    above = tuple(asked.parts.values())
    query = qido.read_search(asked.request.query, level, above, (patient.identifier.value, patient.handle or ""))
    rows = [
        row
        for entry in await asked.local.holdings.manifests(asked.reader, query.study_instance_uid)
        for row in await _rows(asked, entry, level)
        if qido.matches(row, query)
    ]
    page = rows[query.offset : query.offset + query.limit]
    left = len(rows) - query.offset - len(page)
    warnings = [("Warning", FUZZY)] if query.fuzzy else []
    if left > 0:
        warnings.append(("Warning", f'299 - "There are {left} additional results that can be requested."'))
    body = qido.write_found(page, level, base=asked.dicomweb, handle=patient.identifier.value)
    return Answer(200, (("Content-Type", qido.MEDIA_TYPE), *warnings), (body,))


async def _rows(asked: Asked, entry: Document, level: qido.Level) -> list[qido.Row]:
    """The rows of a study at a level; its own row needs nothing but the entry."""
    patient = asked.reader.patient
    if level == "study":
        return [qido.Row(entry, patient=patient)]
    study = await asked.local.holdings.described(asked.reader, entry)
    if level == "series":
        return [qido.Row(entry, series, patient=patient) for series in study.series]
    return [qido.Row(entry, series, one, patient) for series in study.series for one in series.instances]
