"""The language of the border, both directions side by side: `write_…` and `read_…` between model and wire.

Pure: bytes and text in and out, no network, no disk, no clock. Country A and Country B come in here, and nobody else
shapes what crosses. Start at `documents.py`; what moves between drafts lies in `packs/`.
"""
