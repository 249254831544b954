"""The ways into the archive from outside: STOW-RS, FHIR documents, watched folders. All of them end at `intake.py` and `reports.py`.

Who may come in: `app.py`, which mounts the listener, and what else brings something (C-STORE) by way of `desk.py`. Start at `api.py`.
"""
