"""Evidence for somebody who trusts neither of us: written from the trail, and checked without it.

Commands come in. Start at `write.py`; `check.py` judges the same file as `tools/evidence_check.py` does, with nothing in common but the format
(docs/guides/trail.md).
"""
