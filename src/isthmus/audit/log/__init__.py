"""The trail as others see it: where it ends now, signed; what they show of theirs; proofs both ways.

The border's routes under `/ncp` and the node's own rounds come in. Start at `checkpoints.py`; how a proof is made is `nodes.py`.
"""
