"""The invented patients of Countries AA and CC, invented countries; and what their hospitals and authorities are called.

Nobody here exists: names, dates and numbers were made up for the demonstration. Every identifier has an OID of the example arc
as its authority: 2.999.NUMBER of its country. Those of AA are ten digits, some with leading zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Organisation, Patient


@dataclass(frozen=True, slots=True)
class PracticeCountry:
    """An invented country that answers: its arc and its hospital, as its settings say them (trust/settings_text.py)."""

    number: int
    hospital_name: str
    hospital_id: str

    def issuer(self, place: int) -> str:
        """The OID of one of the country's authorities."""
        return f"2.999.{self.number}.2.{place}"

    @property
    def patient_issuer(self) -> str:
        return self.issuer(1)

    @property
    def accession_issuer(self) -> str:
        return self.issuer(2)

    @property
    def placer_issuer(self) -> str:
        return self.issuer(3)

    @property
    def professional_issuer(self) -> str:
        return self.issuer(5)

    @property
    def hospital(self) -> Organisation:
        return self.organisation(self.hospital_name, self.hospital_id)

    def organisation(self, name: str, identifier: str) -> Organisation:
        """A hospital of the country, under its authority for hospitals."""
        return Organisation(name, identifier, f"urn:oid:{self.issuer(4)}")


AA = PracticeCountry(1, "Asfodelos General Hospital (demo)", "AA-H-001")
CC = PracticeCountry(3, "General Hospital of CC (demo)", "CC-H-001")
COUNTRIES = {"AA": AA, "CC": CC}

PATIENT_ISSUER, ACCESSION_ISSUER = AA.patient_issuer, AA.accession_issuer
PATIENT_SYSTEM = f"urn:oid:{PATIENT_ISSUER}"
PATIENT_PATTERN = r"\d{10}"  # of Country AA, for the search mask
HOSPITAL = AA.hospital

# by country, key: identifier, family and given in Latin script, the same in their own script and its language,
# birth date, gender
_Row = tuple[str, str, str, str, str, str, str, str]
_TABLE: dict[str, dict[str, _Row]] = {
    "AA": {
        "eleni": ("4710260018", "Thalassinou", "Eleni", "Θαλασσινού", "Ελένη", "el", "1961-04-17", "female"),
        "markos": ("4710260026", "Petravgos", "Markos", "Πετραυγός", "Μάρκος", "el", "1974-09-03", "male"),
        "anton": ("0710260033", "Windhaver", "Anton", "", "", "", "1944-11-28", "male"),
        "mirela": ("4710260041", "Lunesca", "Mirela", "", "", "", "1983-02-11", "female"),
        "sofia": ("4710260059", "Asimenia", "Sofia", "Ασημένια", "Σοφία", "el", "1979-06-30", "female"),
        "danae": ("4710260067", "Krinopoulou", "Danae", "Κρινοπούλου", "Δανάη", "el", "1968-12-05", "female"),
        "oskar": ("4710260075", "Fjellmark", "Oskar", "", "", "", "1957-08-19", "male"),
        "irini": ("4710260083", "Kymatari", "Irini", "Κυματάρη", "Ειρήνη", "el", "1971-03-22", "female"),
        "lazaros": ("4710260091", "Vrochidis", "Lazaros", "Βροχίδης", "Λάζαρος", "el", "1966-01-14", "male"),
        "petra": ("4710260109", "Silberquell", "Petra", "", "", "", "1952-10-07", "female"),
        "iason": ("4710260117", "Anemogiannis", "Iason", "Ανεμογιάννης", "Ιάσων", "el", "1990-05-25", "male"),
        "noemi": ("4710260125", "Tabularasa", "Noemi", "", "", "", "1999-07-01", "female"),
        "twin-a": ("4710260133", "Dioskouri", "Alexis", "Διόσκουρη", "Αλέξης", "el", "1986-05-21", "female"),
        "twin-b": ("4710260141", "Dioskouri", "Alexis", "Διόσκουρη", "Αλέξης", "el", "1986-05-21", "female"),
        "rosalie": ("4710260158", "Abendtau", "Rosalie", "", "", "", "1963-02-08", "female"),
        "stefanos": ("4710260166", "Kormoranis", "Stefanos", "Κορμοράνης", "Στέφανος", "el", "1949-06-15", "male"),
        "rada": ("4710260174", "Mahalebova", "Rada", "Махалебова", "Рада", "bg", "1978-11-02", "female"),
        "ilias": ("4710260182", "Liotrivis", "Ilias", "Λιοτριβής", "Ηλίας", "el", "1955-03-30", "male"),
        "ottilie": ("4710260190", "Federkiel", "Ottilie", "", "", "", "1940-12-19", "female"),
        "nerea": ("4710260208", "Quintaventa", "Nerea", "", "", "", "1969-05-08", "female"),
    },
    "CC": {
        "benno": ("CC-7104-33", "Moorbirke", "Benno", "", "", "", "1971-04-06", "male"),
        "yordan": ("CC-5809-12", "Slivenski-Rosen", "Yordan", "Сливенски-Росен", "Йордан", "bg", "1958-09-23", "male"),
        "wilma": ("CC-6612-07", "Heidelerche", "Wilma", "", "", "", "1966-12-11", "female"),
    },
}


def _person(country: str, row: _Row) -> Patient:
    value, family, given, native_family, native_given, language, birth_date, gender = row
    names = [HumanName(family, (given,))]
    if native_family:
        names.append(HumanName(native_family, (native_given,), language))
    system = f"urn:oid:{COUNTRIES[country].patient_issuer}"
    return Patient(PatientIdentifier(system, value), tuple(names), birth_date, gender)


PEOPLE = {key: _person(country, row) for country, rows in _TABLE.items() for key, row in rows.items()}
COUNTRY_OF = {key: country for country, rows in _TABLE.items() for key in rows}
