"""QIDO-RS: studies, series and instances by key, as DICOM JSON. Keys and attributes stand in one table.

A row tells what the manifest tells; of the patient it carries across the border the handle and nothing else, since Country B has
confirmed who it is. What the index does not keep (rows, columns, physicians) is left out or empty.

Source: PS3.18 §8.3.4, §10.6, Annex F; RAD-129; wire.md §1.8 (T6), WAD-19; trust.md T100; field-faults F37.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from isthmus.errors import ContextMismatch, CountryMisanswered, MalformedRequest, TooLarge, UnsupportedRequest
from isthmus.model.documents import Document
from isthmus.model.identifiers import checked_uid
from isthmus.model.imaging import Instance, Series
from isthmus.model.people import Patient

Level = Literal["study", "series", "instance"]
LEVELS: tuple[Level, ...] = ("study", "series", "instance")
MEDIA_TYPE = "application/dicom+json"
Value = str | int | dict[str, str] | None
LIMIT_MAX = 5000
VALUE_MAX, VALUES_MAX = 64, 100
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_FIELD = re.compile(r"[0-9A-Fa-f]{8}(\.[0-9A-Fa-f]{8})*|[A-Za-z][A-Za-z0-9]{0,63}(\.[A-Za-z][A-Za-z0-9]{0,63})*")


@dataclass(frozen=True, slots=True)
class Row:
    """One result: a study by its manifest's entry, a series of it, an instance of that."""

    study: Document
    series: Series | None = None
    instance: Instance | None = None
    patient: Patient | None = None  # told inside Country B alone


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of an answer. `key` says how it is matched; without it, it is no key."""

    tag: str
    keyword: str
    vr: str
    level: Level
    values: Callable[[Row], Iterable[Value]]
    key: Literal["uid", "text", "date", "time", "number", ""] = ""
    always: bool = True  # also when there is no value


def _of_series(get: Callable[[Series], str | int | None]) -> Callable[[Row], Iterable[Value]]:
    return lambda row: [] if row.series is None else [get(row.series)]


def _of_instance(get: Callable[[Instance], str | int | None]) -> Callable[[Row], Iterable[Value]]:
    return lambda row: [] if row.instance is None else [get(row.instance)]


def _nothing(row: Row) -> Iterable[str]:
    return ()


def _person(row: Row) -> list[Value]:
    """The name of the one who is told. Source: PS3.5 §6.2."""
    if row.patient is None:
        return []
    name = row.patient.name
    return [{"Alphabetic": "^".join((name.family, " ".join(name.given))).rstrip("^")}]


def _birth_date(row: Row) -> list[Value]:
    return [row.patient.birth_date.replace("-", "")] if row.patient and len(row.patient.birth_date) == 10 else []


def _sex(row: Row) -> list[Value]:
    return [_SEXES.get(row.patient.gender or "")] if row.patient else []


_SEXES = {"male": "M", "female": "F", "other": "O"}


def _date(row: Row) -> list[str]:
    started = row.study.period_start or ""
    return [started[:10].replace("-", "")] if len(started) >= 10 else []


def _time(row: Row) -> list[str]:
    clock = re.match(r"\d{4}-\d\d-\d\dT(\d\d):(\d\d)(?::(\d\d))?", row.study.period_start or "")
    return ["".join(part for part in clock.groups() if part)] if clock else []


def _offset(row: Row) -> list[str]:
    found = re.search(r"T.*([+-]\d\d):(\d\d)$", row.study.period_start or "")
    return [found[1] + found[2]] if found else []


ATTRIBUTES = (
    Attribute("00080016", "SOPClassUID", "UI", "instance", _of_instance(lambda i: i.sop_class_uid), "uid"),
    Attribute("00080018", "SOPInstanceUID", "UI", "instance", _of_instance(lambda i: i.sop_instance_uid), "uid"),
    Attribute("00080020", "StudyDate", "DA", "study", _date, "date"),
    Attribute("00080030", "StudyTime", "TM", "study", _time, "time"),
    Attribute("00080050", "AccessionNumber", "SH", "study", lambda r: [n.value for n in r.study.accession_numbers], "text"),
    Attribute("00080056", "InstanceAvailability", "CS", "study", lambda r: ["ONLINE"]),
    Attribute("00080060", "Modality", "CS", "series", _of_series(lambda s: s.modality), "text"),
    Attribute("00080061", "ModalitiesInStudy", "CS", "study", lambda r: r.study.modalities, "text"),
    Attribute("00080090", "ReferringPhysicianName", "PN", "study", _nothing),
    Attribute("00080201", "TimezoneOffsetFromUTC", "SH", "study", _offset, always=False),
    Attribute("00081030", "StudyDescription", "LO", "study", lambda r: [r.study.description], "text"),
    Attribute("0008103E", "SeriesDescription", "LO", "series", _of_series(lambda s: s.description), "text"),
    Attribute("00100010", "PatientName", "PN", "study", _person),
    Attribute("00100030", "PatientBirthDate", "DA", "study", _birth_date),
    Attribute("00100040", "PatientSex", "CS", "study", _sex),
    Attribute("0020000D", "StudyInstanceUID", "UI", "study", lambda r: r.study.study_instance_uids[:1], "uid"),
    Attribute("0020000E", "SeriesInstanceUID", "UI", "series", _of_series(lambda s: s.series_instance_uid), "uid"),
    Attribute("00200010", "StudyID", "SH", "study", _nothing),
    Attribute("00200011", "SeriesNumber", "IS", "series", _of_series(lambda s: s.number), "number"),
    Attribute("00200013", "InstanceNumber", "IS", "instance", _of_instance(lambda i: i.number), "number"),
    Attribute("00201206", "NumberOfStudyRelatedSeries", "IS", "study", lambda r: [r.study.series_count]),
    Attribute("00201208", "NumberOfStudyRelatedInstances", "IS", "study", lambda r: [r.study.instance_count]),
    Attribute("00201209", "NumberOfSeriesRelatedInstances", "IS", "series", _of_series(lambda s: len(s.instances))),
    Attribute("00280008", "NumberOfFrames", "IS", "instance", _of_instance(lambda i: i.number_of_frames), always=False),
)  # fmt: skip
PATIENT_ID, RETRIEVE_URL = "00100020", "00081190"
_BY_NAME = {name: attribute for attribute in ATTRIBUTES for name in (attribute.tag, attribute.keyword)}
_PATIENT = (PATIENT_ID, "PatientID")
_CONTROLS = ("limit", "offset", "includefield", "fuzzymatching")


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for at a level, below a study or series when the path names one."""

    level: Level
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    keys: tuple[tuple[Attribute, tuple[str, ...]], ...] = ()  # its values are alternatives
    limit: int = LIMIT_MAX
    offset: int = 0
    fuzzy: bool = False


