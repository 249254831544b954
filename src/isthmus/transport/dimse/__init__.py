"""DIMSE: associations with a PACS and with modalities, kept off the event loop. pynetdicom has its one door here.

Whoever speaks with a PACS or takes C-STORE may come in. Start at `outbound.py` (asking) and `inbound.py` (taking); `library.py` says how
far the library is trusted.
"""
