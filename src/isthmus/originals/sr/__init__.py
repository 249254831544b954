"""DICOM structured reports: `header.py` who, when and which; `body.py` the content tree as an outline; `tree.py` any tree as text. All in a child."""
