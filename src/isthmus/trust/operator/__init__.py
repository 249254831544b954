"""The list operator's desk: the trust list is read, changed and signed here, by whoever holds the operator's key. No node does.

Open to `trust/pki.py` and to commands. Start at `lists.py`.
"""
