"""Practice countries: invented patients, real images under an open licence, and what becomes of them.

Nobody in Country AA or BB exists. `data/` holds the originals unmodified with their provenance; they are re-labelled
each time a demo starts, so that nothing of the original's identity is served. Used by the commands and by tests.
Start at `stories.py`.
"""
