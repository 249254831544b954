"""Emergencies at the border: declared with a token, and what Country A owes for each while the node runs.

`api.py` comes in at `declaring.py`, the node at `duties.py`. What is kept of them is `consent/emergency.py`'s.
"""
