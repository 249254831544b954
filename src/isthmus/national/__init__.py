"""The last mile in Country A: what lies behind it, seen through one port of four verbs.

`app` chooses and hands over a connector; Country A knows only `connector.py`. Start there, then `files.py` (the embedded archive).
"""
