"""What happened: every exchange is written down before a byte of it leaves, and nobody can change it unseen.

Country A's gate and Country B's client come in, and the commands that show and prove the trail. Start at `trail.py`; the proof
is `merkle.py` and `verify.py`.
"""
