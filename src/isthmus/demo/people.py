"""The invented patients of Country AA, an invented country; and what its hospital and its authorities are called.

Nobody here exists: names, dates and numbers were made up for the demonstration. Identifiers are ten digits under an OID
of the example arc, with their leading zeros.
"""

from __future__ import annotations

from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Organisation, Patient

PATIENT_ISSUER = "2.999.1.2.1"
ACCESSION_ISSUER = "2.999.1.2.2"
PLACER_ISSUER = "2.999.1.2.3"
INSTITUTION_ISSUER = "2.999.1.2.4"
PROFESSIONAL_ISSUER = "2.999.1.2.5"
LOCATION_UID = "2.999.1.2.6.1"

PATIENT_SYSTEM = f"urn:oid:{PATIENT_ISSUER}"
PATIENT_PATTERN = r"\d{10}"  # for the search mask
TIME_ZONE = "Europe/Athens"
HOSPITAL = Organisation("Asfodelos General Hospital (demo)", "AA-H-001", f"urn:oid:{INSTITUTION_ISSUER}")

# key: identifier, family and given in Latin script, the same in Greek script, birth date, gender
_TABLE: dict[str, tuple[str, str, str, str, str, str, str]] = {
    "eleni": ("4710260018", "Thalassinou", "Eleni", "Θαλασσινού", "Ελένη", "1961-04-17", "female"),
    "markos": ("4710260026", "Petravgos", "Markos", "Πετραυγός", "Μάρκος", "1974-09-03", "male"),
    "anton": ("0710260033", "Windhaver", "Anton", "", "", "1944-11-28", "male"),
    "mirela": ("4710260041", "Lunesca", "Mirela", "", "", "1983-02-11", "female"),
    "sofia": ("4710260059", "Asimenia", "Sofia", "Ασημένια", "Σοφία", "1979-06-30", "female"),
    "danae": ("4710260067", "Krinopoulou", "Danae", "Κρινοπούλου", "Δανάη", "1968-12-05", "female"),
    "oskar": ("4710260075", "Fjellmark", "Oskar", "", "", "1957-08-19", "male"),
    "irini": ("4710260083", "Kymatari", "Irini", "Κυματάρη", "Ειρήνη", "1971-03-22", "female"),
    "lazaros": ("4710260091", "Vrochidis", "Lazaros", "Βροχίδης", "Λάζαρος", "1966-01-14", "male"),
    "petra": ("4710260109", "Silberquell", "Petra", "", "", "1952-10-07", "female"),
    "iason": ("4710260117", "Anemogiannis", "Iason", "Ανεμογιάννης", "Ιάσων", "1990-05-25", "male"),
    "noemi": ("4710260125", "Tabularasa", "Noemi", "", "", "1999-07-01", "female"),
    "twin-a": ("4710260133", "Dioskouri", "Alexis", "Διόσκουρη", "Αλέξης", "1986-05-21", "female"),
    "twin-b": ("4710260141", "Dioskouri", "Alexis", "Διόσκουρη", "Αλέξης", "1986-05-21", "female"),
}


def _person(row: tuple[str, str, str, str, str, str, str]) -> Patient:
    value, family, given, native_family, native_given, birth_date, gender = row
    names = [HumanName(family, (given,))]
    if native_family:
        names.append(HumanName(native_family, (native_given,), "el"))
    return Patient(PatientIdentifier(PATIENT_SYSTEM, value), tuple(names), birth_date, gender)


PEOPLE: dict[str, Patient] = {key: _person(row) for key, row in _TABLE.items()}
