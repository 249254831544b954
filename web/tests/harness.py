"""Serves DICOM files as a study, so that the viewer can be looked at without a portal.

    python web/tests/harness.py [--port 8765] [--style FOLDER] [--start SOP] FILES-OR-FOLDERS...

`--style` names a folder with portal.css, fonts and logo where the package has none yet. Every answer carries the
portal's content security policy. A PDF among the files is shown by the reader at /reader.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pydicom

STATIC = Path(__file__).parents[2] / "src/isthmus/pages/static"
WORDS = json.loads((Path(__file__).parent / "words.json").read_text(encoding="utf-8"))
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "font-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".dcm": "application/dicom",
    ".pdf": "application/pdf",
}


def describe(paths: list[Path]) -> tuple[dict[str, Any], dict[str, Path]]:
    """The study's description as the portal writes it, and where each instance lies."""
    series: dict[str, dict[str, Any]] = {}
    files: dict[str, Path] = {}
    for path in paths:
        data = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        if "SOPInstanceUID" not in data or "SeriesInstanceUID" not in data:
            continue
        entry = series.setdefault(
            str(data.SeriesInstanceUID),
            {
                "uid": str(data.SeriesInstanceUID),
                "number": data.get("SeriesNumber"),
                "modality": data.get("Modality", ""),
                "description": str(data.get("SeriesDescription", "")),
                "instances": [],
            },
        )
        uid = str(data.SOPInstanceUID)
        files[uid] = path
        entry["instances"].append(
            {
                "uid": uid,
                "number": data.get("InstanceNumber"),
                "frames": data.get("NumberOfFrames"),
                "sop_class": str(data.SOPClassUID),
                "url": f"/instances/{uid}",
            }
        )
    study = {
        "patient": {"name": "MAVRIDI, Eleni", "native_name": "Μαυρίδη Ελένη", "birth_date": "1961-03-14", "sex": "F"},
        "study": {
            "uid": "1",
            "date": "2026-11-03T14:20",
            "description": "Practice study",
            "country": "EL",
            "custodian": "Thalassa General Hospital",
        },
        "series": list(series.values()),
        "key_images": [],
        "words": WORDS,
    }
    first = study["series"][0]["instances"] if series else []
    for instance in first[2:3]:
        key = {"series": next(iter(series)), "instance": instance["uid"], "frame": None, "why": "finding 1"}
        study["key_images"].append(key)
    return study, files


def page(study: dict[str, Any], start: str) -> str:
    """viewer.html filled with the series of the study."""
    thumbs = "".join(
        f'<li><a class="thumb" href="#" data-series="{s["uid"]}"><span><b>{s["modality"]} {s["description"]}</b>'
        f"{len(s['instances'])} objects</span></a></li>"
        for s in study["series"]
    )
    text = (Path(__file__).parent / "viewer.html").read_text(encoding="utf-8")
    return text.replace("{{thumbs}}", thumbs).replace("{{start}}", start)


def serve(arguments: argparse.Namespace) -> None:
    """Answers on loopback until it is stopped; prints its address once it listens."""
    paths = [p for given in arguments.files for p in (sorted(given.rglob("*")) if given.is_dir() else [given])]
    study, files = describe([p for p in paths if p.is_file() and p.suffix != ".pdf"])
    pdf = next((p for p in paths if p.suffix == ".pdf"), None)

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path == "/":
                self.give(page(study, arguments.start).encode(), ".html")
            elif path == "/reader":
                self.give((Path(__file__).parent / "reader.html").read_bytes(), ".html")
            elif path == "/portal":
                self.give((Path(__file__).parent / "portal.html").read_bytes(), ".html")
            elif path == "/mask":
                self.give(b'<label>Number <input name="identifier" id="identifier"></label>', ".html")
            elif path == "/study.json":
                self.give(json.dumps(study, default=str).encode(), ".json")
            elif path == "/original.pdf" and pdf is not None:
                self.give(pdf.read_bytes(), ".pdf")
            elif path.startswith("/instances/") and path[11:] in files:
                self.give(files[path[11:]].read_bytes(), ".dcm")
            elif path.startswith("/static/") and ".." not in path:
                found = [f / path[8:] for f in (STATIC, arguments.style) if f and (f / path[8:]).is_file()]
                self.give(found[0].read_bytes(), found[0].suffix) if found else self.send_error(404)
            else:
                self.send_error(404)

        def give(self, body: bytes, suffix: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Answer)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--start", default="")
    serve(parser.parse_args())
