"""Country B asks: the requesting NCPeH, for a health professional who treats a patient from another country.

Faces above it: `portal/` (pages), the commands `visit` and `token`. It knows nothing of what lies behind Country A. Start at
`visit.py` (who, for whom, why), then `client.py` (the only way out), then the row you care about.
"""
