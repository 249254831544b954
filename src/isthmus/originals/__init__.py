"""Originals: what a country keeps at home, read. Pure: no network, disk or clock; what is read here came from others and is bounded.

The archive comes in at intake. Start at `recognise.py`, then `cda/header.py`.
"""
