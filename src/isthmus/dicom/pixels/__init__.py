"""Pixels: where frames lie, what they decode to, and how they look.

Pure, like the room around it. `frames.py` is for everybody; the rest loads codecs of others and runs in a child
(`sandbox.py`) alone. Start at `frames.py`, then `decode.py` (one frame) and `window.py` (stored values to grey or colour).
"""
