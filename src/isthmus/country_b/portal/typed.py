"""Words typed into the filter, turned into choices: "ct head 2 years", "ct kopf 2 jahre". Pure.

English, Greek and German words are known to every reader, and the chips' own words in the reader's language. What is not known
stays: titles, hospitals and authors are searched for it.

Source: portal design §4 (examinations); requirements.md §9 (6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from isthmus.country_b.portal.words import KINDS, REGIONS
from isthmus.dicom.names import fold
from isthmus.pages.language import Language, language

YEARS_MAX = 100
_YEARS = r"years?|yrs?|jahre?n?|χρονια|χρονοσ|χρονων|ετη|ετοσ|ετων"
_LAST = r"last|past|letzten?|letztes|τελευταια|τελευταιο|τελευταιων"
_PERIOD = re.compile(rf"(?:(?:{_LAST})\s+)?(\d{{1,2}})\s*(?:{_YEARS})(?=\s|$)")

KIND_WORDS = {
    "ct": "ct cat computertomographie αξονικη αξονικοσ",
    "mr": "mr mri mrt magnetresonanz kernspin μαγνητικη mr-τομογραφια",
    "xr": "xr xray x-ray xrays radiograph röntgen roentgen ακτινογραφια ακτινα",
    "us": "us ultrasound sonography ultraschall sonographie sono υπερηχοσ υπερηχογραφημα",
    "nm": "nm pet scintigraphy szintigraphie σπινθηρογραφημα",
    "mg": "mg mammography mammogram mammographie μαστογραφια",
    "xa": "xa angiography angiogram angiographie αγγειογραφια",
}
REGION_WORDS = {
    "head": "head brain skull neck kopf hirn gehirn schädel hals κεφαλι κεφαλη κεφαλησ εγκεφαλοσ εγκεφαλου κρανιο τραχηλοσ",
    "chest": "chest thorax lung lungs lunge θωρακασ θωρακα θωρακοσ πνευμονασ πνευμονεσ",
    "abdomen": "abdomen abdominal belly bauch abdomens κοιλια κοιλιασ",
    "heart": "heart cardiac herz καρδια καρδιασ",
    "breast": "breast breasts mamma mammae μαστοσ μαστου μαστοι",
    "spine": "spine wirbelsäule σπονδυλικη σπονδυλικησ",
    "limb": "arm leg knee hand foot hip shoulder bein knie fuß hüfte schulter χερι ποδι γονατο ισχιο ωμοσ",
}
CONTENT_WORDS = {
    "rep": "report reports befund befunde γνωματευση γνωματευσεισ",
    "img": "images pictures bilder εικονεσ",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What the words say: choices, and the rest as it was typed."""

    period: str
    kinds: frozenset[str]
    regions: frozenset[str]
    contains: frozenset[str]
    rest: str


def read_words(text: str, *, whole: bool, spoken: Language) -> Typed:
    """Read what was typed. The last word counts when it is `whole`, or a blank follows it: else it may still grow."""
    words = text.split()
    growing = [] if whole or not words or text[-1].isspace() else [words.pop()]
    ready, period = " ".join(words), ""
    if (match := _PERIOD.search(fold(ready))) is not None and int(match[1]) > 0:
        period = str(int(match[1]))
        words = [word for word, place in _places(ready) if not match.start() <= place < match.end()]
    chosen: dict[str, set[str]] = {"m": set(), "r": set(), "c": set()}
    rest = []
    for word in words:
        found = _known(spoken.code).get(fold(word.strip(",;·")))
        if found is not None:
            chosen[found[0]].add(found[1])
        elif word.strip(",;·"):
            rest.append(word)
    left = " ".join([*rest, *growing])
    if rest and not growing and text[-1].isspace():
        left += " "  # so that the next word does not grow onto this one
    return Typed(period, frozenset(chosen["m"]), frozenset(chosen["r"]), frozenset(chosen["c"]), left)


def regions_named(title: str) -> frozenset[str]:
    """The regions that a title names: for what carries no coded one."""
    words = _known("en")
    found = (words.get(word) for word in re.split(r"[\s,;.()/·-]+", fold(title)))
    return frozenset(one[1] for one in found if one is not None and one[0] == "r")


def _places(text: str) -> Iterator[tuple[str, int]]:
    """The words, each with where it begins once folded."""
    place = 0
    for word in text.split():
        yield word, place
        place += len(fold(word)) + 1


@cache
def _known(code: str) -> Mapping[str, tuple[str, str]]:
    """Every word known to a reader of this language: the filter and the choice it stands for."""
    spoken, known = language(code), dict[str, tuple[str, str]]()
    for name, table in (("m", KIND_WORDS), ("r", REGION_WORDS), ("c", CONTENT_WORDS)):
        known |= {fold(word): (name, choice) for choice, words in table.items() for word in words.split()}
    own = [("m", name, words) for name, _, words, _ in KINDS] + [("r", name, words) for name, words, _ in REGIONS]
    for name, choice, words in own:
        label = fold(spoken.say(words))
        if " " not in label:
            known.setdefault(label, (name, choice))
    return known
