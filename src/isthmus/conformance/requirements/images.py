"""Images, and the two other ways to find a study (WAD)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from isthmus.conformance.evidence import (
    Arrival,
    Conversation,
    Delivery,
    Examination,
    Exchange,
    Launch,
    Trails,
    sop_instance_uid,
)
from isthmus.conformance.requirement import Kind, requirement
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Header, read_header
from isthmus.dicom.part10 import META_START, PREAMBLE_BYTES
from isthmus.dicom.pixels.decodable import DECODABLE, decoded_bytes
from isthmus.dicom.pixels.faults import PixelFault
from isthmus.dicom.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE
from isthmus.dicom.windows import BytesSource
from isthmus.errors import UnsupportedRequest
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.bundles import Closed
from isthmus.fhir.elements import Node
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.media import Range, read_ranges
from isthmus.wire.packs.pack import Pack

_NEVER = {IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE}
_TAG = re.compile(r"[0-9A-F]{8}")
_DICOMWEB = "/dicom-web/"
_STATED = re.compile(rb"DICM.*?\x02\x00\x10\x00UI..([0-9.]+[\0 ]?)", re.DOTALL)  # (0002,0010)
_HEAD_BYTES = 64 << 10
LARGE_BYTES, RESIDENT_MAX_MIB = 4_000_000_000, 200


def _accepted(exchange: Exchange) -> list[Range]:
    try:
        return read_ranges(exchange.sent.get("accept", ""))
    except UnsupportedRequest:
        return []


def _media(exchange: Exchange) -> str:
    return exchange.headers.get("content-type", "").partition(";")[0]


def _syntaxes(exchange: Exchange) -> list[str]:
    """The transfer syntax of each part, as the file itself says, known or not; empty where it says none."""
    told = (_STATED.search(part.body[:_HEAD_BYTES]) for part in exchange.parts)
    return ["" if one is None else one[1].rstrip(b"\0 ").decode("ascii") for one in told]


def _header(file: bytes) -> Header | None:
    try:
        return read_header(BytesSource(file))
    except DicomFault:
        return None


def _gives(exchange: Exchange) -> bool:
    """Whether it is an answer with images."""
    return bool(exchange.retrieves) and exchange.method == "GET" and exchange.status in (200, 206)


@requirement(
    "WAD-01",
    Kind.EXCHANGE,
    "a study, series or instance comes as multipart/related of DICOM",
    source="NCP, MADO",
    cheap=True,
)
def wad_01(exchange: Exchange, pack: Pack) -> Iterator[str]:
    single = len(exchange.retrieves) == 3 and _media(exchange) == "application/dicom"
    told = exchange.headers.get("content-type", "")
    if _gives(exchange) and not single and not re.match(r'multipart/related;.*type="?application/dicom"?', told):
        yield "Content-Type"


@requirement("WAD-02", Kind.EXCHANGE, "each part is a Part 10 file and names its own transfer syntax", source="PS18")
def wad_02(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if not _gives(exchange):
        return
    for part, syntax in zip(exchange.parts, _syntaxes(exchange), strict=True):
        if part.body[PREAMBLE_BYTES:META_START] != b"DICM" or not syntax:
            yield "part"
        elif f"transfer-syntax={syntax}" not in part.headers.get("content-type", "").replace(" ", ""):
            yield "part.Content-Type"


@requirement(
    "WAD-03",
    Kind.EXCHANGE,
    "where no syntax is named: Explicit VR Little Endian, as far as it can be decoded",
    source="PS18",
)
def wad_03(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if _gives(exchange) and not any("transfer-syntax" in one.parameters for one in _accepted(exchange)):
        for part, syntax in zip(exchange.parts, _syntaxes(exchange), strict=True):
            if syntax in _NEVER or (syntax in DECODABLE and _decodes(part.body)):
                yield "part"


def _decodes(file: bytes) -> bool:
    try:
        return decoded_bytes(BytesSource(file)) > 0
    except (PixelFault, DicomFault):
        return False


@requirement("WAD-04", Kind.EXCHANGE, "Implicit VR, Big Endian and Deflated never cross", source="PS18")
def wad_04(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if _gives(exchange):
        yield from ("part" for syntax in _syntaxes(exchange) if syntax in _NEVER)


@requirement("WAD-05", Kind.EXCHANGE, "a syntax that is not accepted does not come: 406", source="PS18")
def wad_05(exchange: Exchange, pack: Pack) -> Iterator[str]:
    named = [one.parameters.get("transfer-syntax") for one in _accepted(exchange)]
    if _gives(exchange) and any(named) and "*" not in named:
        known = {syntax or EXPLICIT_LE for syntax in named} | {""}  # WAD-02 finds what names none
        yield from ("part" for syntax in _syntaxes(exchange) if syntax not in known)


@requirement(
    "WAD-06", Kind.EXCHANGE, "a single part is had of one instance alone; of more: 406", source="PS18", cheap=True
)
def wad_06(exchange: Exchange, pack: Pack) -> Iterator[str]:
    accepted = {one.media for one in _accepted(exchange)}
    if accepted == {"application/dicom"} and _gives(exchange):
        if len(exchange.retrieves) < 3:
            yield "status"
        elif _media(exchange) != "application/dicom":
            yield "Content-Type"


@requirement("WAD-07", Kind.EXCHANGE, "what is no UID: 400; what is not there: 404", source="PS18", cheap=True)
def wad_07(exchange: Exchange, pack: Pack) -> Iterator[str]:
    if exchange.retrieves and not all(is_uid(uid) for uid in exchange.retrieves):
        if exchange.status not in (400, 401, 403, 404, None):
            yield "status"
        elif exchange.status == 404:
            yield "status: 400 for what is no UID"
    elif exchange.retrieves and exchange.status in (204, 410):
        yield "status"


@requirement("WAD-08", Kind.TRAILS, "what lacks is 206, and named in the trail", source="PS18")
def wad_08(trails: Trails, pack: Pack) -> Iterator[str]:
    for one in (one for one in trails.conversation if one.retrieves and one.status == 206):
        number = one.headers.get("x-request-id")
        ended = [el.child(e, "ended") for e in trails.answering if e.get("exchange_id") == number]
        if not any(el.child(one, "missing").get("count") for one in ended):
            yield "missing"


@requirement("WAD-09", Kind.ARRIVAL, "fewer or more instances than the manifest lists are told", source="MADO")
def wad_09(arrival: Arrival, pack: Pack) -> Iterator[str]:
    """`value` is the SOP Instance UIDs that came."""
    listed = _listed(arrival.document) if isinstance(arrival.document, dict) else set()
    came = arrival.value if isinstance(arrival.value, frozenset) else listed
    if listed and came != listed and not arrival.refused and str(len(came & listed)) not in arrival.told:
        yield "told"


def _listed(manifest: Node) -> set[str]:
    return {uid for uid, _ in _instances(manifest)}


def _instances(manifest: Node) -> Iterator[tuple[str, str]]:
    """UID and SOP class of every instance that a manifest lists."""
    for study in Closed(manifest).of_type("ImagingStudy"):
        for series in el.children(study, "series"):
            for one in el.children(series, "instance"):
                yield el.text(one, "uid") or "", plain_uid(el.text(one, "sopClass", "code") or "")


@requirement("WAD-10", Kind.DELIVERY, "what is delivered is what is stored, to the byte or to the pixel", source="R")
def wad_10(delivery: Delivery, pack: Pack) -> Iterator[str]:
    stored, arrived = _header(delivery.stored), _header(delivery.arrived)
    if stored is None or arrived is None or stored.sop_instance_uid != arrived.sop_instance_uid:
        yield "instance"
    elif stored.transfer_syntax_uid == arrived.transfer_syntax_uid:
        if delivery.stored != delivery.arrived:
            yield "bytes"
    elif stored.transfer_syntax_uid == IMPLICIT_LE and _pixels(delivery.stored, stored) != _pixels(
        delivery.arrived, arrived
    ):
        yield "PixelData"


def _pixels(file: bytes, header: Header) -> bytes:
    start, length = header.pixel_offset, header.pixel_length
    return b"" if start is None or length is None else file[start : start + length]


@requirement("WAD-11", Kind.FIGURES, "4 GB pass in constant memory on both sides", source="NCP, R")
def wad_11(node: Node, pack: Pack) -> Iterator[str]:
    if (el.number(node, "study_bytes") or 0) < LARGE_BYTES:
        yield "study_bytes"
    peaks = el.child(node, "peak_mib")
    yield from (f"peak_mib.{side}" for side in ("A", "B") if not 0 < (el.number(peaks, side) or 0) < RESIDENT_MAX_MIB)


@requirement("WAD-12", Kind.CONVERSATION, "after a cut only what lacks is asked for", source="R")
def wad_12(conversation: Conversation, pack: Pack) -> Iterator[str]:
    held, cut = set[str](), False
    for one in (one for one in conversation if _gives(one)):
        came = {sop_instance_uid(part.body) for part in one.parts}
        if cut and came & held:
            yield "instances"
        held |= came
        cut = cut or not one.whole


@requirement("WAD-13", Kind.EXAMINATION, "every SOP class is relayed", source="NCP, R")
def wad_13(examination: Examination, pack: Pack) -> Iterator[str]:
    if examination.delivered is not None:
        classes: dict[str, bool] = {}
        for uid, sop_class in _instances(examination.manifest):
            classes[sop_class] = classes.get(sop_class, False) or uid in examination.delivered
        yield from (f"SOPClassUID {sop_class}" for sop_class, came in classes.items() if not came)


_FORMS = {
    "metadata": ("application/dicom+json",),
    "frames": ("multipart/related", "application/octet-stream", "image/jpeg", "image/jls", "image/jp2"),
    "bulkdata": ("multipart/related", "application/octet-stream"),
    "rendered": ("image/jpeg", "image/png", "image/gif", "video/mp4"),
    "thumbnail": ("image/jpeg", "image/png"),
}


@requirement(
    "WAD-14",
    Kind.EXCHANGE,
    "metadata, frames, bulk data, rendered: 404, or as PS3.18 says",
    source="NCP, MADO",
    cheap=True,
)
def wad_14(exchange: Exchange, pack: Pack) -> Iterator[str]:
    form = next((name for name in _FORMS if f"/{name}" in exchange.path.removeprefix("/dicom-web/studies")), None)
    if form is None or not exchange.path.startswith(_DICOMWEB):
        return
    if exchange.status == 200 and _media(exchange) not in _FORMS[form]:
        yield "Content-Type"
    elif exchange.status not in (200, 206, 304, 400, 401, 403, 404, 406, 501, 503, None):
        yield "status"


@requirement("WAD-15", Kind.CONVERSATION, "no address out of a manifest is contacted", source="MADO, R")
def wad_15(conversation: Conversation, pack: Pack) -> Iterator[str]:
    told = {
        _origin(el.text(endpoint, "address") or "")
        for one in conversation
        for endpoint in Closed(one.node).of_type("Endpoint")
    }
    first = conversation[0].origin if conversation else ""
    yield from ("origin" for one in conversation if one.origin in told - {first} and not one.path.startswith("/fhir"))


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


@requirement(
    "WAD-16", Kind.ARRIVAL, "by address or by location alone, the images are asked for at the country", source="MADO"
)
def wad_16(arrival: Arrival, pack: Pack) -> Iterator[str]:
    document = arrival.document if isinstance(arrival.document, dict) else {}
    studies = {plain_uid(el.text(s, "identifier", "value") or "") for s in Closed(document).of_type("ImagingStudy")}
    asked = {one.retrieves[0] for one in arrival.sent if one.retrieves}
    if studies and arrival.sent and not asked & studies and not arrival.refused:
        yield "images"


@requirement("WAD-17", Kind.CONVERSATION, "the XC-WADO form of an address gives the same bytes", source="XCW")
def wad_17(conversation: Conversation, pack: Pack) -> Iterator[str]:
    plain = {one.path.partition(_DICOMWEB)[2]: _bodies(one) for one in conversation if _gives(one)}
    for one in conversation:
        head, _, rest = one.path.partition("/study/" if "/study/" in one.path else "/studies/")
        known = plain.get(f"studies/{unquote(rest)}") if "/RetrieveLocationUID/" in head else None
        if known is not None and one.status == 200 and _bodies(one) != known:
            yield "parts"


def _bodies(exchange: Exchange) -> list[bytes]:
    return [part.body for part in exchange.parts]


@requirement("WAD-18", Kind.ARRIVAL, "an object of another patient is put aside", source="03")
def wad_18(arrival: Arrival, pack: Pack) -> Iterator[str]:
    header = _header(arrival.document) if isinstance(arrival.document, bytes) else None
    inside = (header.patient_id or "").strip() if header is not None else ""
    if inside and arrival.patient is not None and inside != arrival.patient[1] and not arrival.refused:
        yield "PatientID"


@requirement(
    "WAD-19", Kind.EXCHANGE, "QIDO: none is 204; else DICOM JSON, and of the patient of the token", source="PS18, NCP"
)
def wad_19(exchange: Exchange, pack: Pack) -> Iterator[str]:
    level = re.fullmatch(r"/dicom-web(/studies/[^/]+(/series/[^/]+)?)?/(studies|series|instances)", exchange.path)
    if level is None or exchange.method != "GET":
        return
    if exchange.status == 200 and exchange.decoded in ([], None):
        yield "status"
    rows = exchange.decoded if isinstance(exchange.decoded, list) else []
    if rows and _media(exchange) != "application/dicom+json":
        yield "Content-Type"
    for row in rows:
        yield from _row_faults(row)
    if len({_value(row, "00100020") for row in rows}) > 1:
        yield "00100020"


def _row_faults(row: Node) -> Iterator[str]:
    if list(row) != sorted(row) or not all(_TAG.fullmatch(tag) for tag in row):
        yield "tags"
    for tag, element in row.items():
        if not isinstance(element, dict) or len(str(element.get("vr"))) != 2 or element.get("Value") == []:
            yield tag
    if not is_uid(_value(row, "0020000D")):
        yield "0020000D"
    if not re.match(r"https://.+/studies/", _value(row, "00081190")):
        yield "00081190"


def _value(node: Node, tag: str) -> str:
    values = el.child(node, tag).get("Value")
    return str(values[0]) if isinstance(values, list) and values else ""


@requirement(
    "WAD-20", Kind.STUDIES, "studies by UID, counted, about one patient, without an endpoint", source="NCP, EUI"
)
def wad_20(node: Node, pack: Pack) -> Iterator[str]:
    if el.number(node, "total") is None or bundles.link(node, "self") is None:
        yield "Bundle"
    studies = [el.child(entry, "resource") for entry in el.children(node, "entry")]
    for study in studies:
        series = el.children(study, "series")
        uids = [i for i in el.children(study, "identifier") if i.get("system") == pack.systems["uid"]]
        if len(uids) != 1 or not is_uid(plain_uid(str(uids[0].get("value")))):
            yield "ImagingStudy.identifier"
        counted = len(series), sum(len(el.children(one, "instance")) for one in series)
        if (study.get("numberOfSeries"), study.get("numberOfInstances")) != counted:
            yield "ImagingStudy.numberOfInstances"
        if any("endpoint" in holder for holder in (study, *series)):
            yield "ImagingStudy.endpoint"
        if set(el.child(study, "subject")) != {"reference"}:
            yield "ImagingStudy.subject"
    if len({el.text(study, "subject", "reference") for study in studies}) > 1:
        yield "ImagingStudy.subject"


@requirement("WAD-21", Kind.LAUNCH, "a viewer's address: settings and UIDs alone, percent-encoded", source="IID, R")
def wad_21(launch: Launch, pack: Pack) -> Iterator[str]:
    made = launch.template
    for name, value in launch.values.items():
        made = made.replace(f"{{{name}}}", quote(value, safe=""))
    if launch.address != made:
        yield "address"


@requirement(
    "WAD-22", Kind.TRAILS, "no image is fetched before the treatment relationship, and each is in the trail", source="R"
)
def wad_22(trails: Trails, pack: Pack) -> Iterator[str]:
    related = False
    for event in trails.answering:
        related = related or el.text(event, "details", "stage") == "care"
        if event.get("transaction") == "RAD-107" and el.text(event, "ended", "outcome") == "complete" and not related:
            yield "RAD-107"
    number = {el.text(event, "exchange_id") for event in trails.asking}
    fetched = [one.sent.get("x-request-id") for one in trails.conversation if _gives(one)]
    yield from ("trail of Country B" for one in fetched if one is not None and one not in number)
