"""Values as text, dates, times and numbers: read as declared, never guessed, never failing.

What cannot be read is absent and said in a warning; the bytes stay as they came.
Source: PS3.5 §6.1, §6.2; PS3.3 §C.12.1.1.2.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final

REPLACEMENT: Final = "\ufffd"

# Defined terms for one character set, and what stands for them in files that are written carelessly.
_SINGLE: Final = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "iso8859_11",
    "ISO_IR 192": "utf_8",
    "ISO_IR 203": "iso8859_15",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_MISSPELT: Final = {"UTF-8": "ISO_IR 192", "UTF8": "ISO_IR 192", "UTF 8": "ISO_IR 192", "ISO8859-1": "ISO_IR 100"}
_SELF_CONTAINED: Final = frozenset({"ISO_IR 192", "GB18030", "GBK"})

# Escape sequences of ISO 2022: which half they set, the codec, and for two-byte G0 sets the prefix that codec awaits.
_ESCAPES: Final[dict[bytes, tuple[str, str]]] = {
    b"(B": ("G0", "ascii"),
    b"(J": ("G0", "shift_jis"),
    b")I": ("G1", "shift_jis"),
    b"-A": ("G1", "latin_1"),
    b"-B": ("G1", "iso8859_2"),
    b"-C": ("G1", "iso8859_3"),
    b"-D": ("G1", "iso8859_4"),
    b"-F": ("G1", "iso8859_7"),
    b"-G": ("G1", "iso8859_6"),
    b"-H": ("G1", "iso8859_8"),
    b"-L": ("G1", "iso8859_5"),
    b"-M": ("G1", "iso8859_9"),
    b"-T": ("G1", "iso8859_11"),
    b"-b": ("G1", "iso8859_15"),
    b"$)C": ("G1", "euc_kr"),
    b"$)A": ("G1", "gb2312"),
    b"$B": ("two-byte", "iso2022_jp_2"),
    b"$(D": ("two-byte", "iso2022_jp_2"),
}
_ESCAPE_LENGTHS: Final = (3, 2)
_CONTROLS: Final = rb"\r\n\x0c\t"
_TEXT_DELIMITERS: Final = re.compile(b"([" + _CONTROLS + rb"\\])")
_NAME_DELIMITERS: Final = re.compile(b"([" + _CONTROLS + rb"\\^=])")
_CONTROLS_ALONE: Final = re.compile(b"([" + _CONTROLS + b"])")


@lru_cache(maxsize=64)
def _declared(declared: str) -> tuple[str, bool, tuple[str, ...]]:
    """Read (0008,0005): the codec of value 1, whether code extensions may follow, and what is wrong with it."""
    warnings = []
    terms = []
    for raw in declared.split("\\"):
        term = " ".join(raw.strip(" \0").upper().split())
        terms.append(_MISSPELT.get(term, re.sub(r"^ISO[ _-]?IR[ _-]?(\d+)$", r"ISO_IR \1", term)))
        if terms[-1] != term:
            warnings.append("a misspelt character set is declared")
    extended = len(terms) > 1
    alone = next((term for term in terms if term in _SELF_CONTAINED), None)
    if extended and alone:
        warnings.append("a character set without code extensions is declared as one of several")
        return _SINGLE[alone], False, tuple(warnings)
    first = terms[0].replace("ISO 2022 IR", "ISO_IR")
    if first not in _SINGLE:
        warnings.append("an unknown character set is declared")
    return _SINGLE.get(first, "ascii"), extended or first != terms[0], tuple(warnings)


class Charset:
    """The character set a data set declares in (0008,0005); decodes its texts and notes what was wrong.

    Valid UTF-8 under a declared single-byte set is a warning and never read otherwise than declared.
    """

    def __init__(self, declared: str) -> None:
        self._codec, self._extended, warnings = _declared(declared)
        self._plain = self._codec != "shift_jis"
        self.warnings: dict[str, None] = dict.fromkeys(warnings)

    def text(self, raw: bytes, *, name: bool = False) -> str:
        """Decode a value whole; `name` says it is a PN, whose parts delimit code extensions."""
        if self._plain and raw.isascii() and (not self._extended or b"\x1b" not in raw):
            return raw.decode("ascii")
        decoded = self._by_extensions(raw, name) if self._extended else raw.decode(self._codec, "replace")
        if REPLACEMENT in decoded:
            self.warnings["a text does not fit its declared character set"] = None
        elif self._codec not in ("utf_8", "gb18030", "gbk") and _is_utf8(raw):
            self.warnings["a text is valid UTF-8 under another declared character set"] = None
        return decoded

    def _by_extensions(self, raw: bytes, name: bool) -> str:
        """Decode with escapes; the set of value 1 is back after each delimiter. Source: PS3.5 §6.1.2.5.3."""
        parts: list[str] = []
        sets = first = {"G0": "ascii", "G1": self._codec, "two-byte": "", "escape": ""}
        head, *rest = raw.split(b"\x1b")
        runs: list[tuple[bytes | None, bytes]] = [(None, head), *map(_split_escape, rest)]
        for escape, run in runs:
            if escape:
                sets = _after_escape(sets, escape)
            elif escape is not None:
                parts.append(REPLACEMENT)
            two_byte = bool(sets["two-byte"])
            delimiters = _CONTROLS_ALONE if two_byte else _NAME_DELIMITERS if name else _TEXT_DELIMITERS
            for index, piece in enumerate(delimiters.split(run)):
                if index % 2:
                    sets = first
                    parts.append(piece.decode("ascii"))
                elif piece:
                    parts.append(_decode_run(piece, sets))
        return "".join(parts)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf_8")
    except UnicodeDecodeError:
        return False
    return not raw.isascii()


def _split_escape(piece: bytes) -> tuple[bytes, bytes]:
    for length in _ESCAPE_LENGTHS:
        if piece[:length] in _ESCAPES:
            return piece[:length], piece[length:]
    return b"", piece


def _after_escape(sets: dict[str, str], escape: bytes) -> dict[str, str]:
    half, codec = _ESCAPES[escape]
    if half == "two-byte":
        return sets | {"two-byte": codec, "escape": escape.decode("ascii")}
    return sets | {half: codec} | ({"two-byte": "", "escape": ""} if half == "G0" else {})


def _decode_run(run: bytes, sets: dict[str, str]) -> str:
    if sets["two-byte"]:
        return (b"\x1b" + sets["escape"].encode() + run).decode(sets["two-byte"], "replace")
    codec = sets["G1"] if sets["G1"] != "ascii" else sets["G0"]
    return run.decode(codec, "replace")


_DATE: Final = re.compile(r"(\d{4})(?:(\d{2})(\d{2})?|\.(\d{2})\.(\d{2}))?", re.ASCII)
_TIME: Final = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d{1,6})?)?)?", re.ASCII)
_OFFSET: Final = re.compile(r"([+-])(\d{2})(\d{2})", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,12}", re.ASCII)
_INT32: Final = 1 << 31


@lru_cache(maxsize=64)  # the instances of a study share theirs
def iso_date(text: str) -> str | None:
    """Read a DA as an ISO date, at the precision it has (year, month or day); None when the calendar has no such day.

    The dotted form of ACR-NEMA is read. Source: PS3.5 §6.2, DA.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = match[1], match[2] or match[4], match[3] or match[5]
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return None
    return "-".join(part for part in (year, month, day) if part)


def iso_time(text: str) -> str | None:
    """Read a TM as `HH`, `HH:MM` or `HH:MM:SS[.f]`; a leap second is read as the one before it. Source: PS3.5 §6.2, TM."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    if int(hour) > 23 or int(minute or 0) > 59 or int(second or 0) > 60:
        return None
    second = "59" if second == "60" else second
    return ":".join(part for part in (hour, minute, second) if part) + (fraction or "")


def iso_offset(text: str) -> str | None:
    """Read a timezone offset `&ZZXX` as `+HH:MM`. Source: PS3.3 §C.12.1.1.8."""
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        return None
    return f"{match[1]}{match[2]}:{match[3]}"


def whole_number(text: str) -> int | None:
    """Read an IS; None when it is no whole number of 32 bits. Source: PS3.5 §6.2, IS."""
    number = int(text) if _WHOLE.fullmatch(text) else None
    return number if number is not None and -_INT32 <= number < _INT32 else None
