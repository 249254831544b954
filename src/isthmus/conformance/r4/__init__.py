"""What FHIR R4 itself asks of every resource: its definitions, reduced to tables, and its invariants.

`definitions.json` is written by tools/definitions.py from HL7's own files (CC0-1.0). Start at `definitions.py`.

Source: R4.
"""
