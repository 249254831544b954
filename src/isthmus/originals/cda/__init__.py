"""CDA documents: `tree.py` is the only parser, `header.py` what a list and a register need of them, `child.py` where all of it runs."""
