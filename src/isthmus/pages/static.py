"""Static files: style, fonts, mark, and the front end as it was built; what is not in the folder at start is not served.

Source: portal design §8 (sizes); RFC 9110 §8.8, §12.5.3.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import DocumentNotFound
from isthmus.pages.render import CSP
from isthmus.transport.answers import Answer

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
}
_SQUEEZED = (".js", ".mjs", ".css", ".svg", ".txt", ".json", ".wasm")


@dataclass(frozen=True, slots=True)
class _File:
    stamp: tuple[int, int]
    plain: bytes
    squeezed: bytes | None
    etag: str


class Static:
    """The files of one folder, read when first asked for and again when they changed."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._known = {
            path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
        }
        self._read: dict[str, _File] = {}

    def answer(self, name: str, headers: Mapping[str, str]) -> Answer:
        """The file, or that it has not changed. Raises DocumentNotFound."""
        path = self._known.get(name)
        if path is None or path.name.startswith("."):
            raise DocumentNotFound("no such static file")
        try:
            file = self._file(name, path)
        except OSError as error:
            raise DocumentNotFound("a static file is gone") from error
        for_ever = name.startswith("built/assets/")  # its name changes with its content
        said = [
            ("Content-Type", TYPES.get(path.suffix, "application/octet-stream")),
            ("Cache-Control", "public, max-age=31536000, immutable" if for_ever else "no-cache"),
            ("ETag", file.etag),
            ("Vary", "Accept-Encoding"),
            ("Content-Security-Policy", CSP),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ]
        if file.etag in headers.get("if-none-match", ""):
            return Answer(304, tuple(said), (b"",))
        if file.squeezed is not None and "gzip" in headers.get("accept-encoding", ""):
            return Answer(200, (*said, ("Content-Encoding", "gzip")), (file.squeezed,))
        return Answer(200, tuple(said), (file.plain,))

    def _file(self, name: str, path: Path) -> _File:
        info = path.stat()
        stamp = (info.st_mtime_ns, info.st_size)
        held = self._read.get(name)
        if held is None or held.stamp != stamp:
            plain = path.read_bytes()
            squeezed = gzip.compress(plain, 6, mtime=0) if path.suffix in _SQUEEZED else None
            held = _File(stamp, plain, squeezed, f'"{hashlib.sha256(plain).hexdigest()[:24]}"')
            self._read[name] = held
        return held
