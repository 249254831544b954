"""Is it right? One requirement, one function: what it says, where it comes from, and what it finds.

Anyone may hand in what was emitted or received; nothing here writes or forgives. Start at `requirement.py`; what is judged beside a
single resource is `evidence.py`; the requirements stand in `requirements/`, a group a file.

Source: wire.md §6.
"""
