"""The trail in the words of others: AuditEvents by the patterns of IHE, and the way to a national repository.

The patient's view and `forward.py` come in. Start at `patterns.py`: one table from a transaction to its pattern.
"""
