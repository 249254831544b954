"""Watch over a node: is it alive, can it serve, what does it count.

Served on a local listener of its own, never at the border. Start at `health.py`.
"""
