"""A FHIR R4 repository behind Country A, as register of patients and as source of reports.

`repository.py` has the verbs; start there. `client.py` asks, `patients.py` says who somebody is, `told.py` what is told of a document,
`contents.py` reads what it says and whose it is, `rows.py` keeps its number.
"""
