"""The grammar of DICOM: Part 10 files walked, judged, read for the index and recoded, from bytes alone.

Pure: no network, no disk, no clock. Whoever holds bytes may come in; nobody's patient data leaves in an error.
Start at `walker.py` (elements within bounds), then `header.py` (the values the index needs) and `scan.py` (hostile files).
"""
