"""Who is at the other end: the signed list of countries, mutual TLS, signatures, what was seen before, how often.

Faces, duties and commands come in; nothing here knows patients or documents. Start at `directory.py` (what the list says of
a peer now), then `jws.py` (the only door of joserfc). `pki.py` makes the material of practice countries.

Source: trust.md §2.
"""
