"""The dictionary: codes and the words for them. Anyone on a higher floor may come in; start at `display.py` (B: words), `mapping.py` (A: codes)."""
