"""The dictionary: codes and the words for them. Anyone on a higher floor may come in; start at `regions.py`."""
