"""Formed reports: the European document made of what the archive keeps as CDA, PDF, or as an instance of a study that is a report.

Start at `forms.py`, which makes them; `rows.py` has what is kept of them.
"""
