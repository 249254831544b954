"""The two other ways to list studies: FHIR ImagingStudy, and QIDO-RS. The document way is the first one (`wire/documents.py`).

Both tell what the manifests tell. Start at `imaging_study.py`; `qido.py` has keys and attributes in one table.
"""
