"""The portal: Country B's pages, where a health professional signs in, finds the patient, reads and sees.

Browsers come in, one per professional, on the portal's listener. Start at `app.py` (every address and what it needs), then the row
you care about: `patients.py`, `documents.py`, `report.py`, `images.py`. Templates and style lie in `pages/`.
"""
