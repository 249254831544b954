"""Corrections: what an operator, or a rejection note, puts right in the archive. Each takes effect at the border with its transaction.

The command `archive` comes in, and `intake.py` for what notes say. Start at `trace.py`, which writes down who corrected what and why;
then `people.py` (merge, split), `studies.py` (move, delete, restore), `reports.py`, `held.py` (assign, release, discard), `notes.py`.
"""
