"""Where our state rests: SQLite files, and what is sealed on disk.

Any room above may come in. Each owner keeps its tables in `schema/` and its SQL beside its own code; this room gives the
connection. Start at `database.py`, then `sealed.py`.
"""
