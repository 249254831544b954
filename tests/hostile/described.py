"""The faces described in OpenAPI, out of their own tables of routes: what each can be asked, with which parameters.

A value of the description that begins with `the-` stands for what only a running face has: a visit, a document, a token of a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.country_a import api as border
from isthmus.country_b.local import app as local
from isthmus.country_b.portal import app as portal
from isthmus.operations import health
from isthmus.testing.register import ISSUER, SEEN
from isthmus.wire import documents
from isthmus.wire.capability import declared
from isthmus.wire.studies import imaging_study, qido

Schema = Mapping[str, Any]
DICOM, OCTETS = "application/dicom", "application/octet-stream"


def text(*known: str, form: str = "", longest: int = 40) -> Schema:
    """A text of some form, and values that mean something."""
    free = {"type": "string", "maxLength": longest, **({"pattern": form} if form else {})}
    return {"anyOf": [{"type": "string", "enum": list(known)}, free]} if known else free


def one_of(*known: str) -> Schema:
    return {"type": "string", "enum": list(known)}


UID = text("the-study", form=r"^[0-9]+(\.[0-9]+){1,12}$", longest=64)
NUMBER = {"type": "integer", "minimum": 1, "maximum": 9999}
ID = text("the-report", "the-manifest", "the-person", form=r"^[A-Za-z0-9.-]{1,64}$", longest=64)
MASK: Mapping[str, Schema] = {
    "identifier": one_of(f"{ISSUER}|{SEEN.identifier.value}"), "family": one_of("Practice", "Nobody"), "birthdate": one_of(SEEN.birth_date, "1911"),
    "given": one_of("Paula"), "gender": one_of("female", "male"), "name": one_of("Practice"), "family:exact": one_of("Practice"),
    "_count": one_of("1"), "_elements": one_of("id,name"),
}  # fmt: skip
OF_FHIR: Mapping[str, Schema] = {
    "reference": one_of("the-person", "Patient/the-person"), "token": text("current", form=r"^[a-z:]{0,9}\|?[A-Za-z0-9]{1,9}$"),
    "date": one_of("ge2024", "2024-01-01T10:00:00Z", "1911-02-03", "lt2031-02"), "string": one_of("Paula", "Practice"),
}  # fmt: skip
CONTROLS = {
    "_count": NUMBER, "_sort": one_of("date", "-date"), "_summary": one_of("true", "false", "count", "text", "data"), "_cursor": text(),
    "patient": OF_FHIR["reference"],
}  # fmt: skip
OF_KEY: Mapping[str, Schema] = {
    "uid": UID, "text": text("*", form=r"^[A-Za-z0-9 *?]{1,16}$"), "number": NUMBER, "date": one_of("20240101", "20240101-", "-20311231"),
    "time": one_of("1000", "08-1830"),
}  # fmt: skip
OF_SEARCH: Mapping[str, Schema] = {
    "limit": NUMBER, "offset": {"type": "integer", "minimum": 0, "maximum": 9}, "fuzzymatching": one_of("true", "false"),
    "includefield": one_of("all", "00081030", "StudyDescription,00081115.00081150"), "PatientID": one_of("the-person"),
}  # fmt: skip
PICTURES: Mapping[str, Schema] = {
    "window": one_of("40,400,linear", "-1.5,1e3,sigmoid"), "quality": {"type": "integer", "minimum": 1, "maximum": 100},
    "viewport": one_of("64,64", "1,8000"), "accept": one_of("image/jpeg", "image/png,image/jpeg"), "charset": one_of("utf-8"),
}  # fmt: skip
OF_PROOF: Mapping[str, Schema] = {"seq": one_of("0"), "size": one_of("1")}
RETRIEVAL: Mapping[str, Schema] = {
    "accept": one_of("application/dicom+json", "application/octet-stream", "multipart/related,application/dicom")
}
HEADERS: Mapping[str, Schema] = {
    "Accept": one_of("*/*", "application/fhir+json, application/dicom+json;q=0.9, */*;q=0.1", "application/json, image/png, multipart/related;q=0.2"),
    "If-None-Match": text("*", '"x"'), "Accept-Language": text("el", "de;q=0.5, en"),
}  # fmt: skip
PARTS: Mapping[str, Schema] = {
    "visit": one_of("the-visit"), "study": one_of("the-study", "2.25.9"), "series": one_of("the-series"),
    "instance": one_of("the-instance", "2.25.9"), "id": one_of("the-report", "the-manifest", "the-issued", "the-listed", "the-person", "nothing"),
    "report": one_of("the-report"),
    "frames": one_of("1", "1,1", "99"), "path": one_of("7FE00010", "00291010/0/7FE00010"), "file": one_of("app-config.js", "app.js", "portal.css", "x"),
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One thing a face can be asked. `form` is what is posted."""

    method: str
    path: str
    query: Mapping[str, Schema] = field(default_factory=dict)
    form: Mapping[str, Schema] | None = None
    needed: tuple[str, ...] = ()  # of query or form: without these nothing is answered
    bodies: Mapping[str, Schema] = field(default_factory=dict)  # by media type, of what is no form

    def described(self) -> dict[str, Any]:
        parts = {name: PARTS[name] for name in re.findall(r"\{(\w+)\}", self.path)}
        told: dict[str, Any] = {
            "parameters": [
                {"name": name, "in": place, "required": place == "path" or name in self.needed, "schema": schema}
                for place, known in (("path", parts), ("query", self.query), ("header", HEADERS))
                for name, schema in known.items()
            ],
            "responses": {"default": {"description": "an answer of the table"}},
        }
        if self.form is not None:
            schema = {
                "type": "object",
                "properties": dict(self.form),
                "required": list(self.needed),
            }
            told["requestBody"] = {
                "required": True,
                "content": {"application/x-www-form-urlencoded": {"schema": schema}},
            }
        if self.bodies:
            content = {media: {"schema": schema} for media, schema in self.bodies.items()}
            told["requestBody"] = {"required": True, "content": content}
        return told


