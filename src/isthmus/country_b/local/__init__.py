"""A visit for the hospital's own programs: a small FHIR and DICOMweb service under the address of the visit.

EHR, PACS and viewers come in, with the session of whoever signed in at the portal or with a token that the visit handed out. What
they are given has passed quarantine. Start at `app.py` (every address), then `access.py` (who may), then the row you care about.
"""
