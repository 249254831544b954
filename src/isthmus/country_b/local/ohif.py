"""OHIF, unpacked as its authors publish it, under an address of its own: files, and the DICOMweb service of a visit beside them.

It needs a looser content policy than the pages and so shares no address with them: a visit is opened with a token, which stands in the
fragment of the address (never sent to anybody), and is kept in the memory of the page. Cookies mean nothing here.

The token is not renewed: it could be from here only by itself, and would then open the visit to whoever has it for as long as the visit
lasts. The page says when its token is about to run out, and when it has, and how to go on.

Source: trust.md §2.14, T84; stack.md §3.5.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from isthmus.errors import DocumentNotFound, IsthmusError, SettingsProblem
from isthmus.pages.static import Static
from isthmus.transport.answers import Answer, Receive, Send, json_answer
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.pump import pump
from isthmus.wire.outcomes import write_outcome

CSP = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' 'unsafe-inline'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self' blob: data:; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'self'"
)
HEADERS = (
    ("Content-Security-Policy", CSP),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
CONFIG = """\
// Where the images of one visit are, and the token for it: both from the fragment of the address, kept in this page alone.
(() => {
  const told = new URLSearchParams(location.hash.slice(1));
  const root = `${location.origin}/visits/${encodeURIComponent(told.get('visit') ?? '')}/dicom-web`;
  const header = { Authorization: `Bearer ${told.get('token') ?? ''}` };
  const end = Date.now() + 1000 * Number(told.get('expires_in') ?? 0);
  history.replaceState(null, '', location.pathname + location.search);

  const WARNED = 60000;
  const AGAIN = 'To go on, go back to the study in the portal and press OHIF again.';
  const say = (words) => {
    let note = document.getElementById('visit-note');
    if (!note) {
      note = document.createElement('p');
      note.id = 'visit-note';
      note.lang = 'en';
      note.setAttribute('role', 'alert');
      note.style.cssText =
        'position:fixed;inset:auto 0 0 0;z-index:99999;margin:0;padding:12px 16px;font:16px/1.4 sans-serif;background:#fff3cd;color:#3d2f00';
      document.body.append(note);
    }
    note.textContent = words;
  };
  const over = () => say(`This page may load nothing more: its fifteen minutes are over, or the visit has ended. What is shown stays. ${AGAIN}`);
  let next;
  const look = () => {
    clearTimeout(next);
    const left = end - Date.now();
    if (left <= 0) over();
    else if (left <= WARNED) say(`This page can load images for ${Math.ceil(left / 1000)} seconds more. ${AGAIN}`);
    if (left > 0) next = setTimeout(look, left > WARNED ? Math.min(left - WARNED, 60000) : 1000);
  };
  next = setTimeout(look, 0);
  document.addEventListener('visibilitychange', look);

  window.config = {
    name: 'visit',
    httpErrorHandler: (error) => {
      if (error.status === 401) over();
    },
    routerBasename: null,
    extensions: [
      {
        id: 'isthmus.visit',
        preRegistration: ({ servicesManager }) =>
          servicesManager.services.userAuthenticationService.setServiceImplementation({
            getAuthorizationHeader: () => header,
            handleUnauthenticated: over,
          }),
      },
    ],
    modes: [],
    customizationService: {},
    showStudyList: false,
    maxNumberOfWebWorkers: 2,
    maxNumRequests: { interaction: 8, thumbnail: 4, prefetch: 8 },
    defaultDataSourceName: 'visit',
    dataSources: [
      {
        namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
        sourceName: 'visit',
        configuration: {
          friendlyName: 'The visit',
          name: 'visit',
          qidoRoot: root,
          wadoRoot: root,
          wadoUriRoot: root,
          qidoSupportsIncludeField: true,
          supportsFuzzyMatching: false,
          supportsWildcard: true,
          imageRendering: 'wadors',
          thumbnailRendering: 'thumbnail',
          thumbnailRequestStrategy: 'fetch',
          enableStudyLazyLoad: true,
          bulkDataURI: { enabled: true },
        },
      },
    ],
  };
})();
"""


OWN = {"app-config.js": CONFIG, "init-service-worker.js": "// none here\n"}  # instead of those that OHIF brings


def ohif_app(folder: Path, public: str) -> Inbound:
    """The files of OHIF at one address. Raises SettingsProblem when the folder holds no OHIF."""
    if not (folder / "index.html").is_file():
        raise SettingsProblem(
            f"{folder} holds no unpacked OHIF (no index.html); see docs/guides/ohif.md", key="ohif.folder"
        )
    files = Static(folder)

    async def handle(request: Request, send: Send, receive: Receive) -> None:
        await pump(_file(files, request), request, send, receive)

    def render(error: IsthmusError, request: Request | None, exchange_id: str) -> Answer:
        return json_answer(error.meaning.status, write_outcome(error), "application/fhir+json", HEADERS)

    return Inbound(handle, hosts=frozenset({urlsplit(public).netloc}), render=render, methods=("GET", "HEAD"))


def _file(files: Static, request: Request) -> Answer:
    """A file; a path that is none of a file is one that OHIF reads itself. Raises DocumentNotFound."""
    name = request.path.lstrip("/")
    if "service-worker" in request.headers:
        raise DocumentNotFound("no script here is a service worker")
    if name in OWN:
        headers = (("Content-Type", "text/javascript; charset=utf-8"), ("Cache-Control", "no-cache"), *HEADERS)
        return Answer(200, headers, (OWN[name].encode("utf-8"),))
    if "." not in name.rpartition("/")[2]:
        name = "index.html"
    answer = files.answer(name, request.headers)
    ours = {header.lower() for header, _ in HEADERS}
    kept = [(header, value) for header, value in answer.headers if header.lower() not in ours]
    if name == "index.html":
        kept = [
            ("Content-Type", "text/html; charset=utf-8") if header == "Content-Type" else (header, value)
            for header, value in kept
        ]
    return Answer(answer.status, (*kept, *HEADERS), answer.body)
