"""The tables, one file a room. `metadata.py` has the two databases they belong to: state with trail, and the archive's index."""
