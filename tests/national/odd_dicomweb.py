"""A PACS that speaks DICOMweb on a real socket: plain until it is told to be odd, one oddity at a time.

    with odd_dicomweb(*files) as pacs:
        pacs.nothing = "204"
        ...  # pacs.url

Source: PS3.18 §10.4, §10.6; field-faults F36, F37, F38, F46.
"""

from __future__ import annotations

import contextlib
import fnmatch
import gzip
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pydicom

from isthmus.testing.engines.counterparts import HOST

Row = dict[str, Any]
NOTHING = {"204": (204, b""), "[]": (200, b"[]"), "empty": (200, b""), "404": (404, b"<html>nothing</html>")}
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
ALWAYS = ("0020000D", "0020000E", "00080018")
COUNTS = ("00201206", "00201208", "00201209")


@dataclass
class OddDicomWeb:
    """What it holds, and how it answers. `asked` are the requests it had: path, parameters, Accept."""

    files: list[bytes]
    url: str = ""
    nothing: str = "[]"
    page_max: int = 1000  # capped without a word
    ignores_offset: bool = False
    repeats: int = 0  # rows of the page before that come again
    backwards: bool = False
    refuses_beyond: bool = False  # an offset beyond the last row
    says_more: bool = False  # by a Warning, as PS3.18 §8.3.4.4 has it
    times: int = 1  # each row this often in a row
    refuses: frozenset[str] = frozenset()  # keys that it answers with 400
    alter: Callable[[Row], Row] = field(default=lambda row: row)
    patterns: bool = False  # reads * ? % as wildcards, and \ and , as lists
    all_match: bool = False
    packed: bool = False  # gzip, whatever is asked
    search_status: int = 200
    json_media: str = "application/dicom+json"
    takes: Callable[[str], bool] = field(default=lambda accept: accept == AS_STORED)
    refusal: int = 406
    bare: bool = False
    statuses: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)  # of images, by what a path contains
    delays: dict[str, float] = field(default_factory=dict)  # of images, in seconds, by what a path contains
    drops: Callable[[str], bool] = field(default=lambda path: False)  # hangs up without a word
    bodies: Callable[[bytes], bytes] = field(default=lambda body: body)
    breaks_at: int | None = None
    announced: bool = True  # the length
    drips_s: float = 0.0  # between one byte of a body and the next
    asked: list[tuple[str, list[tuple[str, str]], str]] = field(default_factory=list)
    encodings: dict[str, str] = field(default_factory=dict)  # what each path was last asked to be packed with
    targets: list[str] = field(default_factory=list)  # of the requests, as they were sent

    def questions(self, key: str) -> list[str]:
        """The values of a key in all searches so far."""
        return [value for _, parameters, _ in self.asked for name, value in parameters if name == key]

    def found(self, path: str, parameters: list[tuple[str, str]]) -> list[Row]:
        level, uids = path.rpartition("/")[2], re.findall(r"/(?:studies|series)/([0-9.]+)", f"/{path}")
        one_of = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID", "instances": "SOPInstanceUID"}[level]
        read = [pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True) for body in self.files]
        within = [one for one in read if uids == [one.StudyInstanceUID, one.SeriesInstanceUID][: len(uids)]]
        matching = [one for one in within if self.all_match or self._matches(one, dict(parameters))]
        firsts = {str(one[one_of].value): one for one in reversed(matching)}
        wanted = {value for name, value in parameters if name == "includefield"}
        rows = [self._row(firsts[uid], level, read, wanted) for uid in sorted(firsts, reverse=self.backwards)]
        return [row for row in rows for _ in range(self.times)]

    def _matches(self, one: Any, asked: dict[str, str]) -> bool:
        for key in ("PatientID", "StudyInstanceUID"):
            value, held = asked.get(key), str(one[key].value)
            if value is not None and self.patterns:
                wild = [part.replace("%", "*") for part in re.split(r"[\\,]", value)]
                if not any(fnmatch.fnmatchcase(held, part) for part in wild):
                    return False
            elif value is not None and value != held:
                return False
        return True

    def _row(self, one: Any, level: str, read: list[Any], wanted: set[str]) -> Row:
        said = one.to_json_dict()
        study = [other for other in read if other.StudyInstanceUID == one.StudyInstanceUID]
        series = [other for other in study if other.SeriesInstanceUID == one.SeriesInstanceUID]
        counts = (len({other.SeriesInstanceUID for other in study}), len(study), len(series))
        said |= {tag: {"vr": "IS", "Value": [count]} for tag, count in zip(COUNTS, counts, strict=True)}
        of_level = COUNTS[:2] if level == "studies" else COUNTS[2:] if level == "series" else ()
        keep = {*ALWAYS, *of_level, "00080016", "00080020", "00080060", "00100010", "00100020", "00200011", "00200013"}
        keep |= wanted - set(COUNTS)
        return self.alter({tag: element for tag, element in said.items() if tag in keep or "all" in wanted})

    def page(self, rows: list[Row], parameters: dict[str, str]) -> list[Row]:
        limit = min(int(parameters.get("limit", 10**6)), self.page_max)
        start = 0 if self.ignores_offset else int(parameters.get("offset", 0))
        return rows[max(0, start - self.repeats) if start < len(rows) else start :][:limit]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pacs: OddDicomWeb

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        address, pacs, accept = urlsplit(self.path), self.pacs, self.headers.get("Accept", "")
        path = address.path.removeprefix("/dicom-web/")
        parameters = parse_qsl(address.query, keep_blank_values=True)
        pacs.asked.append((path, parameters, accept))
        pacs.encodings[path] = self.headers.get("Accept-Encoding", "")
        pacs.targets.append(self.path)
        if pacs.drops(path):
            self.close_connection = True
        elif path.endswith("/metadata"):
            self._describe(path.removesuffix("/metadata"))
        elif re.search(r"(^|/)(studies|series|instances)$", path):
            self._search(path, parameters, accept)
        else:
            self._image(path, accept)

    def _search(self, path: str, parameters: list[tuple[str, str]], accept: str) -> None:
        pacs = self.pacs
        if pacs.search_status != 200:
            self._say(pacs.search_status, {}, b"no")
        elif accept != pacs.json_media:
            self._say(406, {}, b"")
        elif pacs.refuses & {name for name, _ in parameters}:
            self._say(400, {}, b"unknown parameter")
        elif rows := pacs.page(found := pacs.found(path, parameters), dict(parameters)):
            more = pacs.says_more and rows[-1] != found[-1]
            warning = {"Warning": '299 odd: "There are 3 additional results that can be requested"'} if more else {}
            self._say(200, {"Content-Type": pacs.json_media, **warning}, json.dumps(rows).encode())
        elif pacs.refuses_beyond and int(dict(parameters).get("offset", 0)):
            self._say(400, {}, b"offset is beyond the last result")
        else:
            status, body = NOTHING[pacs.nothing]
            self._say(status, {}, body)

    def _describe(self, path: str) -> None:
        told = next((said for part, said in self.pacs.statuses.items() if part in "metadata"), None)
        uids = path.split("/")[1::2]
        read = [_read(file) for file in self.pacs.files]
        rows = [
            self.pacs.alter(one.to_json_dict() | {"7FE00010": {"vr": "OW", "BulkDataURI": f"{self.pacs.url}/bulk"}})
            for one in read
            if uids == [one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID][: len(uids)]
        ]
        if told is not None:
            self._say(*told, b"")
        else:
            self._say(200, {"Content-Type": self.pacs.json_media}, json.dumps(rows).encode())

    def _image(self, path: str, accept: str) -> None:
        pacs, uid = self.pacs, path.rpartition("/")[2]
        time.sleep(next((seconds for part, seconds in pacs.delays.items() if part in path), 0))
        told = next((said for part, said in pacs.statuses.items() if part in path), None)
        file = next(
            (f for f in pacs.files if _read(f).SOPInstanceUID == uid),
            pacs.files[0] if told is None and "instances" not in path else None,
        )
        if told is not None:
            self._say(*told, b"")
        elif not pacs.takes(accept):
            self._say(pacs.refusal, {}, b"")
        elif file is None:
            self._say(404, {}, b"")
        elif pacs.bare:
            self._say(200, {"Content-Type": "application/dicom"}, pacs.bodies(file), pacs.breaks_at)
        else:
            head = b"--xyz\r\nContent-Type: application/dicom\r\nContent-Length: 7\r\n\r\n"  # a length that is wrong
            body = pacs.bodies(head + file + b"\r\n--xyz--\r\n")
            self._say(
                200, {"Content-Type": "multipart/related; type=application/dicom; boundary=xyz"}, body, pacs.breaks_at
            )

    def _say(self, status: int, headers: dict[str, str], body: bytes, breaks_at: int | None = None) -> None:
        if self.pacs.packed and body:
            headers, body = {**headers, "Content-Encoding": "gzip"}, gzip.compress(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status == 200 and not self.pacs.announced:
            self.send_header("Connection", "close")
            self.close_connection = True
        elif status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for at in range(len(body)) if self.pacs.drips_s else ():
                self.wfile.write(body[at : at + 1])
                time.sleep(self.pacs.drips_s)
            if not self.pacs.drips_s:
                self.wfile.write(body[:breaks_at])
        if breaks_at is not None:
            self.close_connection = True


def _read(body: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True)


@contextlib.contextmanager
def odd_dicomweb(*files: bytes) -> Iterator[OddDicomWeb]:
    """Start one on this machine, stop it afterwards."""
    pacs = OddDicomWeb(list(files))
    handler = type("Handler", (_Handler,), {"pacs": pacs})
    server = ThreadingHTTPServer((HOST, 0), handler)
    server.daemon_threads = True
    pacs.url = f"http://{HOST}:{server.server_address[1]}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
