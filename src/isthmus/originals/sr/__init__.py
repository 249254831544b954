"""DICOM structured reports: `header.py` who, when and which; `body.py` the content tree as an outline. Both run in a child."""
