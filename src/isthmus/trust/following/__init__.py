"""How the trust list is followed: where it lies, what peers show of theirs, what is alarming about it, what ends a wait.

Open to `trust/directory.py`, which judges and keeps what is found here. Start at `places.py`.
"""
