"""Answers: Country A's side of the border.

`app.py` alone comes in, by `api.border_app`. Start at `api.py`, the route table; then `gate.py`, the only way in; the rows
`tokens.py`, `patients.py`, `documents.py`, `images.py`, `capability.py` answer one kind of question each.
"""
