"""Which studies, told in the two other ways: as FHIR ImagingStudy, and by QIDO-RS. `api.py` comes in.

Both are made of the manifests that may be given (`manifests.py`): what hides a manifest hides the study, and counts are those of
the manifest. Decision 0007.
"""
