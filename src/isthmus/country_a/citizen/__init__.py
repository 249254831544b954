"""The citizen at home: what I share, what a doctor abroad sees of it, who looked. A listener of its own, never the border.

The node comes in at `app.py`. Nobody but the patient who signed in sees anything here; each look is on the trail.
"""
