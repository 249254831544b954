"""The imaging report, cut where the data set is cut: one file a chapter (A.1 to A.8). Start at `document.py`.

Beside the chapters, what several of them say: `statements.py` (findings, measurements), `devices.py`, and `safety.py`
(medication, reactions, pregnancy). A value that is not told is None or empty, never invented.
"""