def described(title: str, operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI description of a face."""
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = one.described()
    return {"openapi": "3.0.3", "info": {"title": title, "version": "1"}, "paths": paths}


def _known(schema: Schema) -> list[Any]:
    """The values of a description that mean something."""
    (first, *_) = schema.get("anyOf", [schema])
    return list(first.get("enum", [first.get("minimum", "x")]))


def alone(one: Operation) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """Plain requests: each id that the path may hold, then each value of each parameter; of a form, with what it needs."""
    names = re.findall(r"\{(\w+)\}", one.path)
    parts = {name: _known(PARTS[name]) for name in names}
    said = {name: _known({**one.query, **(one.form or {})}[name])[0] for name in one.needed}
    query, form = (said, None) if one.form is None else ({}, said)
    for name in names or [""]:
        for value in parts.get(name, [""]):
            yield one.path.format(**{n: value if n == name else known[0] for n, known in parts.items()}), query, form
    path = one.path.format(**{n: known[0] for n, known in parts.items()})
    for name, schema in one.query.items():
        yield from ((path, {**query, name: value}, form) for value in _known(schema)[:2])
    for name, schema in (one.form or {}).items():
        yield from ((path, {}, {**said, name: value}) for value in _known(schema)[:2])


# what is searched, at the border and in a visit


LEVELS: Mapping[str, qido.Level] = {"studies": "study", "series": "series", "instances": "instance"}


def searched(path: str, *, at_border: bool) -> Mapping[str, Schema]:
    """What a search may say, by the last words of its path; nothing where none is one."""
    last = path.removesuffix("/_search").rpartition("/")[2]
    if "dicom-web" in path and last in ("studies", "series", "instances"):
        level = LEVELS[last]
        keys = {a.keyword: OF_KEY[a.key] for a in qido.ATTRIBUTES if a.key and a.keyword in qido.keys_of(level)}
        return keys | dict(OF_SEARCH)
    if last in ("rendered", "thumbnail"):
        return PICTURES
    if last == "Patient" and at_border:
        return MASK
    kinds = {
        "DocumentReference": declared(documents.DEFINITIONS),
        "ImagingStudy": declared(imaging_study.DEFINITIONS, subject=True),
    }.get(last)
    if kinds is None:
        return RETRIEVAL if "dicom-web" in path and not at_border else {}
    number = {name: MASK["identifier"] for name in kinds if name == "patient.identifier"}
    return {name: OF_FHIR[kind] for name, kind in kinds.items()} | number | CONTROLS


def border_operations() -> Iterator[Operation]:
    """The border: what its table has, and what `{path}` stands for at retrieval."""
    token = {
        "grant_type": one_of("client_credentials"), "client_assertion": one_of("the-assertion"),
        "client_assertion_type": one_of("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), "scope": one_of("patient/Patient.rs"),
    }  # fmt: skip
    study = "/dicom-web/studies/{study}"
    retrieved = (study, f"{study}/series/{{series}}", f"{study}/series/{{series}}/instances/{{instance}}")
    for route in border.ROUTES:
        for path in retrieved if route.path == "/dicom-web/{path}" else (route.path,):
            known = OF_PROOF if path == "/ncp/log/proof" else searched(path, at_border=True)
            needed = (
                ("identifier", "family", "birthdate")
                if known is MASK
                else tuple(token)[:3]
                if path == border.TOKEN_PATH
                else tuple(known)
                if known is OF_PROOF
                else ()
            )
            for method in route.methods:
                form = token if path == border.TOKEN_PATH else known if method == "POST" else None
                yield Operation(method, path, {} if form is not None else known, form, needed)


# a visit: pages, and the service for programs

_REPORT, _PLACE = one_of("the-report", "the-manifest", "nothing"), PARTS["instance"]
PAGES: Mapping[str, Mapping[str, Schema]] = {
    "/find": {"country": one_of("AA", "ZZ")},
    "/visits/{visit}/examinations": {"q": text("ct head 2 years", "αξονικη", "kopf 2 jahre "), "p": one_of("1", "2", "all"), "m": one_of("ct"),
                                     "r": one_of("head"), "c": one_of("rep", "img"), "again": one_of("1")},
    "/visits/{visit}/studies/{study}/view": {"report": _REPORT, "image": _PLACE, "series": PARTS["series"], "frame": NUMBER},
    "/visits/{visit}/studies/{study}/study.json": {"report": _REPORT},
    "/visits/{visit}/studies/{study}/notes.json": {"report": _REPORT},
    "/visits/{visit}/standing": {"report": _REPORT, "status": one_of("current", "superseded"), "study": PARTS["study"],
                                 "manifest": _REPORT, "idle": one_of("1")},
    "/visits/{visit}/studies/{study}/series/{series}/thumbnail": {"image": _PLACE, "frame": NUMBER},
}  # fmt: skip
FORMS: Mapping[str, Mapping[str, Schema]] = {
    "/sign-in/again": {"login": one_of("radiologist"), "password": one_of("right")},
    "/sign-in": {"login": one_of("radiologist"), "password": one_of("right")},
    "/language": {"language": one_of("el", "en", "de"), "here": text("/find", "//evil.example")},
    "/theme": {"theme": one_of("light", "dark"), "here": text("/find")},
    "/find": {"country": one_of("AA"), "mask": one_of("AA"), "identifier": one_of("the-person"), "family": text("the-family", "Somebody"),
              "birth-date": one_of("the-birth-date", "1961-03-14"), "given": text(), "gender": one_of("", "male", "female", "other", "unknown")},
    "/visits/{visit}/emergency": {"reason": one_of("unconscious", "other"), "words": text("GCS 7 after a fall, nobody is present", longest=400),
                                  "vital": one_of("yes")},
    "/visits/{visit}/confirm": {"relationship": one_of("yes"), "purpose": one_of("TREAT", "ETREAT")},
}  # fmt: skip
AT_WILL = ("given", "gender")
PAGE_TOKEN = {"page-token": one_of("the-page-token")}


def template(pattern: re.Pattern[str]) -> str:
    """The path that a pattern was made of."""
    return re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern.pattern)


def portal_operations() -> Iterator[Operation]:
    for route in portal.ROUTES:
        path = template(route.pattern)
        if route.get is not None:
            yield Operation("GET", path, PAGES.get(path, {}))
        if route.post is not None:
            form = PAGE_TOKEN | dict(FORMS.get(path, {}))
            yield Operation("POST", path, {}, form, tuple(name for name in form if name not in AT_WILL))
    yield Operation("GET", "/static/{file}")


def visit_operations() -> Iterator[Operation]:
    for route in local.ROUTES:
        path = f"/visits/{{visit}}/{template(route.pattern)}"
        known = searched(path, at_border=False)
        for method in route.methods:
            if method != "HEAD":
                yield Operation(method, path, {} if method == "POST" else known, known if method == "POST" else None)
    yield Operation("POST", "/visits/{visit}/token", {}, {})
    yield Operation("POST", "/visits/{visit}/ohif", {}, {"study": UID}, ("study",))


def ohif_operations() -> Iterator[Operation]:
    yield from (Operation("GET", path, {"StudyInstanceUIDs": UID}) for path in ("/", "/{file}", "/viewer"))


def operations_operations() -> Iterator[Operation]:
    yield from (Operation("GET", path) for path in health.PAGES)


_PUBLISHED: Schema = {
    "type": "object", "required": ["resourceType", "type", "entry"],
    "properties": {
        "resourceType": one_of("Bundle"), "type": one_of("transaction", "document"),
        "entry": {"type": "array", "maxItems": 3, "items": {"type": "object", "required": ["resource"], "properties": {
            "fullUrl": text("urn:uuid:6f1e3b9c-0d1f-4b57-9a9e-6f8a3a5b1c11"), "request": {"type": "object"},
            "resource": {"type": "object", "required": ["resourceType"], "properties": {
                "resourceType": one_of("List", "DocumentReference", "Binary", "Patient", "Bundle", "Composition"), "id": text("a"),
                "data": text("AAAA"), "content": {"type": "array"}, "subject": {"type": "object"}, "identifier": {},
            }},
        }}},
    },
}  # fmt: skip


def intake_operations() -> Iterator[Operation]:
    """What is brought: images, and documents. The listener has no table; these are its addresses (`archive/doors/api.py`)."""
    octets: Schema = {"type": "string", "format": "binary"}
    for path in ("/dicom-web/studies", "/dicom-web/studies/{study}", "/studies"):
        yield Operation("POST", path, bodies={"application/dicom": octets})
    yield Operation("POST", "/fhir", bodies={"application/fhir+json": _PUBLISHED})
    yield Operation("POST", "/fhir/DocumentReference", bodies={"application/fhir+json": {"type": "object"}})
    yield Operation("GET", "/fhir/metadata")


FACES = {
    "intake": intake_operations,
    "border": border_operations, "portal": portal_operations, "visit": visit_operations, "ohif": ohif_operations,
    "operations": operations_operations,
}  # fmt: skip
