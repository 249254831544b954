"""What a country has licensed or made: value sets, LOINC, SNOMED CT, its own tables, read as streams. Start at `intake.py`."""
