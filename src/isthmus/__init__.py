"""Isthmus: the NCPeH imaging gateway.

Country B asks, Country A answers. Start reading at `app.py` (where everything meets; what it stands on is `ground.py`), or at the row you care about:
`country_b/documents.py`, `wire/documents.py`, `country_a/documents.py`.
"""

__version__ = "0.1.0"
