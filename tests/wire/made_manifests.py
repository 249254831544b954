"""Any manifest: what round trips are tried with."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from isthmus.model.codes import DCM, LOINC, SNOMED, Code
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.people import HumanName, Organisation, Patient
from isthmus.model.queries import REGIONS


def _text() -> st.SearchStrategy[str]:
    letters = st.characters(exclude_categories=("C", "Z"), exclude_characters="\\^=&~|")
    words = st.lists(st.text(letters, min_size=1, max_size=12), min_size=1, max_size=3)
    return words.map(" ".join)


NUMBERS = st.from_regex(r"[A-Z0-9][A-Z0-9.-]{0,14}", fullmatch=True)
OIDS = st.integers(1, 999).map(lambda n: f"urn:oid:1.2.40.{n}")
ISSUERS = st.one_of(st.none(), OIDS, st.just("https://ris.example/orders"))
ORGANISATIONS = st.one_of(
    _text().map(Organisation), st.builds(Organisation, st.just("Hospital"), NUMBERS, st.sampled_from(["urn:oid:1.2.3"]))
)
CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.5.1.4.1.1.9.1.1")


def _mapped(system: st.SearchStrategy[str]) -> st.SearchStrategy[Code | None]:
    """A code of the Union, perhaps with the one at home beside it; or none."""
    at_home = st.builds(Code, st.just("urn:oid:2.999.7"), NUMBERS, _text(), st.none(), st.just(True))
    return st.one_of(st.none(), st.builds(Code, system, NUMBERS, _text(), st.one_of(st.none(), at_home)))


def _moments(offset: str) -> st.SearchStrategy[str | None]:
    days = st.dates().map(str)
    times = st.times().map(lambda time: f"T{time.isoformat('seconds')}{offset}")
    return st.one_of(st.none(), days, st.builds(str.__add__, days, times))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest that both forms can say."""
    offset = draw(st.sampled_from(["+00:00", "+01:00", "-03:30", "+05:45"]))
    numbers = iter(range(1001, 2000))  # in the order of their text too
    series = [
        Series(
            series_instance_uid=f"1.2.3.{next(numbers)}",
            modality=draw(st.sampled_from(["CT", "KO", "US"])),
            instances=tuple(
                Instance(
                    sop_instance_uid=f"1.2.3.4.{next(numbers)}",
                    sop_class_uid=draw(st.sampled_from(CLASSES)),
                    number=number,
                    number_of_frames=draw(st.one_of(st.none(), st.integers(1, 10**6))),
                    title=draw(st.one_of(st.none(), st.builds(Code, st.just(DCM), NUMBERS, _text()))),
                    description=draw(st.one_of(st.none(), _text())),
                )
                for number in draw(st.lists(st.integers(-9, 9999), min_size=1, max_size=4).map(sorted))
            ),
            number=number,
            description=draw(st.one_of(st.none(), _text())),
            body_site=draw(_mapped(st.just(SNOMED))),
            laterality=draw(st.one_of(st.none(), st.just(Code(SNOMED, "7771000", "Left")))),
            started=draw(_moments(offset)),
        )
        for number in draw(st.lists(st.integers(0, 99), min_size=1, max_size=3).map(sorted))
    ]
    orders = st.lists(st.builds(Identifier, ISSUERS, NUMBERS), max_size=3, unique_by=lambda number: number.value)
    names = st.builds(HumanName, _text(), st.lists(_text().map(lambda t: t.replace(" ", "")), max_size=3).map(tuple))
    study = Study(
        study_instance_uid="1.2.3",
        patient=Patient(
            identifier=PatientIdentifier(draw(OIDS), draw(NUMBERS)),
            names=tuple(draw(st.lists(names, min_size=1, max_size=2, unique=True))),
            birth_date=str(draw(st.dates())),
            gender=draw(st.sampled_from(["male", "female", "other", "unknown"])),
        ),
        series=tuple(series),
        started=draw(_moments(offset)),
        description=draw(st.one_of(st.none(), _text())),
        accession_numbers=tuple(draw(orders)),
        placer_order_numbers=tuple(draw(orders)),
        regions=tuple(draw(st.lists(st.sampled_from(list(REGIONS.values())), max_size=3, unique=True))),
        procedure=draw(_text()),
        procedure_code=draw(_mapped(st.sampled_from([SNOMED, LOINC]))),
        custodian=draw(st.one_of(st.none(), ORGANISATIONS)),
        other_modalities=draw(st.sampled_from([(), ("MR",), ("MR", "PT")])),
    )
    return Manifest(
        uid=f"2.25.{draw(st.integers(1, 2**128 - 1))}",
        study=study,
        created=draw(st.datetimes()).isoformat(timespec="milliseconds") + draw(st.sampled_from(["Z", "+02:00"])),
        location_uid="1.2.3.9",
        source=draw(ORGANISATIONS),
        device_manufacturer=draw(_text()),
        endpoint_address=draw(st.one_of(st.none(), st.just("https://ncp.example/dicom-web"))),
    )


def codes_of(manifest: Manifest, *, at_home: bool = True) -> list[str]:
    """Every code with its words, and with the code at home: equality of codes looks at neither."""
    codes = (manifest.study.procedure_code, *(one.body_site for one in manifest.study.series))
    return [repr(code if code is None or at_home else replace(code, original=None)) for code in codes]
