"""Packs: what moves between drafts of the specifications, as data. One TOML file a pack; start at `pack.py`."""