def keys_of(level: Level) -> tuple[str, ...]:
    """The keys of a level: its own and those above, by keyword; at study level a modality means one of the study's."""
    reached = LEVELS[: LEVELS.index(level) + 1]
    own = tuple(a.keyword for a in ATTRIBUTES if a.key and a.level in reached)
    return (*own, "PatientID", *(("Modality",) if level == "study" else ()))


def read_search(
    pairs: Iterable[tuple[str, str]], level: Level, above: tuple[str, ...], patient: tuple[str, ...]
) -> Query:
    """Read keys by keyword or tag. `above` is what the path names, `patient` are the values by which the attested one goes.

    Raises UnsupportedRequest for an unknown key, MalformedRequest for a bad value, ContextMismatch for another patient.
    """
    keys: list[tuple[Attribute, tuple[str, ...]]] = []
    more: dict[str, int | bool] = {}
    seen: set[str] = set()
    known = keys_of(level)
    for name, value in pairs:
        name = name.upper() if _TAG.fullmatch(name) else name
        attribute = _BY_NAME.get("ModalitiesInStudy" if level == "study" and name in _MODALITY else name)
        canonical = "PatientID" if name in _PATIENT else attribute.keyword if attribute else name
        if canonical not in (*known, *_CONTROLS):
            shown = re.sub(r"[^A-Za-z0-9_.\-]", "?", name)[:64]
            raise UnsupportedRequest(f"{shown} is no key here", reason="param", path=shown)
        if canonical in seen and canonical != "includefield":
            raise MalformedRequest(f"{canonical} is given twice", reason="value", path=canonical)
        seen.add(canonical)
        if canonical in _CONTROLS:
            more |= _read_control(canonical, value)
        elif canonical == "PatientID":
            if value and value not in patient:
                raise ContextMismatch("another patient than the token's")
        elif attribute is not None and value not in ("", "*"):
            keys.append((attribute, tuple(_read_value(attribute, one) for one in _values(attribute, value))))
    study, series = (*above, None, None)[:2]
    for uid, path in ((study, "StudyInstanceUID"), (series, "SeriesInstanceUID")):
        if uid is not None:
            checked_uid(uid, path)
    return Query(
        level, study, series, tuple(keys),
        limit=min(int(more.get("limit", LIMIT_MAX)), LIMIT_MAX), offset=int(more.get("offset", 0)),
        fuzzy=bool(more.get("fuzzymatching", False)),
    )  # fmt: skip


