"""The embedded archive, where Isthmus itself is the national source: instances untouched in containers, documents, a register of patients.

Doors above (`commands/`, later the network) come in by `intake.py`, which alone decides; `national/files.py` reads by `queries.py` and
`prepared.py`. Start at `intake.py`.
"""
