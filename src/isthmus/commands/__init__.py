"""Commands: one file a command, each a typer app, imported only when it is asked for.

The top floor: anything may be used from here, nothing imports from here. Start at `root.py` (the table), then `output.py`.
"""