_MODALITY = ("Modality", "00080060")


def _read_control(name: str, value: str) -> dict[str, int | bool]:
    if name == "includefield":
        if not all(field == "all" or _FIELD.fullmatch(field) for field in value.split(",")):
            raise MalformedRequest("includefield names an attribute, or all", reason="value", path=name)
        return {}
    if name == "fuzzymatching":
        if value not in ("true", "false"):
            raise MalformedRequest("fuzzymatching is true or false", reason="value", path=name)
        return {name: value == "true"}
    if not value.isascii() or not value.isdecimal() or len(value) > 9 or (name == "limit" and int(value) < 1):
        raise MalformedRequest(f"{name} is a number", reason="value", path=name)
    return {name: int(value)}


def _values(attribute: Attribute, value: str) -> list[str]:
    """Alternatives of UIDs and codes; any other key has one value, commas and all. Source: PS3.4 C.2.2.2."""
    if len(value) > VALUE_MAX * VALUES_MAX:
        raise TooLarge("a value without end", reason="too-costly", path=attribute.keyword)
    return re.split(r"[,\\]", value) if attribute.vr in ("UI", "CS") else [value]


def _read_value(attribute: Attribute, value: str) -> str:
    keyword = attribute.keyword
    if attribute.key == "uid":
        return checked_uid(value, keyword)
    if attribute.key in ("date", "time"):
        first, last = _range(attribute, value)
        return f"{first}-{last}"
    if attribute.key == "number" and not re.fullmatch(r"-?[0-9]{1,11}", value):
        raise MalformedRequest(f"{keyword} is a number", reason="value", path=keyword)
    if len(value) > VALUE_MAX:
        raise MalformedRequest(f"{keyword} is too long", reason="value", path=keyword)
    return str(int(value)) if attribute.key == "number" else value.strip(" ")


def _range(attribute: Attribute, value: str) -> tuple[str, str]:
    """Both ends of `A`, `A-B`, `A-` and `-B`; an end that is not said is empty. Source: PS3.4 C.2.2.2.5."""
    first, bar, last = value.partition("-")
    if not bar:
        last = first
    for end in (first, last):
        if end and not _is_moment(end, attribute.vr):
            raise MalformedRequest(f"{attribute.keyword} is not written so", reason="value", path=attribute.keyword)
    if not first and not last:
        raise MalformedRequest(f"{attribute.keyword} without a value", reason="value", path=attribute.keyword)
    return first, last


