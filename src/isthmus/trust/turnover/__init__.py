"""Keys that turn over while the node runs: the ones in use, the next, the ones before; real certificates.

Open to `app.py`, the faces' clients and commands. Start at `phases.py`.
"""
