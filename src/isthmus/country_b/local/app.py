"""The service as an ASGI app: every address of it, who is let in, what is recorded.

It stands at the portal's own address: `Doors` sends what is asked of a visit by a program here, and everything else to the pages.

Source: interfaces.md §6, §12; trust.md §2.14.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from urllib.parse import urlencode, urlsplit

from isthmus.country_b.local import fhir, frames, images, metadata, rendered, studies
from isthmus.country_b.local.access import LIFE_S
from isthmus.country_b.local.asked import Asked, Local
from isthmus.errors import IsthmusError, MalformedRequest, UnsupportedRequest
from isthmus.model.identifiers import checked_uid
from isthmus.transport.answers import Answer, Receive, Scope, Send, json_answer
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.pump import pump
from isthmus.wire.outcomes import outcome_headers, write_outcome

Verb = Callable[[Asked], Awaitable[Answer]]
OURS = re.compile(r"/visits/(?P<visit>[A-Za-z0-9_-]{1,64})/(?P<rest>token|ohif|(?:fhir|dicom-web)(?:/.*)?)")
HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)


@dataclass(frozen=True, slots=True)
class Route:
    pattern: re.Pattern[str]
    verb: Verb
    methods: tuple[str, ...] = ("GET", "HEAD")


def _route(path: str, verb: Verb, *methods: str) -> Route:
    """`{name}` stands for one part of the path, `{path}` for all that follow."""
    pattern = path.replace("{path}", r"(?P<path>[0-9A-Fa-f/]+)")
    return Route(
        re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9._~,-]+)", pattern)), verb, methods or ("GET", "HEAD")
    )


_STUDY = "dicom-web/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"

ROUTES = (
    _route("fhir/metadata", fhir.get_capability),
    _route("fhir/DocumentReference", fhir.find_documents),
    _route("fhir/DocumentReference/_search", fhir.find_documents, "POST"),
    _route("fhir/DocumentReference/{id}", fhir.get_entry),
    _route("fhir/ImagingStudy", fhir.find_studies),
    _route("fhir/ImagingStudy/_search", fhir.find_studies, "POST"),
    _route("fhir/ImagingStudy/{id}", fhir.get_study),
    _route("fhir/Bundle/{id}", partial(fhir.get_document, "Bundle")),
    _route("fhir/Binary/{id}", partial(fhir.get_document, "Binary")),
    _route("dicom-web/studies", partial(studies.find_rows, "study")),
    _route("dicom-web/series", partial(studies.find_rows, "series")),
    _route("dicom-web/instances", partial(studies.find_rows, "instance")),
    _route(f"{_STUDY}/series", partial(studies.find_rows, "series")),
    _route(f"{_STUDY}/instances", partial(studies.find_rows, "instance")),
    _route(f"{_SERIES}/instances", partial(studies.find_rows, "instance")),
    _route(_STUDY, partial(images.get_images, "study")),
    _route(_SERIES, partial(images.get_images, "series")),
    _route(_INSTANCE, images.get_instance),
    *(_route(f"{level}/metadata", metadata.get_metadata) for level in (_STUDY, _SERIES, _INSTANCE)),
    _route(f"{_INSTANCE}/bulkdata/{{path}}", metadata.get_bulk),
    _route(f"{_INSTANCE}/frames/{{frames}}", frames.get_frames),
    *(_route(f"{place}/rendered", rendered.get_rendered) for place in (_INSTANCE, f"{_INSTANCE}/frames/{{frames}}")),
    *(
        _route(f"{place}/thumbnail", rendered.get_thumbnail)
        for place in (_STUDY, _SERIES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}")
    ),
)


def local_app(local: Local) -> Inbound:
    """The service of a node at one address."""

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        asked_for = OURS.fullmatch(request.path)
        if asked_for is None:
            raise UnsupportedRequest("nothing at this address", reason="no-route", path="path")
        if asked_for["rest"] in HANDED_OUT:
            await pump(await HANDED_OUT[asked_for["rest"]](local, request, asked_for["visit"]), request, send, receive)
            return
        reader = await local.access.admit(request, asked_for["visit"])
        route, parts = _find(asked_for["rest"], request.method)
        async with local.access.reading(reader, request, _thing(asked_for["rest"], parts)) as reading:
            answer = await route.verb(Asked(local, request, reader, parts))
            answer = Answer(answer.status, (*answer.headers, *HEADERS), answer.body)
            reading.sent = await pump(answer, request, send, receive)

    def render(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
        headers = (*outcome_headers(error), *HEADERS)
        return json_answer(error.meaning.status, write_outcome(error), "application/fhir+json; charset=utf-8", headers)

    at = urlsplit(local.public)
    hosts = frozenset({at.netloc, at.hostname or ""})  # dicomweb-client leaves the port out
    return Inbound(handle, hosts=hosts, render=render, max_body_bytes=1 << 16)


async def _token(local: Local, request: Request, visit: str) -> Answer:
    """A token of the visit, for a page of ours. It takes no form. Source: interfaces.md §12; RFC 6749 §5.1."""
    if request.method != "POST":
        raise MalformedRequest("a token is asked for by POST", reason="not-allowed", path="method", allowed=("POST",))
    said = {"access_token": await local.access.issue(request, visit), "token_type": "Bearer", "expires_in": LIFE_S}
    return json_answer(200, json.dumps(said).encode("ascii"), headers=HEADERS)


async def _ohif(local: Local, request: Request, visit: str) -> Answer:
    """From a page of ours to OHIF, which gets a token in the fragment: a page that moves on by itself."""
    if local.ohif is None:
        raise UnsupportedRequest("no OHIF is set up here", reason="no-route", path="path")
    if request.method != "POST":
        raise MalformedRequest("OHIF is opened by POST", reason="not-allowed", path="method", allowed=("POST",))
    study = checked_uid(dict(request.form()).get("study", ""), "study")
    told = urlencode({"visit": visit, "token": await local.access.issue(request, visit), "expires_in": LIFE_S})
    url = f"{local.ohif}/viewer?StudyInstanceUIDs={study}#{told}"
    headers = dict(HEADERS) | {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"}
    body = f'<!doctype html><title>OHIF</title><a href="{escape(url)}">OHIF</a>'
    own = (("Content-Type", "text/html; charset=utf-8"), ("Refresh", f"0; url={url}"))
    return Answer(200, (*own, *headers.items()), (body.encode("utf-8"),))


HANDED_OUT = {"token": _token, "ohif": _ohif}


def _find(path: str, method: str) -> tuple[Route, dict[str, str]]:
    for route in ROUTES:
        if (match := route.pattern.fullmatch(path)) is not None:
            if method not in route.methods:
                raise MalformedRequest(
                    "this method is not offered here", reason="not-allowed", path="method", allowed=route.methods
                )
            return route, match.groupdict()
    raise UnsupportedRequest("nothing at this address", reason="no-route", path="path")


def _thing(path: str, parts: dict[str, str]) -> str:
    """What the trail calls the thing that is read: a list, a document, a study; not each image of it."""
    service, _, rest = path.partition("/")
    study, id_ = parts.get("study"), parts.get("id")
    if study is not None:
        return f"{service} studies/{study}"
    return f"{service} {rest.partition('/')[0]}" + (f"/{id_}" if id_ else "")


class Doors:
    """One address, two apps: what programs ask of a visit goes to the service, everything else to the pages."""

    def __init__(self, local: Inbound, pages: Inbound) -> None:
        self._local, self._pages = local, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        await (self._local if OURS.fullmatch(path) else self._pages)(scope, receive, send)

    def refuse(self, error: IsthmusError) -> Answer:
        """What the listener could not make a request of is answered by the pages."""
        return self._pages.refuse(error)
