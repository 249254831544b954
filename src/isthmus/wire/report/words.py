"""Words of a report we write: headings of its sections and labels of its narrative, in its own language.

Codes cross the border and are shown in the reader's language there; these words are for who reads the document itself.
"""

from __future__ import annotations

from collections.abc import Mapping

_ENGLISH = {
    "imaging_study": "Imaging study",
    "order": "Order",
    "history": "History",
    "procedure": "Procedure",
    "comparison": "Comparison",
    "findings": "Findings",
    "impression": "Impression",
    "recommendation": "Recommendation",
    "unavailable": "Not available.",
    "dose": "Radiation dose",
    "key_images": "Key images",
    "accession": "Accession number",
    "order_number": "Order number",
    "requester": "Requested by",
    "placed": "Requested on",
    "finding": "Finding",
    "imaging": "Imaging",
    "communication": "Communication",
    "question": "Clinical question",
    "priority": "Priority",
    "performer": "Performed by",
    "device": "Device",
    "medication": "Medication",
    "reaction": "Adverse reaction",
    "allergy": "Allergy",
    "implant": "Implant",
    "pregnancy": "Pregnancy",
    "gestational_age": "Gestational age",
    "specimen": "Specimen",
}
_WORDS: dict[str, dict[str, str]] = {
    "el": {
        "imaging_study": "Απεικονιστική εξέταση",
        "order": "Παραπεμπτικό",
        "history": "Ιστορικό",
        "procedure": "Τεχνική",
        "comparison": "Σύγκριση",
        "findings": "Ευρήματα",
        "impression": "Συμπέρασμα",
        "recommendation": "Σύσταση",
        "unavailable": "Δεν υπάρχουν στοιχεία.",
        "dose": "Δόση ακτινοβολίας",
        "key_images": "Εικόνες-κλειδιά",
        "accession": "Αριθμός εξέτασης",
        "order_number": "Αριθμός παραπεμπτικού",
        "requester": "Παραπέμπων ιατρός",
        "placed": "Ημερομηνία παραπομπής",
        "finding": "Εύρημα",
        "imaging": "Απεικόνιση",
        "communication": "Ενημέρωση",
        "question": "Κλινικό ερώτημα",
        "priority": "Προτεραιότητα",
        "performer": "Εκτέλεση",
        "device": "Συσκευή",
        "medication": "Φάρμακο",
        "reaction": "Ανεπιθύμητη αντίδραση",
        "allergy": "Αλλεργία",
        "implant": "Εμφύτευμα",
        "pregnancy": "Κύηση",
        "gestational_age": "Ηλικία κύησης",
        "specimen": "Δείγμα",
    },
    "de": {
        "imaging_study": "Bildgebende Untersuchung",
        "order": "Anforderung",
        "history": "Anamnese",
        "procedure": "Technik",
        "comparison": "Vergleich",
        "findings": "Befund",
        "impression": "Beurteilung",
        "recommendation": "Empfehlung",
        "unavailable": "Nicht vorhanden.",
        "dose": "Strahlendosis",
        "key_images": "Schlüsselbilder",
        "accession": "Untersuchungsnummer",
        "order_number": "Auftragsnummer",
        "requester": "Angefordert von",
        "placed": "Angefordert am",
        "finding": "Befund",
        "imaging": "Bildgebung",
        "communication": "Mitteilung",
        "question": "Fragestellung",
        "priority": "Dringlichkeit",
        "performer": "Durchgeführt von",
        "device": "Gerät",
        "medication": "Medikation",
        "reaction": "Unerwünschte Reaktion",
        "allergy": "Allergie",
        "implant": "Implantat",
        "pregnancy": "Schwangerschaft",
        "gestational_age": "Schwangerschaftsdauer",
        "specimen": "Probe",
    },
    "bg": {
        "imaging_study": "Образно изследване",
        "order": "Назначение",
        "history": "Анамнеза",
        "procedure": "Техника",
        "comparison": "Сравнение",
        "findings": "Находки",
        "impression": "Заключение",
        "recommendation": "Препоръка",
        "unavailable": "Няма данни.",
        "dose": "Лъчева доза",
        "key_images": "Ключови изображения",
        "accession": "Номер на изследването",
        "order_number": "Номер на назначението",
        "requester": "Назначено от",
        "placed": "Назначено на",
        "finding": "Находка",
        "imaging": "Образна диагностика",
        "communication": "Съобщаване",
        "question": "Клиничен въпрос",
        "priority": "Спешност",
        "performer": "Извършено от",
        "device": "Апарат",
        "medication": "Лекарство",
        "reaction": "Нежелана реакция",
        "allergy": "Алергия",
        "implant": "Имплант",
        "pregnancy": "Бременност",
        "gestational_age": "Гестационна възраст",
        "specimen": "Проба",
    },
}


MEANINGLESS = frozenset(
    words[key] for words in (_ENGLISH, *_WORDS.values()) for key in ("finding", "impression", "imaging")
)
"""Names that are written where something has none."""


def words_of(language: str | None) -> Mapping[str, str]:
    """The words of a language, whatever its region; English where we have none."""
    return _ENGLISH | _WORDS.get((language or "").partition("-")[0].lower(), {})


def moment(written: str | None) -> str:
    """A FHIR dateTime as people read it, as it stood at its place: `2026-03-02 09:14`."""
    day, _, time = (written or "").partition("T")
    return f"{day} {time[:5]}".strip()
