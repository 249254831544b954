"""FHIR R4 grammar: elements of decoded JSON, bundles and their references, search parameters, narrative.

Pure. `wire/` comes in, and the readers of national formats. Start at `elements.py`.
"""
