"""Nouns: frozen values of the domain, checked when made.

Anyone may come in; nothing here knows anything above it but the errors. Start at `identifiers.py`, then `imaging.py`.
"""