def _is_moment(text: str, vr: str) -> bool:
    if vr == "TM":
        return re.fullmatch(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?", text, re.ASCII) is not None
    try:
        return re.fullmatch(r"\d{8}", text, re.ASCII) is not None and bool(datetime.strptime(text, "%Y%m%d"))
    except ValueError:
        return False


def matches(row: Row, query: Query) -> bool:
    """True when the row passes every key and lies below what the path names."""
    return (
        query.study_instance_uid in (None, *row.study.study_instance_uids)
        and (query.series_instance_uid is None or (row.series is not None and row.series.series_instance_uid == query.series_instance_uid))
        and all(_holds(attribute, wanted, row) for attribute, wanted in query.keys)
    )  # fmt: skip


def _holds(attribute: Attribute, wanted: tuple[str, ...], row: Row) -> bool:
    held = [str(value) for value in attribute.values(row) if value is not None]
    return any(_fits(attribute, one, value) for one in wanted for value in held)


def _fits(attribute: Attribute, wanted: str, held: str) -> bool:
    if attribute.key in ("date", "time"):
        first, last = wanted.split("-")
        return held[: len(first)] >= first and (not last or held[: len(last)] <= last)
    return is_like(held, wanted) if attribute.key == "text" else held == wanted


def is_like(text: str, pattern: str) -> bool:
    """Whether a text has the form of a key with `*` and `?`. Signs in the text itself mean nothing.

    Each star is tried at most once for each place, so that no key takes long. Source: PS3.4 C.2.2.2.4; T100.
    """
    at = here = back = 0
    star = -1
    while at < len(text):
        if here < len(pattern) and pattern[here] == "*":
            star, back = here, at
            here += 1
        elif here < len(pattern) and pattern[here] in ("?", text[at]):
            at, here = at + 1, here + 1
        elif star >= 0:
            back += 1
            at, here = back, star + 1
        else:
            return False
    return all(sign == "*" for sign in pattern[here:])


def write_found(rows: Iterable[Row], level: Level, *, base: str, handle: str) -> bytes:
    """Write rows as an array of DICOM JSON objects, tags in order. Source: PS3.18 Annex F."""
    return orjson.dumps([_object(row, level, base, handle) for row in rows])


def _object(row: Row, level: Level, base: str, handle: str) -> dict[str, Any]:
    reached = ("study",) if level == "study" else (level,)
    written = {PATIENT_ID: _element("LO", [handle])} if level == "study" else {}
    written[RETRIEVE_URL] = _element("UR", [_address(row, base)])
    for attribute in ATTRIBUTES:
        if attribute.level in reached or attribute.tag in _PLACES:
            values = [value for value in attribute.values(row) if value not in (None, "")]
            if attribute.tag == _ACCESSION:
                values = values[:1]
            if values or (attribute.always and attribute.level == level):
                written[attribute.tag] = _element(attribute.vr, values)
    return dict(sorted(written.items()))


_ACCESSION = "00080050"
_PLACES = ("0020000D", "0020000E", "00080056", "00080201", "00080060")  # told at every level below


def _element(vr: str, values: list[Any]) -> dict[str, Any]:
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def _address(row: Row, base: str) -> str:
    parts = [base.rstrip("/"), "studies", *row.study.study_instance_uids[:1]]
    if row.series is not None:
        parts += ["series", row.series.series_instance_uid]
    if row.instance is not None:
        parts += ["instances", row.instance.sop_instance_uid]
    return "/".join(parts)


def read_found(status: int, body: bytes | None) -> list[dict[str, tuple[Any, ...]]]:
    """Read an answer, each row from tag to values. Nothing found comes as 204, as `[]`, as an empty body, as 404.

    Raises CountryMisanswered. Source: field-faults F37; WAD-19.
    """
    if status in (204, 404) or not (body or b"").strip():
        return []
    try:
        rows = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        raise CountryMisanswered("not JSON", path="dicom+json") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CountryMisanswered("not an array of data sets", path="dicom+json")
    return [dict(_members(row)) for row in rows]


def _members(row: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for tag, element in row.items():
        values = element.get("Value") if isinstance(element, dict) else None
        yield tag.upper(), tuple(values) if isinstance(values, list) else ()
