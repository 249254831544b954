"""The public test kit: what a country, or a connector of its own, is tried with.

Anyone may use it in tests; nothing that serves imports it. Start at `connector_contract.py` (what a national connector must keep) and
`studies.py` (synthetic studies of any size).
"""
