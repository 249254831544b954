"""The tables, one file a room. `metadata.py` has the databases they belong to: state with trail, the archive's index, terminology."""
